"""The stateless layers of a decoder block. Each parameter is declared once, with its logical axes beside its shape.

How tokens see each other is not a layer's business: `Attention` is handed a function `attend(q, k, v)`, so that one
block serves the full forward, the shared-prefix forward, prefill and decoding.
"""

from dataclasses import dataclass
from typing import Any, Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from rule_jax.ops import rope

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # q_BNHC, k_BNKC, v_BNKC -> out_BNHC
Rotation = tuple[jax.Array, jax.Array]


@dataclass(frozen=True)
class DecoderConfig:
    """What distinguishes one decoder from another, as data. rope_scaling: see ops.rope.inverse_frequencies."""

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    norm_eps: float
    rope_theta: float
    rope_scaling: tuple[tuple[str, Any], ...] | None
    max_positions: int
    tied_embeddings: bool
    attention_bias: bool
    mlp_bias: bool


def _declare(init: nn.initializers.Initializer, *axes: str) -> Any:
    return nn.with_partitioning(init, axes)


def _fan_in(*in_axes: int) -> nn.initializers.Initializer:
    """Normal of variance 1 / fan-in, where `in_axes` of the kernel are summed over."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        fan_in = 1
        for axis in in_axes:
            fan_in *= shape[axis]
        return jax.random.normal(key, shape, dtype) * fan_in**-0.5

    return init


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * scale, computed in float32. Source: https://arxiv.org/abs/1910.07467."""

    eps: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale_D = self.param("scale", _declare(nn.initializers.ones_init(), "norm"), (x.shape[-1],))
        x32 = x.astype(jnp.float32)
        normed = x32 * jax.lax.rsqrt(jnp.mean(jnp.square(x32), axis=-1, keepdims=True) + self.eps)
        return (normed * jnp.reshape(scale_D, (1,) * (x.ndim - 1) + (-1,))).astype(x.dtype)


class Attention(nn.Module):
    """Projections and rotary positions around `attend`. Returns the output and the (rotated) keys and values."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, x_BND: jax.Array, rotation: Rotation, attend: Attend
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        c = self.config

        def project(name: str, heads: int, axis: str) -> jax.Array:
            kernel_DHC = self.param(
                f"{name}_kernel", _declare(_fan_in(0), "embed", axis, "head_dim"), (c.width, heads, c.head_dim)
            )
            out = jnp.einsum("bnd,dhc->bnhc", x_BND, kernel_DHC)
            if c.attention_bias:
                zeros = nn.initializers.zeros_init()
                out += self.param(f"{name}_bias", _declare(zeros, axis, "head_dim"), (heads, c.head_dim))[None, None]
            return out

        q_BNHC = rope.rotate(project("query", c.heads, "heads"), *rotation)
        k_BNKC = rope.rotate(project("key", c.kv_heads, "kv_heads"), *rotation)
        v_BNKC = project("value", c.kv_heads, "kv_heads")
        kernel_HCD = self.param(
            "out_kernel", _declare(_fan_in(0, 1), "heads", "head_dim", "embed"), (c.heads, c.head_dim, c.width)
        )
        out_BND = jnp.einsum("bnhc,hcd->bnd", attend(q_BNHC, k_BNKC, v_BNKC), kernel_HCD)
        if c.attention_bias:
            out_BND += self.param("out_bias", _declare(nn.initializers.zeros_init(), "norm"), (c.width,))[None, None]
        return out_BND, (k_BNKC, v_BNKC)


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x)). Source: https://arxiv.org/abs/2002.05202."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, x_BND: jax.Array) -> jax.Array:
        c = self.config

        def dense(name: str, x: jax.Array, axes: tuple[str, str], features: int) -> jax.Array:
            out = x @ self.param(f"{name}_kernel", _declare(_fan_in(0), *axes), (x.shape[-1], features))
            if c.mlp_bias:
                bias_axis = "mlp" if axes[1] == "mlp" else "norm"
                zeros = nn.initializers.zeros_init()
                out += self.param(f"{name}_bias", _declare(zeros, bias_axis), (features,))[None, None]
            return out

        gate = dense("gate", x_BND, ("embed", "mlp"), c.mlp_width)
        up = dense("up", x_BND, ("embed", "mlp"), c.mlp_width)
        return dense("down", nn.silu(gate) * up, ("mlp", "embed"), c.width)


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, x_BND: jax.Array, rotation: Rotation, attend: Attend
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        eps = self.config.norm_eps
        normed = RMSNorm(eps, name="attention_norm")(x_BND)
        mixed, kv = Attention(self.config, name="attention")(normed, rotation, attend)
        x_BND = x_BND + mixed
        return x_BND + MLP(self.config, name="mlp")(RMSNorm(eps, name="mlp_norm")(x_BND)), kv


class Ends(nn.Module):
    """The parameters outside the stack: token embedding, final norm and, where it is not tied, the output head."""

    config: DecoderConfig

    def setup(self) -> None:
        c = self.config
        small = nn.initializers.normal(0.02)
        self.embedding = self.param("embedding", _declare(small, "vocab", "embed"), (c.vocab_size, c.width))
        self.final_norm = RMSNorm(c.norm_eps)
        if not c.tied_embeddings:
            self.head = self.param("head", _declare(_fan_in(1), "vocab", "embed"), (c.vocab_size, c.width))

    def __call__(self, tokens_BN: jax.Array) -> jax.Array:
        return self.final_norm(self.embed(tokens_BN))  # touches every parameter, for init

    def embed(self, tokens_BN: jax.Array) -> jax.Array:
        return jnp.take(self.embedding, tokens_BN, axis=0)

    def norm(self, x_BND: jax.Array) -> jax.Array:
        return self.final_norm(x_BND)

    def head_VD(self) -> jax.Array:
        return self.embedding if self.config.tied_embeddings else self.head
