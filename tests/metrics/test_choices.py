"""rule_jax.metrics.choices: accuracy, MC1 and MC2 by hand."""

import math

import pytest

from rule_jax.metrics import choices


def test_picks_the_highest_and_of_equals_the_first():
    assert choices.picks([-2.0, -1.0], 1)
    assert choices.picks([-1.0, -1.0], 0)
    assert not choices.picks([-1.0, -1.0], 1)


def test_mc1_asks_the_first_true_choice_to_beat_all_false_ones():
    assert choices.mc1([-1.0, -2.0], [1, 0]) == 1
    assert choices.mc1([-2.0, -1.0, -1.5], [1, 1, 0]) == 0
    assert choices.mc1([-1.0, -1.0], [1, 0]) == 0


def test_mc2_is_the_share_of_the_true():
    scores = [math.log(0.1), math.log(0.2), math.log(0.1)]
    assert choices.mc2(scores, [1, 0, 1]) == pytest.approx(0.5)
    assert choices.mc2([score - 2000 for score in scores], [1, 0, 1]) == pytest.approx(0.5)  # no underflow
