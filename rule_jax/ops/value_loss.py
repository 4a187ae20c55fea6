"""The critic's loss per token. Nothing here averages: the caller weights and sums."""

import jax
import jax.numpy as jnp


def clipped_value_loss(
    values: jax.Array, old_values: jax.Array, returns: jax.Array, *, clip: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """(loss, clipped): max((V - G)^2, (clip(V, V_old - clip, V_old + clip) - G)^2) / 2, and where the clip holds.

    The maximum is pessimistic: a value that has already moved by more than `clip` towards its return since the batch
    was drawn gets no gradient, one that has moved away keeps it. infinity switches the clip off.
    Source: https://arxiv.org/abs/2005.12729 section 3; https://github.com/openai/baselines/blob/master/baselines/ppo2/model.py.
    """
    clipped = jnp.clip(values, old_values - clip, old_values + clip)
    plain_loss, clipped_loss = jnp.square(values - returns) / 2, jnp.square(clipped - returns) / 2
    return jnp.maximum(plain_loss, clipped_loss), clipped_loss > plain_loss
