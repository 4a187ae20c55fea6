"""What of a model is trained: all of its parameters (`full`), or an adapter beside them (lora.py)."""

from typing import Any, Callable, NamedTuple

import jax

from rule_jax.models.decoder import Model, Params


class Tuning(NamedTuple):
    """What is trained, and what the model reads when it is, as pure functions.

    `base` is what training begins from and leaves as it is: the KL reference, and with an adapter also what the
    adapter stands on. Programs that only place, start and update parameters take a Tuning as they take a Model.

    init(key) -> trained: a fresh start.
    axes: like Model.axes, for what is trained.
    keeps_base: whether the model reads the base beside what is trained; if not, `read` and `merge` ignore it.
    read(base, trained) -> the parameters that the model's functions take; gradients flow into `trained` alone.
    merge(base, trained, dtype) -> plain parameters of the same function, in `dtype`, added up in float32.
    join(first, then) -> the result of two stages as one, where the second one began from what the first had left.
    """

    init: Callable[[jax.Array], Params]
    axes: Any
    keeps_base: bool
    read: Callable[[Params, Params], Params]
    merge: Callable[[Params, Params, Any], Params]
    join: Callable[[Params, Params], Params]


def full(model: Model) -> Tuning:
    """Every parameter is trained."""
    return Tuning(
        init=model.init,
        axes=model.axes,
        keeps_base=False,
        read=lambda base, trained: trained,
        merge=lambda base, trained, dtype: jax.tree.map(lambda x: x.astype(dtype), trained),
        join=lambda first, then: then,
    )
