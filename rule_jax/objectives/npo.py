"""Negative preference optimization: ascent that fades as the model's chance of an answer falls below the reference's.

    L = (2 / beta) E_y [ log(1 + (pi(y) / pi_ref(y))^beta) ] = - (2 / beta) E_y [ log sigmoid(-beta log(pi / pi_ref)) ]

y is a whole answer given its question; E is the mean over answers. beta -> 0 is gradient ascent.
Source: https://arxiv.org/abs/2404.05868 equation 3.
"""

import jax
import jax.numpy as jnp

from rule_jax.objectives import Coefficients, LogProbs, Objective
from rule_jax.objectives._weights import over_sequences, own_sum, positive, weighted_sum
from rule_jax.types import Packed


def make(*, beta: float) -> Objective:
    """beta: the inverse temperature. Raises UserError unless it is positive."""
    positive("npo", beta=beta)

    def loss(
        seen: tuple[jax.Array, jax.Array], packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        logprobs_BT, reference_BT = seen
        valued_BT = packed.weight_BT > 0
        ratio_BT = own_sum(jnp.where(valued_BT, logprobs_BT - reference_BT, 0.0), packed)
        beta = coefficients["beta"]
        value = -2 / beta * weighted_sum(jax.nn.log_sigmoid(-beta * ratio_BT), packed)
        return value, {"log_ratio": weighted_sum(ratio_BT, packed)}

    return Objective(coefficients={"beta": beta}, weigh=over_sequences, loss=loss, reads=LogProbs(reference=True))
