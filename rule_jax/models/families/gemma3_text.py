"""Gemma 3, text only (`Gemma3ForCausalLM`): five layers with a window to one without, each kind with a rope of its own.

arXiv 2503.19786. The soft-caps of Gemma 2 are gone, queries and keys are normalised instead.
"""

from collections.abc import Mapping
from typing import Any

from rule_jax.errors import UserError
from rule_jax.models.families._fields import MOST_LAYERS, decoder, head_dim, maybe, only, rope_of, sights, size
from rule_jax.models.families._tensors import Tensor
from rule_jax.models.families.gemma2 import gemma, tensors
from rule_jax.models.layers import DecoderConfig, Sight
from rule_jax.ops.rope import Rope

__all__ = ["Tensor", "config", "tensors"]


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "attn_logit_softcapping")
    channels = head_dim(hf, default=256)
    near, far = _ropes(hf, channels)
    every = min(size(hf, "sliding_window_pattern", 6), MOST_LAYERS)
    return decoder(
        hf,
        channels=channels,
        sights=sights(
            hf,
            {"sliding_attention": Sight(near, size(hf, "sliding_window", 4096)), "full_attention": Sight(far)},
            [*["sliding_attention"] * (every - 1), "full_attention"],
        ),
        query_key_norm=True,
        logit_softcap=maybe(hf, "final_logit_softcapping"),
        **gemma(hf),
    )


def _ropes(hf: Mapping[str, Any], channels: int) -> tuple[Rope, Rope]:
    """(of layers with a window, of those without): `rope_parameters` by layer type, or the older fields.

    There, rope_scaling is the far one's alone.
    """
    older = {"sliding_attention": ("rope_local_base_freq", 10000.0), "full_attention": ("rope_theta", 1000000.0)}
    given = hf.get("rope_parameters")
    if given is None:
        given = {"full_attention": hf.get("rope_scaling") or {}}
    if isinstance(given, Mapping) and given.keys() - older.keys():
        raise UserError(f"config.json: rope_parameters has {', '.join(given)}; expected {' and '.join(older)}")
    found = []
    for kind, (field, theta) in older.items():
        own = (given.get(kind) or {}) if isinstance(given, Mapping) else None
        if not isinstance(own, Mapping):
            raise UserError(
                f"config.json: the rope of {kind} is {own if own is not None else given!r}; expected an object"
            )
        found.append(rope_of(hf, {"rope_theta": hf.get(field, theta), **own}, channels))
    return found[0], found[1]
