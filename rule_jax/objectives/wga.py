"""Weighted gradient ascent: ascent in which tokens that are forgotten already count for less.

    L = sum_t w_t p_t^alpha log p_t / sum_t w_t,    p_t = pi(y_t | y_<t), the factor p_t^alpha without a gradient

alpha = 0 is gradient ascent. Source: https://arxiv.org/abs/2502.19301.
"""

import jax
import jax.numpy as jnp

from rule_jax.objectives import Coefficients, Objective
from rule_jax.objectives._weights import not_negative, over_tokens, weighted_sum
from rule_jax.types import Packed


def make(*, alpha: float) -> Objective:
    """alpha: how fast the weight of a token falls with its probability. Raises UserError below 0."""
    not_negative("wga", alpha=alpha)

    def loss(
        logprobs_BT: jax.Array, packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        known_BT = jnp.where(packed.weight_BT > 0, logprobs_BT, 0.0)
        factor_BT = jax.lax.stop_gradient(jnp.exp(coefficients["alpha"] * known_BT))
        return weighted_sum(factor_BT * known_BT, packed), {"factor": weighted_sum(factor_BT, packed)}

    return Objective(coefficients={"alpha": alpha}, weigh=over_tokens, loss=loss)
