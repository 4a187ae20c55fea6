"""Attention with grouped heads, over one run of keys or over a shared prefix and a suffix of one's own."""

import jax
import jax.numpy as jnp

from rule_jax.ops.shapes import check

MASKED = -1e30  # finite: a row that attends to nothing gives a mean, not NaN, and is masked downstream


def soft_cap(scores: jax.Array, cap: float | None) -> jax.Array:
    """cap * tanh(scores / cap), which stays within (-cap, cap); the scores themselves where cap is None.

    Source: https://arxiv.org/abs/2408.00118 section 2.
    """
    return scores if cap is None else cap * jnp.tanh(scores / cap)


def within(mask_BTS: jax.Array, position_BT: jax.Array, position_BS: jax.Array, window: int | None) -> jax.Array:
    """mask_BTS where the key stands at most window - 1 positions before the query; mask_BTS where window is None.

    Source: https://arxiv.org/abs/2310.06825 section 2.
    """
    return mask_BTS if window is None else mask_BTS & (position_BT[:, :, None] - position_BS[:, None] < window)


def _queries(q: jax.Array, kv_heads: int, scale: float | None) -> jax.Array:
    """[..., H, C] -> [..., K, H / K, C]: the query heads that share each key head, scaled."""
    q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
    return q.reshape(*q.shape[:-2], kv_heads, q.shape[-2] // kv_heads, q.shape[-1])


def attention(
    q_BTHC: jax.Array,
    k_BSKC: jax.Array,
    v_BSKC: jax.Array,
    mask_BTS: jax.Array,
    *,
    scale: float | None = None,
    softcap: float | None = None,
) -> jax.Array:
    """softmax(soft_cap(scale q k)) v where mask is True; float32 softmax, output [B, T, H, C] in q's dtype.

    scale: 1 / sqrt(C) where it is None.
    """
    check(q_BTHC=q_BTHC, k_BSKC=k_BSKC, v_BSKC=v_BSKC, mask_BTS=mask_BTS)
    q = _queries(q_BTHC, k_BSKC.shape[2], scale)
    scores = soft_cap(jnp.einsum("btkqc,bskc->bkqts", q, k_BSKC, preferred_element_type=jnp.float32), softcap)
    weights = jax.nn.softmax(jnp.where(mask_BTS[:, None, None], scores, MASKED), axis=-1).astype(v_BSKC.dtype)
    return jnp.einsum("bkqts,bskc->btkqc", weights, v_BSKC).reshape(q_BTHC.shape)


def shared_prefix_attention(
    q_BGRHC: jax.Array,
    prefix: tuple[jax.Array, jax.Array],
    prefix_mask_BRP: jax.Array,
    suffix: tuple[jax.Array, jax.Array],
    suffix_mask_RS: jax.Array,
    *,
    scale: float | None = None,
    softcap: float | None = None,
) -> jax.Array:
    """Attention of G samples, each over one prefix that all share and a suffix of its own, in a single softmax.

    prefix: keys and values [B, P, K, C], held once. suffix: keys and values [B, G, S, K, C]. The masks say which prefix
    and which suffix slots each of the R query positions sees; prefix_mask_BRP has R of them, or one for all.
    Equal to `attention` over the prefix repeated G times and concatenated with the suffix. Output [B, G, R, H, C] in
    q's dtype.
    """
    (k_BPKC, v_BPKC), (k_BGSKC, v_BGSKC) = prefix, suffix
    check(q_BGRHC=q_BGRHC, k_BPKC=k_BPKC, mask_BWP=prefix_mask_BRP, k_BGSKC=k_BGSKC, mask_RS=suffix_mask_RS)
    P, K = k_BPKC.shape[1:3]
    q_BKGQRC = _queries(q_BGRHC, K, scale).transpose(0, 3, 1, 4, 2, 5)  # as both products want it: no score is moved
    to_prefix = jnp.einsum("bkgqrc,bpkc->bkgqrp", q_BKGQRC, k_BPKC, preferred_element_type=jnp.float32)
    to_suffix = jnp.einsum("bkgqrc,bgskc->bkgqrs", q_BKGQRC, k_BGSKC, preferred_element_type=jnp.float32)
    to_prefix = jnp.where(prefix_mask_BRP[:, None, None, None], soft_cap(to_prefix, softcap), MASKED)
    to_suffix = jnp.where(suffix_mask_RS[None, None, None, None], soft_cap(to_suffix, softcap), MASKED)
    weights = jax.nn.softmax(jnp.concatenate([to_prefix, to_suffix], axis=-1), axis=-1).astype(v_BPKC.dtype)
    from_prefix = jnp.einsum("bkgqrp,bpkc->bkgqrc", weights[..., :P], v_BPKC)
    from_suffix = jnp.einsum("bkgqrs,bgskc->bkgqrc", weights[..., P:], v_BGSKC)
    return (from_prefix + from_suffix).transpose(0, 2, 4, 1, 3, 5).reshape(q_BGRHC.shape)
