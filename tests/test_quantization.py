"""Rounding of weights: by hand, by its error bound, and over a whole model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.quantization import SCHEMES, round_to_nearest, round_weights


def test_round_to_nearest_by_hand():
    weights = jnp.asarray([[[7.0, 1.0], [3.4, 0.0], [-3.6, 0.0], [-7.0, 0.0]]])
    np.testing.assert_allclose(
        round_to_nearest(weights, 4, 0)[0], [[7.0, 1.0], [3.0, 0.0], [-4.0, 0.0], [-7.0, 0.0]], rtol=1e-6
    )
    by_two = round_to_nearest(weights, 4, 2)[0, :, 0]  # the scale of the second pair is 1 too
    np.testing.assert_allclose(by_two, [7.0, 3.0, -4.0, -7.0], rtol=1e-6)
    np.testing.assert_array_equal(round_to_nearest(jnp.zeros((1, 4, 1)), 8, 0), np.zeros((1, 4, 1)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_weight_moves_by_more_than_half_a_step(scheme):
    bits, group = SCHEMES[scheme]
    weights = np.random.default_rng(0).normal(size=(2, 128, 5)).astype(np.float32)
    found = np.asarray(round_to_nearest(weights, bits, group))
    size = group or 128
    largest = np.abs(weights.reshape(2, 128 // size, size, 5)).max(axis=2, keepdims=True)
    error = np.abs(found - weights).reshape(2, 128 // size, size, 5)
    assert np.all(error <= largest / (2 ** (bits - 1) - 1) / 2 * 1.001)
    assert error.max() > 0
    levels = {len(np.unique(found[0, :size, column])) for column in range(5)}
    assert max(levels) <= 2**bits - 1


def test_projections_are_rounded_and_nothing_else(tiny):
    model, params = tiny()
    rounded = round_weights(model, params, "int8")
    assert jax.tree.structure(rounded) == jax.tree.structure(params)
    for (path, was), now in zip(jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(rounded)):
        moved = bool(np.any(np.asarray(was) != np.asarray(now)))
        assert moved == jax.tree_util.keystr(path).endswith("_kernel']"), path
        np.testing.assert_allclose(now, was, atol=0.02)
