"""RMU, representation misdirection: the states of one layer are driven to noise, or held where they were.

    towards "noise":      L = E_t |h_t - c u|^2 / D        on what is to be forgotten
    towards "reference":  L = E_t |h_t - h_ref,t|^2 / D    on what is to be kept: the retain term of RMU

h_t: the residual stream behind a layer, of D numbers, at every token of the questions and the answers; u: a vector
whose entries are drawn evenly from [0, 1), scaled to length 1, the same in every step; c: how far out it lies.
Source: https://arxiv.org/abs/2403.03218. Departs: the paper trains three matrices of the MLPs up to the
layer, here all that the layer's states depend on is trained.
"""

import jax
import jax.numpy as jnp

from rule_jax.errors import UserError
from rule_jax.objectives import Coefficients, Objective, States
from rule_jax.objectives._weights import not_negative, over_tokens, own_sum, positive, weighted_sum
from rule_jax.types import Packed

TOWARDS = ("noise", "reference")


def make(*, layer: int, towards: str, scale: float, seed: int) -> Objective:
    """layer: behind so many blocks. scale: c; seed: of u; both idle towards "reference". Raises UserError."""
    positive("rmu", layer=layer)
    not_negative("rmu", scale=scale)
    if towards not in TOWARDS:
        raise UserError(f"objective rmu: towards={towards!r}; it must be one of {', '.join(TOWARDS)}")
    to_noise = towards == "noise"

    def weigh(packed: Packed) -> Packed:
        """All tokens, questions too, of the sequences that have a weight."""
        trained_BT = own_sum(jnp.ones_like(packed.weight_BT), packed) > 0
        return over_tokens(packed._replace(weight_BT=(trained_BT & (packed.segment_BT > 0)).astype(jnp.float32)))

    def loss(
        seen: jax.Array | tuple[jax.Array, jax.Array], packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        if to_noise:
            states_BTD = jnp.asarray(seen)
            drawn_D = jax.random.uniform(jax.random.key(seed), states_BTD.shape[-1:])
            target = coefficients["scale"] * (drawn_D / jnp.linalg.norm(drawn_D))[None, None]
        else:
            states_BTD, target = seen
        apart_BTD = jnp.where(packed.weight_BT[..., None] > 0, states_BTD - target, 0.0).astype(jnp.float32)
        return weighted_sum(jnp.mean(jnp.square(apart_BTD), axis=-1), packed), {}

    return Objective(
        coefficients={"scale": scale} if to_noise else {},
        weigh=weigh,
        loss=loss,
        reads=States(layer, reference=not to_noise),
    )
