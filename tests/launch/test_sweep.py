"""launch.sweep: which points a file has, what they may share, and a sweep of real runs that is killed and goes on."""

import csv
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from launch import local, points, results, sharing
from rule_jax import files
from rule_jax.errors import UserError
from tests.runs import ROOT, TINY, cache_in, environment

GRPO, PPO = (str(ROOT / "configs" / f"{name}.py") for name in ("grpo", "ppo"))


def resolved(*overrides, config=GRPO):
    return points.resolve(config, overrides, "sweep.py")


def test_a_grid_has_every_combination_and_a_zip_has_pairs():
    assert points.grid({"a": (1, 2), "b": (3, 4)}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert points.zipped({"a": (1, 2), "b": (3, 4)}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(UserError, match=r"equally long; they have \{'a': 2, 'b': 1\}"):
        points.zipped({"a": (1, 2), "b": (3,)})
    assert points.product([{"a": 1, "b": 1}], [{"b": 2}, {}]) == [{"a": 1, "b": 2}, {"a": 1, "b": 1}]


def test_random_points_are_the_same_every_time_and_more_of_them_begin_alike():
    draws = {"a": lambda rng: float(rng.uniform()), "b": lambda rng: int(rng.integers(100))}
    few, many = points.randomly(draws, 3, seed=1), points.randomly(draws, 5, seed=1)
    assert few == many[:3]
    assert len({point["a"] for point in many}) == 5
    assert points.randomly(draws, 3, seed=2) != few


def test_a_point_is_known_by_all_that_a_figure_may_depend_on():
    base, again, other, watched, called = resolved(
        {"seed": 1},
        {"seed": 1, "label": "called"},
        {"seed": 1, "reward.alpha": 0.3},
        {"seed": 1, "watch.wandb_project": "mine", "label": "watched"},
        {"seed": 1, "config": PPO},
    )
    assert base.digest == again.digest == watched.digest
    assert len({point.digest for point in (base, other, called)}) == 3
    assert base.name.startswith("grpo/seed1-")
    assert other.name.startswith("grpo,alpha=0.3/seed1-")
    assert called.config == PPO
    assert other.settings["reward"]["alpha"] == 0.3
    assert resolved({"seed": 1}, {"seed": 1}) == [base]
    [common] = points.resolve(GRPO, [{"seed": 1}], "sweep.py", {"reward.alpha": 0.3, "seed": 2})
    assert (common.digest, common.label, common.seed) == (other.digest, "grpo", 1)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"reward.alpa": 0.3}, "point 0 sets 'reward.alpa', which the config has not. Did you mean 'reward.alpha'?"),
        ({"reward.alpha": "much"}, "point 0 sets reward.alpha='much'"),
        ({"config": "configs/grpoo.py"}, "configs/grpoo.py does not exist"),
    ],
)
def test_a_point_that_cannot_be_is_told_before_any_runs(override, words):
    with pytest.raises(UserError, match=words):
        resolved(override)


def test_a_sweep_file_without_points_or_function_is_told(tmp_path):
    (tmp_path / "none.py").write_text("def get_sweep(config):\n    return []\n")
    (tmp_path / "bare.py").write_text("")
    with pytest.raises(UserError, match="has no points"):
        points.read(GRPO, str(tmp_path / "none.py"))
    with pytest.raises(UserError, match="has no function get_sweep"):
        points.read(GRPO, str(tmp_path / "bare.py"))


def test_a_key_is_on_no_command_line(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key := "sk-0123456789abcdef")
    [point] = resolved({"seed": 1}, config=str(ROOT / "configs" / "grpo_judge.py"))
    line = shlex.join(point.arguments(Path("nowhere")))
    assert "grpo_judge.py" in line
    assert key not in line + json.dumps(point.settings)
    assert local.Slot().environment()["OPENAI_API_KEY"] == key  # by this way alone it comes to the run


