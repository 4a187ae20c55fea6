"""moments: Adam with moments of two bytes is Adam, also where bfloat16 cannot resolve a step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rule_jax.errors import UserError
from rule_jax.moments import scale_by_adam

SETTINGS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


def test_float32_is_optax():
    params = {"w": jnp.array([1.0, -3.0])}
    ours, theirs = scale_by_adam(**SETTINGS, dtype="float32"), optax.scale_by_adam(**SETTINGS)
    got, wanted = (t.update(params, t.init(params), params) for t in (ours, theirs))
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def test_directions_follow_those_of_float32():
    rng = np.random.default_rng(0)
    half, full = (scale_by_adam(**SETTINGS, dtype=dtype) for dtype in ("bfloat16", "float32"))
    params = {"w": jnp.zeros(2000), "v": jnp.zeros((3, 5))}
    states = half.init(params), full.init(params)
    assert {x.dtype for x in jax.tree.leaves((states[0].mu, states[0].nu))} == {jnp.dtype("bfloat16")}
    for _ in range(30):
        grads = jax.tree.map(lambda x: jnp.asarray(rng.normal(0.3, 1, x.shape), jnp.float32), params)
        got, mine = half.update(grads, states[0])
        wanted, theirs = full.update(grads, states[1])
        states = mine, theirs
    assert got["w"].dtype == jnp.float32
    np.testing.assert_allclose(got["w"], wanted["w"], atol=0.03)
    assert np.abs(got["w"] - wanted["w"]).mean() < 0.004


def test_the_second_moment_falls_when_gradients_vanish():
    # After 700 steps of no gradient, v is half of what it was: 0.999^693 = 0.5. To the nearest it would stand still.
    adam = scale_by_adam(**SETTINGS, dtype="bfloat16")
    state = adam.init({"w": jnp.zeros(500)})._replace(nu={"w": jnp.ones(500, jnp.bfloat16)})
    still = {"w": jnp.zeros(500)}
    step = jax.jit(lambda state: adam.update(still, state)[1])
    for _ in range(693):
        state = step(state)
    nu = np.asarray(state.nu["w"], np.float32)
    assert nu.mean() == pytest.approx(0.5, rel=0.02)
    assert nu.min() > 0.3
    assert nu.max() < 0.8


def test_the_same_step_rounds_the_same_way():
    adam = scale_by_adam(**SETTINGS, dtype="bfloat16")
    grads = {"w": jnp.asarray(np.random.default_rng(1).normal(size=50), jnp.float32)}
    first, again = (adam.update(grads, adam.init(grads))[1] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_another_dtype_is_refused():
    with pytest.raises(UserError, match="moments_dtype='float16': it must be float32 or bfloat16"):
        scale_by_adam(**SETTINGS, dtype="float16")
