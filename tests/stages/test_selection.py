"""stages._selection: which groups of a rollout are learnt from."""

import itertools

import numpy as np
import pytest

from rule_jax.stages._selection import kept

REWARDS = np.array(
    [
        [1.0, 1.0, 1.0, 1.0],
        [0.0, 1.0, 0.0, 1.0],  # differs
        [0.0, 0.0, 0.0, 1.0],  # differs
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 0.5],  # differs, by less
        [0.3, 0.3, 0.3, 0.3],
    ],
    np.float32,
)


def drawn(count, seed=0):
    return [tuple(kept(REWARDS, count, seed, step).tolist()) for step in range(60)]


def test_groups_that_differ_are_taken_and_others_fill_the_batch():
    assert set(drawn(3)) == {(1, 2, 4)}
    assert set(drawn(6)) == {(0, 1, 2, 3, 4, 5)}
    assert set(drawn(4)) == {(0, 1, 2, 4), (1, 2, 3, 4), (1, 2, 4, 5)}


@pytest.mark.parametrize("count", [1, 2])
def test_of_many_that_differ_chance_takes_any_however_far_apart_their_rewards(count):
    found = drawn(count)
    assert set(found) == set(itertools.combinations((1, 2, 4), count))
    assert all(found.count(one) > 10 for one in set(found))  # of 60, 20 each are expected


def test_chance_goes_by_seed_and_step():
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(1, seed=1)
