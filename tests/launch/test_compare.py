"""launch.compare: what is shared between configs and what the table says. In a process of its own, for its flags."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
from launch import compare

place = Path(sys.argv[1])
configs = {name: compare.config_of(f"configs/{name}.py", 3) for name in ("grpo", "ppo", "grpo_replay")}
shared = ["data", "evaluate/base", "evaluate/rejection_steering", "rejection_steering"]
for name in (*shared, "evaluate/boundary_optimization", "boundary_optimization"):
    compare.files.write_json(place / "first" / name / "metrics.json", {})
compare.files.write_json(place / "first" / "config.json", configs["grpo"])
for stage in ("prepare_data", "rejection_steering", "boundary_optimization"):
    compare.files.write_json(place / "first" / "done" / f"{stage}.json", {"seconds": 1})
given = compare.sharing.give(place / "first", place / "second", configs["ppo"])

def run(refused, seconds):
    figures = {"refusal_rate": refused, "leak_rate": 0.5, "accuracy": 0.5}
    figures |= {"over_refusal_rate": 0, "names_target_rate": 1}
    tasks = "forget boundary neighbor general forget_cloze forget_sampled forget_raw unknown".split()
    names = compare.BASE, compare.STEERED, compare.FINAL
    stages = {stage: dict.fromkeys(tasks, figures) for stage in names}
    times = {"prepare_data": 100, "boundary_optimization": seconds}
    return {"seed": seconds, "stages": stages, "time_s": times, "peak_rss_bytes": 1.5e9}

print(json.dumps({
    "configs": configs,
    "given": sorted(given),
    "same": compare.differing(configs["grpo"], configs["ppo"]),
    "other": compare.differing(configs["grpo"], {**configs["grpo"], "seed": 4, "reward": {}}),
    "table": compare.table({"a": [run(1.0, 10), run(0.8, 20)], "b": [run(0.5, 5)]}),
    "one": compare.table({"a": [run(1.0, 10), run(0.8, 20)]}),
}))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    done = subprocess.run([sys.executable, "-c", SCRIPT, place], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place, json.loads(done.stdout)


def test_a_config_is_what_a_run_would_write(said):
    config = importlib.import_module("configs.ppo").get_config()
    config.seed = 3
    assert said[1]["configs"]["ppo"] == json.loads(json.dumps(config.to_dict(), default=list))


def test_recipes_of_the_algorithms_differ_in_stage_two_alone(said):
    assert said[1]["same"] == []
    assert said[1]["other"] == ["reward", "seed"]


def test_what_came_before_stage_two_is_shared_and_nothing_else(said):
    second = said[0] / "second"
    found = sorted(str(p.relative_to(second)) for p in second.rglob("*") if p.is_file())
    shared = ["data", "evaluate/base", "evaluate/rejection_steering", "rejection_steering"]
    done = ["done/prepare_data.json", "done/rejection_steering.json"]
    assert said[1]["given"] == sorted([*done, *shared])
    assert found == sorted(["config.json", *done, *(f"{name}/metrics.json" for name in shared)])
    assert json.loads((second / "config.json").read_text()) == said[1]["configs"]["ppo"]


def test_the_table_gives_mean_and_worst(said):
    lines = said[1]["table"].splitlines()
    assert lines[0] == "| figure | a | b |"
    assert "| forget refusal | 0.900 (0.800) | 0.500 (0.500) |" in lines
    assert "| seconds of stage 2 | 15 (20) | 5 (5) |" in lines


def test_the_table_of_one_config_has_every_seed(said):
    lines = said[1]["one"].splitlines()
    assert lines[0] == "| figure | mean | worst | seed 10 | seed 20 |"
    assert "| forget refusal | 0.900 | 0.800 | 1.000 | 0.800 |" in lines
    assert "| seconds, all stages | 115 | 120 | 110 | 120 |" in lines
    assert lines[-1] == "| peak memory, GB | 1.5 | 1.5 | 1.5 | 1.5 |"
