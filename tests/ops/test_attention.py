"""ops.attention against a float64 loop, and the shared prefix against the repeated one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import attention as ops

RNG = np.random.default_rng(0)


attention = jax.jit(ops.attention, static_argnames=("scale", "softcap"))
shared_prefix_attention = jax.jit(ops.shared_prefix_attention, static_argnames=("scale", "softcap"))
OPTIONS = ({}, {"scale": 0.7, "softcap": 0.9})


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def oracle(q, k, v, mask, scale=None, softcap=None):
    """One query head at a time; query heads share key heads in consecutive runs."""
    B, T, H, C = q.shape
    out = np.zeros((B, T, H, C))
    for b in range(B):
        for t in range(T):
            for h in range(H):
                kv = h // (H // k.shape[2])
                scores = np.array([q[b, t, h].astype(np.float64) @ k[b, s, kv] for s in range(k.shape[1])])
                scores = scores * scale if scale else scores / C**0.5
                scores = softcap * np.tanh(scores / softcap) if softcap else scores
                chances = np.exp(scores - scores.max()) * mask[b, t]
                out[b, t, h] = (chances / chances.sum()) @ v[b, :, kv]
    return out


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("options", OPTIONS)
def test_attention_is_the_masked_softmax(heads, kv_heads, options):
    q, k, v = draw(2, 3, heads, 6), draw(2, 5, kv_heads, 6), draw(2, 5, kv_heads, 6)
    mask = RNG.random((2, 3, 5)) < 0.6
    mask[..., 0] = True
    wanted = oracle(q, k, v, mask, **options)
    np.testing.assert_allclose(attention(q, k, v, mask, **options), wanted, rtol=1e-4, atol=1e-5)


def test_by_hand():
    # Scores 0 and 2 ln 3 / sqrt(4): chances 1/4 and 3/4.
    q = jnp.array([1.0, 0, 0, 0]).reshape(1, 1, 1, 4)
    k = jnp.zeros((1, 2, 1, 4)).at[0, 1, 0, 0].set(2 * np.log(3))
    v = jnp.array([[4.0] * 4, [8.0] * 4]).reshape(1, 2, 1, 4)
    np.testing.assert_allclose(attention(q, k, v, jnp.ones((1, 1, 2), bool)).ravel(), [7.0] * 4, rtol=1e-6)


def test_a_row_that_sees_nothing_is_finite_forward_and_backward():
    q, k, v = draw(1, 2, 2, 4), draw(1, 3, 1, 4), draw(1, 3, 1, 4)
    mask = np.array([[[False] * 3, [True, False, False]]])
    value, gradients = jax.jit(jax.value_and_grad(lambda *qkv: attention(*qkv, mask).sum(), argnums=(0, 1, 2)))(q, k, v)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(attention(q, k, v, mask)[0, 1], np.repeat(v[0, 0], 2, axis=0), rtol=1e-6)


def test_masked_keys_get_no_gradient():
    q, k, v = draw(1, 2, 2, 4), draw(1, 3, 2, 4), draw(1, 3, 2, 4)
    mask = np.array([[[True, True, False]] * 2])
    of_k, of_v = jax.jit(jax.grad(lambda k, v: (attention(q, k, v, mask) ** 2).sum(), argnums=(0, 1)))(k, v)
    assert (of_k[:, 2] == 0).all()
    assert (of_v[:, 2] == 0).all()
    assert (of_v[:, :2] != 0).all()


def prefix_case(kv_heads):
    B, G, P, R, H, C = 2, 3, 5, 4, 4, 6
    arrays = {
        "q": draw(B, G, R, H, C),
        "prefix": (draw(B, P, kv_heads, C), draw(B, P, kv_heads, C)),
        "suffix": (draw(B, G, R, kv_heads, C), draw(B, G, R, kv_heads, C)),
    }
    prefix_mask = np.array([[True] * 5, [True, True, False, False, False]])[:, None] & (RNG.random((B, R, P)) < 0.8)
    prefix_mask[1, :, 2:] = False  # padding
    return arrays, prefix_mask, np.tri(R, dtype=bool)


def repeated(arrays, prefix_mask, suffix_mask, **options):
    """The same through `attention`: the prefix copied for every sample and put before its suffix."""
    B, G, R, H, C = arrays["q"].shape
    k, v = (
        jnp.concatenate([jnp.repeat(p, G, axis=0), s.reshape(B * G, R, *s.shape[3:])], axis=1)
        for p, s in zip(arrays["prefix"], arrays["suffix"])
    )
    mask = jnp.concatenate(
        [
            jnp.repeat(prefix_mask, G, axis=0),
            jnp.broadcast_to(suffix_mask[None], (B * G, R, R)),
        ],
        axis=2,
    )
    return attention(arrays["q"].reshape(B * G, R, H, C), k, v, mask, **options).reshape(B, G, R, H, C)


def shared(arrays, prefix_mask, suffix_mask, **options):
    return shared_prefix_attention(arrays["q"], arrays["prefix"], prefix_mask, arrays["suffix"], suffix_mask, **options)


@pytest.mark.parametrize(("kv_heads", "options"), [(1, OPTIONS[0]), (2, OPTIONS[1]), (4, OPTIONS[0])])
def test_shared_prefix_is_the_repeated_prefix(kv_heads, options):
    arrays, prefix_mask, suffix_mask = prefix_case(kv_heads)
    weights = draw(*arrays["q"].shape)

    def output_and_gradients(function):
        def scalar(arrays):
            out = function(arrays, prefix_mask, suffix_mask, **options)
            return jnp.sum(weights * out), out

        return jax.jit(jax.grad(scalar, has_aux=True))(arrays)

    ours, theirs = output_and_gradients(shared), output_and_gradients(repeated)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_padding_of_the_prefix_is_never_seen():
    arrays, prefix_mask, suffix_mask = prefix_case(2)
    seen = prefix_mask.any(axis=1)
    spoiled = {**arrays, "prefix": tuple(np.where(seen[..., None, None], x, 50.0) for x in arrays["prefix"])}
    np.testing.assert_array_equal(shared(arrays, prefix_mask, suffix_mask), shared(spoiled, prefix_mask, suffix_mask))


def test_samples_do_not_see_each_other():
    arrays, prefix_mask, suffix_mask = prefix_case(2)

    def of_first_sample(suffix):
        return (shared({**arrays, "suffix": suffix}, prefix_mask, suffix_mask)[:, 0] ** 2).sum()

    gradients = jax.jit(jax.grad(of_first_sample))(arrays["suffix"])
    assert all((g[:, 1:] == 0).all() for g in gradients)
    assert all((g[:, 0] != 0).any() for g in gradients)


def test_a_window_counts_distances_between_positions():
    everything = np.ones((1, 3, 4), bool)
    at_queries, at_keys = np.array([[5, 6, 9]]), np.array([[3, 5, 6, 9]])
    seen = ops.within(everything, at_queries, at_keys, 3) & (at_keys <= at_queries[:, :, None])
    np.testing.assert_array_equal(
        seen[0], [[True, True, False, False], [False, True, True, False], [False, False, False, True]]
    )
    assert ops.within(everything, at_queries, at_keys, None) is everything


def test_a_soft_cap_bounds_and_keeps_small_scores():
    np.testing.assert_allclose(ops.soft_cap(jnp.array([0.01, -1e6, 1e6]), 30.0), [0.01, -30.0, 30.0], rtol=1e-6)
    np.testing.assert_allclose(ops.soft_cap(jnp.array([2.0]), 2.0), [2 * np.tanh(1.0)], rtol=1e-6)
