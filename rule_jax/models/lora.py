"""LoRA: x @ W + (alpha / rank) * (x @ A) @ B in the place of x @ W, where only A and B are trained.

Source: https://arxiv.org/abs/2106.09685. A starts at random and B at zero, so that a fresh adapter changes nothing and
the base is the model with the adapter off. W + A @ B is never built in training: `layers.linear` adds the low-rank
path. An adapter is a tree of its own, {"attention": {"query_a", "query_b", ...}, "mlp": {...}}, stacked [L, ...] like
the layers: a has the kernel's inputs and the rank [L, *inputs, rank], b the rank and its outputs [L, rank, *outputs].
Adapters add by concatenation along the rank: an adapter on top of another one is one adapter of both ranks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rule_jax.errors import UserError
from rule_jax.models.decoder import Model, Params
from rule_jax.models.tuning import Tuning, full

PROJECTIONS = ("query", "key", "value", "out", "gate", "up", "down")
KERNEL = "_kernel"


class Kernel(NamedTuple):
    """A projection that an adapter may stand beside. group, name: its keys, e.g. "attention", "query".

    axes, shape: of its kernel, the layer axis first. inputs: how many axes after that are its inputs.
    """

    group: str
    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    inputs: int


def kernels(model: Model) -> Iterator[Kernel]:
    """Every projection of a model's layers, in a fixed order.

    Each one reads from the residual stream or writes to it, and so its inputs are the axis "embed" alone or all
    that stands before it.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0))["layers"]
    for group in sorted(shapes):
        for key in sorted(shapes[group]):
            if key.endswith(KERNEL):
                axes = model.axes["layers"][group][key]
                inputs = max(axes.index("embed") - 1, 1)
                yield Kernel(group, key.removesuffix(KERNEL), axes, shapes[group][key].shape, inputs)


def check(*, rank: int, alpha: float, targets: Sequence[str]) -> None:
    """Raises UserError for settings that describe no adapter. Rank 0 is full fine-tuning."""
    if rank < 0:
        raise UserError(f"config.lora.rank={rank}: it must be 0 (train all parameters) or the rank of the adapter")
    if rank and alpha <= 0:
        raise UserError(f"config.lora.alpha={alpha}: it must be positive; the adapter is scaled by alpha / rank")
    unknown = [name for name in targets if name not in PROJECTIONS]
    if rank and (unknown or not targets):
        what = f"{unknown[0]!r} is no projection" if unknown else "no projection is named"
        raise UserError(f"config.lora.targets={tuple(targets)}: {what}; they are {', '.join(PROJECTIONS)}")


def make(model: Model, *, rank: int, alpha: float, targets: Sequence[str]) -> Tuning:
    """The tuning that config.lora describes: an adapter of that rank beside each target, or `full` for rank 0.

    Raises UserError as `check` does.
    """
    check(rank=rank, alpha=alpha, targets=targets)
    if not rank:
        return full(model)
    adapted = [kernel for kernel in kernels(model) if kernel.name in targets]
    scale = alpha / rank

    def init(key: jax.Array) -> Params:
        adapter: dict[str, Any] = {}
        for number, kernel in enumerate(adapted):
            own = adapter.setdefault(kernel.group, {})
            (layers, *ins), outs = kernel.shape[: kernel.inputs + 1], kernel.shape[kernel.inputs + 1 :]
            normal = jax.random.normal(jax.random.fold_in(key, number), (layers, *ins, rank))
            own[f"{kernel.name}_a"] = normal * math.prod(ins) ** -0.5
            own[f"{kernel.name}_b"] = jnp.zeros((layers, rank, *outs))
        return adapter

    axes: dict[str, Any] = {}
    for kernel in adapted:
        (layers, *ins), outs = kernel.axes[: kernel.inputs + 1], kernel.axes[kernel.inputs + 1 :]
        axes.setdefault(kernel.group, {})[f"{kernel.name}_a"] = (layers, *ins, "rank")
        axes[kernel.group][f"{kernel.name}_b"] = (layers, "rank", *outs)

    def read(base: Params, adapter: Params) -> Params:
        scaled = {
            group: {name: x * scale if name.endswith("_b") else x for name, x in own.items()}
            for group, own in adapter.items()
        }
        return {**jax.lax.stop_gradient(base), "adapter": scaled}

    def merge(base: Params, adapter: Params, dtype: Any) -> Params:
        merged = jax.tree.map(lambda x: x.astype(dtype), base)
        for group, name, *_ in adapted:
            own = adapter[group]
            args = base["layers"][group][name + KERNEL], own[f"{name}_a"], own[f"{name}_b"]
            # Layer by layer: the float32 sum of a whole stack would be larger than the model in two bytes.
            merged["layers"][group][name + KERNEL] = jax.lax.map(lambda x: _sum(x, scale).astype(dtype), args)
        return merged

    return Tuning(init=init, axes=axes, keeps_base=True, read=read, merge=merge, join=join)


def join(first: Params, then: Params) -> Params:
    """One adapter for two that stand on top of each other, made with the same alpha / rank. Its rank is their sum."""

    def along_rank(path: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.concatenate([x, y], axis=-1 if path[-1].key.endswith("_a") else 1)

    return jax.tree_util.tree_map_with_path(along_rank, first, then)


def rank_of(adapter: Mapping[str, Any]) -> int:
    """The rank of an adapter, joined or not."""
    return next(x.shape[-1] for own in adapter.values() for name, x in own.items() if name.endswith("_a"))


def _sum(of_layer: tuple[jax.Array, jax.Array, jax.Array], scale: float) -> jax.Array:
    """W + scale * A @ B of one layer, in float32."""
    kernel, a, b = of_layer
    return kernel.astype(jnp.float32) + scale * jnp.tensordot(a, b, axes=1, precision=jax.lax.Precision.HIGHEST)
