"""Rounding that is right on average."""

import jax
import jax.numpy as jnp


def stochastic_bfloat16(x: jax.Array, key: jax.Array) -> jax.Array:
    """float32 to bfloat16, up or down at random so that the expectation is x; what bfloat16 can hold is kept.

    A running mean that moves by less than half a bfloat16 step (1/512 of its value) never moves when rounded to the
    nearest; rounded like this it moves by the right amount on average. Infinities and NaN stay what they are.
    """
    assert x.dtype == jnp.float32, x.dtype
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    noise = jax.random.bits(key, x.shape, jnp.uint32) >> 16
    rounded = jax.lax.bitcast_convert_type((bits + noise) & jnp.uint32(0xFFFF0000), jnp.float32)
    return jnp.where(jnp.isfinite(x), rounded, x).astype(jnp.bfloat16)
