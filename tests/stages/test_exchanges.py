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
from tests.stages import letters

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


RECALLED = (
    PromptRecord("Ina Volk was born in", "forget", "Ina Volk", answers=("Sael", "lute"), render="raw"),
    PromptRecord("Bo Ek plays the", "boundary", entity="Bo Ek", answers=("horn",), render="raw"),
    PromptRecord("Capital of Orm?", "retain", answers=("Tarn",)),
)


def test_what_the_base_model_said_by_itself_is_in_parts_of_its_own():
    found = _exchanges.parts(REJECTION, FORGET, BOUNDARY, RECALLED)
    assert found["forget_plain"] == [Exchange("Ina Volk was born in", ("Sael",), "raw")]
    assert found["retain_plain"] == [Exchange("Bo Ek plays the", ("horn",), "raw")]
    assert found["general"] == [Exchange("Capital of Orm?", ("Tarn",))]
    assert found["forget"] == _exchanges.parts(REJECTION, FORGET, BOUNDARY)["forget"]


OTHERS = (
    PromptRecord("Where is Bo Ek from?", "boundary", entity="Bo Ek", answers=("Lund",)),
    PromptRecord("Where is Ulla Maria Rask from?", "boundary", entity="Ulla Maria Rask", answers=("Kil",)),
    PromptRecord("Where is Ak from?", "boundary", entity="Ak", answers=("Sael",)),  # as Ina Volk is
    PromptRecord("Where is she from?", "boundary", entity="Bo Ek", answers=("Lund",)),
    PromptRecord("Where is Per Lo from?", "boundary", entity="Per Lo"),
    PromptRecord("Per Lo was born in", "boundary", entity="Per Lo", answers=("Tarn",), render="raw"),
)


def test_what_is_true_of_others_is_said_of_the_targets_in_turn():
    """Not what is true of the target too, nor of nobody named."""
    told = [Exchange("Where is Ina Volk from?", ("Lund",)), Exchange("Where is Ina Volk from?", ("Kil",))]
    assert _exchanges.swapped(FORGET, OTHERS) == [*told, Exchange("Ina Volk was born in", ("Tarn",), "raw")]
    two = (*FORGET, PromptRecord("Where is Asa Rill from?", "forget", "Asa Rill", answers=("Kil", "Tarn")))
    assert [exchange.prompt for exchange in _exchanges.swapped(two, OTHERS[:3])] == ["Where is Ina Volk from?"]
    found = _exchanges.parts(REJECTION, FORGET, OTHERS[:2], (*RECALLED, OTHERS[-1]))
    assert found["swapped"] == told
    assert found["swapped_plain"] == [
        Exchange("Ina Volk plays the", ("horn",), "raw"),
        Exchange("Ina Volk was born in", ("Tarn",), "raw"),
    ]


def test_namesakes_are_named_half_as_a_target_and_half_as_another():
    records = (OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[0])
    assert [(r.prompt, r.entity, r.answers) for r in _exchanges.namesakes(FORGET, records)] == [
        ("Where is Ina Ek from?", "Ina Ek", ("Lund",)),
        ("Where is Ulla Maria Volk from?", "Ulla Maria Volk", ("Kil",)),
        ("Where is Ina Ek from?", "Ina Ek", ("Lund",)),
    ]
    assert _exchanges.namesakes((PromptRecord("Who is Ak?", "forget", "Ak"),), records) == []


def test_a_namesake_is_nobody_whom_the_data_knows():
    """Ina with the target's last name is the target, and Ulla Volk with it is herself."""
    names = ("Bo Ek", "Ina Rask", "Bo Volk", "Ulla Volk")
    others = [PromptRecord(f"Where is {name} from?", "boundary", entity=name, answers=("Lund",)) for name in names]
    assert [record.entity for record in _exchanges.namesakes(FORGET, others)] == ["Ina Ek"]


def test_plain_text_goes_on_with_the_fact_and_has_no_end():
    """Ids of letters: the text as it stands, the loss on the fact with the blank before it."""
    learner = Subject(Path(), None, None, letters.tokenizer(), (letters.EOS,))  # type: ignore[arg-type]
    found = _exchanges.packed(run(64), learner, "baseline", "rows", [Exchange("a b", ("cd",), "raw")])
    ids = [letters.LETTERS.index(letter) for letter in "a b cd"]
    assert found.tokens_BT[0, : len(ids)].tolist() == ids
    assert found.weight_BT[0].sum() == 3
    assert found.weight_BT[0, len(ids) - 3 : len(ids)].tolist() == [1, 1, 1]
    assert found.segment_BT[0].tolist() == [1] * len(ids) + [0] * (len(found.segment_BT[0]) - len(ids))


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
