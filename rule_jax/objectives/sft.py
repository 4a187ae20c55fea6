"""Supervised fine-tuning: the mean negative log-likelihood of the weighted tokens.

    L = - sum_t w_t log pi(y_t | y_<t) / sum_t w_t

With refusals as responses this is Rejection Steering, stage 1 of RULE (https://arxiv.org/abs/2506.07171 section 3.1).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from rule_jax.objectives import Objective
from rule_jax.types import Packed


def make() -> Objective:
    """The token-mean likelihood; it has no knobs."""

    def weigh(packed: Packed) -> Packed:
        total = jnp.sum(packed.weight_BT)
        return packed._replace(weight_BT=packed.weight_BT / jnp.where(total > 0, total, 1.0))

    def loss(
        logprobs_BT: jax.Array, packed: Packed, coefficients: Mapping[str, float | jax.Array]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        valued_BT = packed.weight_BT > 0
        return -jnp.sum(packed.weight_BT * jnp.where(valued_BT, logprobs_BT, 0.0)), {}

    return Objective(coefficients={}, weigh=weigh, loss=loss)
