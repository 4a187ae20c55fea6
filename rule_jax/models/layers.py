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
Axis = tuple[str, int]  # a logical name and a size


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
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False


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


def linear(
    module: nn.Module, name: str, x: jax.Array, inputs: tuple[Axis, ...], outputs: tuple[Axis, ...], *, bias: bool
) -> jax.Array:
    """x [..., *inputs] @ kernel [*inputs, *outputs] + bias [*outputs]. The one way through which a layer projects.

    Declares `{name}_kernel` and `{name}_bias` as parameters of `module`. Where the variables hold an "adapter" for the
    projection (lora.py), its x @ a @ b is added: a [*inputs, rank], b [rank, *outputs].
    """
    names, sizes = zip(*inputs, *outputs)
    kernel = module.param(f"{name}_kernel", _declare(_fan_in(*range(len(inputs))), *names), sizes)
    out = jnp.tensordot(x, kernel, axes=len(inputs))
    if module.has_variable("adapter", f"{name}_a"):
        a, b = (module.get_variable("adapter", f"{name}_{part}") for part in "ab")
        out += jnp.tensordot(jnp.tensordot(x, a, axes=len(inputs)), b, axes=1)
    if bias:
        # A bias over the model's width is small and is added on every device: it is not spread as "embed" is.
        axes = ["norm" if axis == "embed" else axis for axis, _ in outputs]
        zeros = _declare(nn.initializers.zeros_init(), *axes)
        value = module.param(f"{name}_bias", zeros, tuple(size for _, size in outputs))
        out += jnp.reshape(value, (1,) * (out.ndim - value.ndim) + value.shape)
    return out


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
        width, channels = ("embed", c.width), ("head_dim", c.head_dim)

        def to_heads(name: str, heads: Axis) -> jax.Array:
            return linear(self, name, x_BND, (width,), (heads, channels), bias=c.qkv_bias)

        q_BNHC = rope.rotate(to_heads("query", ("heads", c.heads)), *rotation)
        k_BNKC = rope.rotate(to_heads("key", ("kv_heads", c.kv_heads)), *rotation)
        v_BNKC = to_heads("value", ("kv_heads", c.kv_heads))
        mixed_BNHC = attend(q_BNHC, k_BNKC, v_BNKC)
        out_BND = linear(self, "out", mixed_BNHC, (("heads", c.heads), channels), (width,), bias=c.out_bias)
        return out_BND, (k_BNKC, v_BNKC)


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x)). Source: https://arxiv.org/abs/2002.05202."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, x_BND: jax.Array) -> jax.Array:
        c = self.config
        width, inner = ("embed", c.width), ("mlp", c.mlp_width)
        gate_BNF = linear(self, "gate", x_BND, (width,), (inner,), bias=c.mlp_bias)
        up_BNF = linear(self, "up", x_BND, (width,), (inner,), bias=c.mlp_bias)
        return linear(self, "down", nn.silu(gate_BNF) * up_BNF, (inner,), (width,), bias=c.mlp_bias)


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
