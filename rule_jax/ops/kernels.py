"""Other ways to compute `ops.attention`, by name: kernels of libraries, of which cudnn and splash keep no scores.

    einsum   ops.attention itself: float32 scores of every query with every key; anywhere
    xla      jax.nn.dot_product_attention, its XLA form; anywhere
    cudnn    the same with cuDNN's fused kernel; GPUs, bfloat16 or float16, no soft cap
    splash   Pallas' block-sparse kernel, which passes over blocks of keys that nobody sees; TPUs

All take what ops.attention takes and return the same to rounding, but for queries that see nothing, whose result is
finite and means nothing. They serve what has many queries: training, scoring, prefill. A decoding step has one query a
sample, is bound by reading keys, and stays with ops.attention.

Source: https://arxiv.org/abs/2205.14135 (attention in blocks); JAX's own kernels, jax.nn and Pallas.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash

from rule_jax.ops import attention as einsum
from rule_jax.ops.shapes import check

LANES = 128  # splash wants sequences and head sizes in multiples of this
BLOCKS = (512, 256, 128)  # of splash, the largest that divides the sequence

Attend = Callable[..., jax.Array]  # (q_BTHC, k_BSKC, v_BSKC, mask_BTS, *, scale, softcap) -> [B, T, H, C]


class Kernel(NamedTuple):
    """attention and shared_prefix_attention as of ops.attention."""

    attention: Attend
    shared_prefix_attention: Callable[..., jax.Array]


class Limits(NamedTuple):
    """platform: the only one that a kernel runs on; "" for any. dtypes: what it computes in; () for any. caps: whether
    there are soft caps."""

    platform: str = ""
    dtypes: tuple[str, ...] = ()
    caps: bool = True


LIMITS = {
    "einsum": Limits(),
    "xla": Limits(caps=False),
    "cudnn": Limits("gpu", ("bfloat16", "float16"), caps=False),
    "splash": Limits("tpu"),
}


def sparing(platform: str, dtype: str, *, capped: bool) -> str | None:
    """The name of the kernel that keeps no scores and computes in a dtype on a platform; None where there is none."""
    for name, limits in LIMITS.items():
        if limits.platform == platform and dtype in (limits.dtypes or (dtype,)) and (limits.caps or not capped):
            return name
    return None


def _padded(x: jax.Array, axis: int, multiple: int) -> jax.Array:
    """x with zeros behind it, up to the next multiple."""
    more = -x.shape[axis] % multiple
    return x if not more else jnp.pad(x, [(0, more if at == axis else 0) for at in range(x.ndim)])


def _somewhere(mask_BTS: jax.Array) -> jax.Array:
    """The mask, in which a query that sees nothing sees the first key: fused kernels would divide by zero."""
    blind_BT1 = ~jnp.any(mask_BTS, axis=2, keepdims=True)
    return mask_BTS | (blind_BT1 & (jnp.arange(mask_BTS.shape[2]) == 0)[None, None])


def _dot_product(implementation: Any, multiple: int) -> Attend:
    """jax.nn.dot_product_attention. multiple: of which it wants sequences to be."""

    def attend(
        q_BTHC: jax.Array,
        k_BSKC: jax.Array,
        v_BSKC: jax.Array,
        mask_BTS: jax.Array,
        *,
        scale: float | None = None,
        softcap: float | None = None,
    ) -> jax.Array:
        check(q_BTHC=q_BTHC, k_BSKC=k_BSKC, v_BSKC=v_BSKC, mask_BTS=mask_BTS)
        if softcap is not None:
            raise ValueError("jax.nn.dot_product_attention has no soft cap")
        q, k, v = (_padded(x, 1, multiple) for x in (q_BTHC, k_BSKC, v_BSKC))
        mask = _somewhere(_padded(_padded(mask_BTS, 1, multiple), 2, multiple))
        out = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None], scale=scale, implementation=implementation)
        return out[:, : q_BTHC.shape[1]]

    return attend


def _splash(
    q_BTHC: jax.Array,
    k_BSKC: jax.Array,
    v_BSKC: jax.Array,
    mask_BTS: jax.Array,
    *,
    scale: float | None = None,
    softcap: float | None = None,
) -> jax.Array:
    """Row by row; sequences and heads are padded to LANES."""
    check(q_BTHC=q_BTHC, k_BSKC=k_BSKC, v_BSKC=v_BSKC, mask_BTS=mask_BTS)
    T, C = q_BTHC.shape[1], q_BTHC.shape[3]
    q_BTHC = q_BTHC * (C**-0.5 if scale is None else scale)
    q, k, v = (_padded(_padded(x, 1, LANES), 3, LANES).swapaxes(1, 2) for x in (q_BTHC, k_BSKC, v_BSKC))
    mask = _somewhere(_padded(_padded(mask_BTS, 1, LANES), 2, LANES))
    blocks = _blocks(q.shape[2], k.shape[2])

    def row(q_HTC: jax.Array, k_KSC: jax.Array, v_KSC: jax.Array, mask_TS: jax.Array) -> jax.Array:
        kernel = splash.make_splash_mha(
            mask_TS[None],
            block_sizes=blocks,
            head_shards=1,
            q_seq_shards=1,
            attn_logits_soft_cap=softcap,
        )
        # JAX makes arrays of all that the kernel knows of its mask, this switch too, on which it then branches.
        kernel.fwd_mask_info = kernel.fwd_mask_info._replace(is_dynamic_mask=True)
        return kernel(q_HTC, k_KSC, v_KSC)  # type: ignore[return-value]  # a pair if residuals were asked for

    return jax.vmap(row)(q, k, v, mask).swapaxes(1, 2)[:, :T, :, :C]


def _blocks(queries: int, keys: int) -> splash.BlockSizes:
    of_queries, of_keys = (next(block for block in BLOCKS if not size % block) for size in (queries, keys))
    return splash.BlockSizes(
        block_q=of_queries,
        block_kv=of_keys,
        block_kv_compute=of_keys,
        block_q_dkv=of_queries,
        block_kv_dkv=of_keys,
        block_kv_dkv_compute=of_keys,
        block_q_dq=of_queries,
        block_kv_dq=of_keys,
    )


Pair = tuple[jax.Array, jax.Array]  # keys and values


def _each_with_its_prefix(
    q_BGRHC: jax.Array, prefix: Pair, prefix_mask_BRP: jax.Array, suffix: Pair, suffix_mask_RS: jax.Array
) -> tuple[jax.Array, ...]:
    """What `attention` takes for attention over a shared prefix: every sample is a row, with a copy of the prefix's
    keys and values, of one layer at a time. For kernels that look at every pair."""
    B, G, R = q_BGRHC.shape[:3]
    P, S = prefix[0].shape[1], suffix[0].shape[2]

    def joined(of_prompt: jax.Array, own: jax.Array) -> jax.Array:
        repeated = jnp.broadcast_to(of_prompt[:, None], (B, G, *of_prompt.shape[1:]))
        return jnp.concatenate([repeated, own], axis=2).reshape(B * G, P + S, *own.shape[3:])

    of_prefix, of_suffix = jnp.broadcast_to(prefix_mask_BRP, (B, R, P)), jnp.broadcast_to(suffix_mask_RS, (B, R, S))
    mask = jnp.repeat(jnp.concatenate([of_prefix, of_suffix], axis=2), G, axis=0)
    return q_BGRHC.reshape(B * G, R, *q_BGRHC.shape[3:]), *map(joined, prefix, suffix), mask


def _in_one_run(
    q_BGRHC: jax.Array, prefix: Pair, prefix_mask_BRP: jax.Array, suffix: Pair, suffix_mask_RS: jax.Array
) -> tuple[jax.Array, ...]:
    """The same as one run of queries over the prefix and all suffixes, none seeing another's. For kernels that pass
    over what nobody sees."""
    B, G, R = q_BGRHC.shape[:3]
    P, S = prefix[0].shape[1], suffix[0].shape[2]
    pairs = (jnp.concatenate([x, own.reshape(B, G * S, *own.shape[3:])], axis=1) for x, own in zip(prefix, suffix))
    own_GRGS = jnp.eye(G, dtype=bool)[:, None, :, None] & suffix_mask_RS[None, :, None, :]
    of_prefix = jnp.broadcast_to(prefix_mask_BRP[:, None], (B, G, R, P)).reshape(B, G * R, P)
    of_suffix = jnp.broadcast_to(own_GRGS.reshape(G * R, G * S), (B, G * R, G * S))
    mask = jnp.concatenate([of_prefix, of_suffix], axis=2)
    return q_BGRHC.reshape(B, G * R, *q_BGRHC.shape[3:]), *pairs, mask


def make(name: str, per_device: Callable[[Attend], Attend] = lambda attend: attend) -> Kernel:
    """The kernel of a name. per_device: makes a function that runs on each device's rows and heads of one that XLA
    cannot split itself. Raises KeyError for a name that there is not."""
    if name == "einsum":
        return Kernel(einsum.attention, einsum.shared_prefix_attention)
    attend, laid = {
        "xla": (_dot_product("xla", 1), _each_with_its_prefix),
        "cudnn": (_dot_product("cudnn", 8), _each_with_its_prefix),
        "splash": (per_device(_splash), _in_one_run),
    }[name]

    def shared_prefix_attention(q_BGRHC: jax.Array, *seen: Any, **caps: float | None) -> jax.Array:
        return attend(*laid(q_BGRHC, *seen), **caps).reshape(q_BGRHC.shape)

    return Kernel(attend, shared_prefix_attention)
