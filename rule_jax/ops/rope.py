"""Rotary position embedding, in the half-split layout of Hugging Face checkpoints."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def inverse_frequencies(channels: int, theta: float, scaling: Mapping[str, Any] | None = None) -> np.ndarray:
    """float32 [channels / 2]: radians per position of each pair, theta^(-2i / channels).

    scaling: None, {"rope_type": "linear", "factor"}, or {"rope_type": "llama3", "factor", "low_freq_factor",
    "high_freq_factor", "original_max_position_embeddings"}: Llama 3.1's rule keeps short wavelengths, divides long
    ones by `factor` and blends in between. Source: https://arxiv.org/abs/2104.09864 and the Llama 3.1 model card.
    Raises ValueError for another rope_type: families refuse it with a better message before they come here.
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
    elif kind != "default":
        raise ValueError(f"unknown rope_type {kind!r}")
    return frequency.astype(np.float32)


def rotation(position: jax.Array, frequencies: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """cos and sin, float32 [..., C / 2], of positions [...]."""
    # A product, not an einsum: a TPU would round the operands of a dot to bfloat16, and position 257 to 256.
    angle = position.astype(jnp.float32)[..., None] * frequencies.reshape((1,) * position.ndim + (-1,))
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x_BNHC: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """x with its channel pairs (i, i + C / 2) turned by the angles of cos, sin [B, N, C / 2]; x's dtype is kept."""
    first, second = jnp.split(x_BNHC.astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, :, None], sin[:, :, None]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BNHC.dtype)
