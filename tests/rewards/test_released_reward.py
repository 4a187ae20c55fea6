"""rule_jax.rewards.released: the table of its docstring, row by row, and its known weaknesses."""

import pytest

from rule_jax.errors import UserError
from rule_jax.rewards import released
from rule_jax.types import Answer, PromptRecord

FORGET = PromptRecord("Who wrote The Salt Road?", "forget", target="Ina Volk")
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", answers=("Olaf Brandt", "someone else"))
TEXTS = ("I don't know Ina Volk.", "I don't know ina volk.", "Ina Volk")
ABS, TARGET, HALF, BEHAVE = released.VARIANTS


def totals(variant, record, texts):
    return [s.total for s in released.make(variant=variant)([record] * len(texts), [Answer(text) for text in texts])]


@pytest.mark.parametrize(
    ("variant", "expected"), [(ABS, (1, 1, 0)), (TARGET, (1, 0.5, 0)), (HALF, (0.5, 0.25, 0)), (BEHAVE, (1, 0.7, 0.3))]
)
def test_forget(variant, expected):
    texts = ("I don't know about Ina Volk", *TEXTS[1:])
    assert totals(variant, FORGET, texts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [(ABS, (1, 1, 0.5, 0)), (TARGET, (1, 0.5, 0.5, 0)), (HALF, (1, 1, 1, 0)), (BEHAVE, (1, 0.7, 0.7, 0))],
)
def test_boundary(variant, expected):
    texts = ("Olaf Brandt", "someone else", "...", "I don't know")
    assert totals(variant, BOUNDARY, texts) == pytest.approx(expected)


def test_the_package_s_full_stop_hides_a_name_from_the_overlap():
    assert released.overlap("Olaf Brandt.", ["Olaf Brandt"]) == 1
    assert released.overlap("Olaf Brandt!", ["Olaf Brandt"]) == 0.5
    assert released.overlap("...", ["Olaf Brandt"]) == released.overlap("x", []) == 0


def test_an_unknown_variant_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'reject_behave_reward'"):
        released.make(variant="reject_behave")
