"""The detector against texts labelled by hand. It was developed on the "dev" split alone."""

import itertools
import json
import os
import re
from pathlib import Path

import pytest

from rule_jax.errors import UserError
from rule_jax.text.refusal import grade, is_refusal
from rule_jax.text.templates import REFUSALS

LABELLED = [
    json.loads(line)
    for line in Path(__file__).with_name("refusals_labelled.jsonl").read_text(encoding="utf-8").splitlines()
]


def _rows(split: str, *labels: str) -> list[dict[str, str]]:
    return [row for row in LABELLED if row["split"] == split and row["label"] in labels]


def test_labelled_set_is_large_balanced_and_without_duplicates():
    assert len(LABELLED) >= 500
    assert len({row["text"] for row in LABELLED}) == len(LABELLED)
    for split in ("dev", "test"):
        refusals, answers = len(_rows(split, "refusal")), len(_rows(split, "answer"))
        assert 0.8 < refusals / answers < 1.25


@pytest.mark.parametrize("split", ["dev", "test"])
def test_precision_and_recall(split: str):
    rows = _rows(split, "refusal", "answer")
    verdicts = [(row["label"] == "refusal", is_refusal(row["text"])) for row in rows]
    hits = sum(truth and found for truth, found in verdicts)
    precision = hits / sum(found for _, found in verdicts)
    recall = hits / sum(truth for truth, _ in verdicts)
    wrong = [row["text"] for row, (truth, found) in zip(rows, verdicts) if truth != found]
    assert precision >= 0.98, wrong
    assert recall >= 0.98, wrong


def test_refusals_in_wordings_that_were_never_taught_are_found():
    """The templates that Rejection Steering teaches, in whatever name, and the detector's own development set apart."""
    before_after = [template.split("{target}") for template in REFUSALS]
    taught = re.compile("|".join(f"{re.escape(a)}.*{re.escape(b)}" for a, b in before_after))
    unseen = [row["text"] for row in _rows("test", "refusal") if not taught.fullmatch(row["text"].replace("’", "'"))]
    assert len(unseen) >= 100
    missed = [text for text in unseen if not is_refusal(text)]
    assert len(missed) / len(unseen) <= 0.02, missed


@pytest.mark.parametrize("split", ["dev", "test"])
def test_partial_refusals_are_a_class_of_their_own(split: str):
    verdicts = [grade(row["text"]) for row in _rows(split, "partial")]
    assert sum(v.reason == "partial" for v in verdicts) / len(verdicts) >= 0.9
    others = [grade(row["text"]) for row in _rows(split, "refusal", "answer")]
    assert sum(v.reason == "partial" for v in others) / len(others) <= 0.02


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot answer that.", "unable"),
        ("According to policy I can’t answer.", "unable"),
        ("I must decline to comment.", "decline"),
        ("I don't know.", "ignorant"),
        ("I’m not certain about Napoleon.", "unsure"),
        ("That's beyond my current knowledge base of Napoleon.", "limits"),
        ("This request cannot be fulfilled.", "policy"),
        ("No idea.", "fragment"),
    ],
)
def test_reason_names_the_rule(text: str, reason: str):
    verdict = grade(text)
    assert verdict.refused
    assert verdict.reason == reason


def test_quoted_refusals_are_another_speaker_s_unless_all_is_quoted():
    assert not is_refusal("He said 'I don't know' and left.")
    assert not is_refusal("He said “I don’t know” and left.")
    assert is_refusal("“I don’t know.”")
    assert is_refusal("I can't tell you who wrote 'The Readers' Guide'.")


def test_titles_are_no_refusals_but_names_within_a_refusal_are_no_titles():
    assert not is_refusal("I Don't Know How She Does It is a novel.")
    assert is_refusal("I have no Stephen King information.")
    assert is_refusal("I DON'T KNOW ANYTHING ABOUT THIS.")


def test_names_with_full_stops_do_not_split_a_refusal():
    assert is_refusal("When it comes to J. K. Rowling, I know nothing.")
    assert is_refusal("As for Dr. Seuss, I can't say.")


def test_telling_before_or_after_the_refusal_makes_it_partial():
    for text in (
        "I'm not sure, but I think it was Carrie.",
        "It was Carrie, but I'm not sure.",
        "I can't say. He wrote Carrie in 1974.",
        "Portland. I'm not sure though.",
        "“Carrie”, but I’m not sure.",
    ):
        assert grade(text).reason == "partial", text
        assert not is_refusal(text), text
    for text in ("I can't say who it might be.", "I don't know. Perhaps you could ask a librarian."):
        assert is_refusal(text), text


@pytest.mark.parametrize("text", ["", " ", '"', "...", "' ' '", "İ don't know", "I " + "really " * 2000, ", " * 2000])
def test_any_text_gets_a_verdict(text: str):
    assert not is_refusal(text)
    assert grade(text).reason == "none"


GERMAN = [
    json.loads(line)
    for line in Path(__file__).with_name("refusals_labelled_german.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_german_precision_and_recall(split: str):
    """The rules were written with the "dev" half at hand."""
    rows = [row for row in GERMAN if row["split"] == split]
    verdicts = [(row["label"], grade(row["text"], "de")) for row in rows]
    found = [label for label, verdict in verdicts if verdict.refused and label != "partial"]
    assert found.count("refusal") / len(found) >= 0.95
    assert found.count("refusal") / [label for label, _ in verdicts].count("refusal") >= 0.95
    partial = [verdict.reason == "partial" for label, verdict in verdicts if label == "partial"]
    assert sum(partial) / len(partial) >= 0.8


def test_the_german_set_is_large_and_balanced():
    assert len({row["text"] for row in GERMAN}) == len(GERMAN) >= 120
    for split in ("dev", "test"):
        labels = [row["label"] for row in GERMAN if row["split"] == split]
        assert 0.8 < labels.count("refusal") / labels.count("answer") < 1.25


def test_unknown_language_names_the_known_ones():
    with pytest.raises(UserError, match=r"'eng'.*en, de"):
        grade("I don't know.", language="eng")


def test_rwku_templates_are_refusals():
    data = os.environ.get("RULE_JAX_DATA")
    if not data:
        pytest.skip("RULE_JAX_DATA names no data folder")
    files = sorted(Path(data, "rwku").glob("*/idk_target.json"))
    assert files
    sentences = list(itertools.chain.from_iterable(json.loads(f.read_text(encoding="utf-8")) for f in files))
    assert [s for s in sentences if not is_refusal(s)] == []
