"""Per-token policy-gradient losses and divergences. Nothing here averages: the caller weights and sums."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

LOG_RATIO_LIMIT = 20.0


class Surrogate(NamedTuple):
    """loss: per token, to be minimised. ratio: new chance over old. clipped_low, clipped_high: bool, where a clip took
    the gradient away."""

    loss: jax.Array
    ratio: jax.Array
    clipped_low: jax.Array
    clipped_high: jax.Array


def clipped_surrogate(
    log_ratio: jax.Array,
    advantages: jax.Array,
    *,
    clip_low: jax.Array | float,
    clip_high: jax.Array | float,
    dual_clip: jax.Array | float,
) -> Surrogate:
    """The clipped surrogate objective as a loss, with separate bounds and the dual clip.

    With rho = exp(log_ratio): loss = -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A), and for A < 0 at most
    dual_clip * |A|. dual_clip > 1; infinity switches it off. All arrays share one shape. |log_ratio| beyond 20 counts
    as 20: far past every clip, and exp stays finite.
    Source: PPO, https://arxiv.org/abs/1707.06347 equation 7; the dual clip, https://arxiv.org/abs/1912.09729
    equation 5; separate bounds, https://arxiv.org/abs/2503.14476.
    """
    ratio = jnp.exp(jnp.clip(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))
    plain = -ratio * advantages
    clipped = -jnp.clip(ratio, 1 - clip_low, 1 + clip_high) * advantages
    loss = jnp.maximum(plain, clipped)
    ceiling = jnp.where(advantages < 0, -dual_clip * advantages, jnp.inf)
    return Surrogate(
        loss=jnp.minimum(loss, ceiling),
        ratio=ratio,
        clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        clipped_high=((ratio > 1 + clip_high) & (advantages > 0)) | (loss > ceiling),
    )


def kl_k1(logprobs: jax.Array, reference: jax.Array) -> jax.Array:
    """k1 = log pi - log pi_ref per sampled token: unbiased for KL(pi || pi_ref), any sign.

    Belongs in the reward. As a loss it is void: its on-policy gradient has expectation zero.
    Source: http://joschu.net/blog/kl-approx.html.
    """
    return logprobs - reference


def kl_k2(logprobs: jax.Array, reference: jax.Array) -> jax.Array:
    """k2 = (log pi - log pi_ref)^2 / 2 per sampled token; its on-policy gradient is that of KL(pi || pi_ref).

    Source: http://joschu.net/blog/kl-approx.html.
    """
    return jnp.square(logprobs - reference) / 2


def kl_k3(logprobs: jax.Array, reference: jax.Array) -> jax.Array:
    """k3 = exp(d) - 1 - d with d = log pi_ref - log pi: unbiased for KL(pi || pi_ref), never negative, GRPO's KL loss.

    Its value is that of KL(pi || pi_ref), its on-policy gradient that of KL(pi_ref || pi); near the
    reference the two agree to first order. The gradient of KL(pi || pi_ref) itself is k2's.
    Source: http://joschu.net/blog/kl-approx.html; GRPO, https://arxiv.org/abs/2402.03300 equation 4.
    """
    gap = reference - logprobs
    return jnp.expm1(gap) - gap
