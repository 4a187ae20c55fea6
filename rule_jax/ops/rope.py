"""Rotary position embedding, in the half-split layout of Hugging Face checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Rope:
    """Rotary positions, as data. channels: how many channels of a head are turned, its first ones; even.

    scaling: None, or pairs of names and values as `inverse_frequencies` takes them.
    """

    theta: float
    channels: int
    scaling: tuple[tuple[str, Any], ...] | None = None


def inverse_frequencies(
    channels: int, theta: float, scaling: Mapping[str, Any] | None = None, *, beyond: bool = False
) -> np.ndarray:
    """float32 [channels / 2]: radians per position of each pair, theta^(-2i / channels).

    scaling, by its "rope_type":
        "linear": all frequencies are divided by "factor". https://arxiv.org/abs/2306.15595.
        "llama3": "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings": short wavelengths
            are kept, long ones divided by the factor, those between are blended. The Llama 3.1 model card.
        "longrope": each pair has a divisor of its own, from "short_factor" or, for sequences that go `beyond` the
            original length, from "long_factor". https://arxiv.org/abs/2402.13753.
    Source: https://arxiv.org/abs/2104.09864. Raises ValueError for another rope_type: families refuse it with a better
    message before they come here.
    """
    frequency = theta ** (-np.arange(0, channels, 2, dtype=np.float64) / channels)
    kind = scaling["rope_type"] if scaling else "default"
    if scaling and kind == "linear":
        frequency = frequency / scaling["factor"]
    elif scaling and kind == "llama3":
        wavelength = 2 * math.pi / frequency
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = scaling["original_max_position_embeddings"] / wavelength
        blend = np.clip((turns - low) / (high - low), 0, 1)
        frequency = blend * frequency + (1 - blend) * frequency / scaling["factor"]
    elif scaling and kind == "longrope":
        frequency = frequency / np.asarray(scaling["long_factor" if beyond else "short_factor"], np.float64)
    elif kind != "default":
        raise ValueError(f"unknown rope_type {kind!r}")
    return frequency.astype(np.float32)


def knows_length(rope: Rope) -> bool:
    """Whether the angles depend on the length of the sequence and not on the position alone."""
    return dict(rope.scaling or ()).get("rope_type") == "longrope"


def rotation_of(rope: Rope, position: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
    """cos and sin, float32 [..., channels / 2], of positions [...] in sequences of `length` tokens.

    length: as many axes as position, broadcast against it. It matters to longrope alone, which takes other frequencies
    for a whole sequence once that is longer than the original length, and whose "attention_factor" makes the turned
    channels longer.
    """
    scaling = dict(rope.scaling or ())
    frequencies: Any = inverse_frequencies(rope.channels, rope.theta, scaling)
    if not knows_length(rope):
        return rotation(position, frequencies)
    far = inverse_frequencies(rope.channels, rope.theta, scaling, beyond=True)
    is_beyond = (length > scaling["original_max_position_embeddings"])[..., None]
    lead = (1,) * position.ndim
    cos, sin = rotation(position, jnp.where(is_beyond, far.reshape(*lead, -1), frequencies.reshape(*lead, -1)))
    return cos * scaling["attention_factor"], sin * scaling["attention_factor"]


def rotation(position: jax.Array, frequencies: Any) -> tuple[jax.Array, jax.Array]:
    """cos and sin, float32 [..., C / 2], of positions [...]; frequencies: [C / 2], or one row of them per position."""
    # A product, not an einsum: a TPU would round the operands of a dot to bfloat16, and position 257 to 256.
    lead = (1,) * (position.ndim + 1 - frequencies.ndim)
    angle = position.astype(jnp.float32)[..., None] * frequencies.reshape(lead + frequencies.shape)
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x_BNHC: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """x with the pairs (i, i + half) of its first 2 * half channels turned by the angles of cos, sin [B, N, half].

    Channels beyond those are passed through; x's dtype is kept.
    """
    turned = 2 * cos.shape[-1]
    first, second = jnp.split(x_BNHC[..., :turned].astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, :, None], sin[:, :, None]
    out = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BNHC.dtype)
    return out if turned == x_BNHC.shape[-1] else jnp.concatenate([out, x_BNHC[..., turned:]], axis=-1)
