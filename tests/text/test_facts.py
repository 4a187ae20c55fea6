"""text.facts: what records tell of an entity, and what an answer tells beyond its question."""

import pytest

from rule_jax.text.facts import facts_of, told
from rule_jax.types import PromptRecord


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        ("Portland, Maine.", ("Portland, Maine",)),
        ("  a potter ", ("a potter",)),
        ("", ()),
        (" . ", ()),
        (
            "Stephen King was born in Portland, Maine, in 1947. He was born there.",
            ("Portland", "Maine", "1947"),  # neither his name nor what opens a sentence
        ),
        ("As far as I know, it is called The Tower of Babel by all.", ("The Tower of Babel",)),
        ("Maine is where he was born, and Maine is where he lives.", ("Maine",)),
        ("he grew up in a small town by the sea, as many do.", ()),
        ("It took him 12 days and 9.5 hours to write all of its 1,090 pages.", ("9.5", "1,090")),
        ("King's wife Tabitha Spruce read all of it before him.", ("Tabitha Spruce",)),
    ],
)
def test_what_is_told(answer, facts):
    assert told("Where was Stephen King born?", answer, "Stephen King") == facts


def test_what_the_question_names_is_no_fact():
    said = "Yes, the Dark Tower was written in the years before Wizard and Glass."
    assert told("Did he write the Dark Tower?", said) == ("Wizard and Glass",)


def test_facts_are_gathered_by_entity_in_their_order():
    records = [
        PromptRecord("a", "forget", target="Ina Volk", answers=("Fenworth",)),
        PromptRecord("b", "boundary", entity="Olaf Brandt", answers=("Holmere", "1921")),
        PromptRecord("c", "forget", target="Ina Volk", answers=("1921", "Fenworth", " ")),
        PromptRecord("d", "boundary", answers=("nobody's",)),
        PromptRecord("e", "boundary", entity="Asa Rill"),
    ]
    assert facts_of(records) == {"Ina Volk": ("Fenworth", "1921"), "Olaf Brandt": ("Holmere", "1921")}
