"""The baselines' losses against their equations, written out answer by answer in float64, with their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.errors import UserError
from rule_jax.ops.teacher import Taught
from rule_jax.types import Packed
from tests.objectives.test_contract_objectives import make

# Row 0: an answer of two tokens. Row 1: two short ones. Row 2: an answer of three. Prompts and padding around them.
SEGMENT = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]], np.int32)
WEIGHT = np.array([[0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 1, 1]], np.float32)
ANSWERS = ([(0, 2), (0, 3)], [(1, 1)], [(1, 3)], [(2, 3), (2, 4), (2, 5)])
PACKED = Packed(SEGMENT, SEGMENT, np.zeros_like(SEGMENT), WEIGHT)
RNG = np.random.default_rng(3)
LOGPROBS, REFERENCE = (-RNG.exponential(size=SEGMENT.shape) for _ in range(2))


def sums(x, answers=ANSWERS):
    return np.array([sum(x[place] for place in answer) for answer in answers])


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def numeric_gradient(f, x, step=1e-6):
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[place] = step
        found[place] = (f(x + move) - f(x - move)) / (2 * step)
    return found


def check(objective, wanted, seen=None, packed=PACKED, gradient=None, tol=1e-5):
    """The loss and its gradient by the first array are those of `wanted`, a function of it in float64.

    seen: what makes the loss's first argument of that array; gradient: where it is not that of `wanted`.
    """
    packed = objective.weigh(packed)

    def loss(x):
        return objective.loss(seen(x) if seen else x, packed, objective.coefficients)

    (value, metrics), found = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(LOGPROBS, jnp.float32))
    np.testing.assert_allclose(value, wanted(LOGPROBS), rtol=tol)
    right = numeric_gradient(wanted, LOGPROBS) if gradient is None else gradient
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)
    return metrics


def with_reference(x):
    return x, jnp.asarray(REFERENCE, jnp.float32)


def test_gradient_ascent_is_the_mean_log_likelihood():
    check(make("ga"), lambda x: sums(x).sum() / 7)


def test_npo_is_the_mean_over_answers():
    beta = 0.3
    metrics = check(
        make("npo"),
        lambda x: -2 / beta * log_sigmoid(-beta * (sums(x) - sums(REFERENCE))).mean(),
        with_reference,
    )
    np.testing.assert_allclose(metrics["log_ratio"], (sums(LOGPROBS) - sums(REFERENCE)).mean(), rtol=1e-5)


def test_npo_of_a_small_beta_pulls_like_gradient_ascent_on_answers():
    """https://arxiv.org/abs/2404.05868, proposition 1."""
    objective = make("npo", {"beta": 1e-3})
    packed = objective.weigh(PACKED)
    found = jax.grad(lambda x: objective.loss(with_reference(x), packed, objective.coefficients)[0])(
        jnp.asarray(LOGPROBS, jnp.float32)
    )
    np.testing.assert_allclose(found, numeric_gradient(lambda x: sums(x).mean(), LOGPROBS), rtol=2e-3, atol=1e-6)


def test_npo_leaves_alone_what_is_forgotten():
    objective = make("npo")
    packed = objective.weigh(PACKED)
    grad = jax.grad(lambda x: objective.loss(with_reference(x), packed, objective.coefficients)[0])
    assert np.abs(grad(jnp.asarray(REFERENCE - 60, jnp.float32))).max() < 1e-6
    assert np.abs(grad(jnp.asarray(REFERENCE, jnp.float32))).max() > 0.1


def test_simnpo_divides_by_the_length_and_knows_no_reference():
    beta, gamma = 0.7, 0.2
    lengths = np.array([2, 1, 1, 3])
    check(make("simnpo"), lambda x: -2 / beta * log_sigmoid(-beta * sums(x) / lengths - gamma).mean())


