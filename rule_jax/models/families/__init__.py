"""One file per model family, named as `model_type` in config.json.

Every file has `config(hf) -> DecoderConfig` and `tensors(config) -> tuple[Tensor, ...]`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rule_jax.errors import UserError

ROPE_TYPES = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


@dataclass(frozen=True)
class Tensor:
    """One parameter of ours and the checkpoint tensor it comes from.

    path: keys into the parameter tree, e.g. ("layers", "attention", "query_kernel").
    name: the tensor's name; "{layer}" stands for the layer number of stacked parameters.
    inputs: how many leading axes of ours (the layer axis not counted) are a linear layer's inputs. The checkpoint
        holds [outputs, inputs], each flattened, so it is transposed on the way. 0: the same layout on both sides.
    flat: the checkpoint holds all axes (the layer axis not counted) as one, like the bias of a projection to heads.
    """

    path: tuple[str, ...]
    name: str
    inputs: int = 0
    flat: bool = False

    @property
    def stacked(self) -> bool:
        return self.path[0] == "layers"


def need(hf: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """hf[name], of the type asked for. Raises UserError naming the field."""
    if name not in hf:
        raise UserError(f"config.json has no {name!r}, which a {hf.get('model_type')!r} model must state")
    value = hf[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise UserError(f"config.json: {name} is {value!r}, of type {type(value).__name__}; expected {wanted}")
    return value


def size(hf: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """hf[name], a whole number from 1 to 2^31 - 1; the default where it is absent or null.

    Raises UserError naming the field.
    """
    if default is not None and hf.get(name) is None:
        return default
    value = need(hf, name, int)
    if not 0 < value < 2**31:
        raise UserError(f"config.json: {name} is {value}; expected a whole number from 1 to 2^31 - 1")
    return value


def positive(hf: Mapping[str, Any], name: str) -> float:
    """hf[name], a finite number above 0. Raises UserError naming the field."""
    value = need(hf, name, (int, float))
    if not 0 < value <= sys.float_info.max:
        raise UserError(f"config.json: {name} is {value}; expected a finite number above 0")
    return float(value)


def rope(hf: Mapping[str, Any]) -> tuple[float, tuple[tuple[str, Any], ...] | None]:
    """(theta, scaling) from either dialect: `rope_parameters`, or `rope_theta` and `rope_scaling`.

    Raises UserError for a rope type that is not implemented and for a missing theta or scaling field: a silently
    defaulted rope gives a model that is right on short prompts only.
    """
    for field in ("rope_parameters", "rope_scaling"):
        if not isinstance(hf.get(field) or {}, Mapping):
            raise UserError(f"config.json: {field} is {hf[field]!r}; expected an object")
    given = hf.get("rope_parameters")
    scaling = {"rope_theta": hf.get("rope_theta"), **(given if given is not None else hf.get("rope_scaling") or {})}
    if scaling["rope_theta"] is None:
        raise UserError("config.json states no rope_theta (nor rope_parameters.rope_theta)")
    theta = positive(scaling, "rope_theta")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return theta, None
    if not isinstance(kind, str) or kind not in ROPE_TYPES:
        raise UserError(
            f"config.json: rope type {kind!r} is not supported; supported: default, {', '.join(ROPE_TYPES)}"
        )
    missing = [field for field in ROPE_TYPES[kind] if field not in scaling]
    if missing:
        raise UserError(f"config.json: rope type {kind!r} needs {', '.join(missing)}")
    numbers = tuple((field, positive(scaling, field)) for field in ROPE_TYPES[kind])
    if kind == "llama3" and not scaling["low_freq_factor"] < scaling["high_freq_factor"]:
        raise UserError("config.json: rope type 'llama3' needs low_freq_factor below high_freq_factor")
    return theta, (("rope_type", kind), *numbers)
