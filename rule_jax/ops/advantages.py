"""From rewards to advantages and returns."""

from typing import Any, Literal

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


def token_rewards(rewards_BG: jax.Array, penalty_BGR: jax.Array, mask_BGR: jax.Array) -> jax.Array:
    """r_bgt = [t is the last valid token] r_bg - penalty_bgt: the answer's reward arrives with its end.

    0 beyond the mask, which is a run from 0; an answer without valid tokens earns nothing.
    Source: https://arxiv.org/abs/1909.08593 equation 2; Reinforce++, https://arxiv.org/abs/2501.03262.
    """
    check(rewards_BG=rewards_BG, penalty_BGR=penalty_BGR, mask_BGR=mask_BGR)
    last_BGR = mask_BGR & ~jnp.pad(mask_BGR[..., 1:], ((0, 0), (0, 0), (0, 1)))
    return jnp.where(last_BGR, rewards_BG[..., None], 0.0) - jnp.where(mask_BGR, penalty_BGR, 0.0)


def discounted_returns(rewards_BGR: jax.Array, mask_BGR: jax.Array, *, gamma: jax.Array | float) -> jax.Array:
    """G_t = r_t + gamma G_{t+1}, 0 beyond the mask. Rewards outside the mask are 0, whatever stands there.

    A hole in the mask is a step like any other: it discounts. With mask [1, 0, 0, 1], a penalty of 1 per valid token
    and gamma 0.9, G_0 = -(1 + 0.9^3) = -1.729.
    Source: Reinforce++, https://arxiv.org/abs/2501.03262 equations 4 and 5.
    """
    check(rewards_BGR=rewards_BGR, mask_BGR=mask_BGR)

    def step(later_BG: jax.Array, reward_BG: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (now := reward_BG + gamma * later_BG), now

    valid_RBG = jnp.moveaxis(jnp.where(mask_BGR, rewards_BGR, 0.0), -1, 0)
    _, returns_RBG = jax.lax.scan(step, jnp.zeros_like(valid_RBG[0]), valid_RBG, reverse=True)
    return jnp.where(mask_BGR, jnp.moveaxis(returns_RBG, 0, -1), 0.0)


def gae(
    rewards_BGR: jax.Array,
    values_BGR: jax.Array,
    mask_BGR: jax.Array,
    final_BG: jax.Array,
    *,
    gamma: jax.Array | float,
    lam: jax.Array | float,
) -> jax.Array:
    """Generalised advantage estimation, 0 beyond the mask.

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t),    A_t = delta_t + gamma lam A_{t+1}

    values_BGR[t] is V of the state that token t is drawn from. final_BG is V of the state after the last valid token:
    0 where the answer ended there. What lies outside the mask is skipped, as if the valid tokens stood side by side.
    The returns that a critic learns are A + V.
    Source: https://arxiv.org/abs/1506.02438 equations 11, 12 and 16.
    """
    check(rewards_BGR=rewards_BGR, values_BGR=values_BGR, mask_BGR=mask_BGR, final_BG=final_BG)

    def step(later: tuple[jax.Array, jax.Array], now: tuple[jax.Array, ...]) -> tuple[Any, jax.Array]:
        next_value_BG, next_advantage_BG = later
        reward_BG, value_BG, valid_BG = now
        advantage_BG = reward_BG + gamma * next_value_BG - value_BG + gamma * lam * next_advantage_BG
        carried = (jnp.where(valid_BG, value_BG, next_value_BG), jnp.where(valid_BG, advantage_BG, next_advantage_BG))
        return carried, advantage_BG

    by_time = tuple(
        jnp.moveaxis(x, -1, 0)
        for x in (jnp.where(mask_BGR, rewards_BGR, 0.0), jnp.where(mask_BGR, values_BGR, 0.0), mask_BGR)
    )
    _, advantages_RBG = jax.lax.scan(step, (final_BG, jnp.zeros_like(final_BG)), by_time, reverse=True)
    return jnp.where(mask_BGR, jnp.moveaxis(advantages_RBG, 0, -1), 0.0)


def soft_overlong(length_BG: jax.Array, *, limit: int, margin: int) -> jax.Array:
    """0 up to limit - margin tokens, from there down in a straight line to -1 at the limit; margin >= 1.

    Source: DAPO, https://arxiv.org/abs/2503.14476 equation 13 (L_max is the limit, L_cache the margin).
    """
    check(length_BG=length_BG)
    return jnp.clip((limit - margin - length_BG) / margin, -1.0, 0.0)


def zero_variance(rewards_BG: jax.Array) -> jax.Array:
    """bool_B: groups in which all rewards are equal, by max - min so that rounding cannot hide one."""
    check(rewards_BG=rewards_BG)
    return jnp.max(rewards_BG, axis=1) == jnp.min(rewards_BG, axis=1)