def test_dpo_prefers_the_first_answer_of_a_row():
    beta = 0.3
    segment = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 2, 2, 0, 0], [0, 0, 0, 0, 0, 0]], np.int32)
    weight = np.array([[0, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], np.float32)

    def wanted(x):
        d = x - REFERENCE
        margins = beta * np.array([d[0, 1] + d[0, 2] - d[0, 4] - d[0, 5], d[1, 1] - d[1, 3]])
        return -log_sigmoid(margins).mean()

    packed = Packed(segment, segment, np.zeros_like(segment), weight)
    metrics = check(make("dpo"), wanted, with_reference, packed)
    assert 0 <= metrics["preferred"] <= 1
    at_start = make("dpo").loss(
        with_reference(jnp.asarray(REFERENCE, jnp.float32)), make("dpo").weigh(packed), {"beta": 1}
    )
    np.testing.assert_allclose(at_start[0], np.log(2), rtol=1e-6)


def test_wga_weighs_by_the_chance_without_a_gradient():
    alpha, chance = 1.5, np.exp(LOGPROBS)
    check(
        make("wga"),
        lambda x: sums(np.exp(alpha * x) * x).sum() / 7,
        gradient=WEIGHT / 7 * chance**alpha,
    )
    packed = make("wga").weigh(PACKED)
    plain, _ = make("wga").loss(jnp.asarray(LOGPROBS, jnp.float32), packed, {"alpha": 0.0})
    ascent, _ = make("ga").loss(jnp.asarray(LOGPROBS, jnp.float32), packed, {})
    np.testing.assert_allclose(plain, ascent, rtol=1e-6)


@pytest.mark.parametrize(("name", "entropy_counts"), [("kl", True), ("undial", False)])
def test_of_whole_distributions_the_token_mean_is_taken(name, entropy_counts):
    entropy = -REFERENCE

    def wanted(x):
        return sums(x - entropy_counts * entropy).sum() / 7

    metrics = check(make(name), wanted, lambda x: Taught(x, jnp.asarray(entropy, jnp.float32)))
    if name == "undial":
        np.testing.assert_allclose(metrics["divergence"], sums(LOGPROBS - entropy).sum() / 7, rtol=1e-5)


def test_rmu_drives_every_token_to_one_far_point_or_holds_it():
    rng = np.random.default_rng(1)
    states, reference = rng.normal(size=(2, *SEGMENT.shape, 3))
    direction = np.asarray(jax.random.uniform(jax.random.key(0), (3,)), np.float64)
    point = 2.0 * direction / np.linalg.norm(direction)
    assert (point > 0).all()
    tokens = SEGMENT > 0
    for towards, target in (("noise", point), ("reference", reference)):
        objective = make("rmu", {"towards": towards})
        packed, x = objective.weigh(PACKED), jnp.asarray(states, jnp.float32)
        given = x if towards == "noise" else (x, jnp.asarray(reference, jnp.float32))
        value, _ = objective.loss(given, packed, objective.coefficients)
        wanted = ((states - target) ** 2).mean(-1)[tokens].mean()
        np.testing.assert_allclose(value, wanted, rtol=1e-5)
        gradient = jax.grad(
            lambda x, given=given, objective=objective, packed=packed: objective.loss(
                (x, given[1]) if isinstance(given, tuple) else x, packed, objective.coefficients
            )[0]
        )(x)
        right = 2 * (states - target) * tokens[..., None] / 3 / tokens.sum()
        np.testing.assert_allclose(gradient, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("npo", {"beta": 0.0}, "objective npo: beta=0.0; it must be positive"),
        ("dpo", {"beta": float("nan")}, "objective dpo: beta=nan; it must be positive"),
        ("simnpo", {"beta": -1.0}, "objective simnpo: beta=-1.0"),
        ("simnpo", {"gamma": -0.1}, "objective simnpo: gamma=-0.1; it must not be negative"),
        ("wga", {"alpha": -1.0}, "objective wga: alpha=-1.0"),
        ("undial", {"gamma": -1.0}, "objective undial: gamma=-1.0"),
        ("rmu", {"layer": 0}, "objective rmu: layer=0"),
        ("rmu", {"towards": "north"}, "towards='north'; it must be one of noise, reference"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, words):
    with pytest.raises(UserError) as error:
        make(name, options)
    assert words in str(error.value)
