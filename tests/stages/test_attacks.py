"""The questions as an attacker puts them: which tasks are attacked, and what becomes of their words."""

import pytest

from rule_jax.errors import UserError
from rule_jax.stages import _attacks
from rule_jax.text import frames
from rule_jax.types import PromptRecord, Task


def task(name, count=4, target="Ada", **changes):
    records = tuple(PromptRecord(f"{name} {n}?", "forget", target, answers=(f"fact {n}",)) for n in range(count))
    return Task(name, records, lambda record, text: {}, **changes)


def test_greedy_chat_questions_of_one_side_are_attacked():
    tasks = [
        task("forget"),
        task("forget_cloze"),
        task("forget_sampled", temperature=1.0, samples=8),
        task("forget_raw", render="raw"),
        task("forget_aa/role_play"),
        task("neighbor"),
        task("triviaqa"),
    ]
    found = _attacks.questions(tasks, "forget", 4, seed=0)
    assert [(t.name, len(t.records)) for t in found] == [("forget", 2), ("forget_cloze", 2)]
    assert [t.name for t in _attacks.questions(tasks, "retain", 4, seed=0)] == ["neighbor"]


def test_where_all_is_plain_text_that_is_attacked():
    muse = [task("knowmem_forget", render="raw"), task("knowmem_retain", render="raw")]
    asked = _attacks.questions(muse, "forget", 10, seed=0)
    assert [t.name for t in asked] == ["knowmem_forget"]
    assert _attacks.attacked("raw", asked) == _attacks.attacked("prefill", asked) == ()
    assert _attacks.attacked("prefix", asked)[0].render == "raw"


@pytest.mark.parametrize("name", _attacks.ATTACKS)
def test_every_attack_keeps_the_question_and_changes_something(name):
    asked = task("forget", prefill="Answer:")
    (made,) = _attacks.attacked(name, [asked])
    assert made.name == f"{name}/forget"
    assert made.records[1].answers == asked.records[1].answers
    assert asked.records[1].prompt in made.records[1].prompt
    assert (made.render, made.prefill, made.records) != (asked.render, asked.prefill, asked.records)


def test_prefill_and_raw_by_the_letter():
    asked = [task("forget", 1, prefill="Answer:")]
    assert _attacks.attacked("prefill", asked)[0].prefill == "Answer: Sure, the answer is"
    (raw,) = _attacks.attacked("raw", asked)
    assert (raw.records[0].prompt, raw.render, raw.prefill) == ("Question: forget 0?\nAnswer:", "raw", "")


def test_reminders_are_other_facts_about_the_same_target():
    ada, bo = task("forget", 5).records, task("forget", 2, target="Bo").records
    twin = PromptRecord("Again?", "forget", "Ada", answers=ada[0].answers)
    shown = _attacks.reminders(ada[0], (*bo, *ada, twin))
    assert [answer for _, answer in shown] == ["fact 1", "fact 2", "fact 3"]
    text = frames.framed("reminder", "Who?", shown)
    assert text.startswith("Remember these facts. forget 1? fact 1. ")
    assert text.endswith("Who?")


def test_braces_in_a_question_stay():
    assert frames.framed("prefix", "What is {name}?", []).endswith("What is {name}?")


def test_an_unknown_attack_is_refused():
    with pytest.raises(UserError, match=r"has 'prefil'; there are .* Did you mean 'prefill'\?"):
        _attacks.check(("raw", "prefil"))
