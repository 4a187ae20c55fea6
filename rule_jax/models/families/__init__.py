"""One file per model family, named as `model_type` in config.json.

Every file has `config(hf) -> DecoderConfig` and `tensors(config) -> tuple[Tensor, ...]`.
"""

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
    """

    path: tuple[str, ...]
    name: str
    inputs: int = 0

    @property
    def stacked(self) -> bool:
        return self.path[0] == "layers"


def need(hf: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """hf[name], of the type asked for. Raises UserError naming the field."""
    if name not in hf:
        raise UserError(f"config.json has no {name!r}, which a {hf.get('model_type')!r} model must state")
    value = hf[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"config.json: {name} is {value!r}, of type {type(value).__name__}; expected {kind}")
    return value


def rope(hf: Mapping[str, Any]) -> tuple[float, tuple[tuple[str, Any], ...] | None]:
    """(theta, scaling) from either dialect: `rope_parameters`, or `rope_theta` and `rope_scaling`.

    Raises UserError for a rope type that is not implemented and for a missing theta or scaling field: a silently
    defaulted rope gives a model that is right on short prompts only.
    """
    given = hf.get("rope_parameters")
    scaling = dict(given if given is not None else hf.get("rope_scaling") or {})
    theta = scaling.pop("rope_theta", hf.get("rope_theta"))
    if not isinstance(theta, (int, float)):
        raise UserError("config.json states no rope_theta (nor rope_parameters.rope_theta)")
    kind = scaling.pop("rope_type", scaling.pop("type", "default"))
    scaling.pop("type", None)
    if kind == "default":
        return float(theta), None
    if kind not in ROPE_TYPES:
        raise UserError(
            f"config.json: rope type {kind!r} is not supported; supported: default, {', '.join(ROPE_TYPES)}"
        )
    missing = [field for field in ROPE_TYPES[kind] if field not in scaling]
    if missing:
        raise UserError(f"config.json: rope type {kind!r} needs {', '.join(missing)}")
    return float(theta), (("rope_type", kind), *((field, scaling[field]) for field in ROPE_TYPES[kind]))
