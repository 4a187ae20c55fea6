"""rule_jax.metrics.statistics: intervals that cover, pair and repeat."""

import itertools
import math

import numpy as np
import pytest

from rule_jax.metrics import statistics as s


def test_the_interval_is_that_of_a_normal_mean():
    values = np.random.default_rng(1).normal(5.0, 2.0, 400).tolist()
    found = s.bootstrap(values)
    half = 1.96 * np.std(values) / 20
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.03)
    assert found.n == 400


def test_the_same_values_and_seed_give_the_same_interval():
    values = np.random.default_rng(0).normal(size=9).tolist()
    assert s.bootstrap(values, seed=3) == s.bootstrap(values, seed=3) != s.bootstrap(values, seed=4)


def test_the_greatest_of_some_by_all_choices():
    values = [0.3, 1.0, 0.0, 0.3, 0.7]
    for k in range(1, 6):
        wanted = np.mean([max(chosen) for chosen in itertools.combinations(values, k)])
        assert s.expected_max(values, k) == pytest.approx(wanted)
    assert s.expected_max([0.0] * 63 + [1.0], 8) == pytest.approx(8 / 64)  # the one is among the eight
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"greatest of {k} of 5"):
            s.expected_max(values, k)


def test_few_values():
    assert s.bootstrap([0.5]) == (0.5, 0.5, 0.5, 1)
    nothing = s.bootstrap([])
    assert nothing.n == 0
    assert math.isnan(nothing.mean)


def test_pairing_cancels_what_is_shared():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 50)  # how hard each query is
    one, other = hard + 1 + rng.normal(0, 0.1, 50), hard
    assert s.separated(s.paired_difference(one.tolist(), other.tolist()))
    alone = s.bootstrap(one.tolist())
    assert alone.low < other.mean() < alone.high  # unpaired they cannot be told apart
    assert not s.separated(s.paired_difference([1.0], [0.0]))
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        s.paired_difference([1.0, 2.0], [1.0])
