"""ops.policy_loss: every corner of the clip by hand, and the three KL estimators by exact sums over a vocabulary."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import policy_loss

CLIPS = {"clip_low": 0.2, "clip_high": 0.3, "dual_clip": 3.0}

surrogate = jax.jit(functools.partial(policy_loss.clipped_surrogate, **CLIPS))
slope_of = jax.jit(jax.grad(lambda log_ratio, advantage: surrogate(log_ratio, advantage).loss))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "low", "high"),
    [
        (1.0, 2.0, -2.0, -2.0, False, False),
        (1.0, -2.0, 2.0, 2.0, False, False),
        (1.25, 1.0, -1.25, -1.0, False, False),  # inside the upper bound, beyond the lower one's width
        (1.5, 1.0, -1.3, 0.0, False, True),
        (0.5, 1.0, -0.5, -1.0, False, False),  # worse than the bound: the gradient pulls it back
        (0.75, -1.0, 0.8, 0.0, True, False),
        (0.85, -1.0, 0.85, 1.0, False, False),
        (2.0, -1.0, 2.0, 1.0, False, False),  # below the dual clip
        (5.0, -1.0, 3.0, 0.0, False, True),  # the dual clip
        (5.0, -2.0, 6.0, 0.0, False, True),
        (5.0, 0.0, 0.0, 0.0, False, False),
    ],
)
def test_surrogate_by_hand(ratio, advantage, loss, slope, low, high):
    got = surrogate(jnp.log(jnp.float32(ratio)), jnp.float32(advantage))
    np.testing.assert_allclose(got.loss, loss, rtol=1e-6)
    assert (bool(got.clipped_low), bool(got.clipped_high)) == (low, high)
    # d loss / d ratio = d loss / d log_ratio / ratio
    gradient = slope_of(jnp.log(jnp.float32(ratio)), jnp.float32(advantage)) / ratio
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-7)


def test_infinite_dual_clip_is_off():
    got = policy_loss.clipped_surrogate(
        jnp.log(jnp.array([50.0, 50.0])), jnp.array([-1.0, 0.0]), clip_low=0.2, clip_high=0.3, dual_clip=jnp.inf
    )
    np.testing.assert_allclose(got.loss, [50.0, 0.0], rtol=1e-5)
    assert not got.clipped_high.any()


def test_on_policy_gradient_is_minus_the_advantage():
    advantages = jnp.array([1.5, -0.5, 0.0])
    gradient = jax.grad(lambda x: surrogate(x, advantages).loss.sum())(jnp.zeros(3))
    np.testing.assert_allclose(gradient, -advantages, rtol=1e-6)


def test_estimators_by_hand():
    logp, ref = jnp.log(jnp.array([0.5, 0.2])), jnp.log(jnp.array([0.25, 0.4]))
    np.testing.assert_allclose(policy_loss.kl_k1(logp, ref), [np.log(2), -np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(policy_loss.kl_k2(logp, ref), [np.log(2) ** 2 / 2] * 2, rtol=1e-6)
    np.testing.assert_allclose(policy_loss.kl_k3(logp, ref), [0.5 - 1 + np.log(2), 2 - 1 - np.log(2)], rtol=1e-6)


def test_k3_keeps_small_gaps():
    # exp(d) - 1 - d is nothing but rounding in float32 here; expm1 keeps d^2 / 2.
    np.testing.assert_allclose(policy_loss.kl_k3(jnp.float32(0.0), jnp.float32(1e-4)), 5e-9, rtol=1e-2)


LOGITS = jnp.array([0.3, -1.1, 0.8, 0.1, -0.4])
REFERENCE = jax.nn.log_softmax(jnp.array([-0.2, 0.5, 0.9, -1.0, 0.6]))


def kl_forward(logits):
    """KL(pi || pi_ref)"""
    logp = jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(logp) * (logp - REFERENCE))


def kl_reverse(logits):
    """KL(pi_ref || pi)"""
    return jnp.sum(jnp.exp(REFERENCE) * (REFERENCE - jax.nn.log_softmax(logits)))


def expected_gradient(estimator):
    """E over y ~ pi of the gradient of the estimator at y, the expectation held fixed: what a loss on samples gets."""
    chances = jax.nn.softmax(LOGITS)
    return jax.grad(lambda logits: jnp.sum(chances * estimator(jax.nn.log_softmax(logits), REFERENCE)))(LOGITS)


@pytest.mark.parametrize("estimator", [policy_loss.kl_k1, policy_loss.kl_k3])
def test_k1_and_k3_are_unbiased(estimator):
    logp = jax.nn.log_softmax(LOGITS)
    np.testing.assert_allclose(jnp.sum(jnp.exp(logp) * estimator(logp, REFERENCE)), kl_forward(LOGITS), rtol=1e-5)


def test_k2_is_biased_in_value():
    logp = jax.nn.log_softmax(LOGITS)
    value = jnp.sum(jnp.exp(logp) * policy_loss.kl_k2(logp, REFERENCE))
    assert abs(value / kl_forward(LOGITS) - 1) > 0.01


def test_k1_as_a_loss_has_no_gradient():
    np.testing.assert_allclose(expected_gradient(policy_loss.kl_k1), np.zeros(5), atol=1e-7)


def test_k2_as_a_loss_has_the_gradient_of_the_kl():
    np.testing.assert_allclose(expected_gradient(policy_loss.kl_k2), jax.grad(kl_forward)(LOGITS), rtol=1e-5, atol=1e-7)


def test_k3_as_a_loss_has_the_gradient_of_the_kl_from_the_reference():
    got = expected_gradient(policy_loss.kl_k3)
    np.testing.assert_allclose(got, jax.grad(kl_reverse)(LOGITS), rtol=1e-5, atol=1e-7)
    assert np.abs(got - jax.grad(kl_forward)(LOGITS)).max() > 0.01


@pytest.mark.parametrize("estimator", [policy_loss.kl_k2, policy_loss.kl_k3])
def test_k2_and_k3_are_never_negative_and_zero_at_the_reference(estimator):
    logp = jnp.linspace(-5.0, 0.0, 41)
    assert (estimator(logp, jnp.full(41, -2.0)) >= 0).all()
    np.testing.assert_array_equal(estimator(logp, logp), np.zeros(41))
