"""What a program computes: operations and bytes of its matrix products, counted in its jaxpr.

XLA's own cost analysis takes the body of a loop once; a jaxpr says how often a scan runs. What is recomputed in a
backward pass counts, since it is done.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Jaxpr, jaxprs_in_params


class Work(NamedTuple):
    """flops: two for each product that is added up. bytes: of the operands and results of matrix products, as if
    nothing stayed in a cache between them. Both of all devices together."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":  # type: ignore[override]
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, count: float) -> "Work":
        return Work(self.flops * count, self.bytes * count)


def work(jaxpr: Jaxpr | ClosedJaxpr, *, trips: int) -> Work:
    """The work of a jaxpr. trips: how often the body of a `while` runs, which no jaxpr says.

    Of the branches of a condition the larger counts, so that blocks which a Pallas kernel passes over count too. What
    is behind a custom call, as cuDNN's attention, counts nothing.
    """
    total = Work()
    for equation in (jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr).eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _product(equation)
        elif name == "cond":
            total += max(work(branch, trips=trips) for branch in params["branches"])
        else:
            for inner in jaxprs_in_params(params):
                total += work(inner, trips=trips).times(_times(name, params, trips))
    return total


def _times(name: str, params: Mapping[str, Any], trips: int) -> int:
    """How often an equation runs the jaxprs that it holds, on all devices together."""
    if name == "scan":
        return params["length"]
    if name == "while":
        return trips
    if name == "shard_map":
        return params["mesh"].size
    if name == "pallas_call":
        return math.prod(params["grid_mapping"].grid)
    return 1


def _product(equation: Any) -> Work:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, right, result = equation.invars[0].aval, equation.invars[1].aval, equation.outvars[0].aval
    added_up = math.prod(left.shape[axis] for axis in contracted)
    moved = sum(math.prod(x.shape) * x.dtype.itemsize for x in (left, right, result))
    return Work(2.0 * math.prod(result.shape) * added_up, float(moved))