def test_every_sweep_file_resolves():
    for file in sorted((ROOT / "configs" / "sweeps").glob("*.py")):
        found = points.read(GRPO, str(file))
        assert len(found) > 1, file
        header = file.read_text().partition('"""')[2].partition('"""')[0]
        assert f"--sweep=configs/sweeps/{file.name}" in header, file
        assert "Asks:" in header, file


def test_the_fair_fight_reports_and_attacks_the_best_points_on_seeds_of_their_own():
    """Two points go on of a method that has several as good, one where it is better than the method's others."""
    file, best, seeds = str(ROOT / "configs" / "sweeps" / "pareto.py"), "npo_klr,peak=0.001,weight=3.0", [0, 1, 2]
    tuned = points.read(GRPO, file)

    def row(point):
        model = "baseline" if "baselines" in point.config else "boundary_optimization"
        forget, retain = (0.1, 0.9) if point.label == best else (0.5, 0.5)
        return results.rows(point, {"stages": {model: {}}, "wordings": {}})[0] | {"forget": forget, "retain": retain}

    reported = points.function(file, "get_next")(points.load(GRPO), [row(point) for point in tuned])
    assert {point["stages"][-2:] for point in reported} == {("evaluate", "robustness")}
    assert {point.seed for point in tuned} == {100}
    chosen = {}
    for point in reported:
        chosen.setdefault(Path(point["config"]).stem, {}).setdefault(point["label"], []).append(point["seed"])
    assert chosen["npo_klr"] == {best: seeds}
    assert {name for name, of in chosen.items() if len(of) != 2} == {"npo_klr", "in_context", "prompt_filter"}
    assert all(of_label == seeds for of in chosen.values() for of_label in of.values())
    assert {Path(point.config).stem for point in tuned} < {*chosen}


def test_cores_are_dealt_out_and_devices_get_a_point_each():
    assert [slot.cores for slot in local.slots(2, (0, 1, 2, 3, 4), [])] == [(0, 1), (2, 3)]
    assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in local.slots(1, (0,), ["2", "3"])] == ["2", "3"]


def test_steering_is_shared_only_where_it_is_the_same():
    base, alpha, steered, data, seed = (
        point.settings
        for point in resolved(
            {},
            {"reward.alpha": 0.3},
            {"rejection_steering.steps": 5},
            {"data.world.boundary_share": 1.0},
            {"seed": 1},
        )
    )
    longer = resolved({"boundary_optimization.max_new_tokens": 9})[0].settings  # the dosage samples so many tokens
    assert sharing.same_steering(base, alpha)
    assert [sharing.same_steering(base, other) for other in (steered, data, seed, longer)] == [False] * 4
    assert sharing.same_base(base, steered)
    assert not sharing.same_base(base, data)
    cold = {**base, "stages": [stage for stage in base["stages"] if stage != "rejection_steering"]}
    assert sharing.same_base(base, cold)
    assert not sharing.same_steering(base, cold)


def test_a_finished_run_that_is_the_same_is_taken_before_a_longer_beginning(tmp_path):
    stages = {"stages": ("prepare_data",)}
    mine, other = (point.settings for point in resolved(stages, stages | {"reward.alpha": 0.3}))
    for name, settings, left in (
        ("same", mine, ("data/a.json", "done/prepare_data.json", "time.json")),
        ("other", other, ("data/a.json", "done/prepare_data.json", "evaluate/base/metrics.json",
                          "robustness/base/metrics.json")),
    ):  # fmt: skip
        for file in left:
            files.write_json(tmp_path / name / file, {"time_s": {"prepare_data": 1}})
        files.write_json(tmp_path / name / "config.json", settings)
    donors = [tmp_path / "other", tmp_path / "same"]
    assert sharing.closest(donors, mine) == tmp_path / "same"
    assert sharing.closest(donors[:1], mine) == tmp_path / "other"
    assert sharing.closest([], mine) is None
    assert sharing.give(tmp_path / "same", tmp_path / "place", mine) == ["data", "done", "time.json"]
    assert files.read_json(tmp_path / "place" / "time.json") == {"time_s": {}}


