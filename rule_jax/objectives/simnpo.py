"""SimNPO: negative preference optimization without a reference, an answer's log-likelihood divided by its length.

    L = - (2 / beta) E_y [ log sigmoid(- (beta / |y|) log pi(y) - gamma) ]

|y| counts the answer's tokens, its end included. gamma: the margin by which an answer is to be unlikely.
Source: https://arxiv.org/abs/2410.07163.
"""

import jax
import jax.numpy as jnp

from rule_jax.objectives import Coefficients, Objective
from rule_jax.objectives._weights import not_negative, over_sequences, own_sum, positive, weighted_sum
from rule_jax.types import Packed


def make(*, beta: float, gamma: float) -> Objective:
    """beta: the inverse temperature; gamma: the margin. Raises UserError for beta <= 0 and gamma < 0."""
    positive("simnpo", beta=beta)
    not_negative("simnpo", gamma=gamma)

    def loss(
        logprobs_BT: jax.Array, packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        beta, gamma = coefficients["beta"], coefficients["gamma"]
        tokens_BT = own_sum(jnp.ones_like(logprobs_BT), packed)
        mean_BT = own_sum(logprobs_BT, packed) / jnp.maximum(tokens_BT, 1.0)
        value = -2 / beta * weighted_sum(jax.nn.log_sigmoid(-beta * mean_BT - gamma), packed)
        return value, {"mean_logprob": weighted_sum(mean_BT, packed)}

    return Objective(coefficients={"beta": beta, "gamma": gamma}, weigh=over_sequences, loss=loss)
