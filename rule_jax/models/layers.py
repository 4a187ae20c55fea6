"""The stateless layers of a decoder block. Each parameter is declared once, with its logical axes beside its shape.

How tokens see each other is not a layer's business: `Attention` is handed a function `attend(q, k, v)`, so that one
block serves the full forward, the shared-prefix forward, prefill and decoding.
"""

import functools
from dataclasses import dataclass
from typing import Any, Callable, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from rule_jax.ops.embedding import look_up
from rule_jax.ops.logprobs import Head
from rule_jax.ops.rope import Rope, rotate

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # q_BNHC, k_BNKC, v_BNKC -> out_BNHC
Rotation = tuple[jax.Array, jax.Array]
Axis = tuple[str, int]  # a logical name and a size


@dataclass(frozen=True)
class Sight:
    """What a layer sees. rope: how it tells positions. window: how many tokens back, itself included; None: all."""

    rope: Rope
    window: int | None = None


@dataclass(frozen=True)
class DecoderConfig:
    """What distinguishes one decoder from another, as data; the defaults are what most of them do.

    sights: layer i has sights[i % len(sights)]: one for all layers, a repeating pattern, or one for each layer.
    query_key_norm: queries and keys are normalised per head before they are turned.
    post_norms: what attention and the MLP return is normalised before it is added to the residual stream.
    norm_offset: a norm multiplies by offset + scale. embedding_scale: token embeddings are multiplied by it.
    attention_scale: attention scores are q k times it; None: 1 / sqrt(head_dim).
    attention_softcap, logit_softcap: ops.attention.soft_cap on the scores and on the logits.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    norm_eps: float
    max_positions: int
    tied_embeddings: bool
    sights: tuple[Sight, ...]
    activation: Literal["silu", "gelu_tanh"] = "silu"
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    query_key_norm: bool = False
    post_norms: bool = False
    norm_offset: float = 0.0
    embedding_scale: float = 1.0
    attention_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None

    def norm(self, name: str | None = None, axis: str = "norm") -> "RMSNorm":
        """An RMSNorm of this decoder."""
        return RMSNorm(self.norm_eps, self.norm_offset, axis, name=name)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: jax.Array, kernel: jax.Array, axes: int) -> jax.Array:
    """The last `axes` of x [..., *inputs] against the first of kernel [*inputs, *outputs]: [..., *outputs], all of one
    dtype.

    Its kernel's gradient is x against the gradient, as the kernel lies. JAX's own is the other way round and is turned
    afterwards, for which XLA turns a whole layer's gradients on a CPU before it multiplies them.
    """
    return jnp.tensordot(x, kernel, axes)


def _product_forward(x: jax.Array, kernel: jax.Array, axes: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x, kernel, axes), (x, kernel)


def _product_backward(axes: int, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    outputs, before = kernel.ndim - axes, tuple(range(x.ndim - axes))
    behind = tuple(range(-outputs, 0))
    return jnp.tensordot(gradient, kernel, (behind, behind)), jnp.tensordot(x, gradient, (before, before))


product.defvjp(_product_forward, _product_backward)


def linear(
    module: nn.Module, name: str, x: jax.Array, inputs: tuple[Axis, ...], outputs: tuple[Axis, ...], *, bias: bool
) -> jax.Array:
    """x [..., *inputs] @ kernel [*inputs, *outputs] + bias [*outputs]. The one way through which a layer projects.

    Declares `{name}_kernel` and `{name}_bias` as parameters of `module`. Where the variables hold an "adapter" for the
    projection (lora.py), its x @ a @ b is added: a [*inputs, rank], b [rank, *outputs].
    """
    names, sizes = zip(*inputs, *outputs)
    kernel = module.param(f"{name}_kernel", _declare(_fan_in(*range(len(inputs))), *names), sizes)
    out: jax.Array = product(x, kernel, len(inputs))  # type: ignore[assignment]
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
    """x / sqrt(mean(x^2) + eps) * (offset + scale), in float32. Source: https://arxiv.org/abs/1910.07467."""

    eps: float
    offset: float = 0.0
    axis: str = "norm"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        start = nn.initializers.constant(1.0 - self.offset)
        scale_D = self.param("scale", _declare(start, self.axis), (x.shape[-1],))
        if self.offset:
            scale_D = self.offset + scale_D.astype(jnp.float32)
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

        q_BNHC = to_heads("query", ("heads", c.heads))
        k_BNKC = to_heads("key", ("kv_heads", c.kv_heads))
        v_BNKC = to_heads("value", ("kv_heads", c.kv_heads))
        if c.query_key_norm:
            q_BNHC = c.norm("query_norm", "head_dim")(q_BNHC)
            k_BNKC = c.norm("key_norm", "head_dim")(k_BNKC)
        q_BNHC, k_BNKC = rotate(q_BNHC, *rotation), rotate(k_BNKC, *rotation)
        mixed_BNHC = attend(q_BNHC, k_BNKC, v_BNKC)
        out_BND = linear(self, "out", mixed_BNHC, (("heads", c.heads), channels), (width,), bias=c.out_bias)
        return out_BND, (k_BNKC, v_BNKC)


