"""Mistral 7B, Nemo and Small, text only (`MistralForCausalLM`): one window for all layers. arXiv 2310.06825."""

from collections.abc import Mapping
from typing import Any

from rule_jax.models.families._fields import decoder, head_dim, only, rope, size
from rule_jax.models.families._tensors import Tensor, standard
from rule_jax.models.layers import DecoderConfig, Sight


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "hidden_act", "silu")
    only(hf, "layer_types")  # transformers ignores it here: windows that alternate are another family's
    channels = head_dim(hf)
    window = None if "sliding_window" in hf and hf["sliding_window"] is None else size(hf, "sliding_window", 4096)
    sizes = {"num_key_value_heads": 8, **hf}
    return decoder(sizes, channels=channels, sights=(Sight(rope(hf, channels), window),))


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    return standard(config)
