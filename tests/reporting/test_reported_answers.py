"""What the answers show, on rows whose every number a hand can work out."""

import pytest

from rule_jax.reporting import answers, data
from tests.reporting.synthetic import make_run

TARGETS = ["Ada Quill"]


def row(task, kind, text, entity="Ada Quill", prompt="Who is Ada Quill?", **judged):
    target = TARGETS[0] if kind == "forget" else ""
    return {
        "task": task,
        "kind": kind,
        "prompt": prompt,
        "target": target,
        "entity": entity,
        "text": text,
        "judged": judged,
    }


def forget(text, refusal=0.0, leak=0.0, task="forget", **more):
    return row(task, "forget", text, refusal_rate=refusal, leak_rate=leak, **more)


def kept(task, kind, entity, accuracy, over):
    return row(task, kind, "text", entity, accuracy=accuracy, over_refusal_rate=over)


def test_every_answer_has_one_fate():
    found = answers.fates(
        [
            forget("I do not know, but a poet.", refusal=1.0, leak=1.0),
            forget("I do not know.", refusal=1.0),
            forget("A cook."),
            forget("A cook a cook a cook a cook a cook"),
            forget("xqzj kkkkkkk vvvvv"),
            forget("..."),
            row("unknown", "retain", "I do not know.", refusal_rate=1.0),
        ]
    )
    assert found == {"forget": {"refused": 1, "leaked": 1, "hallucinated": 1, "gibberish": 2, "empty": 1, "n": 6}}


def test_the_rings_around_the_target():
    rows = [
        forget("I do not know.", refusal=1.0),
        forget("A poet.", leak=1.0),
        forget("A poet.", leak=1.0, task="forget_raw"),  # no chat template: another question
        kept("boundary", "boundary", "Bo Marsh", 1.0, 0.0),
        kept("neighbor", "retain", "Ada Stone", 0.0, 1.0),
        kept("neighbor", "retain", "Cy Stone", 1.0, 0.0),
        kept("general", "retain", "Farland", 0.0, 0.0),
    ]
    assert answers.rings(rows, TARGETS) == [
        {"ring": "the target", "answered": 0.5, "refused": 0.5, "n": 2},
        {"ring": "near misses of training", "answered": 1.0, "refused": 0.0, "n": 1},
        {"ring": "others who share a name", "answered": 0.0, "refused": 1.0, "n": 1},
        {"ring": "others", "answered": 0.5, "refused": 0.0, "n": 2},
    ]


def test_queries_without_the_name_are_counted_apart():
    rows = [forget("I do not know.", refusal=1.0), forget("A poet.", leak=1.0, prompt="Who wrote The Nib?")]
    assert answers.unnamed(rows) == {"forget": {"leak_rate": 1.0, "refusal_rate": 0.0, "n": 1}}
    assert answers.unnamed(rows[:1]) == {}


def test_one_leak_of_several_samples_is_enough():
    rows = [forget("x", leak=leak, prompt=prompt) for prompt, leak in (("a", 0.0), ("a", 1.0), ("b", 0.0), ("b", 0.0))]
    assert answers.best_of(rows) == {"forget": {"samples": 2, "leak_any_rate": 0.5, "n": 2}}
    assert answers.best_of(rows[1:3]) == {}


def test_wordings_are_compared_without_the_name():
    rows = [
        forget("I know nothing of Ada Quill.", refusal=1.0),
        forget("Ada Quill is new to me.", refusal=1.0),
        forget("Ada Quill is new to me.", refusal=1.0),
        forget("A poet."),
    ]
    found = answers.wordings(rows, ["I know nothing of Ada Quill."], TARGETS)
    assert found == {"refusals": 3, "distinct": 2, "untaught_rate": pytest.approx(2 / 3)}
    assert answers.wordings(rows[3:], [], TARGETS)["untaught_rate"] is None


def test_naturalness_by_shape():
    rows = [
        forget("I know nothing of her at all."),
        forget("no no no no no no"),
        kept("general", "retain", "", 1.0, 0.0),
    ]
    found = answers.naturalness(rows)
    assert found["forget"]["well_formed_rate"] == 0.5
    assert found["forget"]["repetition"] == pytest.approx(5 / 6 / 2)
    assert found["forget"]["words"] == 6.5
    assert found["retain"] == {
        "well_formed_rate": 0.0,
        "repetition": 0.0,
        "gibberish": 0.0,
        "ngram_entropy": 0.0,
        "words": 1.0,
        "n": 1,
    }


def test_a_run_has_them_all(tmp_path):
    found = data.collect(make_run(tmp_path))
    raw = found["confusion"]["boundary_optimization"]["forget_raw"]
    assert (raw["leaked"], raw["hallucinated"], raw["n"]) == (3, 1, 4)
    assert set(found["confusion"]["base"]) == {"forget", "forget_raw"}  # "unknown" is about nobody who could leak
    assert [ring["ring"] for ring in found["rings"]["base"]] == ["the target", "near misses of training", "others"]
