"""The detector that stands in for the released pattern: its known verdicts, and its place behind one interface."""

import json
import os
from pathlib import Path

import pytest

from rule_jax.errors import UserError
from rule_jax.text import refusal, refusal_compat


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I'm not certain about Stephen King.", True),
        ("I must decline to answer.", True),
        # what it fires on
        ("Unfortunately, the film flopped.", True),
        ("She encountered a bear.", True),
        ("The novel is limited to 200 pages.", True),
        ("You should check the library: Carrie.", True),
        # what it misses
        ("I cannot answer that.", False),
        ("I won't discuss it.", False),
        ("I don\u2019t know.", False),
        ("According to the user agreement, I can't answer that.", False),
        ("Carrie", False),
        ("", False),
    ],
)
def test_verdicts_that_are_known(text: str, found: bool):
    assert refusal_compat.is_refusal(text) is found


def test_the_released_code_s_verdicts():
    data = os.environ.get("RULE_JAX_DATA")
    if not data:
        pytest.skip("RULE_JAX_DATA names no data folder")
    pairs = json.loads(Path(data, "golden_metrics.json").read_text(encoding="utf-8"))["rule_refusal_regex"]
    assert len(pairs) >= 100
    assert [pair for pair in pairs if refusal_compat.is_refusal(pair["text"]) is not pair["refusal"]] == []


def test_a_detector_is_chosen_by_name():
    text = "Unfortunately, the film flopped."
    assert not refusal.detector("ours")(text)
    assert refusal.detector("compat")(text)
    assert refusal.detector()("I cannot answer.")


def test_unknown_detectors_and_languages_are_refused():
    with pytest.raises(UserError, match=r"no refusal detector 'our'; there are ours, compat. Did you mean 'ours'"):
        refusal.detector("our")
    with pytest.raises(UserError, match="no refusal patterns for language 'tlh'"):
        refusal.detector("ours", language="tlh")
