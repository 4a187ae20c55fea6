"""Qwen 2 and 2.5 (`Qwen2ForCausalLM`): biases on queries, keys and values; windows on the upper layers, if at all."""

from collections.abc import Mapping
from typing import Any

from rule_jax.errors import UserError
from rule_jax.models.families._fields import decoder, flag, head_dim, layers, only, rope, sights, size
from rule_jax.models.families._tensors import Tensor, standard
from rule_jax.models.layers import DecoderConfig, Sight
from rule_jax.ops.rope import Rope


def config(hf: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that config.json describes. Raises UserError for what this decoder does not compute."""
    only(hf, "hidden_act", "silu")
    channels = head_dim(hf)
    return decoder(hf, channels=channels, sights=windows(hf, rope(hf, channels)), qkv_bias=True)


def windows(hf: Mapping[str, Any], rope: Rope) -> tuple[Sight, ...]:
    """The sights of Qwen's layers: `layer_types`, else a window from layer max_window_layers on, if switched on."""
    kinds = {"full_attention": Sight(rope)}
    if not flag(hf, "use_sliding_window"):
        return sights(hf, kinds, ["full_attention"])
    kinds["sliding_attention"] = Sight(rope, size(hf, "sliding_window", 4096))
    whole = hf.get("max_window_layers", 28)
    if not isinstance(whole, int) or whole < 0:
        raise UserError(f"config.json: max_window_layers is {whole!r}; expected a whole number from 0")
    return sights(hf, kinds, ["full_attention" if i < whole else "sliding_attention" for i in range(layers(hf))])


def tensors(config: DecoderConfig) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint of this configuration."""
    return standard(config)
