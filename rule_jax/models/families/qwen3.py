"""Qwen 3, dense (`Qwen3ForCausalLM`): queries and keys are normalised per head. arXiv 2505.09388."""

from collections.abc import Mapping
from typing import Any

from rule_jax.models.families._fields import decoder, flag, head_dim, only, rope
from rule_jax.models.families._tensors import Tensor, standard
from rule_jax.models.families.qwen2 import windows
from rule_jax.models.layers import DecoderConfig


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "hidden_act", "silu")
    channels, bias = head_dim(hf, default=128), flag(hf, "attention_bias")
    return decoder(
        hf,
        channels=channels,
        sights=windows(hf, rope(hf, channels)),
        query_key_norm=True,
        qkv_bias=bias,
        out_bias=bias,
    )


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    return standard(config)
