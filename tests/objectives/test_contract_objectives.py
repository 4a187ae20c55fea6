"""What every file of the objectives room promises, and the likelihood by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import plugin
from rule_jax.types import Packed

# The options that a file is made with here; a new file of the room adds its line.
OPTIONS = {"sft": {}}
NAMES = plugin.names("objectives")
WEIGHTS = np.array([[0, 0, 1.0, 1.0, 0], [0, 2.0, 0, 0.5, 0.5], [0, 0, 0, 0, 0]], np.float32)


def make(name):
    assert name in OPTIONS, f"{name}: the contract needs a line in OPTIONS"
    return plugin.load("objectives", name).make(**OPTIONS[name])


def draw(weights=WEIGHTS):
    rng = np.random.default_rng(0)
    segment = np.array([[1, 1, 1, 1, 0], [1, 1, 2, 2, 2], [0, 0, 0, 0, 0]], np.int32)
    position = np.array([[0, 1, 2, 3, 0], [0, 1, 0, 1, 2], [0, 0, 0, 0, 0]], np.int32)
    tokens = rng.integers(9, size=segment.shape).astype(np.int32)
    return jnp.asarray(-rng.exponential(size=segment.shape), jnp.float32), Packed(tokens, segment, position, weights)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_finite_and_blind_where_nothing_weighs(name):
    objective = make(name)
    logprobs, packed = draw()
    packed = objective.weigh(packed)
    silent = WEIGHTS == 0
    run = jax.value_and_grad(lambda x: objective.loss(x, packed, objective.coefficients), has_aux=True)
    (clean, _), clean_gradient = run(logprobs)
    (loss, metrics), gradient = run(jnp.where(silent, jnp.nan, logprobs))
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert all(np.shape(v) == () and np.isfinite(v) for v in metrics.values())
    np.testing.assert_array_equal(loss, clean)
    np.testing.assert_array_equal(gradient, clean_gradient)
    assert (np.asarray(gradient)[silent] == 0).all()
    assert (np.asarray(gradient)[~silent] != 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_microbatches_add_up(name):
    objective = make(name)
    logprobs, packed = draw()
    packed = objective.weigh(packed)
    whole = objective.loss(logprobs, packed, objective.coefficients)
    parts = [
        objective.loss(logprobs[row : row + 1], Packed(*(x[row : row + 1] for x in packed)), objective.coefficients)
        for row in range(3)
    ]
    summed = jax.tree.map(lambda *xs: sum(xs), *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), summed, whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_weight_is_zero_not_nan(name):
    objective = make(name)
    logprobs, packed = draw(np.zeros_like(WEIGHTS))
    packed = objective.weigh(packed)
    loss, gradient = jax.value_and_grad(lambda x: objective.loss(x, packed, objective.coefficients)[0])(logprobs)
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(WEIGHTS))


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_are_options(name):
    objective = make(name)
    assert {k: OPTIONS[name].get(k) for k in objective.coefficients} == dict(objective.coefficients)
    logprobs, packed = draw()
    jaxpr = jax.make_jaxpr(lambda c: objective.loss(logprobs, objective.weigh(packed), c)[0])(
        {k: jnp.float32(v) for k, v in objective.coefficients.items()}
    )
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    assert [v for v in jaxpr.jaxpr.invars if id(v) not in used] == []


def test_sft_is_the_weighted_mean_of_negative_logprobs():
    objective = make("sft")
    logprobs, packed = draw()
    weighed = objective.weigh(packed)
    np.testing.assert_allclose(weighed.weight_BT, WEIGHTS / 5, rtol=1e-6)
    loss, metrics = objective.loss(logprobs, weighed, {})
    x = np.asarray(logprobs, np.float64)
    wanted = -(x[0, 2] + x[0, 3] + 2 * x[1, 1] + 0.5 * x[1, 3] + 0.5 * x[1, 4]) / 5
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert metrics == {}
