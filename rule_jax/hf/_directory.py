"""What a model directory says about itself: its config, its family, the ids that end an answer."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rule_jax import files, plugin
from rule_jax.errors import UserError
from rule_jax.models import decoder
from rule_jax.models.decoder import DEFAULT, Execution, Model

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
WRAPPED = ("text_config", "vision_config", "audio_config")


def load_model(path: str | Path, execution: Execution = DEFAULT) -> Model:
    """The Model that a directory's config.json describes, without its weights. Raises UserError as `load` does."""
    hf = read_config(path)
    return decoder.make(family(hf).config(hf), execution)


def read_config(path: str | Path) -> dict[str, Any]:
    """config.json of a model directory, checked to be of a kind that can be loaded."""
    path = Path(path)
    if path.is_file():
        raise UserError(f"{path} is a file; config.model.path names a directory, and archives are never unpacked")
    if not path.is_dir():
        raise UserError(f"model directory {path} does not exist; config.model.path must name a local HF directory")
    hf = files.read_json(path / "config.json")
    if "auto_map" in hf:
        raise UserError(f"{path}: the model asks for remote code (auto_map), which is never run")
    if hf.get("quantization_config"):
        raise UserError(f"{path}: the weights are quantized; convert them to float32, float16 or bfloat16 first")
    family(hf)
    return hf


def family(hf: Mapping[str, Any]) -> ModuleType:
    """The file of the room models.families that a config.json belongs to. Raises UserError where there is none."""
    kind = hf.get("model_type")
    supported = plugin.names("models.families")
    what = ""
    if kind not in supported:
        wrapped = [field for field in WRAPPED if field in hf]
        what = f" (a multimodal wrapper: it has {', '.join(wrapped)})" if wrapped else ""
    experts = [field for field in EXPERTS if hf.get(field)]
    if experts:
        what = f" with {experts[0]} {hf[experts[0]]!r} (a mixture of experts)"
    if kind not in supported or experts:
        raise UserError(f"model_type {kind!r}{what} is not supported; supported: {', '.join(supported)}")
    return plugin.load("models.families", kind)


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
