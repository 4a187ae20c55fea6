"""Draws from categorical distributions, with far fewer random numbers than there are categories."""

import jax
import jax.numpy as jnp

BLOCKS = 64  # a power of two: devices that share a vocabulary, up to as many, have whole blocks each


def categorical(keys: jax.Array, logprobs_V: jax.Array) -> jax.Array:
    """int32 indices [...], each drawn by its own key [...] from exp(logprobs_V) [..., V]; exp must add up to 1.

    The categories are cut into blocks: first a block is drawn by its sum, then a category within it, both by the
    Gumbel trick of jax.random.categorical. Alone, that takes V random numbers and their logarithms for every draw,
    which on a CPU costs more than a small model's forward pass; this way they are 64 + V / 64. As there, a draw moves
    with rounding of the logits only where two categories are about level. (Inverting the cumulative distribution
    takes one number, but its draws move wherever one of V bounds does.) A category of probability 0 is never drawn.
    """
    V = logprobs_V.shape[-1]
    blank = [(0, 0)] * (logprobs_V.ndim - 1)
    padded = jnp.pad(logprobs_V, [*blank, (0, -V % BLOCKS)], constant_values=-jnp.inf)
    blocks = padded.reshape(*padded.shape[:-1], BLOCKS, -1)
    two_keys = jnp.vectorize(jax.random.split, signature="()->(n)")(keys)
    block = _gumbel(two_keys[..., 0], jnp.log(jnp.sum(jnp.exp(blocks), axis=-1)))
    chosen = jax.nn.one_hot(block, BLOCKS, dtype=bool)[..., None]
    inside = jnp.sum(jnp.where(chosen, blocks, 0.0), axis=-2)  # a sum, not a gather: blocks may lie on other devices
    place = _gumbel(two_keys[..., 1], inside)
    return block * blocks.shape[-1] + place


def _gumbel(keys: jax.Array, logits_N: jax.Array) -> jax.Array:
    """int32 [...]: an index of logits_N [..., N] by each key [...]."""
    return jnp.vectorize(jax.random.categorical, signature="(),(n)->()")(keys, logits_N).astype(jnp.int32)
