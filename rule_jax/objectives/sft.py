"""Supervised fine-tuning: the mean negative log-likelihood of the weighted tokens.

    L = - sum_t w_t log pi(y_t | y_<t) / sum_t w_t

With refusals as responses this is Rejection Steering, stage 1 of RULE (https://arxiv.org/abs/2506.07171 section 3.1),
and rejection tuning (RWKU, https://arxiv.org/abs/2406.10890). With right answers to what is to be kept it is
the retain term "gradient descent on retain" (GDR; MUSE, https://arxiv.org/abs/2407.06460).
"""

import jax

from rule_jax.objectives import Coefficients, Objective
from rule_jax.objectives._weights import over_tokens, weighted_sum
from rule_jax.types import Packed


def make() -> Objective:
    """The token-mean likelihood; it has no knobs."""

    def loss(
        logprobs_BT: jax.Array, packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        return -weighted_sum(logprobs_BT, packed), {}

    return Objective(coefficients={}, weigh=over_tokens, loss=loss)
