"""ops.shapes: a name's letters are its axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops.shapes import check


def test_equal_letters_mean_equal_sizes():
    check(logprobs_BT=np.zeros((2, 3)), mask_BT=np.zeros((2, 3)), length_B=np.zeros(2), mask_BTT=np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match=r"axis T is 3 in x_BT and 4 in y_T \(shape \(4,\)\)"):
        check(x_BT=np.zeros((2, 3)), y_T=np.zeros(4))


def test_a_repeated_letter_must_agree_with_itself():
    with pytest.raises(ValueError, match="axis T is 3 in mask_BTT and 4 in mask_BTT"):
        check(mask_BTT=np.zeros((2, 3, 4)))


def test_rank_is_counted():
    with pytest.raises(ValueError, match=r"some_name_BT has shape \(2, 3, 1\): expected 2 axes \(BT\)"):
        check(some_name_BT=np.zeros((2, 3, 1)))


def test_tracers_are_checked_while_tracing():
    def traced(x: jax.Array, y: jax.Array) -> jax.Array:
        check(x_BT=x, y_BT=y)
        return x + y

    assert jax.jit(traced)(jnp.ones((1, 2)), jnp.ones((1, 2))).shape == (1, 2)
    with pytest.raises(ValueError, match="axis T"):
        jax.jit(traced)(jnp.ones((1, 2)), jnp.ones((1, 3)))
