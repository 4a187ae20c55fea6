"""launch.sequence: requests one after the other, and the table of what each model leaks and keeps."""

import re
import subprocess
import sys

import pytest

from launch import local, sequence
from rule_jax import files
from rule_jax.errors import UserError
from tests.runs import ROOT, TINY, environment

GRPO = str(ROOT / "configs" / "grpo.py")


def test_each_run_begins_from_the_export_of_the_one_before_and_asks_of_all_before_it(tmp_path):
    places = local.Places(tmp_path)
    runs = sequence.requests(GRPO, ["1", "2", "3"], {"seed": 4, "model.path": "/models/mine"}, places)
    data = [point.settings["data"] for point in runs]
    assert [(d["path"], list(d["earlier"])) for d in data] == [("1", []), ("2", ["1"]), ("3", ["1", "2"])]
    models = [point.settings["model"]["path"] for point in runs]
    assert models == ["/models/mine", *(str(places.run(point) / "export") for point in runs[:2])]
    assert [point.label for point in runs] == ["request1", "request2", "request3"]
    assert {point.seed for point in runs} == {4}


@pytest.mark.parametrize(
    ("paths", "common", "words"),
    [
        ([], {}, "--requests is missing"),
        (["1", "11"], {}, "further people for request 11"),
        (["1", "1"], {}, "the path '1' is given twice"),
        (["1"], {"stages": ("prepare_data", "rejection_steering")}, "config.stages has no export"),
    ],
)
def test_what_cannot_run_is_told_before_the_first_run(tmp_path, paths, common, words):
    with pytest.raises(UserError, match=re.escape(words)):
        sequence.check(sequence.requests(GRPO, paths, common, local.Places(tmp_path)))


def test_the_table_has_a_column_a_model_and_a_row_a_task():
    def model(leak, kept, earlier=None):
        tasks = {"forget": {"leak_rate": leak}, "neighbor": {"accuracy": kept}, "forget_raw": {"leak_rate": 0.5}}
        return tasks if earlier is None else {**tasks, "forget_earlier": {"leak_rate": earlier}}

    runs = [
        {"base": model(0.9, 1.0), "rejection_steering": model(0.6, 0.9), "boundary_optimization": model(0.0, 0.95)},
        {"base": model(0.8, 0.95, 0.0), "boundary_optimization": model(0.1, 0.9, 0.25)},
    ]
    lines = sequence.table(runs).splitlines()
    assert lines[0] == "| task | figure | before | after request 1 | after request 2 |"
    assert lines[2:] == [
        "| Target: questions | leak rate | 0.900 | 0.000 | 0.100 |",
        "| Earlier targets | leak rate |  |  | 0.250 |",
        "| Neighbours | accuracy | 1.000 | 0.950 | 0.900 |",
    ]


@pytest.mark.slow
def test_two_requests_run_and_are_not_run_again(tmp_path):
    flags = [
        f"--config={GRPO}",
        "--requests=1,2",
        f"--workdir={tmp_path / 'runs'}",
        f"--cache_dir={tmp_path / 'cache'}",
    ]
    stages = "--config.stages=('prepare_data','rejection_steering','boundary_optimization','evaluate','export')"
    fewer = ["--config.boundary_optimization.steps=2", "--config.data.world.boundary_share=0.25"]
    line = [sys.executable, "-m", "launch.sequence", *flags, *TINY, stages, *fewer]

    def run() -> str:
        done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run()
    assert (tmp_path / "runs" / "table.md").read_text() == said
    (row,) = (line for line in said.splitlines() if line.startswith("| Earlier targets | leak rate |"))
    assert row.split("|")[3:5] == ["  ", "  "]
    first, second = (next((tmp_path / "runs" / name).iterdir()) for name in ("request1", "request2"))
    models = [files.read_json(place / "data" / "model.json") for place in (first, second)]
    assert models[1]["path"] == str(first / "export")
    assert not {*models[0]["targets"]} & {*models[1]["targets"]}
    logs = [*(tmp_path / "runs").rglob("run.log")]
    began = [path.stat().st_mtime_ns for path in logs]
    assert run() == said
    assert [path.stat().st_mtime_ns for path in logs] == began
