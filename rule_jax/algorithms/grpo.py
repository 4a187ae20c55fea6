"""GRPO: group-relative advantages, the clipped surrogate, and the KL to the reference as a loss.

Source: https://arxiv.org/abs/2402.03300; RULE (https://arxiv.org/abs/2506.07171) uses it with pi_rej as the
reference, clip 0.2/0.3, dual clip 3 and one update per rollout. With one update the old policy is the policy, so
the ratio is 1 in value and carries the gradient; no second pass computes old log-probabilities.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from rule_jax.algorithms import Algorithm, Coefficients, Metrics, PolicyOutputs, Targets
from rule_jax.errors import UserError
from rule_jax.ops import advantages as ops_advantages
from rule_jax.ops import policy_loss
from rule_jax.ops.masked import length_mask
from rule_jax.types import Rollout

KL = {"k2": policy_loss.kl_k2, "k3": policy_loss.kl_k3}


def make(
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float,
    kl_coef: float,
    kl_estimator: Literal["k2", "k3"],
    advantage_scale: Literal["group", "batch", "none"],
    ddof: int,
    aggregate: Literal["token_mean", "sequence_mean", "constant"],
) -> Algorithm:
    """GRPO as the config describes it.

    clip_low, clip_high, dual_clip: see ops.policy_loss.clipped_surrogate. kl_coef, kl_estimator: the weight and form
    of the per-token KL loss. advantage_scale, ddof: see ops.advantages.group_relative. aggregate: how token losses
    become one number: the mean over all tokens, the mean over answers of their token means, or the sum over answers
    divided by the constant B * G * R (Dr. GRPO).
    Raises UserError for the estimator k1, whose gradient as a loss has expectation zero, and for unknown words.
    """
    if kl_estimator == "k1":
        raise UserError(
            "algorithm.kl_estimator=k1: inside the loss its expected on-policy gradient is zero, so it does nothing; "
            "use k3 (or k2) in the loss"
        )
    for name, value, known in (
        ("kl_estimator", kl_estimator, tuple(KL)),
        ("advantage_scale", advantage_scale, ("group", "batch", "none")),
        ("aggregate", aggregate, ("token_mean", "sequence_mean", "constant")),
    ):
        if value not in known:
            raise UserError(f"algorithm.{name}={value!r}: it must be one of {', '.join(known)}")

    def advantages(rollout: Rollout, rewards_BG: jax.Array) -> Targets:
        mask_BGR = length_mask(rollout.length_BG, rollout.response_BGR.shape[-1])
        advantages_BG = ops_advantages.group_relative(rewards_BG, scale=advantage_scale, ddof=ddof)
        return Targets(
            advantages_BGR=jnp.where(mask_BGR, advantages_BG[..., None], 0.0), weight_BGR=_weights(mask_BGR, aggregate)
        )

    def loss(
        outputs: PolicyOutputs, rollout: Rollout, targets: Targets, coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        mask_BGR = length_mask(rollout.length_BG, rollout.response_BGR.shape[-1])
        logprobs_BGR = jnp.where(mask_BGR, outputs.logprobs_BGR, 0.0)
        reference_BGR = jnp.where(mask_BGR, outputs.reference_BGR, 0.0)

        def mean(x_BGR: jax.Array) -> jax.Array:
            return jnp.sum(targets.weight_BGR * jnp.where(mask_BGR, x_BGR, 0.0))

        surrogate = policy_loss.clipped_surrogate(
            logprobs_BGR - jax.lax.stop_gradient(logprobs_BGR),
            targets.advantages_BGR,
            clip_low=coefficients["clip_low"],
            clip_high=coefficients["clip_high"],
            dual_clip=coefficients["dual_clip"],
        )
        kl = mean(KL[kl_estimator](logprobs_BGR, reference_BGR))
        total = mean(surrogate.loss) + coefficients["kl_coef"] * kl
        return total, {
            "kl": kl,
            "entropy": mean(outputs.entropy_BGR),
            "clip_fraction/low": mean(surrogate.clipped_low),
            "clip_fraction/high": mean(surrogate.clipped_high),
            # The sampler and the scorer are two programs; how far they disagree is watched, not assumed.
            "sampler_gap": mean(jnp.abs(logprobs_BGR - rollout.logprobs_BGR)),
        }

    coefficients = {"clip_low": clip_low, "clip_high": clip_high, "dual_clip": dual_clip, "kl_coef": kl_coef}
    return Algorithm(coefficients, advantages, loss, min_samples=ddof + 1 if advantage_scale != "none" else 2)


def _weights(mask_BGR: jax.Array, aggregate: str) -> jax.Array:
    mask = mask_BGR.astype(jnp.float32)
    if aggregate == "token_mean":
        return mask / jnp.maximum(jnp.sum(mask), 1)
    if aggregate == "sequence_mean":
        return mask / jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1) / (mask.shape[0] * mask.shape[1])
    return mask / mask.size
