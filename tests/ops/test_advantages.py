"""ops.advantages by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import advantages

group_relative = jax.jit(advantages.group_relative, static_argnames=("scale", "ddof", "eps"))
REWARDS = np.array([[0.0, 1.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0]])
CENTRED = np.array([[-0.5, 0.5, 0.5, -0.5], [0, 0, 0, 0], [-0.25, -0.25, -0.25, 0.75]])


@pytest.mark.parametrize(
    ("ddof", "sigmas"), [(0, (0.5, 1.0, np.sqrt(0.1875))), (1, (np.sqrt(1 / 3), 1.0, np.sqrt(0.25)))]
)
def test_by_group(ddof, sigmas):
    got = group_relative(jnp.asarray(REWARDS), scale="group", ddof=ddof)
    np.testing.assert_allclose(got, CENTRED / np.array(sigmas)[:, None], rtol=1e-5)


@pytest.mark.parametrize("ddof", [0, 1])
def test_by_batch(ddof):
    # Squares of the centred rewards: 4 * 0.25 + 3 * 0.0625 + 0.5625 = 1.75 over 12 rewards.
    got = group_relative(jnp.asarray(REWARDS), scale="batch", ddof=ddof)
    np.testing.assert_allclose(got, CENTRED / np.sqrt(1.75 / (12 - ddof)), rtol=1e-5)


def test_unscaled_is_the_plain_difference():
    got = group_relative(jnp.asarray(REWARDS), scale="none", eps=123.0)
    np.testing.assert_allclose(got, CENTRED, rtol=1e-6)


def test_eps_is_added_to_the_deviation():
    got = group_relative(jnp.asarray(REWARDS), scale="group", ddof=0, eps=0.5)
    np.testing.assert_allclose(got[0], CENTRED[0] / 1.0, rtol=1e-6)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_rewards_give_exactly_zero(scale):
    # 0.1 six times: the float32 mean is not 0.1, and the quotient of two roundings would be of the order of 1.
    rewards = np.array([[0.1] * 6, [0.7] * 6, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]], np.float32)
    got = np.asarray(group_relative(jnp.asarray(rewards), scale=scale, eps=1e-12))
    assert (got[:2] == 0).all()
    assert (got[2] != 0).all()
    np.testing.assert_array_equal(advantages.zero_variance(jnp.asarray(rewards)), [True, True, False])


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_a_batch_of_equal_groups_is_zero_not_nan(scale):
    got = group_relative(jnp.full((2, 3), 0.3), scale=scale)
    np.testing.assert_array_equal(got, np.zeros((2, 3)))


def test_shift_of_a_group_changes_nothing():
    shifted = REWARDS + np.array([[0.0], [3.0], [-2.0]])
    np.testing.assert_allclose(group_relative(jnp.asarray(shifted)), group_relative(jnp.asarray(REWARDS)), atol=1e-5)


@pytest.mark.parametrize(("size", "ddof"), [(1, 1), (1, 2), (2, 2)])
def test_a_group_too_small_is_refused(size, ddof):
    with pytest.raises(ValueError, match=f"group of {size} has no standard deviation with ddof {ddof}"):
        group_relative(jnp.zeros((2, size)), ddof=ddof)
