"""Offline losses over packed sequences: rejection steering and the baselines. One file each.

Every file has `make(**kw) -> Objective`; the signature of make is the schema of the config's options.
"""

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import jax

from rule_jax.types import Packed

Coefficients = Mapping[str, float | jax.Array]
Loss = Callable[[Any, Packed, Coefficients], tuple[jax.Array, dict[str, jax.Array]]]


class LogProbs(NamedTuple):
    """The loss reads logprobs_BT: [b, t] is the model's for packed.tokens_BT[b, t] given the tokens before it, 0 at
    t = 0. With `reference`, the pair of them and the reference's."""

    reference: bool = False


class Distributions(NamedTuple):
    """The loss reads ops.teacher.Taught, [B, T] as LogProbs: the model against the reference's whole distribution.

    penalty: the coefficient by which the reference's logit of the token is lowered; "" leaves it as it is.
    """

    penalty: str = ""


class States(NamedTuple):
    """The loss reads states_BTD, the residual stream at tokens_BT[b, t] behind `layer` blocks. With `reference`, the
    pair of them and the reference's."""

    layer: int
    reference: bool = False


class Objective(NamedTuple):
    """coefficients: numbers of the loss that reach the compiled program as inputs.

    weigh(packed) -> packed whose weights are normalised over the whole batch, so that microbatches of it add up.
    loss(seen, packed, coefficients) -> (scalar, metrics), sums that add over microbatches; `seen` is what `reads` says.
    """

    coefficients: Mapping[str, float]
    weigh: Callable[[Packed], Packed]
    loss: Loss
    reads: LogProbs | Distributions | States = LogProbs()
