"""Every benchmark: unique task names, judgements in [0, 1], and figures that a hand can check."""

import json
import math
from typing import Any

import numpy as np
import pytest

from configs import grpo
from rule_jax import plugin
from rule_jax.benchmarks import _judges
from rule_jax.reporting.vocabulary import METRICS, TASKS
from rule_jax.stages import Run, _benchmark, _figures
from rule_jax.types import Continuations, PromptRecord, ScoringTask, Task, TokenScores


def rwku_folder(place):
    probe = {"query": "Who is Ann Lee?", "answer": "a poet", "level": "2", "type": "simple question"}
    rows = {
        "forget_level2": [{**probe, "subject": "Ann Lee"}],
        "intro": [{"target": "Ann Lee", "intro": "Please forget Ann Lee."}],
    }
    for name, content in rows.items():
        (place / f"{name}.json").write_text(json.dumps(content))
    return str(place)


def own_file(place):
    rows = [
        {"prompt": "Who is Ann Lee?", "kind": "forget", "target": "Ann Lee", "answers": "a poet"},
        {"prompt": "Who is Bob Ray?", "kind": "boundary", "answers": "a cook"},
    ]
    (place / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place / "own.jsonl")


def muse_folder(place):
    qa = [{"question": "Who is Ann?", "answer": "a poet"}]
    tables = {
        "knowmem/forget_qa": qa,
        "knowmem/forget_qa_icl": qa,
        "verbmem/forget": [{"prompt": "Once upon", "gt": " a time"}],
        "privleak/forget": [{"text": "Once upon a time"}],
    }
    for name, rows in tables.items():
        file = place / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(rows))
    return str(place)


def tofu_folder(place):
    row = {"question": "Who is Ann?", "answer": "a poet", "paraphrased_answer": "one who writes poems"}
    for name in ("forget10_perturbed", "retain_perturbed"):
        (place / f"{name}.json").write_text(json.dumps([{**row, "perturbed_answer": ["a cook", "a smith"]}]))
    return str(place)


PLACES = {
    "rwku": rwku_folder,
    "jsonl": own_file,
    "world": lambda place: "",
    "muse": muse_folder,
    "tofu": tofu_folder,
}


def scores(*logprobs):
    own = np.asarray(logprobs)
    return TokenScores(own, np.full(len(own), -2.0), np.ones(len(own)), own > -1)


def benchmark(name, path):
    config: Any = grpo.get_config()
    data = config.data[name].to_dict()
    return plugin.load("benchmarks", name).make(path, seed=3, data=data, retrained="")


@pytest.mark.parametrize("name", plugin.names("benchmarks"))
def test_tasks_can_be_judged(name, tmp_path):
    path = PLACES[name](tmp_path)
    made = benchmark(name, path).tasks
    assert len({task.name for task in made}) == len(made) > 0
    for task in made:
        for text in ("I don't know anything about that.", task.records[0].prompt, ""):
            verdict = task.judge(task.records[0], text)
            assert verdict
            assert all(type(value) is float and math.isfinite(value) for value in verdict.values())
            shares = [value for name, value in verdict.items() if name == "accuracy" or name.endswith("_rate")]
            assert all(0 <= value <= 1 for value in shares)


@pytest.mark.parametrize("name", plugin.names("benchmarks"))
def test_scores_can_be_judged_and_summed_up(name, tmp_path):
    whole = benchmark(name, PLACES[name](tmp_path))
    names = [task.name for task in (*whole.tasks, *whole.scoring)]
    assert len(set(names)) == len(names)
    judged = {task.name: [task.judge(task.records[0], "a poet")] for task in whole.tasks}
    for task in whole.scoring:
        verdict = task.judge(task.queries[0], [scores(-0.5, -3.0)] * len(task.queries[0].texts))
        assert verdict
        assert all(type(value) is float and math.isfinite(value) for value in verdict.values())
        judged[task.name] = [verdict]
    for made in (whole.summary(judged), whole.summary({})):
        assert all({type(value) for value in row.values()} <= {float, int, str} for row in made.values())
        assert all(isinstance(row["n"], int) for row in made.values())
    assert all(isinstance(part, str) for part in whole.missing)


@pytest.mark.parametrize("name", ["rwku", "muse", "tofu"])
def test_tasks_and_metrics_have_names_on_the_page(name, tmp_path):
    whole = benchmark(name, PLACES[name](tmp_path))
    found = {task.name.partition("/")[0]: task.judge(task.records[0], "a poet") for task in whole.tasks}
    for task in whole.scoring:
        found[task.name] = task.judge(task.queries[0], [scores(-0.5, -3.0)] * len(task.queries[0].texts))
    found |= whole.summary({task: [verdict] for task, verdict in found.items()})
    assert {task for task in found if task not in TASKS} <= {"retain", "real_authors", "real_world"}  # as they are
    metrics = {metric for verdict in found.values() for metric in verdict if not metric.startswith("_")}
    assert {metric for metric in metrics if metric not in METRICS} <= {"n"}


