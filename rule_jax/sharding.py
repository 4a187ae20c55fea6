"""The device mesh and the one table that maps logical axes to mesh axes."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rule_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")
Layout = Literal["train", "decode"]
BATCH = ("data", "fsdp")  # rows of a batch are spread over both

# Training spreads each parameter over fsdp and tensor. Decoding keeps it whole along fsdp, so that no weight is
# gathered once per token.
RULES: Mapping[Layout, Mapping[str, str | None]] = {
    "train": {"vocab": "tensor", "embed": "fsdp", "heads": "tensor", "kv_heads": "tensor", "mlp": "tensor"},
    "decode": {"vocab": "tensor", "embed": None, "heads": "tensor", "kv_heads": "tensor", "mlp": "tensor"},
}


def make_mesh(*, data: int, fsdp: int, tensor: int, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of the devices; of all that the run has where none are given. One size may be -1: it takes the rest.

    Raises UserError when the product is not the number of devices.
    """
    sizes = {"data": data, "fsdp": fsdp, "tensor": tensor}
    devices = jax.devices() if devices is None else devices
    count = len(devices)
    free = [name for name, size in sizes.items() if size == -1]
    rest = math.prod(size for size in sizes.values() if size != -1)
    if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise UserError(f"mesh {sizes}: sizes are positive, and at most one is -1 (the rest)")
    if free and rest and count % rest == 0:
        sizes[free[0]] = count // rest
    if math.prod(sizes.values()) != count:
        need = f"a multiple of {rest}" if free else str(rest)
        raise UserError(f"mesh {sizes} needs {need} devices, this run has {count}; set config.mesh to fit")
    return jax.make_mesh(tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def param_shardings(axes: Any, shapes: Any, mesh: Mesh, layout: Layout) -> Any:
    """NamedShardings, a tree like `axes` (tuples of logical names), for arrays of the shapes in `shapes`.

    A dimension that its mesh axis does not divide is replicated if it is kv_heads, and a UserError otherwise, naming
    the dimension and the axis.
    """
    rules = RULES[layout]

    def of(names: tuple[str, ...], shape: Any) -> NamedSharding:
        spec: list[str | None] = []
        for name, size in zip(names, shape.shape):
            axis = rules.get(name)
            ways = mesh.shape[axis] if axis else 1
            if axis and size % ways:
                if name != "kv_heads":
                    raise UserError(f"mesh axis {axis}={ways} does not divide the model's {name} of {size}")
                axis = None
            spec.append(axis)
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(of, axes, shapes, is_leaf=lambda x: isinstance(x, tuple))


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh) -> NamedSharding:
    """The first axis spread over the batch axes of the mesh."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def traced_on(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, traced where `spread` finds the mesh."""

    @functools.wraps(function)
    def traced(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*arguments)

    return traced


def spread(x: jax.Array, *axes: str) -> jax.Array:
    """x with its first axis spread over the batch axes of the mesh that `traced_on` names, if it does.

    Without being told, XLA spreads activations like the weights that they meet. On 4 x 4 devices (fsdp, tensor) an
    update of Llama-3.1-8B then sends 2.3 times as many bytes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    return x if mesh.size < 2 else jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH, *axes))


def per_device(attend: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Attention (as ops.attention.attention) that each device of the mesh of `traced_on` does for its own rows and
    heads: for kernels that XLA cannot split. Key heads that the devices cannot share out are repeated first."""

    def on_mesh(
        q_BTHC: jax.Array, k_BSKC: jax.Array, v_BSKC: jax.Array, mask_BTS: jax.Array, **numbers: Any
    ) -> jax.Array:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.size < 2:
            return attend(q_BTHC, k_BSKC, v_BSKC, mask_BTS, **numbers)
        if k_BSKC.shape[2] % mesh.shape["tensor"]:
            k_BSKC, v_BSKC = (jnp.repeat(x, q_BTHC.shape[2] // x.shape[2], axis=2) for x in (k_BSKC, v_BSKC))
        heads = PartitionSpec(BATCH, None, "tensor")
        return jax.shard_map(
            functools.partial(attend, **numbers),
            in_specs=(heads, heads, heads, PartitionSpec(BATCH)),
            out_specs=heads,
            check_vma=False,  # a Pallas call does not say over which axes its result varies
        )(q_BTHC, k_BSKC, v_BSKC, mask_BTS)

    return on_mesh


def row_shards(mesh: Mesh) -> int:
    """Into how many parts `rows` cuts a batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH)


def put_rows(tree: Any, mesh: Mesh) -> Any:
    """Host arrays, the same on every process, as global arrays whose first axis is spread by `rows`.

    Each process hands over only the rows of its own devices.
    """
    sharding = rows(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index]), tree)


def whole(array: jax.Array) -> np.ndarray:
    """The whole of a distributed array, on every process."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def local_rows(array: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """(row numbers, values) of this process's part of an array spread by `rows`, in row order, each row once."""
    shards = {}
    for shard in array.addressable_shards:
        start, stop, _ = shard.index[0].indices(array.shape[0])
        shards.setdefault(start, (np.arange(start, stop), shard.data))
    ordered = [shards[start] for start in sorted(shards)]
    return np.concatenate([n for n, _ in ordered]), np.concatenate([np.asarray(x) for _, x in ordered])
