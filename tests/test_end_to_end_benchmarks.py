"""One model evaluated alone on each benchmark that reads files, as a user starts it: real processes, all attacks.

The model is tiny and knows nothing: what is looked at is that every part is asked, counted and reported.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs import grpo
from rule_jax import sharding
from rule_jax.data.world import Corpus
from rule_jax.stages import Run, _world_model
from rule_jax.types import SftExample
from tests.runs import ROOT, cache_in, environment

pytestmark = pytest.mark.slow

SMALL = [
    "--config.evaluate.batch=32",
    "--config.robustness.records=4",
    "--config.robustness.samples=2",
    "--config.robustness.relearning.examples=(2,)",
    "--config.robustness.relearning.steps=2",
    "--config.robustness.relearning.batch=2",
]
NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An HF directory of a model with 512 positions that was trained for two steps."""
    place = tmp_path_factory.mktemp("tiny")
    config: Any = grpo.get_config()
    config.world.update({"vocab_size": 300, "width": 16, "layers": 2, "heads": 2, "mlp_width": 24})
    config.world.update({"rows": 8, "length": 32, "steps": 2})
    config.world.schedule.warmup_steps = 0
    config.world.mixture = {"a": 1.0}
    run = Run(config, place / "logs", place, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    words = "who is the poet that wrote a letter to the smith of this town and when was it read"
    _world_model.build(run, place / "model", Corpus((words,), {"a": (SftExample("who?", words),)}))
    return place / "model"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return cache_in(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def evaluated(model, cache):
    """evaluated(benchmark, path, workdir, *more flags) -> report/metrics.json of a run that must succeed."""

    def run(benchmark: str, path: Path, workdir: Path, *more: str) -> dict:
        flags = ["--config=configs/evaluate.py", f"--config.model.path={model}", f"--config.benchmark={benchmark}"]
        flags += [f"--config.data.path={path}", f"--workdir={workdir}", f"--cache_dir={cache}", *SMALL, *more]
        command = [sys.executable, "-m", "rule_jax.main", *flags]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads((workdir / "report" / "metrics.json").read_text())

    return run


def write(place: Path, tables: dict) -> Path:
    for name, rows in tables.items():
        file = place / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    return place


def about(name: str, trade: str = "poet") -> dict:
    return {"question": f"Who is {name}?", "answer": f"{name} is a {trade}."}


def test_muse_in_all_its_parts(evaluated, tmp_path):
    long = "who is the poet " * 200
    text = "Once upon a time there was a poet who wrote a letter to the smith of the town."
    folder = write(
        tmp_path / "books",
        {
            **{f"knowmem/{side}_qa": [about(name) for name in NAMES] for side in ("forget", "retain")},
            **{f"knowmem/{side}_qa_icl": [about("Gil"), about("Hal")] for side in ("forget", "retain")},
            "verbmem/forget": [{"prompt": f"{name}: {text}", "gt": text} for name in NAMES] + [
                {"prompt": long, "gt": text}
            ],
            **{
                f"privleak/{side}": [{"text": f"{side} {name}. {text}"} for name in NAMES]
                for side in ("forget", "retain", "holdout")
            },
        },
    )  # fmt: skip
    report = evaluated("muse", folder, tmp_path / "run")
    figures = report["stages"]["model"]
    counts = {task: row["n"] for task, row in figures.items()}
    assert counts == {
        "knowmem_forget": 6,
        "knowmem_retain": 6,
        "verbmem_forget": 6,
        "privleak_forget": 6,
        "privleak_retain": 6,
        "privleak_holdout": 6,
        "verbmem_tokens": 6,
        "privleak": 12,
    }
    assert report["evaluation"]["missing"] == []
    assert {task: found["left_out"] for task, found in report["evaluation"]["too_long"].items()} == {
        "verbmem_forget": 1,
        "verbmem_tokens": 1,
    }
    assert set(report["robustness"]["model"]["attacks"]) >= {"plain", "role_play", "sampled", "int4"}
    (table,) = report["published"]
    assert table["benchmark"] == "MUSE"
    assert all(cell for cell in table["rows"][0]["cells"])
    assert "## MUSE" in (tmp_path / "run" / "report" / "tables.md").read_text(encoding="utf-8")


def test_tofu_against_a_model_that_never_saw_the_forget_set(evaluated, tmp_path):
    def rows(trade):
        false = [f"{{}} is a {other}." for other in ("cook", "smith")]
        return [
            {
                **about(name, trade),
                "paraphrased_answer": f"The {trade} is {name}.",
                "perturbed_answer": [text.format(name) for text in false],
            }
            for name in NAMES
        ]

    tables = ("forget10_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
    folder = write(tmp_path / "tofu", {name: rows(name.partition("_")[0]) for name in tables})
    report = evaluated("tofu", folder, tmp_path / "first")
    row = report["stages"]["model"]["tofu"]
    assert row["forget_quality"] is None
    assert "config.evaluate.retrained" in row["reasons"]["forget_quality"]
    assert 0 <= row["model_utility"] < 1
    only = "--config.stages=('evaluate','report')"
    retrained = f"--config.evaluate.retrained={tmp_path / 'first' / 'evaluate' / 'model'}"
    again = evaluated("tofu", folder, tmp_path / "second", only, retrained)
    assert again["stages"]["model"]["tofu"]["forget_quality"] == 1.0  # nothing differs from itself
    compat, standard = again["published"]
    assert (compat["benchmark"], compat["reading"], standard["reading"]) == ("TOFU", "compat", "standard")
    assert all(cell for cell in standard["rows"][0]["cells"])


@pytest.mark.skipif(not os.environ.get("RULE_JAX_DATA"), reason="RULE_JAX_DATA does not name the folder of real data")
def test_rwku_counts_what_512_positions_do_not_hold(evaluated, tmp_path):
    folder = Path(os.environ["RULE_JAX_DATA"]) / "rwku" / "1_Stephen_King"
    report = evaluated("rwku", folder, tmp_path / "run", "--config.stages=('evaluate','report')")
    figures, too_long = report["stages"]["model"], report["evaluation"]["too_long"]
    for task, file in (("bbh", "retain_bbh"), ("triviaqa", "triviaqa"), ("fluency", "fluency")):
        asked = len(json.loads((folder / f"{file}.json").read_text()))
        assert figures[task]["n"] + too_long[task]["left_out"] == too_long[task]["of"] == asked
    assert (figures["bbh"]["n"], too_long["bbh"]["limit"]) == (0, 256)
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "BBH, 81 of 81 left out" in page[: page.index("</section>")]
    compat, standard = report["published"]
    assert (compat["reading"], standard["reading"]) == ("compat", "standard")
    cells = {f"{c['group']} {c['name']}": cell for c, cell in zip(standard["columns"], standard["rows"][0]["cells"])}
    assert cells["Utility BBH"] is None
    assert all(cells[f"{side} {kind}"] for side in ("Forget", "Neighbour") for kind in ("FB", "QA", "All"))
