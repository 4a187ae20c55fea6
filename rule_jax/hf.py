"""Hugging Face model directories, in and out: safetensors, config, tokenizer, chat template.

Only safetensors and JSON are read; pickles are refused. Tensors stream one slice at a time from the files to the
device shards that need them, and a directory is published by a rename, so a killed export never looks complete.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rule_jax import files, plugin, programs, sharding
from rule_jax.errors import UserError
from rule_jax.models import decoder
from rule_jax.models.decoder import Model, Params
from rule_jax.models.families import Tensor

SHARD_BYTES = 5_000_000_000
CARRIED = (  # everything beside the weights that a model needs to be used as before
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def load(
    path: str | Path, mesh: Mesh | None = None, dtype: Any = jnp.float32, remat: bool = False
) -> tuple[Model, Params]:
    """The model of an HF directory and its parameters, on `mesh` (default: one device), in `dtype`.

    Raises UserError when a file is missing or unreadable, the architecture is not supported, or a tensor is missing,
    unexpected or of another shape than config.json implies.
    """
    model = load_model(path, remat=remat)
    mesh = mesh or jax.make_mesh(
        (1, 1, 1), sharding.AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3, devices=jax.devices()[:1]
    )
    return model, load_params(path, model, mesh, dtype)


def load_model(path: str | Path, *, remat: bool = False) -> Model:
    """The Model that a directory's config.json describes, without its weights. Raises UserError as `load` does."""
    return decoder.make(_family(read_config(path)).config(read_config(path)), remat=remat)