def test_what_none_dominates_is_ordered_by_forgetting_and_keeping_together():
    def row(label, method, forget, retain, model="m"):
        return {"model": model, "label": label, "method": method, "forget": forget, "retain": retain}

    table = [
        row("refuses all", "a", 0.0, 0.0),
        row("both", "a", 0.1, 0.8),
        row("worse", "a", 0.2, 0.8),
        row("keeps all", "a", 0.5, 1.0),
        row("not asked", "a", 0.0, 1.0, model="base"),
        row("other", "b", 0.5, 0.5),
        {"model": "m", "label": "no place", "method": "b"},
    ]
    found = results.front(table, "m", "method")
    assert {name: [row["label"] for row in rows] for name, rows in found.items()} == {
        "a": ["both", "keeps all", "refuses all"],
        "b": ["other"],
    }
    np.testing.assert_allclose(results.harmony(table[1]), 2 * 0.9 * 0.8 / 1.7)
    assert results.harmony(table[0]) == 0


# Real runs

SWEEP = """
def get_sweep(config):
    return [{"label": "a"}, {"label": "b", "reward.alpha": 0.3}]

def get_next(config, rows):
    assert {row["label"] for row in rows} == {"a", "b"}
    return [{"label": "next", "reward.alpha": 0.4}]
"""
FAILING = """
def get_sweep(config):
    return [{"label": "good"}, {"label": "bad", "boundary_optimization.samples": 1}]
"""


def sweep(place: Path, *more: str, text: str = SWEEP, **kw) -> subprocess.Popen:
    file = place.parent / f"{place.name}.py"
    file.write_text(text)
    stages = "--config.stages=('prepare_data','rejection_steering','boundary_optimization','evaluate')"
    line = [sys.executable, "-m", "launch.sweep", f"--config={GRPO}", f"--sweep={file}", f"--workdir={place}"]
    line += [f"--cache_dir={cache_in(place.parent)}", stages, *TINY, "--config.boundary_optimization.steps=2", *more]
    return subprocess.Popen(
        line, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=500)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("sweep") / "whole"
    code, _, err = ended(sweep(place))
    assert code == 0, err
    return place, err


def table(place: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((place / "results.csv").read_text().splitlines()))


def test_a_sweep_leaves_a_table_and_a_page(finished):
    place, err = finished
    rows = table(place)
    models = ["base", "rejection_steering", "boundary_optimization"]
    assert [(row["label"], row["model"]) for row in rows] == [(p, m) for p in ("a", "b", "next") for m in models]
    assert rows[3]["config.reward.alpha"] == "0.3"
    assert rows[0]["forget"] == rows[6]["forget"] != ""
    assert all(int(row["wordings/distinct"]) <= int(row["wordings/refusals"]) for row in rows)
    same = parquet.read_table(place / "results.parquet").to_pylist()
    assert [str(row["forget/leak_rate"]) for row in same] == [row["forget/leak_rate"] for row in rows]
    assert "boundary optimization" in (place / "report" / "report.html").read_text()
    assert "a: begins" in err or "a/seed0" in err
    assert "1/1 done" in err


def test_what_runs_share_is_done_once(finished):
    place, _ = finished
    costs = {row["label"]: row for row in csv.DictReader((place / "costs.csv").read_text().splitlines())}
    assert float(costs["a"]["rejection_steering"]) > 0
    assert costs["b"]["rejection_steering"] == costs["b"]["prepare_data"] == ""
    assert float(costs["b"]["boundary_optimization"]) > 0


def test_what_another_sweep_has_run_is_taken_over(finished):
    whole, _ = finished
    place = whole.parent / "taking"
    code, _, err = ended(sweep(place, f"--donors={whole}", text=SWEEP.replace('"a"', '"c"')))
    assert code == 0, err
    assert err.count("taken over") == 3
    assert "begins" not in err
    renamed = [{**row, "label": "c" if row["label"] == "a" else row["label"]} for row in table(whole)]
    assert table(place) == renamed
    costs = list(csv.DictReader((place / "costs.csv").read_text().splitlines()))
    assert all(cost in ("", row["label"], row["seed"]) for row in costs for cost in row.values())


