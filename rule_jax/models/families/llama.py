"""Llama 2, 3, 3.1 and 3.2 (`LlamaForCausalLM`)."""

from collections.abc import Mapping
from typing import Any

from rule_jax.models.families._fields import decoder, flag, head_dim, only, rope
from rule_jax.models.families._tensors import Tensor, standard
from rule_jax.models.layers import DecoderConfig, Sight


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "hidden_act", "silu")
    only(hf, "partial_rotary_factor", 1.0)
    channels, bias = head_dim(hf), flag(hf, "attention_bias")
    return decoder(
        hf,
        channels=channels,
        sights=(Sight(rope(hf, channels)),),
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=flag(hf, "mlp_bias"),
    )


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    return standard(config)
