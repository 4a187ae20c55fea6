"""What a program computes: operations and bytes of its matrix products, counted in its jaxpr.

XLA's own cost analysis takes the body of a loop once; a jaxpr says how often a scan runs. What is recomputed in a
backward pass counts, since it is done.
"""

import math
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

    Of the branches of a condition the larger counts.
    """
    total = Work()
    for equation in (jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr).eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _product(equation)
        elif name == "cond":
            total += max(work(branch, trips=trips) for branch in params["branches"])
        else:
            count = params["length"] if name == "scan" else trips if name == "while" else 1
            for inner in jaxprs_in_params(params):
                total += work(inner, trips=trips).times(count)
    return total


def _product(equation: Any) -> Work:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, right, result = equation.invars[0].aval, equation.invars[1].aval, equation.outvars[0].aval
    added_up = math.prod(left.shape[axis] for axis in contracted)
    moved = sum(math.prod(x.shape) * x.dtype.itemsize for x in (left, right, result))
    return Work(2.0 * math.prod(result.shape) * added_up, float(moved))