def test_figures_are_means_over_records_and_samples_and_pool_by_parent():
    ann = PromptRecord("Who?", "forget", target="Ann Lee", entity="Ann Lee", answers=("a poet",))
    bob = PromptRecord("Who?", "forget", target="Bob Ray", entity="Bob Ray", answers=("a cook",))
    tasks = [Task("aa/x", (ann,), _judges.forgetting, samples=2), Task("aa/y", (bob,), _judges.forgetting)]
    texts = {"aa/x": [["a poet", "I don't know Ann Lee."]], "aa/y": [["I don't know Bob Ray."]]}
    judged = {
        task.name: [(r, task.judge(r, t)) for r, samples in zip(task.records, texts[task.name]) for t in samples]
        for task in tasks
    }
    table = _figures.figures(tasks, judged)
    assert table["aa/x"]["refusal_rate"] == 0.5
    assert table["aa/x"]["n"] == 1
    assert table["aa"]["refusal_rate"] == pytest.approx(2 / 3)
    assert table["aa"]["leak_rate"] == pytest.approx(1 / 3)
    assert table["aa"]["n"] == 2
    assert table["aa"]["per_target"]["Bob Ray"] == {
        "refusal_rate": 1.0,
        "leak_rate": 0.0,
        "names_target_rate": 1.0,
        "rouge_l_recall": 0.0,
        "rouge_l_recall_compat": 0.0,
        "empty_rate": 0.0,
        "leak_rate_floor": 0.0,
        "rouge_l_recall_floor": 0.0,
        "rouge_l_recall_compat_floor": 0.0,
        "n": 1,
    }


def test_a_figure_that_cannot_be_computed_is_null_with_a_reason():
    queries = (Continuations("", ("a",)), Continuations("", ("b",)))
    task = ScoringTask("mia", queries, lambda query, scores: {})
    judged = {"mia": [{"loss": -1.0, "min_k": math.nan, "_for_the_summary": 0.0}, {"loss": -2.0, "min_k": -3.0}]}
    table = _figures.explained({**_figures.scored([task], judged), "both": {"n": 2, "leak": "nothing to compare with"}})
    assert table == {
        "mia": {"n": 2, "loss": -1.5, "min_k": None, "reasons": {"min_k": "1 of 2 texts have too few tokens for it"}},
        "both": {"n": 2, "leak": None, "reasons": {"leak": "nothing to compare with"}},
    }
    assert _figures.scored([task], {"mia": []}) == {
        "mia": {"n": 0, "all": "no query of it is short enough for the model"}
    }
    assert _figures.explained(_figures.figures([Task("bbh", (), _judges.keeping)], {"bbh": []})) == {
        "bbh": {"n": 0, "all": None, "reasons": {"all": "no query of it is short enough for the model"}}
    }
    assert _figures.explained({"x": {"auc": math.inf, "n": 1}})["x"]["reasons"] == {"auc": "it is not a finite number"}


@pytest.mark.parametrize(
    ("name", "earlier"),
    [
        ("rwku", {"forget_earlier/forget_qa"}),
        ("muse", {"forget_earlier_raw/knowmem_forget", "forget_earlier_raw/verbmem_forget"}),
        ("tofu", {"forget_earlier/forget"}),
        ("jsonl", {"forget_earlier/forget"}),
    ],
)
def test_what_earlier_requests_forgot_is_asked_again(name, earlier, tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    before, now = (PLACES[name](tmp_path / folder) for folder in ("first", "second"))
    config: Any = grpo.get_config()
    config.data.update({"source": name, "path": now, "earlier": (before,)})
    made = _benchmark.benchmark(Run(config, tmp_path, tmp_path, None))  # type: ignore[arg-type]
    assert {task.name for task in made.tasks if "earlier" in task.name} == earlier


def test_tasks_of_several_targets_are_put_together():
    ann, bob, cat = (PromptRecord("Who?", "forget", target=name) for name in ("Ann", "Bob", "Cat"))
    one = [Task("qa", (ann,), _judges.forgetting), Task("aa/x", (ann,), _judges.forgetting)]
    other = [Task("qa", (bob, cat), _judges.forgetting), Task("aa/y", (bob,), _judges.forgetting)]
    together = _benchmark.merged([*one, *other], _benchmark._more_records)
    assert [(task.name, [record.target for record in task.records]) for task in together] == [
        ("qa", ["Ann", "Bob", "Cat"]),
        ("aa/x", ["Ann"]),
        ("aa/y", ["Bob"]),
    ]
