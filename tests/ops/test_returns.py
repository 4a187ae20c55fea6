"""ops.advantages, rewards over time: returns, generalised advantages and penalties, in float64 against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import advantages
from rule_jax.ops.masked import explained_variance, masked_whiten
from rule_jax.ops.value_loss import clipped_value_loss

# Answers of one, four (the end in the last slot), three and no tokens; rewards, values and the value after the end.
MASK = np.array([[[1, 0, 0, 0], [1, 1, 1, 1]], [[1, 1, 1, 0], [0, 0, 0, 0]]], bool)
RNG = np.random.default_rng(0)
REWARDS, VALUES, FINAL = RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 2))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_the_reward_arrives_with_the_last_token():
    found = advantages.token_rewards(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.full((2, 2, 4), 0.1), jnp.asarray(MASK))
    wanted = [[[0.9, 0, 0, 0], [-0.1, -0.1, -0.1, 1.9]], [[-0.1, -0.1, 2.9, 0], [0, 0, 0, 0]]]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_returns_of_the_published_check():
    mask = jnp.array([[[True, False, False, True]]])
    penalty = advantages.token_rewards(jnp.zeros((1, 1)), jnp.ones((1, 1, 4)), mask)
    found = advantages.discounted_returns(penalty, mask, gamma=0.9)
    np.testing.assert_allclose(found, [[[-1.729, 0, 0, -1]]], rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_returns_against_a_loop(gamma):
    wanted = np.zeros(MASK.shape)
    for b, g, t in np.argwhere(MASK):
        wanted[b, g, t] = sum(gamma ** (k - t) * REWARDS[b, g, k] * MASK[b, g, k] for k in range(t, 4))
    found = advantages.discounted_returns(jnp.where(MASK, REWARDS, jnp.nan), jnp.asarray(MASK), gamma=gamma)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


def gae_by_loop(gamma, lam):
    """A_t = sum_l (gamma lam)^l delta_{t+l}, the sum of the paper, over each answer's own tokens."""
    wanted = np.zeros(MASK.shape)
    for b, g in np.ndindex(2, 2):
        n = MASK[b, g].sum()
        after = [*VALUES[b, g, 1:n], FINAL[b, g]]
        deltas = [REWARDS[b, g, t] + gamma * after[t] - VALUES[b, g, t] for t in range(n)]
        for t in range(n):
            wanted[b, g, t] = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n))
    return wanted


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0), (0.0, 0.9)])
def test_gae_against_a_loop(gamma, lam):
    rewards, values = (jnp.where(MASK, x, jnp.nan) for x in (REWARDS, VALUES))
    found = advantages.gae(rewards, values, jnp.asarray(MASK), jnp.asarray(FINAL), gamma=gamma, lam=lam)
    np.testing.assert_allclose(found, gae_by_loop(gamma, lam), rtol=1e-12, atol=1e-15)


def test_gae_by_hand():
    # Three tokens, the reward 1 at the end, values 0.5, 0.25, 0.75; gamma 1, lam 0.5.
    # deltas: 0.25 - 0.5 = -0.25, 0.75 - 0.25 = 0.5, 1 - 0.75 = 0.25; from the end 0.25, 0.625, 0.0625.
    mask = jnp.array([[[True, True, True, False]]])
    rewards, values = jnp.array([[[0, 0, 1.0, 9]]]), jnp.array([[[0.5, 0.25, 0.75, 9]]])
    found = advantages.gae(rewards, values, mask, jnp.zeros((1, 1)), gamma=1.0, lam=0.5)
    np.testing.assert_allclose(found, [[[0.0625, 0.625, 0.25, 0]]], rtol=1e-12)
    # An answer that goes on behind its cut would count its next value.
    found = advantages.gae(rewards, values, mask, jnp.full((1, 1), 2.0), gamma=1.0, lam=0.5)
    np.testing.assert_allclose(found, [[[0.5625, 1.625, 2.25, 0]]], rtol=1e-12)


