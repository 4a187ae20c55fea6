"""Gradient ascent: the mean log-likelihood of what is to be forgotten, to be lowered.

    L = sum_t w_t log pi(y_t | y_<t) / sum_t w_t

It has no lower bound: with too many steps the model says nothing sensible any more.
Source: https://arxiv.org/abs/2210.01504 equation 1.
"""

import jax

from rule_jax.objectives import Coefficients, Objective
from rule_jax.objectives._weights import over_tokens, weighted_sum
from rule_jax.types import Packed


def make() -> Objective:
    """The negative of the likelihood loss; it has no knobs."""

    def loss(
        logprobs_BT: jax.Array, packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        return weighted_sum(logprobs_BT, packed), {}

    return Objective(coefficients={}, weigh=over_tokens, loss=loss)
