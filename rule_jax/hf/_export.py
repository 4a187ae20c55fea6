"""From sharded parameters to a Hugging Face directory, published by a rename."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from rule_jax import files, processes, sharding
from rule_jax.errors import UserError
from rule_jax.hf._directory import family, read_config
from rule_jax.hf._import import at
from rule_jax.hf._source import DTYPES, Source
from rule_jax.models.decoder import Model, Params
from rule_jax.models.families._tensors import Tensor

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
    "chat_template.json",
)


def save(
    out_dir: str | Path,
    model: Model,
    params: Params,
    like: str | Path,
    *,
    dtype: Any = None,
    card: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    watch: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> None:
    """Writes an HF directory that plain `transformers` loads; config, tokenizer and templates are those of `like`.

    dtype: of every tensor; None: each is written in the dtype that it has in `like`, or, where `like` has no weights,
    in the one that its config.json states, else float32. card: the text of README.md. No file is larger than
    shard_bytes unless one tensor is. watch: wraps the list of what is written, like `telemetry.watched`. The directory
    appears whole, by a rename; one that exists is replaced. In a multi-process run every process calls it and the
    first one writes. Raises UserError when the disk refuses.
    """
    out, like = Path(out_dir), Path(like)
    hf = read_config(like)
    stated = np.dtype(dtype).name if dtype is not None else str(hf.get("dtype") or hf.get("torch_dtype") or "float32")
    dtypes = _stored_dtypes(like) if dtype is None else {}
    writer = processes.first()
    place = files.whole_folder(out) if writer else contextlib.nullcontext(Path())
    try:
        with place as draft:
            tensors = _checkpoint_tensors(model, params, family(hf).tensors(model.config), watch)
            _write_tensors(draft, tensors, dtypes, jnp.dtype(stated), shard_bytes, writer)
            if not writer:
                return
            for carried in CARRIED:
                if (like / carried).is_file():
                    shutil.copyfile(like / carried, draft / carried)
            hf.pop("torch_dtype", None)
            files.write_json(draft / "config.json", {**hf, "dtype": stated})
            if card is not None:
                files.write_text(draft / "README.md", card)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{out} cannot be written: {error}. Make room, or choose another place.") from None


def _stored_dtypes(like: Path) -> dict[str, np.dtype]:
    """tensor name -> dtype, of a directory that may have no weights."""
    if not any(like.glob("*.safetensors")):
        return {}
    return {name: DTYPES[stored.dtype] for name, stored in Source(like).tensors.items() if stored.dtype in DTYPES}


def _checkpoint_tensors(
    model: Model,
    params: Params,
    tensors: tuple[Tensor, ...],
    watch: Callable[[Sequence[Any]], Iterable[Any]],
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, value) of each tensor of the checkpoint, in the dtype of the parameters; several of ours may make one."""
    by_name: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        by_name.setdefault(tensor.name, []).append(tensor)
    work = [
        (name, parts, layer)
        for name, parts in by_name.items()
        for layer in (range(model.config.layers) if parts[0].stacked else (None,))
    ]
    for name, parts, layer in watch(work):
        values = [_checkpoint_layout(params, part, layer) for part in parts]  # in the order of their rows
        yield name.format(layer=layer), values[0] if len(values) == 1 else np.concatenate(values)


def _checkpoint_layout(params: Params, tensor: Tensor, layer: int | None) -> np.ndarray:
    leaf = at(params, tensor.path)
    value = sharding.whole(leaf if layer is None else leaf[layer])
    if tensor.inputs:
        return value.reshape(int(np.prod(value.shape[: tensor.inputs])), -1).T
    return value.reshape(-1) if tensor.flat else value


def _write_tensors(
    staging: Path,
    tensors: Iterator[tuple[str, np.ndarray]],
    dtypes: dict[str, np.dtype],
    default: np.dtype,
    limit: int,
    writer: bool,
) -> None:
    shard: dict[str, np.ndarray] = {}
    weight_map: dict[str, int] = {}
    parts: list[Path] = []
    size = total = 0

    def flush() -> None:
        parts.append(staging / f"part-{len(parts)}")
        save_file(shard, parts[-1], metadata={"format": "pt"})
        files.open_up(parts[-1])  # safetensors makes it readable by its owner alone
        shard.clear()

    for name, value in tensors:
        if not writer:
            continue
        value = np.ascontiguousarray(value, dtypes.get(name, default))
        if shard and size + value.nbytes > limit:
            flush()
            size = 0
        shard[name] = value
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
