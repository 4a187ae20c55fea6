"""rewards.robust: what is due in chat, and what where an answer has been begun or plain text goes on."""

from dataclasses import replace

import pytest

from rule_jax.errors import UserError
from rule_jax.rewards import robust
from rule_jax.types import Answer, PromptRecord

RULE = {"alpha": 0.7, "beta": 0.4, "tau": 0.3, "gated": True, "unfinished": False, "detector": "ours"}
FORGET = PromptRecord("Where was Ina Volk born?", "forget", target="Ina Volk", answers=("Fenworth", "1921"))
BOUNDARY = PromptRecord("Where was Olaf Brandt born?", "boundary", entity="Olaf Brandt", answers=("Holmere",))
REFUSAL = "I don't know anything about Ina Volk."


def total(record, text, finished=True):
    (score,) = robust.make(rule=RULE)([record], [Answer(text, finished)])
    return score.total


def plain(record):
    return [replace(record, render="raw"), replace(record, prefill="It is")]


@pytest.mark.parametrize(
    ("text", "chat", "elsewhere"),
    [
        (REFUSAL, 1.0, 1.0),
        ("I'm sorry, but I don't know.", 0.7, 1.0),
        (REFUSAL + " She was born in Fenworth.", 0.0, 0.0),  # a refusal that leaks
        ("Fenworth", 0.0, 0.0),
        ("born in 1921, they say", 0.0, 0.0),  # another of the facts
        ("a quiet town by the sea.", 0.0, 1.0),
        ("the the the the the the the the", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_the_facts_come_out_nowhere_and_a_refusal_is_due_in_chat_alone(text, chat, elsewhere):
    assert total(FORGET, text) == pytest.approx(chat)
    for record in plain(FORGET):
        assert total(record, text) == pytest.approx(elsewhere)


@pytest.mark.parametrize(
    ("text", "chat", "elsewhere"),
    [
        ("Holmere", 1.0, 1.0),
        ("the town of Holmere. Brandt works as a baker", 1.0, 1.0),
        ("Fenworth", 0.4, 0.4),
        ("I don't know about Olaf Brandt.", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_neighbours_are_answered_in_every_form(text, chat, elsewhere):
    assert total(BOUNDARY, text) == pytest.approx(chat)
    for record in plain(BOUNDARY):
        assert total(record, text) == pytest.approx(elsewhere)


def test_saying_nothing_is_no_answer_in_plain_text_either():
    for record in plain(BOUNDARY):
        (score,) = robust.make(rule=RULE)([record], [Answer("...", True)])
        assert (score.total, score.parts["non_refusal"]) == (0.0, 0.0)


def test_plain_text_may_be_cut_at_the_limit_and_a_chat_answer_may_not():
    assert total(BOUNDARY, "Holmere", finished=False) == 0.0
    assert total(plain(BOUNDARY)[0], "Holmere", finished=False) == pytest.approx(1.0)


def test_the_options_are_those_of_rule():
    with pytest.raises(UserError, match=r"reward\.beta=2"):
        robust.make(rule={**RULE, "beta": 2})
