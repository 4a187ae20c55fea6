"""PPO by hand: token rewards, generalised advantages, whitening, and the critic's loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.errors import UserError
from tests.algorithms.test_contract_algorithms import LENGTHS, REWARDS, draw, losses, targets_of

MASK = np.arange(4) < LENGTHS[..., None]


def by_hand(experience, coef, gamma, lam):
    """(advantages before whitening, returns) by loops over each answer's own tokens, in float64."""
    outputs, values = experience.outputs, np.asarray(experience.values_BGR, np.float64)
    gap = np.asarray(outputs.logprobs_BGR, np.float64) - np.asarray(outputs.reference_BGR, np.float64)
    advantages = np.zeros(MASK.shape)
    for b, g in np.ndindex(LENGTHS.shape):
        n = LENGTHS[b, g]
        rewards = [-coef * gap[b, g, t] + (t == n - 1) * float(REWARDS[b, g]) for t in range(n)]
        later = 0.0
        for t in reversed(range(n)):
            after = values[b, g, t + 1] if t + 1 < n else 0.0  # the end, whether an EOS or the limit, is worth nothing
            later = rewards[t] + gamma * after - values[b, g, t] + gamma * lam * later
            advantages[b, g, t] = later
    return advantages, np.where(MASK, advantages + values, 0)


def test_targets_by_hand(algorithm):
    made = algorithm("ppo", gamma=0.9, lam=0.8, kl__coef=0.5, kl__placement="reward", kl__estimator="k1")
    experience, _ = draw()
    targets, metrics = targets_of(made, experience)
    advantages, returns = by_hand(experience, 0.5, 0.9, 0.8)
    valid = advantages[MASK]
    np.testing.assert_allclose(
        targets.advantages_BGR, np.where(MASK, (advantages - valid.mean()) / valid.std(), 0), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(targets.returns_BGR, returns, rtol=1e-4, atol=1e-5)
    errors = (returns - np.asarray(experience.values_BGR))[MASK]
    wanted = 1 - errors.var() / returns[MASK].var()
    np.testing.assert_allclose(metrics["value/explained_variance"], wanted, rtol=1e-3)


def test_value_loss_by_hand_and_its_gradient(algorithm):
    made = algorithm("ppo", value_clip=0.2)
    experience, later = draw()
    targets, _ = targets_of(made, experience)
    old, returns = (np.asarray(x, np.float64) for x in (experience.values_BGR, targets.returns_BGR))
    now = jnp.asarray(old + np.random.default_rng(4).normal(size=old.shape) * 0.4, jnp.float32)

    def loss(values):
        return losses(made, experience, later, values)[2]

    found, gradient = jax.value_and_grad(loss)(now)
    plain = (np.asarray(now) - returns) ** 2
    clipped = (np.clip(np.asarray(now), old - 0.2, old + 0.2) - returns) ** 2
    np.testing.assert_allclose(found, np.maximum(plain, clipped)[MASK].mean() / 2, rtol=1e-4)
    held = MASK & (clipped > plain)
    assert held.any()
    assert (MASK & ~held).any()
    assert (np.asarray(gradient)[held] == 0).all()
    np.testing.assert_allclose(
        gradient, np.where(MASK & ~held, np.asarray(now) - returns, 0) / MASK.sum(), rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(losses(made, experience, later, now)[3]["clip_fraction"], held.sum() / MASK.sum())


def test_a_perfect_critic_leaves_no_advantage(algorithm):
    """Values that are the rewards to come: nothing is better than expected, and the whitened rest is 0, not noise."""
    made = algorithm("ppo", gamma=1.0, lam=0.9, kl__placement="none")
    experience, _ = draw()
    experience = experience._replace(values_BGR=jnp.broadcast_to(REWARDS[..., None], MASK.shape))
    targets, metrics = targets_of(made, experience)
    np.testing.assert_allclose(targets.advantages_BGR, 0, atol=1e-2)
    np.testing.assert_allclose(metrics["value/explained_variance"], 1, rtol=1e-5)


def test_it_needs_a_critic_and_a_pass_before_the_updates(algorithm):
    made = algorithm("ppo", updates__epochs=1, updates__minibatches=1, kl__placement="none")
    assert made.value_loss
    assert made.scored
    assert made.min_samples == 1
    with pytest.raises(UserError, match=r"algorithm.lam=1.5: it must be between 0 and 1"):
        algorithm("ppo", lam=1.5)


def test_the_coefficient_follows_the_controller(algorithm):
    made = algorithm("ppo", kl__target=0.1, kl__coef=0.02, kl__gain=0.1)
    # e is the relative error, cut at a fifth: 0.02 (1 + 0.1 e).
    assert made.adapt(0.02, 0.11) == pytest.approx(0.02 * 1.01)
    assert made.adapt(0.02, 0.5) == pytest.approx(0.02 * 1.02)
    assert made.adapt(0.02, 0.0) == pytest.approx(0.02 * 0.98)
    assert made.adapt(0.02, 0.1) == pytest.approx(0.02)
    assert algorithm("ppo", kl__target=0.0).adapt(0.02, 5.0) == 0.02
