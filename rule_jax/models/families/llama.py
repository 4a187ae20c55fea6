"""Llama 2, 3, 3.1 and 3.2 (`LlamaForCausalLM`)."""

from collections.abc import Mapping
from typing import Any

from rule_jax.errors import UserError
from rule_jax.models.families import Tensor, positive, rope, size
from rule_jax.models.layers import DecoderConfig


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    if hf.get("hidden_act", "silu") != "silu":
        raise UserError(f"config.json: hidden_act {hf['hidden_act']!r} is not supported for llama; supported: silu")
    width, heads = size(hf, "hidden_size"), size(hf, "num_attention_heads")
    kv_heads = size(hf, "num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise UserError(f"config.json: num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    if hf.get("head_dim") is None and width % heads:
        raise UserError(f"config.json: hidden_size {width} is no multiple of num_attention_heads {heads}")
    head_dim = size(hf, "head_dim", default=width // heads)
    if head_dim % 2:
        raise UserError(f"config.json: head_dim {head_dim} is odd; rotary positions turn pairs of channels")
    theta, scaling = rope({"rope_theta": 10000.0, **hf})  # 10000 is what the architecture means when it is silent
    return DecoderConfig(
        vocab_size=size(hf, "vocab_size"),
        width=width,
        layers=size(hf, "num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        mlp_width=size(hf, "intermediate_size"),
        norm_eps=positive(hf, "rms_norm_eps"),
        rope_theta=theta,
        rope_scaling=scaling,
        max_positions=size(hf, "max_position_embeddings"),
        tied_embeddings=bool(hf.get("tie_word_embeddings", False)),
        qkv_bias=bool(hf.get("attention_bias", False)),
        out_bias=bool(hf.get("attention_bias", False)),
        mlp_bias=bool(hf.get("mlp_bias", False)),
    )


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    layer = "model.layers.{layer}."
    found = [
        Tensor(("ends", "embedding"), "model.embed_tokens.weight"),
        Tensor(("ends", "final_norm", "scale"), "model.norm.weight"),
        Tensor(("layers", "attention_norm", "scale"), layer + "input_layernorm.weight"),
        Tensor(("layers", "mlp_norm", "scale"), layer + "post_attention_layernorm.weight"),
        Tensor(("layers", "attention", "out_kernel"), layer + "self_attn.o_proj.weight", inputs=2),
    ]
    if not config.tied_embeddings:
        found.append(Tensor(("ends", "head"), "lm_head.weight"))
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v")):
        found.append(
            Tensor(("layers", "attention", f"{ours}_kernel"), f"{layer}self_attn.{theirs}_proj.weight", inputs=1)
        )
    for ours in ("gate", "up", "down"):
        found.append(Tensor(("layers", "mlp", f"{ours}_kernel"), f"{layer}mlp.{ours}_proj.weight", inputs=1))
    if config.qkv_bias:
        for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
            bias = f"{layer}self_attn.{theirs}_proj.bias"
            found.append(Tensor(("layers", "attention", f"{ours}_bias"), bias, flat=True))
    if config.mlp_bias:
        for ours in ("gate", "up", "down"):
            found.append(Tensor(("layers", "mlp", f"{ours}_bias"), f"{layer}mlp.{ours}_proj.bias"))
    return tuple(found)
