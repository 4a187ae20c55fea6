"""peft: the adapter directory is the documented format, and with it any reader gets the logits of our adapter."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rule_jax import hf, peft
from rule_jax.errors import UserError
from rule_jax.models import lora
from tests.models.make_golden import weights

GOLDEN = Path(__file__).parent / "models" / "golden"
KEPT = {file.stem: json.loads(file.read_text()) for file in sorted(GOLDEN.glob("*.json"))}
CASES = {kept["config"]["model_type"]: case for case, kept in KEPT.items()}.values()  # the last of each family
SETTINGS = {"rank": 3, "alpha": 6.0, "targets": lora.PROJECTIONS}
TOKENS = np.random.default_rng(0).integers(3, 60, size=(2, 11)).astype(np.int32)


def exported(case, tmp_path, **changes):
    """(model, base parameters, tuning, adapter), the base as tmp_path/base and its adapter as tmp_path/adapter."""
    kept = KEPT[case]
    (tmp_path / "base").mkdir()
    tensors = weights(kept["config"], kept["shapes"])
    save_file(tensors, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "base" / "config.json").write_text(json.dumps(kept["config"]))
    model, params = hf.load(tmp_path / "base")
    settings = {**SETTINGS, **changes}
    tuning = lora.make(model, **settings)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(tuning.init, jax.random.key(0))
    adapter = jax.tree.map(lambda s: jnp.asarray(0.1 * rng.normal(size=s.shape), jnp.float32), shapes)
    scale = settings["alpha"] / settings["rank"]
    peft.save(tmp_path / "adapter", model, adapter, tmp_path / "base", scale=scale)
    return model, params, tuning, adapter


@pytest.mark.parametrize("case", CASES)
def test_the_format_read_by_its_description_is_the_merged_model(tmp_path, case):
    model, params, tuning, adapter = exported(case, tmp_path)
    hf.save(tmp_path / "merged", model, tuning.merge(params, adapter, jnp.float32), like=tmp_path / "base")
    base, merged = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "merged"))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    found = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    used = set()
    for name, value in base.items():
        module = name.removesuffix(".weight")
        leaf = module.rpartition(".")[2]
        key = f"base_model.model.{module}.lora_"
        if leaf in config["target_modules"] and name.endswith(".weight"):
            a, b = found[key + "A.weight"], found[key + "B.weight"]
            r = config["rank_pattern"].get(leaf, config["r"])
            assert a.shape[0] == b.shape[1] == r
            value = value + config["alpha_pattern"].get(leaf, config["lora_alpha"]) / r * b @ a
            used |= {key + "A.weight", key + "B.weight"}
        np.testing.assert_allclose(merged[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert used == found.keys()
    assert len(used) >= 2 * 4 * model.config.layers


def test_a_fused_layer_of_which_a_part_is_adapted(tmp_path):
    model, *_ = exported("phi3_short_window", tmp_path, targets=("value",))
    found = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {re.sub(r"\d+", "N", name) for name in found} == {
        f"base_model.model.model.layers.N.self_attn.qkv_proj.lora_{part}.weight" for part in "AB"
    }
    c = model.config
    b = found["base_model.model.model.layers.1.self_attn.qkv_proj.lora_B.weight"]
    rows = np.flatnonzero(np.abs(b).max(axis=1))
    np.testing.assert_array_equal(rows, (c.heads + c.kv_heads) * c.head_dim + np.arange(c.kv_heads * c.head_dim))


def test_an_adapter_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    model, _, _, adapter = exported("llama_llama3_gqa", tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        peft.save(tmp_path / "file" / "adapter", model, adapter, tmp_path / "base", scale=1.0)


@pytest.mark.filterwarnings("ignore")  # of other libraries, on import
@pytest.mark.parametrize("case", CASES)
def test_peft_loads_it_onto_the_transformers_model(tmp_path, case):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("peft", minversion="0.21")
    transformers = pytest.importorskip("transformers")
    model, params, tuning, adapter = exported(case, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", attn_implementation="eager")
    with torch.no_grad():
        off = theirs(torch.from_numpy(TOKENS).long()).logits.numpy()
        adapted = library.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
        on = adapted(torch.from_numpy(TOKENS).long()).logits.numpy()
    ours = np.asarray(jax.jit(model.logits)(tuning.read(params, adapter), TOKENS))
    size = np.abs(on).max()
    assert np.abs(on - off).max() > 0.05 * size
    np.testing.assert_allclose(ours / size, on / size, atol=1e-5)
