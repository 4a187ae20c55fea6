"""PPO with a critic: generalised advantages, whitened over the batch, and a clipped loss for the values.

The critic is a second model (models/critic.py) with an optimizer of its own; here it is an array of values. An answer
ends with its episode, whether at an EOS or at the limit of length: the limit is part of the task, since the cut text
is what is judged. So the value after the last token is 0 and nothing is bootstrapped. (answers.mask_truncated leaves
cut answers out.)
Source: https://arxiv.org/abs/1707.06347; for language models https://arxiv.org/abs/1909.08593, with the KL in the
reward and an adaptive coefficient.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rule_jax.algorithms import Algorithm, Coefficients, Experience, Metrics, Targets
from rule_jax.algorithms._policy import Estimate, assemble, within
from rule_jax.ops.advantages import gae
from rule_jax.ops.masked import explained_variance, length_mask, masked_whiten
from rule_jax.ops.value_loss import clipped_value_loss
from rule_jax.types import Rollout


def make(
    *,
    gamma: float,
    lam: float,
    value_clip: float,
    surrogate: Mapping[str, Any],
    kl: Mapping[str, Any],
    answers: Mapping[str, Any],
    updates: Mapping[str, Any],
) -> Algorithm:
    """PPO as the config describes it.

    gamma, lam: see ops.advantages.gae. value_clip: see ops.value_loss.clipped_value_loss. The rest: see the records of
    _policy. Raises UserError for what does nothing and for unknown words.
    """
    within("gamma", gamma, 0, 1)
    within("lam", lam, 0, 1)
    within("value_clip", value_clip, 0)

    def estimate(
        experience: Experience, rewards_BGR: jax.Array, mask_BGR: jax.Array, coefficients: Coefficients
    ) -> Estimate:
        assert experience.values_BGR is not None  # an algorithm with a value_loss is given a critic
        valid_BGR = length_mask(experience.rollout.length_BG, rewards_BGR.shape[-1])
        values_BGR = jnp.where(valid_BGR, experience.values_BGR, 0.0)
        after_BG = jnp.zeros(values_BGR.shape[:2])
        raw_BGR = gae(
            rewards_BGR, values_BGR, valid_BGR, after_BG, gamma=coefficients["gamma"], lam=coefficients["lam"]
        )
        returns_BGR = raw_BGR + values_BGR
        metrics = {
            "value/explained_variance": explained_variance(values_BGR, returns_BGR, mask_BGR),
        }
        return Estimate(masked_whiten(raw_BGR, mask_BGR), returns_BGR, metrics)

    def value_loss(
        values_BGR: jax.Array, rollout: Rollout, targets: Targets, coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        assert targets.values_BGR is not None
        assert targets.returns_BGR is not None
        valid_BGR = length_mask(rollout.length_BG, values_BGR.shape[-1])
        now_BGR, old_BGR = (jnp.where(valid_BGR, x, 0.0) for x in (values_BGR, targets.values_BGR))
        loss_BGR, clipped_BGR = clipped_value_loss(
            now_BGR, old_BGR, targets.returns_BGR, clip=coefficients["value_clip"]
        )
        metrics = {"clip_fraction": jnp.sum(targets.share_BGR * clipped_BGR)}
        return jnp.sum(targets.weight_BGR * loss_BGR), metrics

    return assemble(
        estimate,
        surrogate=surrogate,
        kl=kl,
        answers=answers,
        updates=updates,
        min_samples=1,
        value_loss=value_loss,
        coefficients={"gamma": gamma, "lam": lam, "value_clip": value_clip},
    )
