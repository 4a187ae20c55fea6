"""ops.embedding: rows by token, and a gradient that no number of tokens wears out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops.embedding import look_up

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(11, 5)).astype(np.float32)
TOKENS = RNG.integers(11, size=(3, 7))
PULL = RNG.normal(size=(3, 7, 5)).astype(np.float32)


def pulled(table, tokens, pull):
    return jnp.sum(look_up(table, tokens).astype(jnp.float32) * pull)


def test_rows_and_their_gradient_in_float64():
    np.testing.assert_array_equal(look_up(TABLE, TOKENS), TABLE[TOKENS])
    wanted = np.zeros(TABLE.shape, np.float64)
    np.add.at(wanted, TOKENS, PULL.astype(np.float64))
    found = jax.jit(jax.grad(pulled))(TABLE, TOKENS, PULL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("times", [256, 4000])
def test_a_token_that_comes_often_moves_its_row_by_all_it_adds(times):
    """One from each: in bfloat16 the sum would stop at 256."""
    table, tokens = jnp.zeros((8, 2), jnp.bfloat16), jnp.full(times, 3)
    found = jax.grad(pulled)(table, tokens, jnp.ones(()))
    assert found.dtype == jnp.bfloat16
    wanted = jnp.zeros((8, 2), jnp.bfloat16).at[3].set(times)
    np.testing.assert_array_equal(found, wanted)


def test_a_token_beyond_the_table_is_not_taken_for_another():
    assert np.isnan(look_up(TABLE, jnp.array([11]))).all()
    np.testing.assert_array_equal(jax.grad(pulled)(TABLE, jnp.array([11]), 1.0), 0 * TABLE)
