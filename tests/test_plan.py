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
from configs.baselines import dpo, npo_klr, rs_retain
from rule_jax import plan, sharding
from rule_jax.errors import UserError
from rule_jax.planning import machines, shapes
from rule_jax.planning.hlo import Cost
from rule_jax.planning.needs import Need
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
BASELINE = {"baseline.batch": 8, "baseline.max_length": 16}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return str(folder)


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    monkeypatch.setattr(shapes, "TEXT", 32)
    monkeypatch.setattr(shapes, "ANSWER", 4)


def run_of(path, mesh=(1, 2, 2), recipe=grpo, **changes):
    config = recipe.get_config()
    config.update_from_flattened_dict({**SMALL, "model.path": path, **changes})
    devices = jax.devices()[: math.prod(mesh)]
    sizes = dict(zip(sharding.AXES, mesh))
    return Run(config, Path("."), Path("."), sharding.make_mesh(**sizes, devices=devices))


def held(path, mesh=(1, 1, 1), recipe=grpo, **changes):
    """{program: {kind: bytes on a device}} without compiling."""
    return {program.name: shapes.held(program) for program in shapes.programs_of(run_of(path, mesh, recipe, **changes))}


@pytest.mark.parametrize(
    ("recipe", "rows", "reference"),
    [(rs_retain, 2, False), (npo_klr, 2, True), (dpo, 2, True)],  # rows of one answer for each example
)
def test_a_baseline_is_planned_with_what_its_terms_read(path, recipe, rows, reference):
    made = {program.name: program for program in shapes.programs_of(run_of(path, recipe=recipe, **BASELINE))}
    assert list(made) == ["baseline", "answers", "scores"]
    kinds = shapes.held(made["baseline"])
    assert kinds["batch"] == rows * 8 // 2 * 16 * 4 * 4  # tokens, segments, positions and weights on two row shards
    assert kinds.get("reference", 0) == (kinds["trained"] if reference else 0)


def test_a_baseline_is_compiled(path):
    (need,) = plan.plan(run_of(path, recipe=npo_klr, **BASELINE), ["baseline"])
    assert need.kinds["temporaries"] > 0


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


def test_the_verdict_names_the_program_and_the_knobs():
    room = int(15.75 * 2**30)
    cost = Cost(2e12, 3e9, {"all-gather": (4.0, 5e9)}, 4e9)
    needs = [
        Need("rollout", "b", 20, 1.0, {"rollout copy": 10**9, "temporaries": 10**9}, room, cost, {"compute": 1.0}),
        Need("update", "b", 20, 61.0, {"trained": 10 * 10**9, "temporaries": 9 * 10**9}, room),
    ]
    assert [need.fits for need in needs] == [True, False]
    head, fits, fits_not = plan.memory_table(needs).splitlines()
    assert head.split() == ["program", "rollout", "copy", "temporaries", "trained", "sum", "of", "compiled", "in"]
    assert fits.split() == ["rollout", "1.00", "1.00", "2.00", "16.91", "fits", "1", "s"]
    assert fits_not.split()[:5] == ["update", "9.00", "10.00", "19.00", "16.91"]
    head, row = plan.work_table(needs).splitlines()
    assert head.split() == ["program", "TFLOP", "memory", "GB", "all-gather", "GB", "compute", "s", "bound", "runs"]
    assert row.split() == ["rollout", "2.000", "3.00", "5.000", "1.000", "compute", "20"]
    assert set(plan.KNOBS) >= {need.program for need in needs}


def command(*more):
    environment = {**os.environ, "XLA_FLAGS": ""}
    line = [sys.executable, "-m", "rule_jax.plan", "--config=configs/grpo.py", *more]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_prints_json_for_this_machine(path):
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    done = command(f"--config.model.path={path}", "--programs=update,copy", "--json", *small)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (copy, update), training = said["programs"], said["training"]
    assert (copy["program"], update["program"]) == ("copy", "update")
    assert update["total"] == sum(update["kinds"].values())
    assert update["fits"] is True
    assert update["cost"]["flops"] > copy["cost"]["flops"] == 0
    assert update["step_s"] == max(update["least"].values()) > 0
    assert training["seconds"] == pytest.approx(sum(each["runs"] * each["step_s"] for each in (copy, update)))


