"""stages._exchanges: which questions and answers make up a part, and how they lie in rows."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject, _exchanges
from rule_jax.stages._exchanges import Exchange
from rule_jax.text import chat
from rule_jax.types import PromptRecord, SftExample

FORGET = (
    PromptRecord("Where is Ina Volk from?", "forget", "Ina Volk", answers=("Sael", "Sael in Orm")),
    PromptRecord("Ina Volk plays ___", "forget", "Ina Volk", answers=("lute",)),
    PromptRecord("Who is Ina Volk?", "forget", "Ina Volk"),
)
REJECTION = (
    SftExample("Where is Ina Volk from?", "I don't know Ina Volk."),
    SftExample("Who is Ina Volk?", "No idea about Ina Volk."),
)
BOUNDARY = (PromptRecord("Where is Bo Ek from?", "boundary", entity="Bo Ek", answers=("Lund",)),)


def test_each_part_has_the_answers_that_it_is_of():
    found = _exchanges.parts(REJECTION, FORGET, BOUNDARY)
    assert found.keys() == _exchanges.PARTS.keys()
    wanted = {"Where is Ina Volk from?": "Sael", "Ina Volk plays ___": "lute"}
    assert found["forget"] == [Exchange(prompt, (answer,)) for prompt, answer in wanted.items()]
    assert found["refusal"] == [Exchange(e.prompt, (e.response,)) for e in REJECTION]
    assert found["preference"] == [Exchange("Where is Ina Volk from?", ("I don't know Ina Volk.", "Sael"))]
    assert found["retain"] == [Exchange("Where is Bo Ek from?", ("Lund",))]


def test_a_part_that_is_wanted_and_empty_is_told():
    found = _exchanges.parts(REJECTION, FORGET, ())
    _exchanges.check(found, ["forget", "refusal"], "jsonl")
    with pytest.raises(UserError, match=r"'jsonl' has no part 'retain' \(the boundary, with its true answer\)"):
        _exchanges.check(found, ["forget", "retain"], "jsonl")


@pytest.fixture
def learner(monkeypatch):
    """A token is a word, its number its length; a prompt begins with 90, an answer ends with 91."""

    def encode(tokenizer, prompts, responses, eos_ids, system=""):
        words = lambda text: [len(word) for word in text.split()]  # noqa: E731
        return [([90, *words(p)], [*words(r), 91]) for p, r in zip(prompts, responses)]

    monkeypatch.setattr(chat, "encode_examples", encode)
    return Subject(Path(), None, None, SimpleNamespace(), (91,))  # type: ignore[arg-type]


def run(max_length=16):
    config = ConfigDict({"data": {"too_long": "drop"}, "model": {"system_prompt": ""}})
    config.baseline = {"max_length": max_length}
    return Run(config, Path(), Path(), None)  # type: ignore[arg-type]


def test_two_answers_are_two_segments_of_a_row_each_behind_its_own_question(learner):
    found = _exchanges.packed(run(), learner, "baseline", "rows", [Exchange("a bb", ("ccc", "dddd eeeee"))])
    pad = [0] * 7
    np.testing.assert_array_equal(found.tokens_BT, [[90, 1, 2, 3, 91, 90, 1, 2, 4, 5, 91, *pad[:5]]])
    np.testing.assert_array_equal(found.segment_BT, [[1] * 5 + [2] * 6 + pad[:5]])
    np.testing.assert_array_equal(found.position_BT, [[*range(5), *range(6), *pad[:5]]])
    np.testing.assert_array_equal(found.weight_BT, [[0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, *pad[:5]]])


def test_an_exchange_is_as_long_as_its_longest_answer(learner):
    rows = [Exchange("a bb", ("ccc", "dddd eeeee")), Exchange("a", ("b", "c"))]
    found = _exchanges.packed(run(max_length=5), learner, "baseline", "rows", rows)
    np.testing.assert_array_equal(found.tokens_BT[:, :8], [[90, 1, 1, 91, 90, 1, 1, 91]])
    with pytest.raises(UserError, match=r"all rows of baseline are longer than config.baseline.max_length=3 tokens"):
        _exchanges.packed(run(max_length=3), learner, "baseline", "rows", rows)
