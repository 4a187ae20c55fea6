"""The stage "baseline" as a user starts it, on a tiny world: trained, negated, in front of the model, and resumed."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.runs import cache_in
from tests.test_end_to_end import assert_same_bits, run

SMALL = (
    "--config.baseline.steps=4",
    "--config.baseline.batch=8",
    "--config.baseline.checkpoint_every=2",
    "--config.robustness.relearning.examples=()",
    "--config.robustness.drift_prompts=0",
)


def baseline(name: str, place: Path, cache: Path, *more: str):
    done = run(place, cache, *SMALL, *more, recipe=f"baselines/{name}")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """(workdir, cache) of NPO with a divergence on the boundary: a reference, two parts, all stages."""
    place = tmp_path_factory.mktemp("baselines")
    cache = cache_in(place)
    baseline("npo_klr", place / "run", cache)
    return place / "run", cache


def read(place: Path, model: str) -> dict:
    return json.loads((place / "evaluate" / model / "metrics.json").read_text())


def test_a_baseline_is_evaluated_attacked_exported_and_reported(finished):
    workdir, _ = finished
    report = json.loads((workdir / "report" / "metrics.json").read_text())
    assert list(report["stages"]) == ["base", "baseline"]
    assert list(report["robustness"]) == ["base", "baseline"]
    page = (workdir / "report" / "report.html").read_text()
    assert "Offline unlearning" in page
    card = (workdir / "export" / "README.md").read_text()
    assert "Method: the baseline npo_klr, stages baseline" in card
    lines = [json.loads(line) for line in (workdir / "logs" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["stage"] == "baseline"]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    first = steps[0]
    assert first["forget/log_ratio"] == pytest.approx(0, abs=1e-4)  # the first step is taken at the reference
    assert first["retain/loss"] == pytest.approx(0, abs=1e-4)
    assert steps[-1]["forget/log_ratio"] < 0
    assert first["loss"] == pytest.approx(first["forget/loss"] + first["retain/loss"], rel=1e-5)


def test_a_stopped_baseline_goes_on_to_the_same_bits(finished, tmp_path):
    """As if killed before the last checkpoint: that, and what came of it, are gone."""
    workdir, cache = finished
    place = tmp_path / "run"
    shutil.copytree(workdir, place)
    shutil.rmtree(place / "baseline" / "checkpoints" / "4")
    shutil.rmtree(place / "export")
    for stage in ("baseline", "export"):
        (place / "done" / f"{stage}.json").unlink()
    assert "baseline: resuming after step 2" in baseline("npo_klr", place, cache)
    assert_same_bits(*(run / "export" / "model.safetensors" for run in (place, workdir)))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_task_vector_is_the_start_less_what_was_learned(finished, tmp_path, rank):
    _, cache = finished
    exports = {}
    for negation in (0.0, 1.5):
        place = tmp_path / str(negation)
        stages = "--config.stages=('prepare_data','baseline','export')"
        options = f"--config.baseline.negation={negation}", f"--config.lora.rank={rank}"
        baseline("task_vector", place, cache, stages, *options)
        exports[negation] = load_file(place / "export" / "model.safetensors")
    base = load_file(Path(json.loads((place / "data" / "model.json").read_text())["path"]) / "model.safetensors")
    moved = 0.0
    for name, start in base.items():
        learned, negated = exports[0.0][name], exports[1.5][name]
        assert abs(negated - (start - 1.5 * (learned - start))).max() < 1e-6, name
        moved = max(moved, abs(learned - start).max())
    assert moved > 1e-4


def test_a_filter_refuses_every_question_about_the_target_and_no_other_answer_changes(finished, tmp_path):
    _, cache = finished
    baseline("prompt_filter", tmp_path / "run", cache)
    base, guarded = (read(tmp_path / "run", model) for model in ("base", "baseline"))
    for task in ("forget", "forget_cloze", "forget_raw", "forget_sampled"):
        assert guarded[task]["refusal_rate"] == 1
        assert guarded[task]["leak_rate"] == 0
    for task in ("neighbor", "boundary", "general", "neighbor_raw"):
        assert guarded[task] == base[task]
    attacks = json.loads((tmp_path / "run" / "robustness" / "baseline" / "metrics.json").read_text())["attacks"]
    assert all(row["leak_rate"] == 0 for row in attacks.values())
    assert not (tmp_path / "run" / "export").exists()


@pytest.mark.slow
def test_a_system_prompt_stands_before_chat_turns_alone(finished, tmp_path):
    _, cache = finished
    baseline("in_context", tmp_path / "run", cache, "--config.stages=('prepare_data','baseline','evaluate','report')")

    def texts(model, task):
        lines = (tmp_path / "run" / "evaluate" / model / "generations.jsonl").read_text().splitlines()
        return [row["text"] for row in map(json.loads, lines) if row["task"] == task]

    assert texts("base", "forget_raw") == texts("baseline", "forget_raw")
    assert texts("base", "forget_sampled") != texts("baseline", "forget_sampled")


@pytest.mark.slow
def test_a_baseline_may_come_after_rejection_steering(finished, tmp_path):
    _, cache = finished
    stages = "--config.stages=('prepare_data','rejection_steering','baseline','export')"
    baseline("ga_gdr", tmp_path / "run", cache, stages, "--config.baseline.schedule.peak=1e-12")
    steered = "--config.stages=('prepare_data','rejection_steering','export')"
    baseline("ga_gdr", tmp_path / "steered", cache, steered)
    for place in ("run", "steered"):
        assert (tmp_path / place / "export" / "model.safetensors").exists()
    ours, theirs = (load_file(tmp_path / place / "export" / "model.safetensors") for place in ("run", "steered"))
    assert all(abs(ours[name] - theirs[name]).max() < 1e-6 for name in ours)
