"""Offline losses over packed sequences: rejection steering and the baselines. One file each.

Every file has `make(**kw) -> Objective`; the signature of make is the schema of the config's `objective` section.
"""

from collections.abc import Mapping
from typing import Callable, NamedTuple

import jax

from rule_jax.types import Packed


class Objective(NamedTuple):
    """coefficients: numbers of the loss that reach the compiled program as inputs.

    weigh(packed) -> packed whose weights are normalised over the whole batch, so that microbatches of it add up.
    loss(logprobs_BT, packed, coefficients) -> (scalar, metrics), sums that add over microbatches; logprobs_BT[b, t]
    is that of packed.tokens_BT[b, t] given the tokens before it, 0 at t = 0.
    """

    coefficients: Mapping[str, float]
    weigh: Callable[[Packed], Packed]
    loss: Callable[[jax.Array, Packed, Mapping[str, float | jax.Array]], tuple[jax.Array, dict[str, jax.Array]]]