ACTIVATIONS = {"silu": nn.silu, "gelu_tanh": functools.partial(nn.gelu, approximate=True)}


class MLP(nn.Module):
    """down(activation(gate(x)) * up(x)). Source: https://arxiv.org/abs/2002.05202."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, x_BND: jax.Array) -> jax.Array:
        c = self.config
        width, inner = ("embed", c.width), ("mlp", c.mlp_width)
        gate_BNF = linear(self, "gate", x_BND, (width,), (inner,), bias=c.mlp_bias)
        up_BNF = linear(self, "up", x_BND, (width,), (inner,), bias=c.mlp_bias)
        inner_BNF = ACTIVATIONS[c.activation](gate_BNF) * up_BNF
        return linear(self, "down", inner_BNF, (inner,), (width,), bias=c.mlp_bias)


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream; with post_norms, normalised before that."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, x_BND: jax.Array, rotation: Rotation, attend: Attend
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        c = self.config
        mixed_BND, kv = Attention(c, name="attention")(c.norm("attention_norm")(x_BND), rotation, attend)
        if c.post_norms:
            mixed_BND = c.norm("attention_post_norm")(mixed_BND)
        x_BND = x_BND + mixed_BND
        made_BND = MLP(c, name="mlp")(c.norm("mlp_norm")(x_BND))
        if c.post_norms:
            made_BND = c.norm("mlp_post_norm")(made_BND)
        return x_BND + made_BND, kv


class Ends(nn.Module):
    """The parameters outside the stack: token embedding, final norm and, where it is not tied, the output head."""

    config: DecoderConfig

    def setup(self) -> None:
        c = self.config
        small = nn.initializers.normal(0.02)
        self.embedding = self.param("embedding", _declare(small, "vocab", "embed"), (c.vocab_size, c.width))
        self.final_norm = c.norm()
        if not c.tied_embeddings:
            self.head_VD = self.param("head", _declare(_fan_in(1), "vocab", "embed"), (c.vocab_size, c.width))

    def __call__(self, tokens_BN: jax.Array) -> jax.Array:
        return self.final_norm(self.embed(tokens_BN))  # touches every parameter, for init

    def embed(self, tokens_BN: jax.Array) -> jax.Array:
        x_BND = look_up(self.embedding, tokens_BN)
        return x_BND if self.config.embedding_scale == 1 else x_BND * self.config.embedding_scale

    def norm(self, x_BND: jax.Array) -> jax.Array:
        return self.final_norm(x_BND)

    def output(self) -> Head:
        return Head(self.embedding if self.config.tied_embeddings else self.head_VD, self.config.logit_softcap)
