"""rule_jax.convert: HF -> checkpoint -> HF gives back every bit; a run's checkpoints become models, adapters merged."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from configs import grpo
from rule_jax import files, hf, programs
from rule_jax.checkpoint import Checkpoints
from rule_jax.convert import convert
from rule_jax.errors import UserError
from rule_jax.files import plain
from rule_jax.models import lora
from tests.models.make_golden import weights

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "models" / "golden"
KEPT = {file.stem: json.loads(file.read_text()) for file in sorted(GOLDEN.glob("*.json"))}
CASES = {kept["config"]["model_type"]: case for case, kept in KEPT.items()}.values()  # the last of each family
ADAM = {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0, "moments_dtype": "float32"}


def write_model(path, case="llama_default_mqa", dtype=np.float32):
    """An HF directory of a golden model's weights, in a dtype, with a file that is to be carried over."""
    path.mkdir()
    kept = KEPT[case]
    tensors = {name: value.astype(dtype) for name, value in weights(kept["config"], kept["shapes"]).items()}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps({**kept["config"], "dtype": np.dtype(dtype).name}))
    (path / "chat_template.jinja").write_text("{{ messages }}")
    return tensors


def assert_bitwise(directory, expected):
    found = load_file(directory / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].tobytes() == tensor.tobytes(), name


def message(*args, **kwargs):
    with pytest.raises(UserError) as caught:
        convert(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hidden(folder):
    return [place.name for place in folder.iterdir() if place.name.startswith(".")]


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_is_bitwise(tmp_path, case):
    stored = write_model(tmp_path / "in", case, ml_dtypes.bfloat16)
    convert(tmp_path / "in", tmp_path / "checkpoint")
    convert(tmp_path / "checkpoint", tmp_path / "out", like=tmp_path / "in")
    assert_bitwise(tmp_path / "out", stored)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert hidden(tmp_path) == []


def test_the_dtype_is_of_the_result(tmp_path):
    stored = write_model(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "checkpoint", dtype="bfloat16", step=7)
    assert [place.name for place in (tmp_path / "checkpoint").iterdir()] == ["7"]
    convert(tmp_path / "checkpoint", tmp_path / "out", like=tmp_path / "in")
    rounded = {name: value.astype(ml_dtypes.bfloat16) for name, value in stored.items()}
    assert_bitwise(tmp_path / "out", {name: value.astype(np.float32) for name, value in rounded.items()})
    convert(tmp_path / "checkpoint", tmp_path / "half", like=tmp_path / "in", dtype="bfloat16")
    assert_bitwise(tmp_path / "half", rounded)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_result_loads_in_plain_transformers(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    stored = write_model(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "checkpoint")
    convert(tmp_path / "checkpoint", tmp_path / "out", like=tmp_path / "in")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    for name, value in stored.items():
        np.testing.assert_array_equal(theirs[name].numpy(), value)


@pytest.fixture
def a_run(tmp_path, mesh8):
    """a_run(rank) -> (workdir, parameters after stage 1, after step 1 and after step 2 of stage 2), made up."""

    def make(rank):
        base, workdir = tmp_path / "base", tmp_path / "run"
        write_model(base)
        config = grpo.get_config()
        config.lora.rank = rank
        files.write_json(workdir / "config.json", plain(config))
        files.write_json(workdir / "data" / "model.json", {"path": str(base), "targets": ["A"]})
        save_tokenizer(base)
        model, params = hf.load(base)
        tuning = lora.make(model, **config.lora)
        adam = programs.optimizer(**ADAM)
        trained, left = (params, []) if not rank else (None, [])
        for stage, step in (("rejection_steering", 4), ("boundary_optimization", 1), ("boundary_optimization", 2)):
            rng = np.random.default_rng(step)
            start = jax.eval_shape(tuning.init, jax.random.key(0))
            trained = jax.tree.map(lambda s, rng=rng: jnp.asarray(0.1 * rng.normal(size=s.shape), jnp.float32), start)
            with Checkpoints(workdir / stage / "checkpoints", keep=2) as checkpoints:
                checkpoints.save(step, programs.init_state(tuning, mesh8, adam, trained, jax.random.key(0)))
            left.append(trained)
        if rank:
            first, one, two = left
            left = [
                tuning.merge(params, x, jnp.float32) for x in (first, tuning.join(first, one), tuning.join(first, two))
            ]
        return workdir, *left

    return make


def save_tokenizer(path):
    """The least that chat.load_tokenizer accepts."""
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2}, [])).save(str(path / "tokenizer.json"))
    fields = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "a", "eos_token": "c"}
    (path / "tokenizer_config.json").write_text(json.dumps(fields))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_is_its_last_checkpoint_and_any_other_can_be_had(tmp_path, a_run, rank):
    workdir, steered, one, two = a_run(rank)
    convert(workdir, tmp_path / "last")
    convert(workdir, tmp_path / "first", step=1)
    convert(workdir / "rejection_steering", tmp_path / "steered")
    convert(workdir / "boundary_optimization" / "checkpoints", tmp_path / "same")
    for name, wanted in (("last", two), ("first", one), ("steered", steered), ("same", two)):
        _, found = hf.load(tmp_path / name)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6), found, wanted)
        assert (tmp_path / name / "tokenizer.json").exists()


def test_what_cannot_be_converted(tmp_path, a_run):
    workdir, *_ = a_run(2)
    base, checkpoints, out = tmp_path / "base", workdir / "rejection_steering" / "checkpoints", tmp_path / "out"
    assert "nowhere is no directory" in message(tmp_path / "nowhere", out)
    assert "base exists; choose a place that does not" in message(workdir, base)
    assert "--like is for checkpoints;" in message(base, out, like=base)
    assert "--like is for checkpoints outside a run" in message(workdir, out, like=base)
    assert "has no checkpoint of step 3; it has 1, 2" in message(workdir, out, step=3)
    (tmp_path / "empty").mkdir()
    assert "is no HF directory (it has no config.json), no run and no folder" in message(tmp_path / "empty", out)
    moved = checkpoints.rename(tmp_path / "moved")
    assert "is of no run: give --like=DIR" in message(moved, out)
    # An adapter alone, and a model of another shape.
    assert "attention/key_a is (2, 16, 2) in the checkpoint and absent in the model" in message(moved, out, like=base)
    convert(base, tmp_path / "checkpoint")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "vocab_size": 63}))
    wanted = "ends/embedding is (64, 16) in the checkpoint and (63, 16) in the model that is to read it"
    assert wanted in message(tmp_path / "checkpoint", out, like=base)
    assert "model.embed_tokens.weight" in message(base, out)
    assert not out.exists()
    assert hidden(tmp_path) == []


def test_as_a_process(tmp_path):
    write_model(tmp_path / "in")
    command = [sys.executable, "-m", "rule_jax.convert", f"--src={tmp_path / 'in'}", f"--dst={tmp_path / 'out'}"]
    ended = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert ended[0].returncode == 0, ended[0].stderr
    assert "reading: " in ended[0].stderr
    assert "tensors" in ended[0].stderr
    assert (ended[1].returncode, ended[1].stdout) == (2, "")
    assert ended[1].stderr.startswith("error: --dst: ")
    assert len(ended[1].stderr.strip().splitlines()) == 1
