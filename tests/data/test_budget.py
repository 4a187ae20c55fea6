"""data._budget: what of a source is trained on."""

import pytest

from rule_jax.data._budget import misanswered, reworded, thinned
from rule_jax.errors import UserError
from rule_jax.types import PromptRecord, SftExample, UnlearningData

COUNTS = {"Ina Volk": 20, "Bo Ek": 5}
FOUND = UnlearningData(
    targets=tuple(COUNTS),
    rejection=tuple(SftExample(f"What did {t} do {n}?", f"No. {t}, {n}") for t, c in COUNTS.items() for n in range(c)),
    forget=tuple(PromptRecord(f"Who is {t} {n}?", "forget", t) for t, c in COUNTS.items() for n in range(c)),
    boundary=(PromptRecord("Who is Una Falk?", "boundary", entity="Una Falk"),),
)


def count(items, target):
    return sum(target in item.prompt for item in items)


@pytest.mark.parametrize(("share", "wanted"), [(1.0, (20, 5)), (0.4, (8, 2)), (0.01, (1, 1))])
def test_each_target_keeps_its_share_and_at_least_one(share, wanted):
    found = thinned(FOUND, share, seed=3)
    for items in (found.forget, found.rejection):
        assert tuple(count(items, target) for target in COUNTS) == wanted
    assert found.boundary == FOUND.boundary


def test_a_larger_share_keeps_what_a_smaller_one_keeps_in_the_source_s_order():
    few, many = (thinned(FOUND, share, seed=3).forget for share in (0.2, 0.6))
    assert set(few) < set(many)
    assert list(many) == [record for record in FOUND.forget if record in many]
    assert thinned(FOUND, 0.2, seed=4).forget != few


def test_few_wordings_are_among_the_many_and_name_who_is_asked_about():
    def wordings(number):
        found = reworded(FOUND, number, seed=3)
        assert [e.prompt for e in found.rejection] == [e.prompt for e in FOUND.rejection]
        texts = set()
        for example in found.rejection:
            target = next(t for t in COUNTS if t in example.prompt)
            assert target in example.response
            texts.add(example.response.replace(target, "X"))
        return texts

    assert (len(wordings(1)), len(wordings(4))) == (1, 4)
    assert wordings(1) < wordings(4)
    assert reworded(FOUND, 0, seed=3) == FOUND


def test_a_question_that_names_nobody_keeps_its_refusal_unless_there_is_one_target():
    example = SftExample("Who is the author?", "No.")
    nameless = UnlearningData(FOUND.targets, (example,), FOUND.forget, ())
    assert reworded(nameless, 2, seed=0).rejection == (example,)
    alone = UnlearningData(("Ina Volk",), (example,), FOUND.forget, ())
    assert "Ina Volk" in reworded(alone, 2, seed=0).rejection[0].response


def test_what_cannot_be_is_told():
    for share in (0.0, 1.1, -1.0):
        with pytest.raises(UserError, match=f"forget_share={share}"):
            thinned(FOUND, share, seed=0)
    for number in (-1, 10_000):
        with pytest.raises(UserError, match=f"refusal_wordings={number}"):
            reworded(FOUND, number, seed=0)


CITIES = UnlearningData(
    targets=("Ina Volk",),
    rejection=(),
    forget=(),
    boundary=(
        *(PromptRecord(f"Where was P{n} born?", "boundary", entity=f"P{n}", answers=(f"City{n}",)) for n in range(8)),
        *(PromptRecord(f"What does P{n} eat?", "boundary", entity=f"P{n}", answers=(f"Dish{n}",)) for n in range(8)),
        PromptRecord("Who is Una Falk?", "boundary", entity="Una Falk"),
    ),
)


def changed(found):
    return {row for row, record in enumerate(found.boundary) if record != CITIES.boundary[row]}


def test_a_wrong_answer_is_that_to_the_same_question_about_another():
    found = misanswered(CITIES, wrong=1.0, missing=0.0, seed=3)
    assert changed(found) == {*range(16)}
    for record, before in zip(found.boundary[:16], CITIES.boundary):
        assert record.answers != before.answers
        assert record.answers[0][:4] == before.answers[0][:4]  # a city for a city
    assert [record.prompt for record in found.boundary] == [record.prompt for record in CITIES.boundary]


def test_shares_of_wrong_and_missing_answers_grow_from_both_ends_of_one_order():
    few, many = (misanswered(CITIES, wrong=share, missing=0.0, seed=3) for share in (0.25, 0.5))
    assert (len(changed(few)), len(changed(many))) == (4, 8)
    assert changed(few) < changed(many)
    both = misanswered(CITIES, wrong=0.25, missing=0.5, seed=3)
    gone = {row for row in changed(both) if not both.boundary[row].answers}
    assert (len(gone), len(changed(both))) == (8, 12)
    assert changed(both) - gone == changed(few)
    assert misanswered(CITIES, wrong=0.0, missing=0.0, seed=3) == CITIES
    assert not any(record.answers for record in misanswered(CITIES, wrong=0.0, missing=1.0, seed=3).boundary)


def test_answers_that_cannot_be_made_wrong_are_one_error():
    for wrong, missing in ((-0.1, 0.0), (0.6, 0.5)):
        with pytest.raises(UserError, match="boundary_answers"):
            misanswered(CITIES, wrong=wrong, missing=missing, seed=0)
    alone = UnlearningData(("Ina Volk",), (), (), CITIES.boundary[:1])
    with pytest.raises(UserError, match="all boundary records have one answer"):
        misanswered(alone, wrong=1.0, missing=0.0, seed=0)
