"""The tensors of a directory of safetensors files: what is there, and slices of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from safetensors import SafetensorError, safe_open

from rule_jax import files
from rule_jax.errors import UserError

DTYPES = {"F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}
DTYPES["BF16"] = np.dtype(bfloat16)
# What else weights come in: formats that can hold code, and containers.
OTHERS = {
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"), "a pickle"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".nemo"), "an archive"),
    **dict.fromkeys((".npz", ".npy", ".msgpack", ".h5", ".keras", ".gguf", ".onnx"), "of another format"),
}

NEVER = (
    "which is never read: load the model with transformers and save it again with save_pretrained, which writes "
    "safetensors"
)


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies and how: dtype as safetensors calls it."""

    file: str
    shape: tuple[int, ...]
    dtype: str


class Source:
    """The tensors of a directory by name. One file is open at a time, so that no more than one is ever mapped.

    Raises UserError when there is no file, one that the index names is missing, or one cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.tensors: dict[str, Stored] = {}
        self._open: tuple[str, Any] = ("", None)
        for file in _weight_files(path):
            handle = self._handle(file)
            for name in handle.keys():  # noqa: SIM118 (a handle is not iterable)
                found = handle.get_slice(name)
                self.tensors[name] = Stored(file, tuple(found.get_shape()), found.get_dtype())
        self._open = ("", None)

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """A copy of tensor[index], in the dtype that it is stored in."""
        try:
            return self._handle(self.tensors[name].file).get_slice(name)[index]
        except SafetensorError as error:
            raise UserError(f"{self.path}: {name} cannot be read: {error}") from None

    def _handle(self, file: str) -> Any:
        if self._open[0] != file:
            self._open = ("", None)  # closes the one before
            try:
                self._open = (file, safe_open(self.path / file, framework="np"))
            except (SafetensorError, OSError) as error:
                raise UserError(
                    f"{self.path / file} is not a readable safetensors file ({error}); if it was copied or downloaded, "
                    "do that again"
                ) from None
        return self._open[1]


def _weight_files(path: Path) -> list[str]:
    index = path / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(_weight_map(index).values()))
        absent = [name for name in names if not (path / name).is_file()]
        if absent:
            raise UserError(f"{index} points at files that are not there: {', '.join(absent)}")
        return names
    names = sorted(p.name for p in path.glob("*.safetensors"))
    if not names:
        others = sorted(p.name for p in path.iterdir() if p.suffix in OTHERS)
        hint = f"; {others[0]} is {OTHERS[Path(others[0]).suffix]}, {NEVER}" if others else ""
        raise UserError(f"{path} has no .safetensors file{hint}")
    return names


def _weight_map(index: Path) -> dict[str, str]:
    """tensor name -> file name, of an index file. Raises UserError when it holds something else."""
    found = files.read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(f, str) and f for f in found.values()):
        raise UserError(f"{index} has no weight_map from tensor names to file names")
    elsewhere = [f for f in found.values() if not files.is_name(f)]
    if elsewhere:
        raise UserError(f"{index} points outside its own folder, which is never followed: {elsewhere[0][:200]}")
    return found
