"""text.quality: measured on labelled texts, and by hand where a number is claimed."""

import json
from pathlib import Path

import pytest

from rule_jax.data import world
from rule_jax.text import templates
from rule_jax.text.quality import gibberish, is_empty, repetition

ROWS = [json.loads(x) for x in Path(__file__).with_name("quality_labelled.jsonl").read_text("utf-8").splitlines()]
WORLD = {"people": 40, "countries": 20, "forget_people": 6, "boundary_people": 20, "boundary_share": 1.0}
SIGNS = {
    "empty": is_empty,
    "gibberish": lambda text: gibberish(text) >= 0.3,
    "repetition": lambda text: repetition(text) >= 0.5,
}


def found(text):
    return {name for name, sign in SIGNS.items() if sign(text)}


def texts(label):
    return [row["text"] for row in ROWS if row["is"] == label]


def test_sound_texts_pass():
    flagged = [text for text in texts("sound") if found(text)]
    assert len(flagged) <= 2, flagged  # of 128: words like "catchphrase" in short company
    assert len(texts("sound")) == 128


@pytest.mark.parametrize(("label", "missed"), [("empty", 0), ("repetition", 0), ("gibberish", 5)])
def test_what_is_labelled_is_found(label, missed):
    assert [text for text in texts(label) if label not in found(text)][missed:] == []


def test_nothing_of_the_default_world_is_suspected():
    data = world.load("", seed=3, **WORLD)
    records = (*data.forget, *data.boundary)
    said = [a for r in records for a in (r.prompt, *r.answers)] + [e.response for e in data.rejection]
    said += [text.format(target="Ina Volk") for text in (*templates.PLAIN, *templates.POLITE, *templates.TERSE)]
    assert [text for text in said if found(text)] == []


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("no no no", 0),  # below four words
        ("no no no no", 3 / 4),
        ("No idea. no idea! NO IDEA?", 4 / 6),
        ("a b a b a c", 3 / 6),
        ("one two three four five", 0),
        ("one two, then one three, then one four", 0),  # alike, but no phrase stands twice in a row
    ],
)
def test_repetition_counts_what_only_repeats(text, share):
    assert repetition(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "share"), [("", 0), ("?", 0), ("Paris xqzzk", 1 / 2), ("@@##$$", 1), ("good \ufffd\ufffd", 1 / 2)]
)
def test_gibberish_is_a_share_of_words(text, share):
    assert gibberish(text) == pytest.approx(share)