def test_the_command_prints_tables_and_what_the_whole_takes(path):
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    done = command(f"--config.model.path={path}", "--programs=rollout", *small)
    assert done.returncode == 0, done.stderr
    work = done.stdout.split("One run of each program")[1]
    assert all(word in work for word in ("rollout", "compute s", "memory s", "bound"))
    assert "training (rollout) takes 0.00 h at least" in done.stdout


def test_the_command_searches_a_mesh(path):
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    done = command(f"--config.model.path={path}", "--search=1", "--json", *small)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["fits"] is True
    assert found["mesh"] == {"data": 1, "fsdp": 1, "tensor": 1}
    assert [need["program"] for need in found["programs"]] == ["rollout", "update"]


def test_what_a_user_can_mend_is_one_line(path):
    done = command(f"--config.model.path={path}", "--config.boundary_optimization.microbatches=3")
    assert done.returncode == 2
    assert "multiple of 3" in done.stderr.splitlines()[-1]


def test_what_cannot_be_planned_is_told(path):
    with pytest.raises(UserError, match="Did you mean 'update'"):
        next(plan.plan(run_of(path), ["updat"]))
    with pytest.raises(UserError, match=r"config\.model\.path is empty"):
        next(plan.plan(run_of("")))
    for unknown in ("v9:2x2", "tpu", "V5e:4x4"):
        with pytest.raises(UserError, match="is not known; known: v4:2x2x1 to 16x16x16, v5e:2x2 to 16x16"):
            machines.devices(unknown)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is there")
def test_a_slice_needs_its_compiler():
    with pytest.raises(UserError, match=r"pip install 'rule_jax\[tpu\]'"):
        machines.devices("v5e:4x4")


@pytest.mark.slow
def test_a_slice_that_is_not_here_is_planned_for(path):
    pytest.importorskip("libtpu")
    wide = {"--config.mesh.fsdp=2", "--config.mesh.tensor=2", f"--config.model.path={path}", "--json"}
    small = [f"--config.{key}={value}" for key, value in SMALL.items()]
    for _ in range(2):  # the second time what was compiled may lie in JAX's cache, from which a plan cannot read
        done = command("--topology=v5e:2x2", *wide, *small, "--programs=rollout,update")
        assert done.returncode == 0, done.stderr
        assert "cache" not in done.stderr
    for need in json.loads(done.stdout)["programs"]:
        assert need["room"] == int(15.75 * 2**30)
        assert 0 < need["total"] < 1e9
        assert need["bound"] in ("compute", "memory", "interconnect")
        assert need["cost"]["collectives"].keys() & {"all-gather", "all-reduce"}
    refused = command("--topology=v5e:3", *wide, *small)
    assert refused.returncode == 2
    assert "--topology=v5e:3 is not known" in refused.stderr.splitlines()[-1]
    assert "v6e:2x2 to 16x16" in refused.stderr.splitlines()[-1]


@pytest.mark.slow
def test_splash_keeps_no_scores_on_a_slice(path):
    """Compiled for four chips, each with its rows and heads: prompts of 1024 tokens in an update."""
    pytest.importorskip("libtpu")
    settings = {**SMALL, "model.path": path, "mesh.fsdp": 2, "mesh.tensor": 2}
    settings |= {"boundary_optimization.max_prompt_tokens": 1024, "boundary_optimization.max_new_tokens": 128}
    needed = {}
    for kernel in ("einsum", "splash"):
        flags = [f"--config.{key}={value}" for key, value in {**settings, "model.attention": kernel}.items()]
        done = command("--topology=v5e:2x2", "--programs=update", "--json", *flags)
        assert done.returncode == 0, done.stderr
        (needed[kernel],) = json.loads(done.stdout)["programs"]
    assert needed["splash"]["kinds"]["temporaries"] < 0.8 * needed["einsum"]["kinds"]["temporaries"]
