"""ops.rope: frequencies and turns by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops import rope

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_frequencies_are_powers_of_theta():
    np.testing.assert_allclose(rope.inverse_frequencies(8, 10000.0), [1.0, 0.1, 0.01, 0.001], rtol=1e-6)
    np.testing.assert_allclose(rope.inverse_frequencies(4, 500000.0), [1.0, 500000**-0.5], rtol=1e-6)
    np.testing.assert_array_equal(
        rope.inverse_frequencies(4, 500000.0, {"rope_type": "default"}), rope.inverse_frequencies(4, 500000.0)
    )


def test_linear_scaling_divides_all():
    scaling = {"rope_type": "linear", "factor": 4.0}
    np.testing.assert_allclose(rope.inverse_frequencies(4, 100.0, scaling), [0.25, 0.025], rtol=1e-6)


def test_llama3_keeps_short_waves_divides_long_ones_and_blends():
    got = rope.inverse_frequencies(128, 500000.0, LLAMA3).astype(np.float64)
    plain = np.array([500000.0 ** (-2 * i / 128) for i in range(64)])
    turns = 8192 * plain / (2 * math.pi)  # how often a wave fits into the original context
    for i, (value, frequency, count) in enumerate(zip(got, plain, turns)):
        if count > 4:
            wanted = frequency
        elif count < 1:
            wanted = frequency / 8
        else:
            share = (count - 1) / (4 - 1)
            wanted = (1 - share) * frequency / 8 + share * frequency
        assert value == pytest.approx(wanted, rel=1e-6), i
    kinds = (turns > 4).sum(), ((turns <= 4) & (turns >= 1)).sum(), (turns < 1).sum()
    assert min(kinds) > 0, "all three branches are met"


def test_llama3_number_in_the_blend():
    # Channel pair 32 of 128 at theta 500000: 1 / 707.1 a position, 1.8438 turns in 8192, a share of 0.28127.
    got = rope.inverse_frequencies(128, 500000.0, LLAMA3)[32]
    assert got == pytest.approx((0.281271 + 0.718729 / 8) / 707.10678, rel=1e-4)


def test_unknown_type_is_refused():
    with pytest.raises(ValueError, match="unknown rope_type 'yarn'"):
        rope.inverse_frequencies(4, 100.0, {"rope_type": "yarn", "factor": 2.0})


def test_channels_turn_in_pairs_half_a_head_apart():
    cos, sin = rope.rotation(jnp.array([[2]]), np.array([math.pi / 4, math.pi / 2], np.float32))
    turned = rope.rotate(jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4), cos, sin)
    # Pair (1, 3) by a quarter turn, pair (2, 4) by half a turn.
    np.testing.assert_allclose(turned.ravel(), [-3.0, -2.0, 1.0, -4.0], atol=1e-6)


def test_scores_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    q, k = (jnp.asarray(rng.normal(size=(1, 1, 2, 8)), jnp.float32) for _ in range(2))
    frequencies = rope.inverse_frequencies(8, 100.0)

    def score(at_q: int, at_k: int) -> jax.Array:
        turned = [rope.rotate(x, *rope.rotation(jnp.array([[at]]), frequencies)) for x, at in ((q, at_q), (k, at_k))]
        return jnp.sum(turned[0] * turned[1], axis=-1)

    np.testing.assert_allclose(score(13, 6), score(7, 0), rtol=1e-4, atol=1e-5)
    assert np.abs(score(13, 6) - score(6, 13)).max() > 1e-2


def test_far_positions_keep_their_angle():
    # float64 reference at positions where bfloat16 could not even hold the integer.
    position = np.array([[0, 257, 511, 4099]])
    frequencies = rope.inverse_frequencies(8, 10000.0)
    cos, sin = rope.rotation(jnp.asarray(position), frequencies)
    angle = position[..., None] * frequencies.astype(np.float64)
    np.testing.assert_allclose(cos, np.cos(angle), atol=3e-4)
    np.testing.assert_allclose(sin, np.sin(angle), atol=3e-4)


def test_angles_are_no_matter_of_matmul_precision():
    # A dot of float32 operands runs in bfloat16 on a TPU; no CPU test could see the difference in numbers.
    jaxpr = str(jax.make_jaxpr(lambda p: rope.rotation(p, rope.inverse_frequencies(8, 100.0)))(jnp.zeros((1, 2))))
    assert "dot_general" not in jaxpr


def test_dtype_is_kept():
    cos, sin = rope.rotation(jnp.array([[3]]), rope.inverse_frequencies(4, 100.0))
    assert cos.dtype == sin.dtype == jnp.float32
    assert rope.rotate(jnp.ones((1, 1, 1, 4), jnp.bfloat16), cos, sin).dtype == jnp.bfloat16
