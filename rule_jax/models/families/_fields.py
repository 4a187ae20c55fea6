"""What families read from config.json alike. Every function raises UserError naming the field that is at fault."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax.errors import UserError
from rule_jax.models.layers import DecoderConfig, Sight
from rule_jax.ops.rope import Rope

ROPE_TYPES = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor"),
}
MOST_LAYERS = 10_000


def need(hf: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """hf[name], of the type asked for."""
    if name not in hf:
        raise UserError(f"config.json has no {name!r}, which it must state")
    value = hf[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise UserError(f"config.json: {name} is {value!r}, of type {type(value).__name__}; expected {wanted}")
    return value


def size(hf: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """hf[name], a whole number from 1 to 2^31 - 1; the default where it is absent or null."""
    if default is not None and hf.get(name) is None:
        return default
    value = need(hf, name, int)
    if not 0 < value < 2**31:
        raise UserError(f"config.json: {name} is {value}; expected a whole number from 1 to 2^31 - 1")
    return value


def layers(hf: Mapping[str, Any]) -> int:
    """How many layers there are: few enough to say something about each."""
    count = size(hf, "num_hidden_layers")
    if count > MOST_LAYERS:
        raise UserError(f"config.json: num_hidden_layers is {count}; expected at most {MOST_LAYERS}")
    return count


def positive(hf: Mapping[str, Any], name: str) -> float:
    """hf[name], a finite number above 0."""
    value = need(hf, name, (int, float))
    if not 0 < value <= sys.float_info.max:
        raise UserError(f"config.json: {name} is {value}; expected a finite number above 0")
    return float(value)


def maybe(hf: Mapping[str, Any], name: str, default: float | None = None) -> float | None:
    """hf[name], a finite number above 0, or None where it is null; the default where it is absent."""
    if name not in hf:
        return default
    return None if hf[name] is None else positive(hf, name)


def flag(hf: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """hf[name], true or false; the default where it is absent or null."""
    return default if hf.get(name) is None else need(hf, name, bool)


def only(hf: Mapping[str, Any], name: str, *allowed: Any) -> None:
    """Refuses a field that is present with a value which this family does not compute; null counts as absent."""
    value = hf.get(name)
    if value is not None and value not in allowed:
        names = ", ".join(str(a) for a in allowed)
        raise UserError(
            f"config.json: {name} {value!r} is not supported for {hf.get('model_type')}; supported: {names}"
        )


def head_dim(hf: Mapping[str, Any], default: int | None = None) -> int:
    """The channels of one head; the default, or the width shared out among the heads, where config.json is silent."""
    width, heads = size(hf, "hidden_size"), size(hf, "num_attention_heads")
    if default is None and hf.get("head_dim") is None and width % heads:
        raise UserError(f"config.json: hidden_size {width} is no multiple of num_attention_heads {heads}")
    channels = size(hf, "head_dim", default=default or width // heads)
    if channels % 2:
        raise UserError(f"config.json: head_dim {channels} is odd; rotary positions turn pairs of channels")
    return channels


def decoder(hf: Mapping[str, Any], *, channels: int, tied: bool = False, **differences: Any) -> DecoderConfig:
    """The sizes that every family states under the same names, and what the family says differs from Llama.

    channels: of a head. tied: whether embeddings are tied where config.json is silent.
    """
    heads = size(hf, "num_attention_heads")
    kv_heads = size(hf, "num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise UserError(f"config.json: num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    return DecoderConfig(
        vocab_size=size(hf, "vocab_size"),
        width=size(hf, "hidden_size"),
        layers=layers(hf),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=channels,
        mlp_width=size(hf, "intermediate_size"),
        norm_eps=positive(hf, "rms_norm_eps"),
        max_positions=size(hf, "max_position_embeddings"),
        tied_embeddings=flag(hf, "tie_word_embeddings", default=tied),
        **differences,
    )


def sights(hf: Mapping[str, Any], kinds: Mapping[str, Sight], default: Sequence[str]) -> tuple[Sight, ...]:
    """The sight of each layer. kinds: those that `layer_types` may name; default: the pattern where it is absent."""
    given = hf.get("layer_types")
    if given is None:
        return tuple(kinds[kind] for kind in default)
    count = layers(hf)
    if not isinstance(given, list) or len(given) != count:
        raise UserError(f"config.json: layer_types is not a list of one type for each of the {count} layers")
    unknown = [kind for kind in given if not isinstance(kind, str) or kind not in kinds]
    if unknown:
        raise UserError(
            f"config.json: layer_types has {unknown[0]!r}, which is not supported here; supported: {', '.join(kinds)}"
        )
    return tuple(kinds[kind] for kind in given)


def rope(hf: Mapping[str, Any], channels: int, *, theta: float = 10000.0) -> Rope:
    """Rotary positions from either dialect: `rope_parameters`, or `rope_theta` and `rope_scaling`.

    theta: the family's own where config.json is silent. A rope type that is not implemented and a missing scaling field
    are refused: a silently defaulted rope gives a model that is right on short prompts only.
    """
    for field in ("rope_parameters", "rope_scaling"):
        if not isinstance(hf.get(field) or {}, Mapping):
            raise UserError(f"config.json: {field} is {hf[field]!r}; expected an object")
    given = hf.get("rope_parameters")
    outside = {"rope_theta": hf.get("rope_theta", theta), "partial_rotary_factor": hf.get("partial_rotary_factor")}
    return rope_of(hf, {**outside, **(given if given is not None else hf.get("rope_scaling") or {})}, channels)


def rope_of(hf: Mapping[str, Any], scaling: Mapping[str, Any], channels: int) -> Rope:
    """The rope that one object of config.json describes, theta and type in it."""
    if scaling.get("rope_theta") is None:
        raise UserError("config.json states no rope_theta (nor rope_parameters.rope_theta)")
    theta = positive(scaling, "rope_theta")
    if scaling.get("partial_rotary_factor") is not None:
        channels = int(channels * positive(scaling, "partial_rotary_factor"))
        if channels % 2 or not channels:
            raise UserError(f"config.json: partial_rotary_factor turns {channels} channels; expected an even number")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return Rope(theta, channels)
    if not isinstance(kind, str) or kind not in ROPE_TYPES:
        raise UserError(
            f"config.json: rope type {kind!r} is not supported; supported: default, {', '.join(ROPE_TYPES)}"
        )
    missing = [field for field in ROPE_TYPES[kind] if field not in scaling]
    if missing:
        raise UserError(f"config.json: rope type {kind!r} needs {', '.join(missing)}")
    if kind == "longrope":
        return Rope(theta, channels, (("rope_type", kind), *_longrope(hf, scaling, channels)))
    numbers = tuple((field, positive(scaling, field)) for field in ROPE_TYPES[kind])
    if kind == "llama3" and not scaling["low_freq_factor"] < scaling["high_freq_factor"]:
        raise UserError("config.json: rope type 'llama3' needs low_freq_factor below high_freq_factor")
    return Rope(theta, channels, (("rope_type", kind), *numbers))


def _longrope(hf: Mapping[str, Any], scaling: Mapping[str, Any], channels: int) -> tuple[tuple[str, Any], ...]:
    """The pairs that ops.rope takes. The attention factor is sqrt(1 + ln(factor) / ln(original)) where none is given.

    Source: https://arxiv.org/abs/2402.13753; factor is how many times longer than the original the model may read.
    """
    original = size(hf if hf.get("original_max_position_embeddings") else scaling, "original_max_position_embeddings")
    factor = maybe(scaling, "factor") or size(hf, "max_position_embeddings") / original
    if original == 1:
        raise UserError("config.json: original_max_position_embeddings is 1; rope type 'longrope' needs more")
    factors = []
    for name in ROPE_TYPES["longrope"]:
        given = need(scaling, name, list)
        if len(given) != channels // 2:
            raise UserError(
                f"config.json: {name} has {len(given)} numbers; {channels} turned channels need half as many"
            )
        factors.append((name, tuple(positive({name: value}, name) for value in given)))
    attention = maybe(scaling, "attention_factor") or math.sqrt(1 + math.log(max(factor, 1.0)) / math.log(original))
    return (*factors, ("original_max_position_embeddings", original), ("attention_factor", attention))
