"""From rewards to advantages."""

from typing import Literal

import jax
import jax.numpy as jnp

from rule_jax.ops.shapes import check


def group_relative(
    rewards_BG: jax.Array, *, scale: Literal["group", "batch", "none"] = "group", ddof: int = 1, eps: float = 1e-6
) -> jax.Array:
    """A_bg = (r_bg - mean_g r_b) / (sigma + eps): every answer against its own group.

    sigma is the group's standard deviation, the deviation of all centred rewards ("batch"), or 1 with no eps ("none",
    Dr. GRPO). ddof 1 is the sample deviation. A group of equal rewards gets exactly 0 under any scale.
    Source: GRPO, https://arxiv.org/abs/2402.03300 section 4.1.2; Dr. GRPO, https://arxiv.org/abs/2503.20783.
    Raises ValueError for a group too small for ddof.
    """
    check(rewards_BG=rewards_BG)
    G = rewards_BG.shape[1]
    if ddof >= G:
        raise ValueError(f"a group of {G} has no standard deviation with ddof {ddof}")
    equal_B1 = jnp.max(rewards_BG, axis=1, keepdims=True) == jnp.min(rewards_BG, axis=1, keepdims=True)
    centred_BG = jnp.where(equal_B1, 0.0, rewards_BG - jnp.mean(rewards_BG, axis=1, keepdims=True))
    if scale == "none":
        return centred_BG
    if scale == "group":
        sigma = jnp.sqrt(jnp.sum(jnp.square(centred_BG), axis=1, keepdims=True) / (G - ddof))
    else:
        sigma = jnp.sqrt(jnp.sum(jnp.square(centred_BG)) / (centred_BG.size - ddof))
    return centred_BG / (sigma + eps)


def zero_variance(rewards_BG: jax.Array) -> jax.Array:
    """bool_B: groups in which all rewards are equal, by max - min so that rounding cannot hide one."""
    check(rewards_BG=rewards_BG)
    return jnp.max(rewards_BG, axis=1) == jnp.min(rewards_BG, axis=1)
