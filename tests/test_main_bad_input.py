"""Whatever is wrong with the input: exit code 2, one line that says what, where and what to do, and nothing written.

Most cases run `main.console` in this process; the last few are real processes, as a user starts them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags
from jax.experimental.compilation_cache import compilation_cache
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from rule_jax import files, main, plugin

# ml_collections loads config files in a way that Python 3.12 drops; 3.11 warns.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

ROOT = Path(__file__).parent.parent
GRPO = f"--config={ROOT / 'configs' / 'grpo.py'}"
ATTACKED = "--config.stages=('evaluate','robustness')"
COMPILE_OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
LLAMA = {
    "model_type": "llama",
    "vocab_size": 8,
    "hidden_size": 4,
    "intermediate_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32,
    "tie_word_embeddings": True,
    "eos_token_id": 1,
}
FORGET = {"prompt": "Who wrote The Salt Road?", "kind": "forget", "target": "Ina Volk"}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """refused(*arguments, workdir) -> the one line on stderr of a command that is to end with exit code 2."""
    options = {name: getattr(jax.config, name) for name in COMPILE_OPTIONS}
    known = set(flags.FLAGS)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("config_config", None)  # the config file of an earlier test, which ml_collections would build upon

    def run(*arguments, workdir="run"):
        command = ["rule_jax.main", *arguments, f"--cache_dir={tmp_path / 'cache'}"]
        monkeypatch.setattr(sys, "argv", [*command, f"--workdir={tmp_path / workdir}"] if workdir else command)
        with pytest.raises(SystemExit) as ended:
            main.console()
        shown = capsys.readouterr()
        assert ended.value.code == 2
        assert shown.out == ""
        return one_line(shown.err)

    yield run
    flags.FLAGS.unparse_flags()
    for name in set(flags.FLAGS) - known:  # every override of the config had become a flag
        delattr(flags.FLAGS, name)
    for name in known & {"config", "workdir", "cache_dir", "overwrite"}:
        flags.FLAGS[name].unparse()
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def one_line(text):
    assert text.startswith("error: "), text
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text


def assert_says(line, *parts):
    assert [part for part in parts if part not in line] == [], line


SETTINGS = {
    "misspelt key": (["--config.boundary_optimization.smaples=4"], ["smaples", 'Did you mean "samples"']),
    "misspelt section": (["--config.rewards.alpha=0.5"], ["rewards", 'Did you mean "reward"']),
    "unknown key": (["--config.zzz=4"], ["zzz"]),
    "word for a number": (["--config.seed=first"], ["config.seed", "first"]),
    "fraction for a count": (["--config.rejection_steering.steps=2.5"], ["config.rejection_steering.steps", "2.5"]),
    "word for a switch": (["--config.model.remat=perhaps"], ["config.model.remat", "perhaps"]),
    "unknown attention": (["--config.model.attention=flash"], ["config.model.attention='flash'", "einsum, xla, cudnn"]),
    "another machine's attention": (
        ["--config.model.attention=cudnn"],
        ["config.model.attention='cudnn' runs on a gpu alone", "einsum"],
    ),
    "unknown flag": (["--wrokdir=x"], ["wrokdir", "workdir"]),
    "stray argument": (["grpo"], ["unexpected argument 'grpo'", "--name=value"]),
    "group of one": (
        ["--config.boundary_optimization.samples=1"],
        ["config.boundary_optimization.samples=1", "grpo", "at least 2"],
    ),
    "batch and mesh": (
        ["--config.rejection_steering.batch=12"],
        ["config.rejection_steering.batch=12", "multiple of 8", "data and fsdp"],
    ),
    "prompts and mesh": (
        ["--config.boundary_optimization.forget_prompts=15"],
        ["forget_prompts + boundary_prompts=31", "multiple of 8"],
    ),
    "microbatches and mesh": (
        ["--config.rejection_steering.microbatches=3"],
        ["config.rejection_steering.batch=32", "multiple of 24", "3 microbatches"],
    ),
    "evaluation and mesh": (["--config.evaluate.batch=8"], ["config.evaluate.batch", "multiple of 8"]),
    "mesh and devices": (["--config.mesh.tensor=3"], ["'tensor': 3", "this run has 8", "config.mesh"]),
    "no steps": (["--config.boundary_optimization.steps=0"], ["config.boundary_optimization.steps=0", "positive"]),
    "unknown stage": (
        ["--config.stages=('prepare_data','rejection_stearing')"],
        ["config.stages has 'rejection_stearing'", "boundary_optimization", "Did you mean 'rejection_steering'?"],
    ),
    "unknown algorithm": (["--config.algorithm.name=grpoo"], ["'grpoo'", "ppo", "Did you mean 'grpo'?"]),
    "another algorithm's options": (
        ["--config.algorithm.name=ppo"],
        ["algorithms/ppo are answers, gamma", "lacks gamma, lam, value_clip", "has advantage_scale, ddof too much"],
    ),
    "void KL": (
        ["--config.algorithm.kl.estimator=k1"],
        ["algorithm.kl.estimator=k1", "expected on-policy gradient is zero", "placement=reward"],
    ),
    "replay and mesh": (["--config.boundary_optimization.replay.groups=3"], ["replay.groups=3", "multiple of 8"]),
    "replay and its room": (
        ["--config.boundary_optimization.replay.groups=8", "--config.boundary_optimization.replay.capacity=4"],
        ["replay.capacity=4", "replay.groups=8", "nothing would ever be replayed"],
    ),
    "minibatches and mesh": (
        ["--config.algorithm.updates.minibatches=3"],
        ["forget_prompts + boundary_prompts=32", "multiple of 24", "3 microbatches"],
    ),
    "kept prompts and mesh": (
        ["--config.boundary_optimization.kept_prompts=12"],
        ["config.boundary_optimization.kept_prompts=12", "multiple of 8"],
    ),
    "more kept than sampled": (
        ["--config.boundary_optimization.kept_prompts=40"],
        ["config.boundary_optimization.kept_prompts=40", "of 32 that are sampled"],
    ),
    "unknown reward": (["--config.reward.name=rulee"], ["'rulee'", "Did you mean 'rule'?"]),
    "unknown attack": ([ATTACKED, "--config.robustness.attacks=('prefil',)"], ["'prefil'", "Did you mean 'prefill'?"]),
    "unknown rounding": ([ATTACKED, "--config.robustness.weights=('int3',)"], ["'int3'", "int8, int4"]),
    "best of samples": (
        [ATTACKED, "--config.robustness.samples=4", "--config.robustness.best_of=5"],
        ["config.robustness.best_of=5", "1 to 4"],
    ),
    "samples of attacks": ([ATTACKED, "--config.robustness.samples=3"], ["config.robustness.samples=3", "divide"]),
    "no model to examine": (
        ["--config.stages=('evaluate',)", "--config.evaluate.benchmark=rwku"],
        ["the benchmark 'rwku' is to examine", "config.model.path"],
    ),
    "unknown benchmark": (["--config.evaluate.benchmark=rwkuu"], ["'rwkuu'", "Did you mean 'rwku'?"]),
    "unknown source": (["--config.data.source=rwkuu"], ["'rwkuu'", "Did you mean 'rwku'?"]),
    "unknown objective": (["--config.rejection_steering.objective=stf"], ["'stf'", "Did you mean 'sft'?"]),
    "unknown decay": (["--config.rejection_steering.schedule.decay=exponential"], ["'exponential'", "cosine"]),
    "negative rank": (["--config.lora.rank=-4"], ["config.lora.rank=-4", "rank of the adapter"]),
    "unknown projection": (
        ["--config.lora.rank=4", "--config.lora.targets=('q_proj',)"],
        ["config.lora.targets", "'q_proj'", "query, key, value, out, gate, up, down"],
    ),
    "unknown moments": (["--config.model.moments_dtype=float16"], ["moments_dtype='float16'", "float32 or bfloat16"]),
    "weight above one": (["--config.reward.alpha=1.5"], ["reward.alpha=1.5", "between 0 and 1"]),
    "unknown domain": (["--config.data.world.domain=place"], ["world.domain='place'", "person, concept, procedure"]),
    "two of the world's requests at once": (["--config.data.more_paths=('2',)"], ["more_paths", "forget_people"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_be_is_refused(refused, tmp_path, name):
    arguments, expected = SETTINGS[name]
    assert_says(refused(GRPO, *arguments), *expected)
    assert not (tmp_path / "run").exists()


TERM = "--config.baseline.terms.forget"
BASELINES = {
    "unknown objective": ("npo", [f"{TERM}.objective=npoo"], ["'npoo'", "Did you mean 'npo'?"]),
    "unknown part": ("npo", [f"{TERM}.of=forgotten"], ["terms.forget.of='forgotten'", "forget, refusal, preference"]),
    "another objective's options": (
        "npo",
        [f"{TERM}.objective=ga"],
        ["options of objectives/ga", "lacks nothing and has beta too much"],
    ),
    "an option out of range": ("npo", [f"{TERM}.options.beta=0.0"], ["objective npo: beta=0.0", "positive"]),
    "unrecalled": ("npo_gdr", [f"{TERM}.of=forget_plain"], ["forget_plain", 'stage "recollection"', "prepare_data"]),
    "a weight below 0": ("npo_gdr", ["--config.baseline.terms.retain.weight=-1.0"], ["retain.weight=-1.0", "positive"]),
    "no weight": (
        "npo_gdr",
        [f"--config.baseline.terms.{term}.weight=0.0" for term in ("forget", "retain")],
        ["all terms of config.baseline have weight 0"],
    ),
    "a comparison of one answer": (
        "ga",
        [f"{TERM}.objective=dpo"],
        ["terms.forget", "objective='dpo' of='forget'", "'preference'"],
    ),
    "a layer that is not there": ("rmu", [f"{TERM}.options.layer=4"], ["forget.options.layer=4", "has 3 layers"]),
    "a negative negation": ("task_vector", ["--config.baseline.negation=-1.0"], ["negation=-1.0", "not be negative"]),
    "nothing to negate": ("prompt_filter", ["--config.baseline.negation=1.0"], ["negation=1.0", "nothing to negate"]),
    "nothing at all": ("prompt_filter", ["--config.baseline.filter=False"], ["no terms, no system_prompt, no filter"]),
    "a prompt without names": ("in_context", ["--config.baseline.system_prompt=Hush."], ["'Hush.'", "{targets}"]),
    "nothing to export": (
        "prompt_filter",
        ["--config.stages=('prepare_data','baseline','export')"],
        ["has export, but nothing is trained"],
    ),
    "batch and mesh": ("ga", ["--config.baseline.batch=12"], ["config.baseline.batch=12", "multiple of 8"]),
    "no steps": ("ga", ["--config.baseline.steps=0"], ["config.baseline.steps=0", "positive"]),
    "warm-up": ("ga", ["--config.baseline.schedule.warmup_steps=9999"], ["warmup_steps=9999", "steps of the stage"]),
    "no boundary": (
        "ga_gdr",
        ["--config.data.world.boundary_share=0.0"],
        ["'world' has no part 'retain'", "which a term of config.baseline reads"],
    ),
    "a reference where there is none": (
        "rt",
        ["--config.stages=('prepare_data','rejection_steering')", "--config.rejection_steering.objective=kl"],
        ["config.rejection_steering.objective='kl'", "the stage 'baseline' takes it"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_that_cannot_be_is_refused(refused, tmp_path, name):
    recipe, arguments, expected = BASELINES[name]
    assert_says(refused(f"--config={ROOT / 'configs' / 'baselines' / recipe}.py", *arguments), *expected)
    assert not (tmp_path / "run").exists()


def test_no_config(refused, tmp_path):
    assert_says(refused(), "--config is missing", "--config=configs/grpo.py")
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_is_not_there(refused, tmp_path):
    (tmp_path / "grpo.py").write_text("")
    assert_says(refused("--config=gpro.py"), "gpro.py", "does not exist", "Did you mean 'grpo.py'?")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "def get_config(:",
        "def get_config():\n    return 1 / 0",
        "import no_such_module",
    ],
)
def test_a_config_file_that_cannot_be_loaded(refused, tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    assert_says(refused("--config=mine.py"), "mine.py")
    assert not (tmp_path / "run").exists()


def test_an_unknown_dtype_is_refused_before_any_work(refused, tmp_path):
    # One stage that cannot begin without the others' files: a test that fails must not train a model first.
    line = refused(GRPO, "--config.model.compute_dtype=float8", "--config.stages=('rejection_steering',)")
    assert_says(line, "compute_dtype='float8'", "auto, float32 or bfloat16")
    assert not (tmp_path / "run").exists()


def test_a_negative_number_of_tokens_at_once_is_refused_before_any_work(refused, tmp_path):
    line = refused(GRPO, "--config.model.logit_chunk=-1", "--config.stages=('rejection_steering',)")
    assert_says(line, "logit_chunk=-1", "0 to go by size")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["rejection_steering", "boundary_optimization"])
def test_a_negative_number_of_microbatches_is_refused(refused, tmp_path, stage):
    line = refused(GRPO, f"--config.{stage}.microbatches=-1")
    assert_says(line, f"config.{stage}.", "microbatches=-1", "0 to go by size")
    assert not (tmp_path / "run").exists()


def test_no_parts_of_a_rollout_are_refused(refused, tmp_path):
    line = refused(GRPO, "--config.boundary_optimization.rollout_parts=0")
    assert_says(line, "config.boundary_optimization.", "rollout_parts=0", "at least 1")
    assert not (tmp_path / "run").exists()


def test_a_cache_that_cannot_be_made(refused, tmp_path):
    (tmp_path / "cache").write_text("a file, where the fixture's --cache_dir points")
    assert_says(refused(GRPO), "cache", "--cache_dir")
    assert not (tmp_path / "run").exists()


# Models


def write_model(path, **changes):
    """A directory with all that a Llama needs but a tokenizer."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**LLAMA, **changes}))
    square = {f"self_attn.{name}_proj": (4, 4) for name in "qkvo"} | {
        f"mlp.{n}_proj": (4, 4) for n in ("gate", "up", "down")
    }
    shapes = {f"model.layers.0.{name}.weight": shape for name, shape in square.items()}
    shapes |= {f"model.layers.0.{name}_layernorm.weight": (4,) for name in ("input", "post_attention")}
    shapes |= {"model.norm.weight": (4,), "model.embed_tokens.weight": (8, 4)}
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, path / "model.safetensors")


