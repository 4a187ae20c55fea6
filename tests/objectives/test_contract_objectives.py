"""What every file of the objectives room promises, and the likelihood by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import plugin
from rule_jax.objectives import Distributions, LogProbs, States
from rule_jax.ops.teacher import Taught
from rule_jax.types import Packed

# The options that a file is made with here; a new file of the room adds its line.
OPTIONS = {
    "dpo": {"beta": 0.3},
    "ga": {},
    "kl": {},
    "npo": {"beta": 0.3},
    "rmu": {"layer": 1, "towards": "noise", "scale": 2.0, "seed": 0},
    "sft": {},
    "simnpo": {"beta": 0.7, "gamma": 0.2},
    "undial": {"gamma": 3.0},
    "wga": {"alpha": 1.5},
}
MADE = [(name, {}) for name in plugin.names("objectives")] + [("rmu", {"towards": "reference"})]
WEIGHTS = np.array([[0, 0, 1.0, 1.0, 0], [0, 2.0, 0, 0.5, 0.5], [0, 0, 0, 0, 0]], np.float32)


@pytest.fixture(params=MADE, ids=lambda made: " ".join([made[0], *made[1].values()]))
def objective(request):
    return make(*request.param)


def make(name, changes=None):
    assert name in OPTIONS, f"{name}: the contract needs a line in OPTIONS"
    return plugin.load("objectives", name).make(**{**OPTIONS[name], **(changes or {})})


def draw_packed(weights=WEIGHTS):
    """A row of one sequence, one of two, and an empty one."""
    segment = np.array([[1, 1, 1, 1, 0], [1, 1, 2, 2, 2], [0, 0, 0, 0, 0]], np.int32)
    position = np.array([[0, 1, 2, 3, 0], [0, 1, 0, 1, 2], [0, 0, 0, 0, 0]], np.int32)
    tokens = np.random.default_rng(0).integers(9, size=segment.shape).astype(np.int32)
    return Packed(tokens, segment, position, weights)


def draw_seen(objective, width=4):
    """What the objective reads of the rows of draw_packed: arrays, of which it trains the first."""
    rng = np.random.default_rng(0)
    draw = lambda *more: jnp.asarray(-rng.exponential(size=(*WEIGHTS.shape, *more)), jnp.float32)  # noqa: E731
    match objective.reads:
        case LogProbs(with_reference):
            return (draw(), draw()) if with_reference else (draw(),)
        case States(_, with_reference):
            return (draw(width), draw(width)) if with_reference else (draw(width),)
        case Distributions():
            return -draw(), -draw()


def loss_of(objective, seen, packed, coefficients=None):
    """The objective's loss; seen: as from draw_seen."""
    given = Taught(*seen) if isinstance(objective.reads, Distributions) else seen if len(seen) > 1 else seen[0]
    return objective.loss(given, packed, objective.coefficients if coefficients is None else coefficients)


def test_loss_is_finite_and_blind_where_nothing_weighs(objective):
    seen, packed = draw_seen(objective), objective.weigh(draw_packed())
    silent = np.asarray(packed.weight_BT) == 0
    broken = [jnp.where(silent.reshape(silent.shape + (1,) * (x.ndim - 2)), jnp.nan, x) for x in seen]
    run = jax.value_and_grad(lambda x, *held: loss_of(objective, (x, *held), packed), has_aux=True)
    (clean, _), clean_gradient = run(*seen)
    (loss, metrics), gradient = run(*broken)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert all(np.shape(v) == () and np.isfinite(v) for v in metrics.values())
    np.testing.assert_array_equal(loss, clean)
    np.testing.assert_array_equal(gradient, clean_gradient)
    assert (np.asarray(gradient)[silent] == 0).all()
    assert (np.asarray(gradient)[~silent] != 0).all()


def test_what_weighs_are_tokens_with_a_weight_and_for_states_their_whole_sequence(objective):
    packed = draw_packed()
    told = packed.segment_BT > 0 if isinstance(objective.reads, States) else WEIGHTS > 0
    np.testing.assert_array_equal(np.asarray(objective.weigh(packed).weight_BT) > 0, told)
    np.testing.assert_allclose(np.sum(objective.weigh(packed).weight_BT), 1, rtol=1e-6)


def test_microbatches_add_up(objective):
    seen, packed = draw_seen(objective), objective.weigh(draw_packed())
    whole = loss_of(objective, seen, packed)
    parts = [
        loss_of(objective, [x[row : row + 1] for x in seen], Packed(*(x[row : row + 1] for x in packed[:4])))
        for row in range(3)
    ]
    summed = jax.tree.map(lambda *xs: sum(xs), *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), summed, whole)


def test_a_batch_without_weight_is_zero_not_nan(objective):
    seen, packed = draw_seen(objective), objective.weigh(draw_packed(np.zeros_like(WEIGHTS)))
    run = jax.value_and_grad(lambda x, *held: loss_of(objective, (x, *held), packed)[0])
    loss, gradient = run(*seen)
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(seen[0]))


def test_coefficients_are_options(objective):
    """Each has its option's value, and is an input of the loss, or the penalty that its reading names."""
    given = {key: value for options in OPTIONS.values() for key, value in options.items()}
    assert set(objective.coefficients) <= set(given)
    read = {objective.reads.penalty} if isinstance(objective.reads, Distributions) else set()
    seen, packed = draw_seen(objective), objective.weigh(draw_packed())
    named = {k: jnp.float32(v) for k, v in objective.coefficients.items() if k not in read}
    jaxpr = jax.make_jaxpr(lambda c: loss_of(objective, seen, packed, c)[0])(named)
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    assert [v for v in jaxpr.jaxpr.invars if id(v) not in used] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_a_coefficient_has_the_value_of_its_option(name):
    assert make(name).coefficients == {k: OPTIONS[name][k] for k in make(name).coefficients}


def test_sft_is_the_weighted_mean_of_negative_logprobs():
    objective = make("sft")
    logprobs, weighed = draw_seen(objective)[0], objective.weigh(draw_packed())
    np.testing.assert_allclose(weighed.weight_BT, WEIGHTS / 5, rtol=1e-6)
    loss, metrics = objective.loss(logprobs, weighed, {})
    x = np.asarray(logprobs, np.float64)
    wanted = -(x[0, 2] + x[0, 3] + 2 * x[1, 1] + 0.5 * x[1, 3] + 0.5 * x[1, 4]) / 5
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert metrics == {}
