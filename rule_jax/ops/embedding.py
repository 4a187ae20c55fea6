"""Rows of a table, looked up by token."""

import functools
from typing import Any

import jax
import jax.numpy as jnp


def look_up(table_VD: jax.Array, tokens: jax.Array) -> jax.Array:
    """The table's row [D] of each token, of any shape; NaN for a token that it lacks.

    The table's gradient is summed over the tokens in float32 and rounded to its dtype once: in bfloat16 the sum for a
    token that a batch has often would no longer move once it is 256 times what each adds to it.
    """
    return _rows(table_VD, tokens, table_VD.shape[0], table_VD.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _rows(table_VD: jax.Array, tokens: jax.Array, size: int, dtype: Any) -> jax.Array:
    return jnp.take(table_VD, tokens, axis=0)


def _forward(table_VD: jax.Array, tokens: jax.Array, size: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
    return _rows(table_VD, tokens, size, dtype), tokens


def _backward(size: int, dtype: Any, tokens: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    table_VD = jnp.zeros((size, gradient.shape[-1]), jnp.float32)
    return table_VD.at[tokens].add(gradient.astype(jnp.float32), mode="drop").astype(dtype), None


_rows.defvjp(_forward, _backward)