def test_gae_with_lambda_one_is_the_return_less_the_value():
    mask = jnp.asarray(MASK)
    returns = advantages.discounted_returns(jnp.asarray(REWARDS), mask, gamma=0.9)
    found = advantages.gae(REWARDS, VALUES, mask, jnp.zeros((2, 2)), gamma=0.9, lam=1.0)
    np.testing.assert_allclose(found, np.where(MASK, returns - VALUES, 0), rtol=1e-10)


def test_gae_skips_holes():
    holes = jnp.array([[[True, False, True, False, True]]])
    rewards, values = jnp.array([[[1.0, 7, 2, 7, 3]]]), jnp.array([[[0.1, 7, 0.2, 7, 0.3]]])
    found = advantages.gae(rewards, values, holes, jnp.zeros((1, 1)), gamma=0.9, lam=0.8)
    dense = advantages.gae(
        rewards[..., ::2], values[..., ::2], jnp.ones((1, 1, 3), bool), jnp.zeros((1, 1)), gamma=0.9, lam=0.8
    )
    np.testing.assert_allclose(found[..., ::2], dense, rtol=1e-12)
    np.testing.assert_array_equal(found[..., 1::2], 0)


def test_whitening_over_the_batch_by_hand():
    # Valid entries 1, 2, 3 and 6: mean 3, variance (4 + 1 + 0 + 9) / 4.
    x = jnp.array([[[1.0, 2, jnp.nan]], [[3.0, 6, jnp.nan]]])
    mask = jnp.array([[[True, True, False]]] * 2)
    sigma = np.sqrt(3.5)
    np.testing.assert_allclose(masked_whiten(x, mask), [[[-2 / sigma, -1 / sigma, 0]], [[0, 3 / sigma, 0]]], rtol=1e-6)
    np.testing.assert_array_equal(masked_whiten(x, jnp.zeros_like(mask)), np.zeros((2, 1, 3)))
    np.testing.assert_array_equal(masked_whiten(jnp.full((2, 1, 3), 0.1), mask), np.zeros((2, 1, 3)))


def test_explained_variance_by_hand():
    target, mask = jnp.array([0.0, 2, 4, jnp.nan]), jnp.array([True, True, True, False])
    assert explained_variance(target, target, mask) == 1
    assert explained_variance(target + 5, target, mask) == 1  # a constant error is no variance
    assert explained_variance(jnp.zeros(4), target, mask) == 0
    # Errors 0, -1, 0: variance 2/9 of 8/3.
    np.testing.assert_allclose(explained_variance(jnp.array([0.0, 3, 4, 0]), target, mask), 1 - 1 / 12)
    assert explained_variance(target, jnp.ones(4), mask) == 0
    assert explained_variance(target, target, jnp.zeros(4, bool)) == 0


def test_overlong_by_hand():
    found = advantages.soft_overlong(jnp.array([[1, 6, 7, 8, 10, 12]]), limit=10, margin=4)
    np.testing.assert_allclose(found, [[0, 0, -0.25, -0.5, -1, -1]])


@pytest.mark.parametrize(
    ("value", "loss", "slope", "clipped"),
    [
        # Old value 0, return 1, clip 0.2.
        (0.0, 0.5, -1.0, False),
        (0.1, 0.405, -0.9, False),
        (0.5, 0.32, 0.0, True),  # past the clip towards the return: no more gradient
        (1.0, 0.32, 0.0, True),
        (-0.5, 1.125, -1.5, False),  # away from it: pulled back
        (3.0, 2.0, 2.0, False),  # past the return and further off than the clipped value
    ],
)
def test_value_loss_by_hand(value, loss, slope, clipped):
    def of(value):
        return clipped_value_loss(value, jnp.zeros(()), jnp.ones(()), clip=0.2)

    found, held = of(jnp.asarray(value))
    np.testing.assert_allclose(found, loss, rtol=1e-12)
    assert bool(held) == clipped
    np.testing.assert_allclose(jax.grad(lambda v: of(v)[0])(jnp.asarray(value)), slope, rtol=1e-12, atol=1e-15)


def test_an_infinite_value_clip_is_off():
    found, held = clipped_value_loss(jnp.array([3.0]), jnp.zeros(1), jnp.ones(1), clip=jnp.inf)
    np.testing.assert_allclose(found, [2.0])
    assert not held.any()
