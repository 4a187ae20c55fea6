"""Direct preference optimization: a refusal is to be preferred to the true answer.

    L = - E_(x, c, r) [ log sigmoid(beta (log(pi(c | x) / pi_ref(c | x)) - log(pi(r | x) / pi_ref(r | x)))) ]

c: the chosen answer, segment 1 of a row; r: the rejected one, segment 2. E is the mean over rows.
Source: https://arxiv.org/abs/2305.18290 equation 7; for unlearning, with refusals chosen, https://arxiv.org/abs/2401.06121
and https://arxiv.org/abs/2404.05868.
"""

import jax
import jax.numpy as jnp

from rule_jax.objectives import Coefficients, LogProbs, Objective
from rule_jax.objectives._weights import positive
from rule_jax.types import Packed

CHOSEN, REJECTED = 1, 2  # segments of a row


def make(*, beta: float) -> Objective:
    """beta: how far the model may go from the reference, inversely. Raises UserError unless it is positive."""
    positive("dpo", beta=beta)

    def weigh(packed: Packed) -> Packed:
        """The weighted tokens of a row share 1 / rows."""
        valued_BT = (packed.weight_BT > 0).astype(jnp.float32)
        tokens_B1 = jnp.sum(valued_BT, axis=1, keepdims=True)
        rows = jnp.sum(tokens_B1 > 0)
        return packed._replace(weight_BT=valued_BT / jnp.maximum(tokens_B1, 1.0) / jnp.maximum(rows, 1))

    def loss(
        seen: tuple[jax.Array, jax.Array], packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        logprobs_BT, reference_BT = seen
        ratio_BT = jnp.where(packed.weight_BT > 0, logprobs_BT - reference_BT, 0.0)
        chosen_B, rejected_B = (
            jnp.sum(jnp.where(packed.segment_BT == segment, ratio_BT, 0.0), axis=1) for segment in (CHOSEN, REJECTED)
        )
        margin_B, weight_B = coefficients["beta"] * (chosen_B - rejected_B), jnp.sum(packed.weight_BT, axis=1)
        metrics = {"margin": jnp.sum(weight_B * margin_B), "preferred": jnp.sum(weight_B * (margin_B > 0))}
        return -jnp.sum(weight_B * jax.nn.log_sigmoid(margin_B)), metrics

    return Objective(coefficients={"beta": beta}, weigh=weigh, loss=loss, reads=LogProbs(reference=True))
