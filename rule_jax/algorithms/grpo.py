"""GRPO: every answer against the others of its group.

Source: https://arxiv.org/abs/2402.03300; RULE (https://arxiv.org/abs/2506.07171) uses it with pi_rej as the
reference, the KL (k3) as a loss, clip 0.2/0.3, dual clip 3 and one update per rollout. With one update the old policy
is the policy: the ratio is 1 in value and carries the gradient, and no second pass computes old log-probabilities.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from rule_jax.algorithms import Algorithm, Coefficients, Experience
from rule_jax.algorithms._policy import Estimate, assemble, one_of
from rule_jax.ops.advantages import group_relative


def make(
    *,
    advantage_scale: Literal["group", "batch", "none"],
    ddof: int,
    surrogate: Mapping[str, Any],
    kl: Mapping[str, Any],
    answers: Mapping[str, Any],
    updates: Mapping[str, Any],
) -> Algorithm:
    """GRPO as the config describes it.

    advantage_scale, ddof: see ops.advantages.group_relative. The rest: see the records of _policy. With the KL in the
    reward an answer's reward is less the sum of its tokens' KL, before the group is compared.
    Raises UserError for combinations that do nothing and for unknown words.
    """
    one_of("advantage_scale", advantage_scale, ("group", "batch", "none"))

    def estimate(
        experience: Experience, rewards_BGR: jax.Array, mask_BGR: jax.Array, coefficients: Coefficients
    ) -> Estimate:
        rewards_BG = jnp.sum(rewards_BGR, axis=-1)
        advantages_BG = group_relative(rewards_BG, scale=advantage_scale, ddof=ddof)
        return Estimate(jnp.where(mask_BGR, advantages_BG[..., None], 0.0), None, {})

    return assemble(
        estimate,
        surrogate=surrogate,
        kl=kl,
        answers=answers,
        updates=updates,
        min_samples=max(ddof + 1, 2),
    )