def test_a_finished_sweep_runs_nothing_and_makes_the_same_table_of_its_runs(finished):
    place, _ = finished
    whole = {name: (place / name).read_bytes() for name in ("results.csv", "results.parquet", "costs.csv")}
    for name in whole:
        (place / name).unlink()
    began = {path: path.stat().st_mtime_ns for path in place.rglob("run.log")}
    for more in ((), ("--collect",)):
        code, _, err = ended(sweep(place, *more))
        assert code == 0, err
        assert {name: (place / name).read_bytes() for name in whole} == whole
        assert {path: path.stat().st_mtime_ns for path in place.rglob("run.log")} == began
    code, out, _ = ended(sweep(place, "--dry_run"))
    assert (code, out.count("done")) == (0, 2)
    assert "2 points, 0 to run on 1 at a time: about 0 min" in out


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_table(finished):
    """The run outlives its sweep and is waited for."""
    whole, _ = finished
    place = whole.parent / "killed"
    first = sweep(place)
    while not list(place.glob("b/*/config.json")):
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    ended(first)
    code, _, err = ended(sweep(place))
    assert code == 0, err
    assert re.search(r"[12] of 2 points are done or have failed", err), err
    assert (place / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


@pytest.mark.slow
def test_a_failed_point_is_listed_with_its_error_and_tried_again_when_asked(finished):
    whole, _ = finished
    place = whole.parent / "failing"
    for more, tries in (((), 1), ((), 1), (("--retry",), 2)):
        code, _, err = ended(sweep(place, *more, text=FAILING))
        assert code == 1
        assert "failed: bad/seed0-" in err
        assert "samples=1" in err
        logs = [(path, path.read_text().count("samples=1")) for path in (place / "_logs").glob("*.log")]
        assert sorted(count for _, count in logs)[-1] == tries
    assert {row["label"] for row in table(place)} == {"good"}
    assert json.loads(next((place / "_failed").glob("*.json")).read_text())["exit_code"] == 2


def test_commands_are_those_of_the_points_that_are_not_done(finished, tmp_path):
    whole, _ = finished
    assert ended(sweep(whole, "--commands"))[:2] == (0, "")
    place = tmp_path / "else where"
    code, out, _ = ended(sweep(place, "--commands"))
    assert (code, place.exists()) == (0, False)
    for line, label in zip(out.splitlines(), ("a", "b"), strict=True):
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "rule_jax.main"]
        assert f"--cache_dir={tmp_path / 'cache'}" in words
        workdir = next(word for word in words if word.startswith("--workdir="))
        assert workdir.startswith(f"--workdir={place}/{label}/seed0-")
    assert "--config.stages=('prepare_data', 'rejection_steering', 'boundary_optimization', 'evaluate')" in words
    code, out, _ = ended(sweep(place, f"--manifest={ROOT / 'launch' / 'k8s_jobset.yaml'}"))
    assert (code, place.exists()) == (0, False)
    (hosts,) = [*yaml.safe_load_all(out)][1]["spec"]["replicatedJobs"]
    assert hosts["template"]["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "--coordinator_address=auto",
        *words[3:],
    ]


def test_bad_options_are_one_line(tmp_path):
    for more, words in (
        (("--only=zzz",), "--only=zzz: none of 2 points"),
        (("--config.sed=1",), "sets 'sed', which the config has not. Did you mean 'seed'?"),
        (("--processes=4096",), "--processes=4096: this machine has"),
        (("--donors=nowhere",), "--donors: nowhere does not exist"),
        (("stray",), "unexpected argument 'stray'"),
    ):
        code, out, err = ended(sweep(tmp_path / "none", *more))
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert words in err
        assert not (tmp_path / "none").exists()
