"""Gemma 2 (`Gemma2ForCausalLM`): soft-caps, a window on every other layer, norms before and after. arXiv 2408.00118."""

from collections.abc import Mapping
from typing import Any

from rule_jax.models.families._fields import decoder, flag, head_dim, maybe, only, positive, rope, sights, size
from rule_jax.models.families._tensors import Tensor, standard
from rule_jax.models.layers import DecoderConfig, Sight

NORMS = {
    "attention_norm": "input_layernorm",
    "attention_post_norm": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp_post_norm": "post_feedforward_layernorm",
}


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    channels = head_dim(hf, default=256)
    turn = rope(hf, channels)
    kinds = {
        "sliding_attention": Sight(turn, size(hf, "sliding_window", 4096)),
        "full_attention": Sight(turn),
    }
    return decoder(
        hf,
        channels=channels,
        sights=sights(hf, kinds, ("sliding_attention", "full_attention")),
        attention_softcap=maybe(hf, "attn_logit_softcapping", 50.0),
        logit_softcap=maybe(hf, "final_logit_softcapping", 30.0),
        **gemma(hf),
    )


def gemma(hf: Mapping[str, Any]) -> dict[str, Any]:
    """What Gemma 2 and 3 have in common."""
    only(hf, "hidden_activation", "gelu_pytorch_tanh")
    only(hf, "use_bidirectional_attention", False)
    bias = flag(hf, "attention_bias")
    return {
        "tied": True,
        "activation": "gelu_tanh",
        "qkv_bias": bias,
        "out_bias": bias,
        "post_norms": True,
        "norm_offset": 1.0,
        "embedding_scale": size(hf, "hidden_size") ** 0.5,
        "attention_scale": positive({"query_pre_attn_scalar": 256, **hf}, "query_pre_attn_scalar") ** -0.5,
    }


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    return standard(config, NORMS)
