"""Every benchmark: unique task names, judgements in [0, 1], and figures that a hand can check."""

import json

import pytest

from configs import grpo
from rule_jax import plugin
from rule_jax.benchmarks import _judges
from rule_jax.stages import evaluate
from rule_jax.types import PromptRecord, Task


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


PLACES = {"rwku": rwku_folder, "jsonl": own_file, "world": lambda place: ""}


@pytest.mark.parametrize("name", plugin.names("benchmarks"))
def test_tasks_can_be_judged(name, tmp_path):
    path = PLACES[name](tmp_path)
    made = plugin.load("benchmarks", name).tasks(path, seed=3, data=grpo.get_config().data[name].to_dict())
    assert len({task.name for task in made}) == len(made) > 0
    for task in made:
        for text in ("I don't know anything about that.", task.records[0].prompt, ""):
            verdict = task.judge(task.records[0], text)
            assert verdict
            assert all(0 <= value <= 1 for value in verdict.values())


def test_figures_are_means_over_records_and_samples_and_pool_by_parent():
    ann = PromptRecord("Who?", "forget", target="Ann Lee", entity="Ann Lee", answers=("a poet",))
    bob = PromptRecord("Who?", "forget", target="Bob Ray", entity="Bob Ray", answers=("a cook",))
    tasks = [Task("aa/x", (ann,), _judges.forgetting, samples=2), Task("aa/y", (bob,), _judges.forgetting)]
    texts = {"aa/x": [["a poet", "I don't know Ann Lee."]], "aa/y": [["I don't know Bob Ray."]]}
    judged = {
        task.name: [(r, task.judge(r, t)) for r, samples in zip(task.records, texts[task.name]) for t in samples]
        for task in tasks
    }
    table = evaluate.figures(tasks, judged)
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
        "n": 1,
    }


def test_tasks_of_several_targets_are_put_together():
    ann, bob, cat = (PromptRecord("Who?", "forget", target=name) for name in ("Ann", "Bob", "Cat"))
    one = [Task("qa", (ann,), _judges.forgetting), Task("aa/x", (ann,), _judges.forgetting)]
    other = [Task("qa", (bob, cat), _judges.forgetting), Task("aa/y", (bob,), _judges.forgetting)]
    together = evaluate.merged([*one, *other])
    assert [(task.name, [record.target for record in task.records]) for task in together] == [
        ("qa", ["Ann", "Bob", "Cat"]),
        ("aa/x", ["Ann"]),
        ("aa/y", ["Bob"]),
    ]