def read_config(path: str | Path) -> dict[str, Any]:
    """config.json of a model directory, checked to be of a kind that can be loaded."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"model directory {path} does not exist; config.model.path must name a local HF directory")
    hf = files.read_json(path / "config.json")
    if "auto_map" in hf:
        raise UserError(f"{path}: the model asks for remote code (auto_map), which is never run")
    if hf.get("quantization_config"):
        raise UserError(f"{path}: the weights are quantized; convert them to float32, float16 or bfloat16 first")
    _family(hf)
    return hf


def eos_ids(path: str | Path) -> tuple[int, ...]:
    """The ids that end an answer: generation_config.json's, else config.json's. Raises UserError when neither says."""
    path = Path(path)
    generation = files.read_json(path / "generation_config.json") if (path / "generation_config.json").exists() else {}
    for source in (generation, files.read_json(path / "config.json")):
        value = source.get("eos_token_id")
        if value is None:
            continue
        ids = tuple(value) if isinstance(value, list) else (value,)
        if not ids or not all(type(i) is int and i >= 0 for i in ids):
            raise UserError(f"{path}: eos_token_id is {value!r}; expected a token id or a list of them")
        return ids
    raise UserError(f"{path}: neither generation_config.json nor config.json states eos_token_id")


def _family(hf: Mapping[str, Any]) -> Any:
    kind = hf.get("model_type")
    supported = plugin.names("models.families")
    if kind not in supported:
        raise UserError(f"model_type {kind!r} is not supported; supported: {', '.join(supported)}")
    return plugin.load("models.families", kind)


# Import


class _Source:
    """The tensors of a directory by name; opens each safetensors file once and reads slices on demand."""

    def __init__(self, path: Path):
        index = path / "model.safetensors.index.json"
        if index.exists():
            names = sorted(set(_weight_map(index).values()))
            absent = [name for name in names if not (path / name).is_file()]
            if absent:
                raise UserError(f"{index} points at files that are not there: {', '.join(absent)}")
        else:
            names = sorted(p.name for p in path.glob("*.safetensors"))
        if not names:
            pickles = sorted(p.name for p in path.glob("*.bin")) + sorted(p.name for p in path.glob("*.pt*"))
            hint = (
                f"; {pickles[0]} is a pickle, which is never read: save the model with safetensors" if pickles else ""
            )
            raise UserError(f"{path} has no .safetensors file{hint}")
        self.path, self.where = path, {}
        for name in names:
            try:
                handle = safe_open(path / name, framework="np")
                self.where.update(dict.fromkeys(handle.keys(), (name, handle)))
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path / name} is not a readable safetensors file: {error}") from None

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.where[name][1].get_slice(name).get_shape())

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        return self.where[name][1].get_slice(name)[index]


def _weight_map(index: Path) -> dict[str, str]:
    """tensor name -> file name, of an index file. Raises UserError when it holds something else."""
    found = files.read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(f, str) and f for f in found.values()):
        raise UserError(f"{index} has no weight_map from tensor names to file names")
    return found


def check(path: str | Path) -> None:
    """Everything about a model directory that can be known without reading its weights. Raises UserError as `load`."""
    model, source = load_model(path), _Source(Path(path))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    _check_tensors(source, _family(read_config(path)).tensors(model.config), shapes, model.config.layers)


def load_params(path: str | Path, model: Model, mesh: Mesh, dtype: Any = jnp.float32) -> Params:
    """The parameters of an HF directory, read straight into their training shards. Raises UserError as `load` does."""
    source = _Source(Path(path))
    tensors = _family(read_config(path)).tensors(model.config)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    _check_tensors(source, tensors, shapes, model.config.layers)
    where = programs.param_shardings(model, mesh)
    params: dict[str, Any] = {}
    for tensor in tensors:
        shape = _at(shapes, tensor.path).shape

        def part(index: tuple[slice, ...], tensor: Tensor = tensor, shape: tuple[int, ...] = shape) -> np.ndarray:
            return _read(source, tensor, shape, index).astype(dtype)

        _set(params, tensor.path, jax.make_array_from_callback(shape, _at(where, tensor.path), part))  # type: ignore[arg-type]
    return params


def _check_tensors(source: _Source, tensors: tuple[Tensor, ...], shapes: Any, layers: int) -> None:
    expected = {
        name: shape for t in tensors for name, shape in _checkpoint_shapes(t, _at(shapes, t.path).shape, layers)
    }
    missing = sorted(expected.keys() - source.where.keys())
    # A tied head is often stored again, and old checkpoints store the rope frequencies: both are redundant.
    extra = sorted(n for n in source.where.keys() - expected.keys() if n != "lm_head.weight" and "rotary_emb" not in n)
    if missing or extra:
        raise UserError(
            f"{source.path}: tensors do not match config.json; missing {len(missing)} {missing[:3]}, "
            f"unexpected {len(extra)} {extra[:3]}"
        )
    for name, shape in expected.items():
        if source.shape(name) != shape:
            raise UserError(f"{source.path}: {name} has shape {source.shape(name)}, config.json implies {shape}")


def _checkpoint_shapes(tensor: Tensor, ours: tuple[int, ...], layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    own = ours[1:] if tensor.stacked else ours
    if tensor.inputs:
        own = (int(np.prod(own[tensor.inputs :])), int(np.prod(own[: tensor.inputs])))
    elif tensor.flat:
        own = (int(np.prod(own)),)
    for layer in range(layers if tensor.stacked else 1):
        yield tensor.name.format(layer=layer), own


def _read(source: _Source, tensor: Tensor, shape: tuple[int, ...], index: tuple[slice, ...]) -> np.ndarray:
    """The part `index` of one of our parameters, of full shape `shape`."""
    spans = [range(*s.indices(n)) for s, n in zip(index, shape)]
    if not tensor.stacked:
        return _read_one(source, tensor, tensor.name, shape, spans)
    return np.stack([_read_one(source, tensor, tensor.name.format(layer=i), shape[1:], spans[1:]) for i in spans[0]])


def _read_one(source: _Source, tensor: Tensor, name: str, shape: tuple[int, ...], spans: list[range]) -> np.ndarray:
    size, n = [len(s) for s in spans], tensor.inputs
    if n:
        rows, columns = _flat(shape[n:], spans[n:]), _flat(shape[:n], spans[:n])
        return source.read(name, (rows, columns)).T.reshape(size)
    if tensor.flat:
        return source.read(name, (_flat(shape, spans),)).reshape(size)
    return source.read(name, tuple(slice(s.start, s.stop) for s in spans))


def _flat(shape: tuple[int, ...], spans: list[range]) -> slice:
    """The run of a flattened group of axes, of which only the first may be cut (no rule shards head_dim)."""
    inner = int(np.prod(shape[1:]))
    assert all(len(s) == n for s, n in zip(spans[1:], shape[1:])), "only the leading axis of a group is sharded"
    return slice(spans[0].start * inner, spans[0].stop * inner)


# Export


def save(
    out_dir: str | Path,
    model: Model,
    params: Params,
    like: str | Path,
    *,
    dtype: Any = None,
    card: str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes an HF directory that plain `transformers` loads; config, tokenizer and templates are those of `like`.

    dtype: default the one that like's config.json states, else float32. card: the text of README.md. The directory
    appears whole, by a rename; one that exists is replaced. In a multi-process run every process calls it and the
    first one writes. Raises UserError when the disk refuses.
    """
    out, like = Path(out_dir), Path(like)
    hf = read_config(like)
    name = np.dtype(dtype).name if dtype is not None else str(hf.get("dtype") or hf.get("torch_dtype") or "float32")
    writer = jax.process_index() == 0
    staging = _staging(out) if writer else Path()
    try:
        _write_tensors(staging, model, params, _family(hf).tensors(model.config), name, shard_bytes, writer)
        if writer:
            for carried in CARRIED:
                if (like / carried).is_file():
                    shutil.copyfile(like / carried, staging / carried)
            hf.pop("torch_dtype", None)
            files.write_json(staging / "config.json", {**hf, "dtype": name})
            if card is not None:
                files.write_text(staging / "README.md", card)
            publish(staging, out)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{out} cannot be written: {error}. Make room, or choose another place.") from None
    finally:
        if writer:
            shutil.rmtree(staging, ignore_errors=True)


