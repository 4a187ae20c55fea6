"""What the objectives share: weights that are normalised over a batch, sums over a token's own sequence, checks."""

import jax
import jax.numpy as jnp

from rule_jax.errors import UserError
from rule_jax.types import Packed


def over_tokens(packed: Packed) -> Packed:
    """Weights that add up to 1 over the batch, so that a sum is the token mean; all 0 where all are."""
    return _scaled(packed, packed.weight_BT)


def over_sequences(packed: Packed) -> Packed:
    """Every weighted token counts 1 / (weighted tokens of its sequence x sequences): what is equal for all tokens of a
    sequence is averaged over sequences, however long. Weights count as 0 or not."""
    valued_BT = (packed.weight_BT > 0).astype(jnp.float32)
    return _scaled(packed, valued_BT / jnp.maximum(own_sum(valued_BT, packed), 1.0))


def own_sum(x_BT: jax.Array, packed: Packed) -> jax.Array:
    """[B, T]: at each token the sum of x over the weighted tokens of its own sequence (segment); x elsewhere may be
    anything."""
    valued_BT = jnp.where(packed.weight_BT > 0, x_BT, 0.0)
    same_BTT = packed.segment_BT[:, :, None] == packed.segment_BT[:, None, :]
    return jnp.einsum("bts,bs->bt", same_BTT.astype(valued_BT.dtype), valued_BT)


def weighted_sum(x_BT: jax.Array, packed: Packed) -> jax.Array:
    """The sum of x times weights; x where the weight is 0 may be anything."""
    return jnp.sum(packed.weight_BT * jnp.where(packed.weight_BT > 0, x_BT, 0.0))


def positive(objective: str, **numbers: float) -> None:
    """Raises UserError naming the first of the options that is not above 0."""
    for name, value in numbers.items():
        if not value > 0:
            raise UserError(f"objective {objective}: {name}={value}; it must be positive")


def not_negative(objective: str, **numbers: float) -> None:
    """Raises UserError naming the first of the options that is below 0."""
    for name, value in numbers.items():
        if not value >= 0:
            raise UserError(f"objective {objective}: {name}={value}; it must not be negative")


def _scaled(packed: Packed, weight_BT: jax.Array) -> Packed:
    total = jnp.sum(weight_BT)
    return packed._replace(weight_BT=weight_BT / jnp.where(total > 0, total, 1.0))
