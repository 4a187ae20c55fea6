"""Phi 3, 3.5 and 4 mini (`Phi3ForCausalLM`): fused tensors, longrope, partly turned heads. arXiv 2404.14219.

longrope has two sets of frequencies and takes the second for a whole sequence that is longer than the original length.
We decide that for each row: by its length where that is known (`logits`, packed rows), and by prompt and room for the
answer together where an answer is sampled or scored, so that no rope changes in the midst of an answer. transformers
decides for a batch by its longest row, and changes while it generates.
"""

from collections.abc import Mapping
from typing import Any

from rule_jax.models.families._fields import decoder, head_dim, only, rope, size
from rule_jax.models.families._tensors import LAYER, PROJECTIONS, Tensor, fused, standard
from rule_jax.models.layers import DecoderConfig, Sight


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "hidden_act", "silu")
    only(hf, "attention_bias", False)
    channels = head_dim(hf)
    hf = {**hf, "original_max_position_embeddings": size(hf, "original_max_position_embeddings", 4096)}
    for field in ("rope_parameters", "rope_scaling"):
        if isinstance(hf.get(field), Mapping) and "su" in (hf[field].get("rope_type"), hf[field].get("type")):
            hf[field] = {**hf[field], "rope_type": "longrope"}  # its name in the first checkpoints
    window = None if hf.get("sliding_window") is None else size(hf, "sliding_window")
    return decoder(hf, channels=channels, sights=(Sight(rope(hf, channels), window),))


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    heads = {"query": config.heads, "key": config.kv_heads, "value": config.kv_heads}
    together = (
        *fused(
            LAYER + "self_attn.qkv_proj.weight",
            {("layers", "attention", f"{ours}_kernel"): heads[ours] * config.head_dim for ours in PROJECTIONS},
        ),
        *fused(
            LAYER + "mlp.gate_up_proj.weight",
            {("layers", "mlp", f"{ours}_kernel"): config.mlp_width for ours in ("gate", "up")},
        ),
    )
    paths = {tensor.path for tensor in together}
    return (*(tensor for tensor in standard(config) if tensor.path not in paths), *together)