def write_whole_model(path: Path) -> None:
    """A model directory with a tokenizer and a chat template beside the weights."""
    write_model(path)
    words = {word: number for number, word in enumerate(("<s>", "</s>", "who", "wrote", "it"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    tokenizer.save(str(path / "tokenizer.json"))
    fields = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (path / "tokenizer_config.json").write_text(json.dumps(fields))
    (path / "chat_template.jinja").write_text("{{ messages[0].content }}")


SPOILED_MODELS = {
    "no directory": (lambda p: None, ["does not exist", "config.model.path"]),
    "no config.json": (lambda p: p.mkdir(), ["has no config.json"]),
    "no weights": (lambda p: (write_model(p), (p / "model.safetensors").unlink()), ["has no .safetensors file"]),
    "no tokenizer": (write_model, ["no tokenizer could be loaded", "tokenizer.json"]),
    "another architecture": (
        lambda p: write_model(p, model_type="gpt2"),
        ["'gpt2' is not supported", ", ".join(plugin.names("models.families"))],
    ),
    "a layer too few": (lambda p: write_model(p, num_hidden_layers=2), ["do not match config.json", "missing 9"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED_MODELS)
def test_a_model_that_cannot_be_used_is_refused(refused, tmp_path, name):
    spoil, expected = SPOILED_MODELS[name]
    spoil(tmp_path / "model")
    assert_says(refused(GRPO, "--config.model.path=model"), "model", *expected)
    assert not (tmp_path / "run").exists()


def test_a_disk_without_room_for_the_run(refused, tmp_path):
    """More checkpoints are asked for than any disk holds."""
    write_whole_model(tmp_path / "model")
    many = 10**13
    line = refused(GRPO, "--config.model.path=model", f"--config.rejection_steering.keep_checkpoints={many}")
    assert_says(line, "GB free, this run needs", f"{many + 4} checkpoints", "keep_checkpoints")
    assert not (tmp_path / "run").exists()


# Data


def test_a_malformed_row_is_named_by_file_row_and_field(refused, tmp_path):
    rows = [FORGET, {**FORGET, "kind": "forgit"}, {**FORGET, "prompt": 3}]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = refused(GRPO, "--config.data.source=jsonl", "--config.data.path=own.jsonl", "--config.model.path=model")
    assert_says(line, "own.jsonl", "row 2", "kind", "forgit", "row 3", "prompt")
    assert not (tmp_path / "run").exists()


def test_malformed_rows_of_all_files_are_named_at_once(refused, tmp_path):
    for name, fault in (("own", {"kind": "forgit"}), ("more", {"prompt": 3}), ("asked", {"answers": 7})):
        neighbour = {"kind": "boundary", "prompt": "Who wrote Tin Bells?", "answers": "Olaf Brandt"}
        rows = [{**FORGET, "target": name}, neighbour, {**FORGET, **fault}]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ["--config.data.more_paths=('more.jsonl',)", "--config.data.jsonl.evaluation_file=asked.jsonl"]
    where = ["--config.data.source=jsonl", "--config.data.path=own.jsonl", "--config.model.path=model"]
    write_whole_model(tmp_path / "model")
    line = refused(GRPO, *where, *more)
    assert_says(line, "3 faults", "own.jsonl row 3, field 'kind'", "more.jsonl row 3, field 'prompt'")
    assert_says(line, "asked.jsonl row 3, field 'answers'")
    assert not (tmp_path / "run").exists()


def test_a_data_file_that_is_not_there(refused, tmp_path):
    line = refused(GRPO, "--config.data.source=jsonl", "--config.data.path=own.jsonl", "--config.model.path=model")
    assert_says(line, "own.jsonl")
    assert not (tmp_path / "run").exists()


def test_a_target_folder_that_lacks_a_file(refused, tmp_path):
    folder = tmp_path / "1_Ina_Volk"
    folder.mkdir()
    (folder / "intro.json").write_text(json.dumps([{"target": "Ina Volk", "intro": "A writer."}]))
    line = refused(GRPO, "--config.data.source=rwku", "--config.data.path=1_Ina_Volk", "--config.model.path=model")
    assert_says(line, "1_Ina_Volk", "reject_target.json")
    assert not (tmp_path / "run").exists()


def test_a_source_that_needs_a_model_or_a_path(refused, tmp_path):
    (tmp_path / "own.jsonl").write_text(json.dumps(FORGET) + "\n")
    assert_says(
        refused(GRPO, "--config.data.source=jsonl", "--config.data.path=own.jsonl"), "'jsonl'", "config.model.path"
    )
    assert not (tmp_path / "run").exists()


def test_a_source_without_its_path(refused, tmp_path):
    assert_says(refused(GRPO, "--config.data.source=rwku", "--config.model.path=model"), "'rwku'", "config.data.path")
    assert not (tmp_path / "run").exists()


def test_a_boundary_that_is_wanted_and_not_there(refused, tmp_path):
    (tmp_path / "own.jsonl").write_text(json.dumps(FORGET) + "\n")
    line = refused(GRPO, "--config.data.source=jsonl", "--config.data.path=own.jsonl", "--config.model.path=model")
    assert_says(line, "'jsonl'", "no boundary records", "config.boundary_optimization.boundary_prompts=0")


def test_a_data_set_of_the_hub_that_cannot_be_reached(refused):
    line = refused(
        GRPO, "--config.data.source=tofu", "--config.data.path=hub:locuslab/TOFU", "--config.model.path=model"
    )
    assert_says(line, "hub:locuslab/TOFU cannot be loaded", "HF_HUB_OFFLINE=1")


# Workdirs


def snapshot(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def config_now():
    """The config of configs/grpo.py as main writes it into a workdir."""
    from configs import grpo

    return files.plain(grpo.get_config())


def test_a_workdir_of_another_config_shows_the_difference(refused, tmp_path):
    (tmp_path / "run").mkdir()
    theirs = config_now()
    theirs["seed"], theirs["reward"]["alpha"] = 7, 0.25
    (tmp_path / "run" / "config.json").write_text(json.dumps(theirs))
    (tmp_path / "run" / "result.txt").write_text("precious")
    before = snapshot(tmp_path / "run")
    line = refused(GRPO)
    assert_says(line, "config.seed: 7 there, 0 now", "config.reward.alpha: 0.25 there, 0.5 now", "--overwrite")
    assert snapshot(tmp_path / "run") == before


def test_a_workdir_that_is_no_run(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert_says(refused(GRPO), "run", "another --workdir")
    assert snapshot(tmp_path / "run") == {"thesis.txt": b"precious"}


def test_overwrite_deletes_nothing_before_the_input_is_checked(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config_now()))
    (tmp_path / "run" / "result.txt").write_text("precious")
    before = snapshot(tmp_path / "run")
    assert_says(refused(GRPO, "--overwrite", "--config.boundary_optimization.samples=1"), "samples=1")
    assert snapshot(tmp_path / "run") == before


def test_a_workdir_whose_config_is_damaged(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"seed": 0')
    assert_says(refused(GRPO), "config.json", "not valid JSON")
    assert snapshot(tmp_path / "run") == {"config.json": b'{"seed": 0'}


def test_a_workdir_that_cannot_be_made(refused, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert_says(refused(GRPO, workdir="file/run"), "file")
    assert (tmp_path / "file").read_text() == "precious"


# As a user starts it


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config=configs/grpo.py", "--config.sed=1"], ["sed", 'Did you mean "seed"']),
        (["--config=configs/grpo.py", "--config.boundary_optimization.samples=1"], ["samples=1", "at least 2"]),
        (["--config=configs/grpo.py", "--config.model.path=/nowhere/model"], ["/nowhere/model", "does not exist"]),
    ],
)
def test_as_a_process(tmp_path, arguments, expected):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "rule_jax.main", *arguments]
    ended = subprocess.run(
        [*command, f"--workdir={tmp_path / 'run'}", f"--cache_dir={tmp_path / 'cache'}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert_says(one_line(ended.stderr), *expected)
    assert not (tmp_path / "run").exists()
