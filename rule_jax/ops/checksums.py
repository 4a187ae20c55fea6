"""A number that says whether arrays are still the ones that they were."""

from typing import Any

import jax
import jax.numpy as jnp


def checksum(tree: Any) -> jax.Array:
    """A uint32 of the bits of all arrays: the sum of bits_i (2 (i + n) + 1) mod 2^32, i the place in leaf number n.

    Odd weights: no change to a single element leaves it as it was. Sums of integers: it is the same on any mesh, and
    takes no copy of the arrays.
    """
    total = jnp.uint32(0)
    for number, leaf in enumerate(jax.tree.leaves(tree)):
        bits = _bits(jnp.asarray(leaf))
        place, stride = jnp.full(bits.shape, number, jnp.uint32), 1
        for axis in reversed(range(bits.ndim)):
            along = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
            place = place + jnp.uint32(stride) * along
            stride = stride * bits.shape[axis] % 2**32
        total = total + jnp.sum(bits * (2 * place + 1), dtype=jnp.uint32)
    return total


def _bits(x: jax.Array) -> jax.Array:
    """The bits of each element as a uint32. Random keys are their data."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}").astype(jnp.uint32)
