"""rule_jax.stages._lengths: prompts that are too long are told, and left out or cut."""

from pathlib import Path

import pytest
from ml_collections import ConfigDict

from rule_jax import telemetry
from rule_jax.errors import UserError
from rule_jax.stages import Run, _lengths

PROMPTS = ["a b c", "one two three four five six?", "w", "long " * 9 + "end?", "unbreakableword"]


def fitting(too_long, limit, monkeypatch, prompts=PROMPTS):
    """A token is a word, and a word of more than ten letters is five; the template adds two tokens."""
    run = Run(ConfigDict({"data": {"too_long": too_long}}), Path(), Path(), None)  # type: ignore[arg-type]
    said = []
    monkeypatch.setattr(telemetry, "info", said.append)

    def encode(text):
        return ["<", *[part for word in text.split() for part in ([word] if len(word) <= 10 else list(word)[:5])], ">"]

    found = _lengths.fitting(
        run, "stage: prompts", limit, prompts, [encode(text) for text in prompts], tokens=len,
        again=lambda row, text: encode(text),
    )  # fmt: skip
    return [(row, " ".join(ids[1:-1])) for row, ids in found.kept], found.too_long, said


def test_long_prompts_are_left_out_and_counted(monkeypatch):
    found, too_long, said = fitting("drop", 5, monkeypatch)
    assert found == [(0, "a b c"), (2, "w")]
    assert said == ["stage: prompts: 3 of 5 longer than 5 tokens (longest 12): 0 cut at the beginning, 3 left out"]
    assert too_long == _lengths.TooLong(left_out=3, cut=0, of=5, limit=5)


def test_long_prompts_are_cut_at_their_beginning_as_little_as_it_takes(monkeypatch):
    found, too_long, said = fitting("cut", 5, monkeypatch)
    assert found == [(0, "a b c"), (1, "four five six?"), (2, "w"), (3, "long long end?")]
    assert said == ["stage: prompts: 3 of 5 longer than 5 tokens (longest 12): 2 cut at the beginning, 1 left out"]
    assert too_long == _lengths.TooLong(left_out=1, cut=2, of=5, limit=5)


def test_where_all_fit_nothing_is_said(monkeypatch):
    found, too_long, said = fitting("cut", 12, monkeypatch)
    assert [row for row, _ in found] == [0, 1, 2, 3, 4]
    assert too_long is None
    assert said == []


def test_an_unknown_choice_is_refused():
    run = Run(ConfigDict({"data": {"too_long": "trim"}}), Path(), Path(), None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"config\.data\.too_long='trim': it must be one of drop, cut"):
        _lengths.check(run)