def _staging(out: Path) -> Path:
    """A private folder beside `out`, to be filled and then published."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}. Choose another place.") from None


def publish(staging: Path, out: Path) -> None:
    """Puts a finished directory in its place by renames; what was there is removed only afterwards."""
    os.chmod(staging, 0o755)  # mkdtemp made it private while it was unfinished
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(staging, out)
    shutil.rmtree(old, ignore_errors=True)


def _write_tensors(
    staging: Path, model: Model, params: Params, tensors: tuple[Tensor, ...], dtype: str, limit: int, writer: bool
) -> None:
    shards: list[dict[str, np.ndarray]] = [{}]
    weight_map: dict[str, int] = {}
    parts: list[Path] = []
    size = total = 0

    def flush() -> None:
        parts.append(staging / f"part-{len(parts)}")
        save_file(shards[-1], parts[-1], metadata={"format": "pt"})
        parts[-1].chmod(0o644)  # safetensors makes it readable by its owner alone
        shards[-1].clear()

    for tensor, layer in [(t, i) for t in tensors for i in (range(model.config.layers) if t.stacked else (None,))]:
        leaf = _at(params, tensor.path)
        value = sharding.whole(leaf if layer is None else leaf[layer]).astype(jnp.dtype(dtype))
        if tensor.inputs:
            rows = int(np.prod(value.shape[: tensor.inputs]))
            value = value.reshape(rows, -1).T
        elif tensor.flat:
            value = value.reshape(-1)
        if not writer:
            continue
        if shards[-1] and size + value.nbytes > limit:
            flush()
            size = 0
        name = tensor.name.format(layer=layer)
        shards[-1][name] = np.ascontiguousarray(value)
        weight_map[name] = len(parts)
        size, total = size + value.nbytes, total + value.nbytes
    if not writer:
        return
    flush()
    if len(parts) == 1:
        parts[0].rename(staging / "model.safetensors")
        return
    final = [f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors" for i in range(len(parts))]
    for file, name in zip(parts, final):
        file.rename(staging / name)
    index = {"metadata": {"total_size": total}, "weight_map": {k: final[v] for k, v in sorted(weight_map.items())}}
    files.write_json(staging / "model.safetensors.index.json", index)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
