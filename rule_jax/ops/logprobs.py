"""Log-probabilities of given tokens without the [tokens, vocabulary] array of the whole batch."""

import functools
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp

from rule_jax.ops.attention import soft_cap
from rule_jax.ops.shapes import check

LOGITS = 2**28  # values on a device at once, 1 GiB in float32, where nobody says how many


class Head(NamedTuple):
    """What turns hidden states into logits, soft_cap(hidden @ weight.T); only `project` uses it, so no cap is lost.

    wide_VD: gets the weight's gradient in the weight's stead, in a wider dtype. Its numbers are never read.
    """

    weight_VD: jax.Array
    softcap: float | None = None
    wide_VD: jax.Array | None = None


def log_softmax(logits: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """log softmax(logits / temperature) over the last axis, in float32. temperature > 0."""
    return jax.nn.log_softmax(logits.astype(jnp.float32) / temperature, axis=-1)


def project(hidden: jax.Array, head: Head) -> jax.Array:
    """Logits [..., V] of hidden states [..., D], accumulated and returned in float32.

    Their gradient is rounded to the states' dtype before it is multiplied: in float32 it would make the two largest
    products of an update float32 products, at half a GPU's rate or less.
    """
    wide_VD = head.weight_VD if head.wide_VD is None else head.wide_VD
    return soft_cap(_product(hidden, head.weight_VD, wide_VD, wide_VD.dtype), head.softcap)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _product(hidden: jax.Array, weight_VD: jax.Array, wide_VD: jax.Array, dtype: Any) -> jax.Array:
    """dtype: of wide_VD, to which the weight's gradient goes as it was accumulated."""
    return jnp.einsum("...d,vd->...v", hidden, weight_VD, preferred_element_type=jnp.float32)


def _product_forward(hidden: Any, weight_VD: Any, wide_VD: Any, dtype: Any) -> tuple[jax.Array, Any]:
    """Keeps what the gradient of the other factor needs, where that factor has one."""
    kept = weight_VD.value if hidden.perturbed else None, hidden.value if wide_VD.perturbed else None
    return _product(hidden.value, weight_VD.value, weight_VD.value, dtype), kept


def _product_backward(dtype: Any, kept: Any, gradient: jax.Array) -> tuple[jax.Array | None, None, jax.Array | None]:
    weight_VD, hidden = kept
    rounded = gradient.astype((hidden if weight_VD is None else weight_VD).dtype)
    before = tuple(range(rounded.ndim - 1))
    return (
        None if weight_VD is None else jnp.einsum("...v,vd->...d", rounded, weight_VD),
        None,
        None if hidden is None else jnp.tensordot(rounded, hidden, (before, before), preferred_element_type=dtype),
    )


_product.defvjp(_product_forward, _product_backward, symbolic_zeros=True)


def token_logprobs(
    hidden_BND: jax.Array,
    head: Head,
    tokens_BN: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    chunk: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Log-probability of each token under softmax(project(hidden, head) / temperature), and the entropy of that.

    At most B * chunk rows of logits exist at a time, forward and backward: chunks of the N axis are scanned and each
    recomputes its logits for the gradient. The B axis, which may be sharded, is never cut. chunk: as of `by_chunks`.
    Returns (logprobs_BN, entropy_BN) in nats, float32.
    """
    check(hidden_BND=hidden_BND, head_VD=head.weight_VD, tokens_BN=tokens_BN)

    def choose(logp_BNV: jax.Array, tokens_BN: jax.Array) -> jax.Array:
        # A masked sum, not a gather: the gradient of a gather is a scatter, which a CPU does one element at a time.
        is_token_BNV = jnp.arange(logp_BNV.shape[-1])[None, None] == tokens_BN[..., None]
        return jnp.sum(jnp.where(is_token_BNV, logp_BNV, 0.0), axis=-1)

    return _logprobs(choose, hidden_BND, head, tokens_BN, temperature, chunk)


def asked_logprobs(
    hidden_BND: jax.Array,
    head: Head,
    asked_BNA: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    chunk: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """As `token_logprobs`, of several tokens at each place: (logprobs_BNA, entropy_BN). Made for few places."""
    check(hidden_BND=hidden_BND, head_VD=head.weight_VD, asked_BNA=asked_BNA)
    choose = functools.partial(jnp.take_along_axis, axis=-1)
    return _logprobs(choose, hidden_BND, head, asked_BNA, temperature, chunk)


def _logprobs(
    choose: Callable[[jax.Array, jax.Array], jax.Array],
    hidden_BND: jax.Array,
    head: Head,
    tokens: jax.Array,
    temperature: jax.Array | float,
    chunk: int | None,
) -> tuple[jax.Array, jax.Array]:
    """choose(logp_BNV, tokens) and the entropy_BN, chunk by chunk."""

    def of_chunk(head: Head, hidden_BND: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        logp_BNV = log_softmax(project(hidden_BND, head), temperature)
        return choose(logp_BNV, tokens), -jnp.sum(jnp.exp(logp_BNV) * logp_BNV, axis=-1)

    return by_chunks(of_chunk, (head,), (hidden_BND, tokens), chunk)


def places_at_once(rows: int, places: int, logits: int, devices: int) -> int:
    """How many of each row's places are looked at together, where each has so many logits: all if LOGITS allows it on
    each of the devices, which share them; else the same number in as few parts as it allows, one place at least."""
    most = max(LOGITS * devices // (rows * logits), 1)
    parts = max(-(-places // most), 1)
    return -(-places // parts)


def by_chunks(f: Callable[..., Any], heads: tuple[Head, ...], arrays: tuple[jax.Array, ...], chunk: int | None) -> Any:
    """f(*heads, *arrays), a tree of arrays [B, N, ...] like `arrays`, where f looks at each place of N alone.

    `chunk` places at a time, one part after the other, each computed again for its gradient; None: `places_at_once` of
    the mesh that it is traced on. A head's gradient is summed over the parts in float32 and rounded to its dtype once.
    """
    B, N = arrays[0].shape[:2]
    if chunk is None:
        logits = sum(head.weight_VD.shape[0] for head in heads)
        chunk = places_at_once(B, N, logits, max(jax.sharding.get_abstract_mesh().size, 1))
    if chunk >= N:
        return f(*heads, *arrays)
    count = -(-N // chunk)

    def cut(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (0, count * chunk - N), *(((0, 0),) * (x.ndim - 2))))
        return padded.reshape(B, count, chunk, *x.shape[2:]).swapaxes(0, 1)

    # A bfloat16 sum would no longer move once it is 256 times what a part adds to it.
    widened = [Head(jax.lax.stop_gradient(w), cap, w.astype(jnp.float32)) for w, cap, _ in heads]
    body = jax.checkpoint(lambda parts: f(*widened, *parts))
    found = jax.lax.map(body, tuple(cut(x) for x in arrays))
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(B, count * chunk, *x.shape[3:])[:, :N], found)
