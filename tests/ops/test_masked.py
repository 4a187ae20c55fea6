"""ops.masked against plain float64 sums; what lies beyond a mask is NaN throughout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import masked

X = np.array([[1.0, 4.0, np.nan], [-2.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])
MASK = np.isfinite(X)
REDUCTIONS = {
    "sum": lambda x, m: masked.masked_sum(x, m),
    "mean": lambda x, m: masked.masked_mean(x, m),
    "row means": lambda x, m: jnp.sum(masked.masked_mean(x, m, axis=1)),
    "variance": lambda x, m: masked.masked_variance(x, m),
    "sample variance": lambda x, m: masked.masked_variance(x, m, ddof=1),
    "whitened": lambda x, m: jnp.sum(masked.masked_whiten(x, m) ** 3),
}


def test_length_mask_counts_from_the_left():
    np.testing.assert_array_equal(
        masked.length_mask(jnp.array([[0, 1], [2, 5]]), 3),
        [[[False, False, False], [True, False, False]], [[True, True, False], [True, True, True]]],
    )


def test_sum_and_mean_by_hand():
    np.testing.assert_allclose(masked.masked_sum(X, MASK), 3.0)
    np.testing.assert_allclose(masked.masked_sum(X, MASK, axis=1), [5.0, -2.0, 0.0])
    np.testing.assert_allclose(masked.masked_mean(X, MASK), 1.0)
    np.testing.assert_allclose(masked.masked_mean(X, MASK, axis=1), [2.5, -2.0, 0.0])
    np.testing.assert_allclose(masked.masked_mean(X, MASK, axis=0), [-0.5, 4.0, 0.0])
    np.testing.assert_allclose(masked.masked_mean(X, MASK, axis=(0, 1)), 1.0)


def test_variance_by_hand():
    # Entries 1, 4, -2 about their mean 1: squares 0, 9, 9.
    np.testing.assert_allclose(masked.masked_variance(X, MASK), 6.0, rtol=1e-6)
    np.testing.assert_allclose(masked.masked_variance(X, MASK, ddof=1), 9.0, rtol=1e-6)
    one = np.arange(9).reshape(3, 3) == 0
    assert masked.masked_variance(X, one, ddof=1) == 0  # the divisor is never below 1


def test_whitened_entries_have_mean_zero_and_variance_one():
    white = np.asarray(masked.masked_whiten(X, MASK), np.float64)
    np.testing.assert_allclose(white[MASK], np.array([0.0, 3.0, -3.0]) / np.sqrt(6), atol=1e-6)
    assert (white[~MASK] == 0).all()


def test_whitening_adds_eps_to_the_variance():
    np.testing.assert_allclose(masked.masked_whiten(X, MASK, eps=3.0)[0, 1], 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_an_empty_mask_gives_zero_and_no_gradient(name):
    value, gradient = jax.value_and_grad(REDUCTIONS[name])(jnp.asarray(X), np.zeros_like(MASK))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(X))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_masked_places_never_reach_value_or_gradient(name):
    value, gradient = jax.value_and_grad(REDUCTIONS[name])(jnp.asarray(X), MASK)
    clean, clean_gradient = jax.value_and_grad(REDUCTIONS[name])(jnp.asarray(np.where(MASK, X, 7.0)), MASK)
    assert np.isfinite(value)
    assert (np.asarray(gradient)[~MASK] == 0).all()
    np.testing.assert_array_equal(value, clean)
    np.testing.assert_array_equal(gradient, clean_gradient)
    assert (np.asarray(gradient)[MASK] != 0).any()
