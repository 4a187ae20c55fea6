"""Reductions over the valid entries of an array. All are finite, with finite gradients, on an empty mask."""

import jax
import jax.numpy as jnp


def length_mask(length: jax.Array, size: int) -> jax.Array:
    """bool [..., size]: True at positions below `length` [...]. The only way a validity mask is made."""
    return jax.lax.broadcasted_iota(jnp.int32, (*length.shape, size), length.ndim) < length[..., None]


def masked_sum(x: jax.Array, mask: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Sum of x where mask is True; x beyond the mask may be anything, NaN included."""
    return jnp.sum(jnp.where(mask, x, 0), axis=axis)


def masked_mean(x: jax.Array, mask: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Mean of x where mask is True; 0 where nothing is."""
    return masked_sum(x, mask, axis) / jnp.maximum(jnp.sum(mask, axis=axis), 1)


def masked_variance(x: jax.Array, mask: jax.Array, *, ddof: int = 0) -> jax.Array:
    """Variance over all valid entries, divisor n - ddof (at least 1); 0 for an empty mask. A scalar."""
    centred = jnp.where(mask, x - masked_mean(x, mask), 0)  # before the square: 0 times NaN would be its gradient
    return masked_sum(jnp.square(centred), mask) / jnp.maximum(jnp.sum(mask) - ddof, 1)


def masked_whiten(x: jax.Array, mask: jax.Array, *, eps: float = 1e-8) -> jax.Array:
    """(x - mean) / sqrt(variance + eps) over the valid entries (ddof 0), 0 elsewhere."""
    scale = jax.lax.rsqrt(masked_variance(x, mask) + eps)
    return jnp.where(mask, x - masked_mean(x, mask), 0) * scale


def explained_variance(predicted: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """1 - Var(target - predicted) / Var(target) over the valid entries: 1 is perfect, 0 no better than a constant.

    0 where the target does not vary.
    """
    spread = masked_variance(target, mask)
    rest = masked_variance(jnp.where(mask, target - predicted, 0), mask)
    return jnp.where(spread > 0, 1 - rest / jnp.where(spread > 0, spread, 1), 0.0)
