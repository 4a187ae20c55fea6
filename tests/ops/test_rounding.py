"""ops.rounding: between its two neighbours, right on average, and nothing lost that bfloat16 can hold."""

import jax
import jax.numpy as jnp
import numpy as np

from rule_jax.ops.rounding import stochastic_bfloat16


def test_what_bfloat16_holds_is_kept():
    exact = jnp.array([0.0, -0.0, 1.0, -2.5, 2.0**-120, 3e38, jnp.inf, -jnp.inf, jnp.nan]).astype(jnp.bfloat16)
    for seed in range(20):
        got = stochastic_bfloat16(exact.astype(jnp.float32), jax.random.key(seed))
        assert np.asarray(got).tobytes() == np.asarray(exact).tobytes()


def test_the_mean_is_the_value_and_the_spread_is_one_step():
    # bfloat16 has 1 and 1 + 2^-7 with nothing between: a quarter of the way up is rounded up a quarter of the time.
    x = jnp.full(40_000, 1 + 2.0**-9)
    got = np.asarray(stochastic_bfloat16(x, jax.random.key(0)), np.float32)
    assert set(np.unique(got)) == {1.0, 1 + 2.0**-7}
    assert abs((got > 1).mean() - 0.25) < 0.01
    negative = np.asarray(stochastic_bfloat16(-x, jax.random.key(0)), np.float32)
    np.testing.assert_array_equal(negative, -got)
