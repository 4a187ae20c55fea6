"""The divergence from the reference on given answers, over whole distributions: the retain term "KLR".

    L = sum_t w_t KL(pi_ref(. | y_<t) || pi(. | y_<t)) / sum_t w_t

Source: https://arxiv.org/abs/2407.06460 (KLR); https://arxiv.org/abs/2401.06121 (KL minimization).
"""

from rule_jax.objectives import Coefficients, Distributions, Objective
from rule_jax.objectives._weights import over_tokens, weighted_sum
from rule_jax.ops.teacher import Taught
from rule_jax.types import Array, Packed


def make() -> Objective:
    """The token-mean divergence; it has no knobs."""

    def loss(taught: Taught, packed: Packed, coefficients: Coefficients) -> tuple[Array, dict[str, Array]]:
        return weighted_sum(taught.cross_entropy_BN - taught.entropy_BN, packed), {}

    return Objective(coefficients={}, weigh=over_tokens, loss=loss, reads=Distributions())
