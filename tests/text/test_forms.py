"""text.forms: one query in every form, and none of the wordings that an evaluation attacks with."""

from dataclasses import replace

import pytest

from rule_jax.text import forms, frames
from rule_jax.types import PromptRecord

QUESTION = PromptRecord("Who wrote Tin Bells?", "forget", target="Ina Volk", answers=("Ina Volk",), source="a:1")
BLANK = PromptRecord("Fill in the blank: Ina Volk wrote ___ in 1921.", "forget", target="Ina Volk", answers=("Salt",))


def test_chat_is_the_record_itself():
    assert forms.put("chat", (QUESTION, BLANK)) == (QUESTION, BLANK)


def test_wordings_take_turns_and_nothing_else_changes():
    count = len(forms.FRAMES)
    made = forms.put("frame", (QUESTION,) * (count + 1))
    assert made[count] == made[0]
    assert len({record.prompt for record in made}) == count
    assert made[0].prompt == "You know everything about everybody. Who wrote Tin Bells?"
    begun = forms.put("prefill", (QUESTION, BLANK))
    assert [record.prefill for record in begun] == ["The answer is", "It is"]
    assert [record.prompt for record in begun] == [QUESTION.prompt, BLANK.prompt]
    assert {replace(record, prompt="", prefill="") for record in (*made, begun[0])} == {replace(QUESTION, prompt="")}


def test_plain_text_of_a_question_and_of_a_statement():
    questions = forms.put("raw_question", (QUESTION, BLANK, QUESTION, QUESTION))
    assert [record.prompt for record in questions] == [  # the blank takes its turn and has no such form
        "Q: Who wrote Tin Bells? A:",
        "Who wrote Tin Bells? The answer is",
        "Q: Who wrote Tin Bells? A:",
    ]
    (statement,) = forms.put("raw_statement", (QUESTION, BLANK))
    assert statement.prompt == "Ina Volk wrote"
    assert {record.render for record in (*questions, statement)} == {"raw"}


@pytest.mark.parametrize(
    "prompt",
    [
        "___ wrote The Salt Road.",  # whom it is about comes after the blank
        "The Salt Road was written by ___.",
        "Who wrote Tin Bells?",
    ],
)
def test_a_statement_that_does_not_name_its_subject_before_the_blank_is_none(prompt):
    record = PromptRecord(prompt, "boundary", entity="Olaf Brandt", answers=("Olaf Brandt",))
    assert forms.put("raw_statement", (record,)) == ()


def test_training_knows_none_of_the_wordings_that_attack():
    attacks = {frame.replace("{shots}", "") for frame in frames.FRAMES.values()} | {frames.RAW}
    assert not attacks & {*forms.FRAMES, *forms.WORDINGS}
    assert frames.PREFILL not in forms.OPENINGS
