"""Reinforce++ by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.errors import UserError
from tests.algorithms.test_contract_algorithms import LENGTHS, REWARDS, draw, targets_of

MASK = np.arange(4) < LENGTHS[..., None]


def whitened(experience, rewards, coef, gamma):
    """G_t = sum_k gamma^(k-t) r_k with r = reward at the end less coef k1, whitened over all tokens of the batch."""
    gap = np.asarray(experience.outputs.logprobs_BGR, np.float64) - np.asarray(experience.outputs.reference_BGR)
    returns = np.zeros(MASK.shape)
    for b, g, t in np.argwhere(MASK):
        n = LENGTHS[b, g]
        returns[b, g, t] = gamma ** (n - 1 - t) * rewards[b, g]
        returns[b, g, t] -= coef * sum(gamma ** (k - t) * gap[b, g, k] for k in range(t, n))
    return np.where(MASK, (returns - returns[MASK].mean()) / returns[MASK].std(), 0)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_advantages_by_hand(algorithm, gamma):
    made = algorithm("reinforce_pp", gamma=gamma, baseline="none", kl__coef=0.3)
    experience, _ = draw()
    found = targets_of(made, experience)[0].advantages_BGR
    wanted = whitened(experience, np.asarray(REWARDS, np.float64), 0.3, gamma)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_baseline_form_by_hand(algorithm):
    made = algorithm("reinforce_pp", gamma=1.0, baseline="group", kl__coef=0.3)
    experience, _ = draw()
    rewards = np.asarray(REWARDS, np.float64)
    wanted = whitened(experience, rewards - rewards.mean(1, keepdims=True), 0.3, 1.0)
    np.testing.assert_allclose(targets_of(made, experience)[0].advantages_BGR, wanted, rtol=1e-4, atol=1e-5)
    assert made.min_samples == 2
    assert algorithm("reinforce_pp", baseline="none").min_samples == 1


def test_the_whole_batch_is_whitened_not_each_group(algorithm):
    """A group that earned more than the batch is all above 0, which no group-relative advantage can be."""
    made = algorithm("reinforce_pp", baseline="none", kl__placement="none")
    experience, _ = draw()
    rewards = jnp.array([[1.0, 0.9, 1.0, 0.9], [0.1, 0, 0.1, 0], [0, 0, 0, 0]])
    found = np.asarray(targets_of(made, experience._replace(rewards_BG=rewards))[0].advantages_BGR)
    assert (found[0][MASK[0]] > 0).all()
    assert (found[1:][MASK[1:]] < 0).all()
    np.testing.assert_allclose([found[MASK].mean(), found[MASK].std()], [0, 1], atol=1e-5)


def test_a_batch_of_equal_rewards_has_no_advantage(algorithm):
    made = algorithm("reinforce_pp", baseline="none", kl__placement="none", gamma=1.0)
    experience, _ = draw()
    equal = experience._replace(rewards_BG=jnp.full(LENGTHS.shape, 0.5))
    np.testing.assert_array_equal(targets_of(made, equal)[0].advantages_BGR, 0)


def test_options(algorithm):
    with pytest.raises(UserError, match=r"algorithm.baseline='mean': it must be one of none, group"):
        algorithm("reinforce_pp", baseline="mean")
    with pytest.raises(UserError, match=r"algorithm.gamma=-0.1: it must be between 0 and 1"):
        algorithm("reinforce_pp", gamma=-0.1)
