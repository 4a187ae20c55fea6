"""UNDIAL: the model learns from its own first distribution, in which the true token was made less likely.

    L = sum_t w_t CE(q_t, pi(. | y_<t)) / sum_t w_t,    q_t = softmax(l_ref(. | y_<t) - gamma 1[. = y_t])

l_ref are the logits of the reference. Source: https://arxiv.org/abs/2402.10052.
"""

from rule_jax.objectives import Coefficients, Distributions, Objective
from rule_jax.objectives._weights import not_negative, over_tokens, weighted_sum
from rule_jax.ops.teacher import Taught
from rule_jax.types import Array, Packed


def make(*, gamma: float) -> Objective:
    """gamma: by how much the true token's logit is lowered. Raises UserError below 0."""
    not_negative("undial", gamma=gamma)

    def loss(taught: Taught, packed: Packed, coefficients: Coefficients) -> tuple[Array, dict[str, Array]]:
        divergence = weighted_sum(taught.cross_entropy_BN - taught.entropy_BN, packed)
        return weighted_sum(taught.cross_entropy_BN, packed), {"divergence": divergence}

    return Objective(coefficients={"gamma": gamma}, weigh=over_tokens, loss=loss, reads=Distributions(penalty="gamma"))
