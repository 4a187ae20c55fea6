"""Reinforce++: discounted token returns, whitened over the whole global batch; no critic, no groups needed.

    r_t = [t is the end] r(x, y) - beta kl_t,    G_t = r_t + gamma G_{t+1},    A = (G - mean(G)) / std(G)

kl_t is k1 of a sampled token; mean and std are over all tokens of the batch. Its baseline form takes the mean of the
group from r(x, y) first.
Source: https://arxiv.org/abs/2501.03262 equations 4 to 9 and, for the baseline, section 3.2.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from rule_jax.algorithms import Algorithm, Coefficients, Experience
from rule_jax.algorithms._policy import Estimate, assemble, one_of, within
from rule_jax.ops.advantages import discounted_returns, group_relative, token_rewards
from rule_jax.ops.masked import length_mask, masked_whiten


def make(
    *,
    gamma: float,
    baseline: Literal["none", "group"],
    surrogate: Mapping[str, Any],
    kl: Mapping[str, Any],
    answers: Mapping[str, Any],
    updates: Mapping[str, Any],
) -> Algorithm:
    """Reinforce++ as the config describes it.

    gamma: the discount per token. baseline: "group" is the baseline form. The rest: see the records of _policy; the
    paper's form has kl.placement="reward" and kl.estimator="k1". Raises UserError for what does nothing.
    """
    within("gamma", gamma, 0, 1)
    one_of("baseline", baseline, ("none", "group"))

    def estimate(
        experience: Experience, rewards_BGR: jax.Array, mask_BGR: jax.Array, coefficients: Coefficients
    ) -> Estimate:
        valid_BGR = length_mask(experience.rollout.length_BG, rewards_BGR.shape[-1])
        if baseline == "group":
            # The penalties per token stay as they are; only the reward of the whole answer has a baseline.
            whole_BG = experience.rewards_BG
            shift_BG = group_relative(whole_BG, scale="none", ddof=0) - whole_BG
            rewards_BGR = rewards_BGR + token_rewards(shift_BG, jnp.zeros_like(rewards_BGR), valid_BGR)
        returns_BGR = discounted_returns(rewards_BGR, valid_BGR, gamma=coefficients["gamma"])
        return Estimate(masked_whiten(returns_BGR, mask_BGR), None, {})

    return assemble(
        estimate,
        surrogate=surrogate,
        kl=kl,
        answers=answers,
        updates=updates,
        min_samples=2 if baseline == "group" else 1,
        coefficients={"gamma": gamma},
    )
