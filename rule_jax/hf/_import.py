"""From safetensors files to sharded parameters, piece by piece.

A host holds one piece of one tensor at a time besides what is on its devices: large parameters are filled in place on
the device, small ones are read whole. Each process reads the slices of its own devices and no others.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, Sharding

from rule_jax import programs
from rule_jax.errors import UserError
from rule_jax.hf._directory import family, load_model, read_config
from rule_jax.hf._source import DTYPES, Source
from rule_jax.models.decoder import Model, Params
from rule_jax.models.families._tensors import Tensor

PIECE_BYTES = 32_000_000
Span: TypeAlias = tuple[int, int]  # start, stop


def check(path: str | Path) -> None:
    """Everything about a model directory that can be known without reading its weights. Raises UserError as `load`."""
    model, source = load_model(path), Source(Path(path))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    _check_tensors(source, family(read_config(path)).tensors(model.config), shapes, model.config.layers)


def load_params(
    path: str | Path,
    model: Model,
    mesh: Mesh,
    dtype: Any = jnp.float32,
    watch: Callable[[Sequence[Tensor]], Iterable[Tensor]] = iter,
) -> Params:
    """The parameters of an HF directory, read straight into their training shards. Raises UserError as `load` does.

    watch: wraps the list of what is read, like `telemetry.watched`.
    """
    source = Source(Path(path))
    tensors = family(read_config(path)).tensors(model.config)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    _check_tensors(source, tensors, shapes, model.config.layers)
    if model.config.tied_embeddings and "lm_head.weight" in source.tensors:
        _check_tied(source)
    where = programs.param_shardings(model, mesh)
    params: dict[str, Any] = {}
    for tensor in watch(tensors):
        shape = at(shapes, tensor.path).shape

        def read(spans: tuple[Span, ...], tensor: Tensor = tensor, shape: tuple[int, ...] = shape) -> np.ndarray:
            return np.ascontiguousarray(_read(source, tensor, shape, spans), dtype)

        leaf = _place(read, shape, at(where, tensor.path), dtype, cut=tensor.stacked + tensor.inputs)
        _set(params, tensor.path, leaf)
    return params


def _place(
    read: Callable[[tuple[Span, ...]], np.ndarray], shape: tuple[int, ...], where: Sharding, dtype: Any, *, cut: int
) -> jax.Array:
    """The array whose part within `spans` is read(spans); each part is read once, for all devices that hold it.

    cut: the axis along which large parts are cut, the one that lies outermost in the file.
    """
    holders: dict[tuple[Span, ...], list[Any]] = {}
    by_device = where.addressable_devices_indices_map(shape)
    for device, index in by_device.items():
        spans = tuple(s.indices(n)[:2] for s, n in zip(index or (), shape))
        holders.setdefault(spans, []).append(device)
    shards: dict[Any, jax.Array] = {}
    for spans, devices in holders.items():
        pieces = list(_pieces(spans, np.dtype(dtype).itemsize, cut))
        if len(pieces) == 1:
            part = read(spans)
            shards |= {device: jax.device_put(part, device) for device in devices}
            continue
        sizes = [stop - start for start, stop in spans]
        shards |= {device: jnp.zeros(sizes, dtype, device=device) for device in devices}
        for piece in pieces:
            part, start = read(piece), [np.int32(own[0] - whole[0]) for own, whole in zip(piece, spans)]
            for device in devices:
                shards[device] = programs.write_part(shards[device], jax.device_put(part, device), start)
            jax.block_until_ready([shards[device] for device in devices])  # or pieces would pile up on the host
    return jax.make_array_from_single_device_arrays(shape, where, [shards[device] for device in by_device])


def _pieces(spans: tuple[Span, ...], itemsize: int, cut: int) -> Iterator[tuple[Span, ...]]:
    """Spans cut into parts of PIECE_BYTES or less: along the first axis one by one, then along `cut` as need be."""
    sizes = [stop - start for start, stop in spans]
    if math.prod(sizes) * itemsize <= PIECE_BYTES:
        yield spans
        return
    for first in _runs(spans[0], 1) if cut else (spans[0],):
        unit = math.prod(sizes[bool(cut) :]) // sizes[cut] * itemsize
        for run in _runs(spans[cut], max(1, PIECE_BYTES // unit)):
            piece = [first, *spans[1:]]
            piece[cut] = run
            yield tuple(piece)


def _runs(span: Span, step: int) -> Iterator[Span]:
    for start in range(*span, step):
        yield start, min(start + step, span[1])


def _check_tensors(source: Source, tensors: tuple[Tensor, ...], shapes: Any, layers: int) -> None:
    expected = {name: shape for t in tensors for name, shape in _checkpoint_shapes(t, at(shapes, t.path).shape, layers)}
    missing = sorted(expected.keys() - source.tensors.keys())
    # A tied head is often stored again, and old checkpoints store the rope frequencies: both are redundant.
    extra = sorted(
        n for n in source.tensors.keys() - expected.keys() if n != "lm_head.weight" and "rotary_emb" not in n
    )
    if missing or extra:
        raise UserError(
            f"{source.path}: tensors do not match config.json; missing {len(missing)} {missing[:3]}, "
            f"unexpected {len(extra)} {extra[:3]}"
        )
    for name, shape in expected.items():
        stored = source.tensors[name]
        if stored.shape != shape:
            raise UserError(f"{source.path}: {name} has shape {stored.shape}, config.json implies {shape}")
        if stored.dtype not in DTYPES:
            raise UserError(
                f"{source.path}: {name} is stored as {stored.dtype} (quantized?); supported: {', '.join(DTYPES)}"
            )


def _check_tied(source: Source) -> None:
    """transformers unties a stored head that differs; read as tied, it would be another model."""
    for run in _runs((0, source.tensors["lm_head.weight"].shape[0]), 4096):
        index = (slice(*run),)
        if not np.array_equal(source.read("lm_head.weight", index), source.read("model.embed_tokens.weight", index)):
            raise UserError(
                f"{source.path}: config.json says tie_word_embeddings, but lm_head.weight differs from "
                "model.embed_tokens.weight; set tie_word_embeddings to false, or remove lm_head.weight"
            )


def _checkpoint_shapes(tensor: Tensor, ours: tuple[int, ...], layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    own = ours[1:] if tensor.stacked else ours
    if tensor.inputs:
        own = (math.prod(own[tensor.inputs :]), math.prod(own[: tensor.inputs]))
    elif tensor.flat:
        own = (math.prod(own),)
    if tensor.rows:
        own = (tensor.rows[1], *own[1:])
    for layer in range(layers if tensor.stacked else 1):
        yield tensor.name.format(layer=layer), own


def _read(source: Source, tensor: Tensor, shape: tuple[int, ...], spans: tuple[Span, ...]) -> np.ndarray:
    """The part `spans` of one of our parameters, of full shape `shape`."""
    if not tensor.stacked:
        return _read_one(source, tensor, tensor.name, shape, spans)
    layers = range(*spans[0])
    parts = [_read_one(source, tensor, tensor.name.format(layer=i), shape[1:], spans[1:]) for i in layers]
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def _read_one(source: Source, tensor: Tensor, name: str, shape: tuple[int, ...], spans: tuple[Span, ...]) -> np.ndarray:
    size, n = [stop - start for start, stop in spans], tensor.inputs
    first = tensor.rows[0] if tensor.rows else 0
    if n:
        rows, columns = _flat(shape[n:], spans[n:]), _flat(shape[:n], spans[:n])
        return source.read(name, (slice(first + rows.start, first + rows.stop), columns)).T.reshape(size)
    if tensor.flat:
        return source.read(name, (_flat(shape, spans),)).reshape(size)
    return source.read(name, tuple(slice(*span) for span in spans))


def _flat(shape: tuple[int, ...], spans: tuple[Span, ...]) -> slice:
    """The run of a flattened group of axes, of which only the first may be cut (no rule shards head_dim)."""
    inner = math.prod(shape[1:])
    assert all(span == (0, n) for span, n in zip(spans[1:], shape[1:])), "only the leading axis of a group is sharded"
    return slice(spans[0][0] * inner, spans[0][1] * inner)


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """The entry of nested mappings under a path of keys."""
    for key in path:
        tree = tree[key]
    return tree


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
