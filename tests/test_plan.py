"""rule_jax.plan: what is counted, that everything of a run is compiled, and what a user can get wrong."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from configs import grpo, ppo
from rule_jax import plan, sharding
from rule_jax.errors import UserError
from rule_jax.stages import Run

ROOT = Path(__file__).parent.parent
CONFIG = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "max_position_embeddings": 512,
}
PARAMETERS = 2 * 64 * 16 + 3 * 16 + 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32
SMALL = {
    "rejection_steering.batch": 8,
    "rejection_steering.max_length": 16,
    "boundary_optimization.max_prompt_tokens": 16,
    "boundary_optimization.max_new_tokens": 4,
    "boundary_optimization.samples": 2,
    "boundary_optimization.forget_prompts": 4,
    "boundary_optimization.boundary_prompts": 4,
    "evaluate.batch": 8,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return str(folder)


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    monkeypatch.setattr(plan, "TEXT", 32)
    monkeypatch.setattr(plan, "ANSWER", 4)


def run_of(path, mesh=(1, 2, 2), recipe=grpo, **changes):
    config = recipe.get_config()
    config.update_from_flattened_dict({**SMALL, "model.path": path, **changes})
    devices = jax.devices()[: math.prod(mesh)]
    sizes = dict(zip(sharding.AXES, mesh))
    return Run(config, Path("."), Path("."), sharding.make_mesh(**sizes, devices=devices))


def held(path, mesh=(1, 1, 1), recipe=grpo, **changes):
    """{program: {kind: bytes on a device}} without compiling."""
    return {program.name: plan.held(program) for program in plan.programs_of(run_of(path, mesh, recipe, **changes))}


def test_every_program_of_a_run_is_compiled_and_counted(path):
    needs = {need.program: need for need in plan.plan(run_of(path))}
    assert list(needs) == ["rejection", "copy", "rollout", "update", "answers", "scores"]
    for need in needs.values():
        assert need.kinds["temporaries"] > 0
        assert need.fits
        assert need.room is None
    assert needs["copy"].kinds["temporaries"] >= needs["rollout"].kinds["rollout copy"]  # its result


def test_what_lies_on_a_device_is_what_the_mesh_leaves_to_it(path):
    whole, spread = held(path), held(path, (1, 2, 2))
    assert whole["update"]["trained"] == whole["update"]["reference"] == 4 * PARAMETERS
    assert whole["update"]["optimizer"] == 8 * PARAMETERS + 4
    norms = 3 * 16  # on every device
    assert spread["update"]["trained"] == 4 * ((PARAMETERS - norms) // 4 + norms)
    assert spread["rollout"]["rollout copy"] == 4 * ((PARAMETERS - norms) // 2 + norms)  # over tensor alone
    assert spread["rollout"]["trained"] == spread["update"]["trained"]


def test_options_that_save_memory_save_it(path):
    assert held(path, **{"model.moments_dtype": "bfloat16"})["update"]["optimizer"] == 4 * PARAMETERS + 4
    away = held(path, **{"model.reference_memory": "host"})
    assert list(away) == ["rejection", "copy", "rollout", "targets", "update", "answers", "scores"]
    assert [name for name, kinds in away.items() if "reference" in kinds] == ["targets"]
    assert away["targets"]["reference"] == 4 * PARAMETERS
    adapter = held(path, **{"lora.rank": 2})["update"]
    assert adapter["base"] == 4 * PARAMETERS
    assert adapter["trained"] < PARAMETERS


def test_a_critic_and_replayed_groups_are_planned_with_the_policy(path):
    ways = held(path, recipe=ppo)
    assert list(ways) == ["rejection", "copy", "rollout", "targets", "update", "critic", "answers", "scores"]
    for name in ("copy", "rollout", "targets", "update", "critic"):
        assert ways[name]["critic"] == 3 * 4 * (PARAMETERS - 64 * 16 + 16) + 4, name
    more = held(path, **{"boundary_optimization.replay.groups": 8})
    assert more["update"]["batch"] == 2 * held(path)["update"]["batch"] + 16  # and which rows are replayed


def test_what_the_compiler_of_a_tpu_refuses_is_read_from_its_words():
    said = "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (16.50G) exc"
    assert plan._refused(said) == int(16.5 * 2**30)
    with pytest.raises(UserError, match="the compiler failed: INTERNAL: no"):
        plan._refused("INTERNAL: no\nmore")


def test_the_verdict_names_the_program_and_the_knobs():
    room = int(15.75 * 2**30)
    needs = [
        plan.Need("rollout", 1.0, {"rollout copy": 10**9, "temporaries": 10**9}, room),
        plan.Need("update", 61.0, {"trained": 10 * 10**9, "temporaries": 9 * 10**9}, room),
    ]
    assert [need.fits for need in needs] == [True, False]
    head, fits, fits_not = plan.table(needs).splitlines()
    assert head.split() == ["program", "rollout", "copy", "temporaries", "trained", "sum", "of", "compiled", "in"]
    assert fits.split() == ["rollout", "1.00", "1.00", "2.00", "16.91", "fits", "1", "s"]
    assert fits_not.split()[:5] == ["update", "9.00", "10.00", "19.00", "16.91"]
    assert set(plan.KNOBS) >= {need.program for need in needs}


def command(*more):
    environment = {**os.environ, "XLA_FLAGS": ""}
    line = [sys.executable, "-m", "rule_jax.plan", "--config=configs/grpo.py", *more]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_prints_json_for_this_machine(path):
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    done = command(f"--config.model.path={path}", "--programs=update,copy", "--json", *small)
    assert done.returncode == 0, done.stderr
    (copy, update) = json.loads(done.stdout)
    assert (copy["program"], update["program"]) == ("copy", "update")
    assert update["total"] == sum(update["kinds"].values())
    assert update["fits"] is True


def test_what_a_user_can_mend_is_one_line(path):
    done = command(f"--config.model.path={path}", "--config.boundary_optimization.microbatches=3")
    assert done.returncode == 2
    assert "multiple of 3" in done.stderr.splitlines()[-1]


def test_what_cannot_be_planned_is_told(path):
    with pytest.raises(UserError, match="Did you mean 'update'"):
        next(plan.plan(run_of(path), ["updat"]))
    with pytest.raises(UserError, match=r"config\.model\.path is empty"):
        next(plan.plan(run_of("")))


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is there")
def test_a_slice_needs_its_compiler():
    with pytest.raises(UserError, match=r"pip install 'rule_jax\[tpu\]'"):
        plan.devices("v5e:4x4")


@pytest.mark.slow
def test_a_slice_that_is_not_here_is_planned_for(path):
    pytest.importorskip("libtpu")
    wide = {"--config.mesh.fsdp=2", "--config.mesh.tensor=2", f"--config.model.path={path}", "--json"}
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    done = command("--topology=v5e:2x2", *wide, *small, "--programs=rollout,update")
    assert done.returncode == 0, done.stderr
    for need in json.loads(done.stdout):
        assert need["room"] == int(15.75 * 2**30)
        assert 0 < need["total"] < 1e9
    refused = command("--topology=v5e:3", *wide, *small)
    assert refused.returncode == 2
    assert "--topology=v5e:3 is not known" in refused.stderr.splitlines()[-1]
