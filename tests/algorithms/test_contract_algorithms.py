"""What every file of the algorithms room promises, and what GRPO promises beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import plugin
from rule_jax.algorithms import PolicyOutputs
from rule_jax.errors import UserError
from rule_jax.types import Prompts, Rollout

# The options that a file is made with here; a new file of the room adds its line.
OPTIONS = {
    "grpo": {
        "clip_low": 0.2,
        "clip_high": 0.3,
        "dual_clip": 3.0,
        "kl_coef": 0.1,
        "kl_estimator": "k3",
        "advantage_scale": "group",
        "ddof": 1,
        "aggregate": "token_mean",
    },
}
NAMES = plugin.names("algorithms")
LENGTHS = np.array([[1, 3, 4, 2], [4, 4, 1, 2]], np.int32)
REWARDS = jnp.array([[0.0, 1.0, 0.5, 0.0], [1.0, 0.5, 0.5, 0.0]])


def make(name, **changes):
    assert name in OPTIONS, f"{name}: the contract needs a line in OPTIONS"
    return plugin.load("algorithms", name).make(**{**OPTIONS[name], **changes})


def draw(lengths=LENGTHS, size=4, seed=0):
    B, G = lengths.shape
    rng = np.random.default_rng(seed)
    shape = (B, G, size)
    outputs = PolicyOutputs(*(jnp.asarray(-rng.exponential(size=shape), jnp.float32) for _ in range(3)))
    prompts = Prompts(np.ones((B, 2), np.int32), np.full(B, 2, np.int32))
    tokens = rng.integers(9, size=shape).astype(np.int32)
    return outputs, Rollout(prompts, tokens, lengths, lengths < size, np.asarray(outputs.logprobs_BGR))


def part_of(tree, rows):
    return jax.tree.map(lambda x: x[rows], tree)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_finite_and_blind_beyond_the_lengths(name):
    algorithm = make(name)
    outputs, rollout = draw()
    beyond = np.arange(4) >= LENGTHS[..., None]
    spoiled = PolicyOutputs(*(jnp.where(beyond, jnp.nan, x) for x in outputs))
    targets = algorithm.advantages(rollout, REWARDS)
    run = jax.value_and_grad(lambda o: algorithm.loss(o, rollout, targets, algorithm.coefficients), has_aux=True)
    (clean, clean_metrics), clean_gradient = run(outputs)
    (loss, metrics), gradient = run(spoiled)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert all(np.shape(value) == () and np.isfinite(value) for value in metrics.values()), metrics
    np.testing.assert_array_equal(loss, clean)
    assert {k: float(v) for k, v in metrics.items()} == {k: float(v) for k, v in clean_metrics.items()}
    assert (np.asarray(gradient.logprobs_BGR)[beyond] == 0).all()
    assert (np.asarray(gradient.logprobs_BGR)[~beyond] != 0).any()
    np.testing.assert_array_equal(gradient.logprobs_BGR, clean_gradient.logprobs_BGR)


@pytest.mark.parametrize("name", NAMES)
def test_microbatches_add_up(name):
    algorithm = make(name)
    outputs, rollout = draw()
    targets = algorithm.advantages(rollout, REWARDS)

    def loss(outputs, rollout, targets):
        return algorithm.loss(outputs, rollout, targets, algorithm.coefficients)

    whole = loss(outputs, rollout, targets)
    parts = [loss(*part_of((outputs, rollout, targets), slice(row, row + 1))) for row in range(2)]
    summed = jax.tree.map(jnp.add, *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), summed, whole)


@pytest.mark.parametrize("name", NAMES)
def test_targets_have_the_shape_of_tokens_and_shares_of_one(name):
    targets = make(name).advantages(draw()[1], REWARDS)
    assert targets.advantages_BGR.shape == targets.weight_BGR.shape == (2, 4, 4)
    assert (np.asarray(targets.weight_BGR)[np.arange(4) >= LENGTHS[..., None]] == 0).all()
    np.testing.assert_allclose(targets.weight_BGR.sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_coefficient_reaches_the_loss(name):
    algorithm = make(name)
    assert algorithm.coefficients
    assert set(algorithm.coefficients) <= set(OPTIONS[name])
    for key, value in algorithm.coefficients.items():
        assert value == OPTIONS[name][key], key

    outputs, rollout = draw()

    def traced(coefficients):
        return algorithm.loss(outputs, rollout, algorithm.advantages(rollout, REWARDS), coefficients)[0]

    # Read off the program: on-policy the ratio is 1, and no number would show a clip that is baked in.
    jaxpr = jax.make_jaxpr(traced)({k: jnp.float32(v) for k, v in algorithm.coefficients.items()})
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    unused = [k for k, v in zip(sorted(algorithm.coefficients), jaxpr.jaxpr.invars) if id(v) not in used]
    assert not unused


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_group_works_and_is_at_least_one(name):
    algorithm = make(name)
    assert algorithm.min_samples >= 1
    lengths = np.full((2, algorithm.min_samples), 2, np.int32)
    rewards = jnp.arange(2.0 * algorithm.min_samples).reshape(lengths.shape)
    targets = algorithm.advantages(draw(lengths)[1], rewards)
    assert np.isfinite(targets.advantages_BGR).all()


def test_grpo_loss_by_hand():
    algorithm = make("grpo")
    outputs, rollout = draw()
    loss, metrics = algorithm.loss(outputs, rollout, algorithm.advantages(rollout, REWARDS), algorithm.coefficients)
    logp, entropy, reference = (np.asarray(x, np.float64) for x in outputs)
    rewards = np.asarray(REWARDS, np.float64)
    scaled = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-6)
    gain = kl = spread = 0.0
    for b in range(2):
        for g in range(4):
            for r in range(LENGTHS[b, g]):
                gap = reference[b, g, r] - logp[b, g, r]
                gain += scaled[b, g] / LENGTHS.sum()
                kl += (np.exp(gap) - 1 - gap) / LENGTHS.sum()
                spread += entropy[b, g, r] / LENGTHS.sum()
    np.testing.assert_allclose(loss, -gain + 0.1 * kl, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], spread, rtol=1e-5)
    assert metrics["sampler_gap"] == metrics["clip_fraction/low"] == metrics["clip_fraction/high"] == 0


def test_grpo_gradient_is_advantage_times_share():
    algorithm = make("grpo", kl_coef=0.0)
    outputs, rollout = draw()
    targets = algorithm.advantages(rollout, REWARDS)
    gradient = jax.grad(lambda o: algorithm.loss(o, rollout, targets, algorithm.coefficients)[0])(outputs)
    np.testing.assert_allclose(gradient.logprobs_BGR, -targets.advantages_BGR * targets.weight_BGR, rtol=1e-6)


@pytest.mark.parametrize(
    ("aggregate", "short", "long"),
    [
        ("token_mean", 1 / 5, 1 / 5),
        ("sequence_mean", 1 / 2, 1 / 8),
        ("constant", 1 / 12, 1 / 12),
    ],
)
def test_grpo_shares_by_hand(aggregate, short, long):
    # One prompt, answers of 1 and 4 tokens, room for 6.
    rollout = draw(np.array([[1, 4]], np.int32), size=6)[1]
    weight = make("grpo", aggregate=aggregate).advantages(rollout, jnp.array([[0.0, 1.0]])).weight_BGR
    np.testing.assert_allclose(weight[0], [[short] + [0] * 5, [long] * 4 + [0] * 2], rtol=1e-6)


def test_grpo_refuses_k1_and_says_why():
    with pytest.raises(UserError, match="kl_estimator=k1: inside the loss its expected on-policy gradient is zero"):
        make("grpo", kl_estimator="k1")


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("kl_estimator", "k2, k3"),
        ("advantage_scale", "group, batch, none"),
        ("aggregate", "token_mean, sequence_mean, constant"),
    ],
)
def test_grpo_refuses_unknown_words(key, known):
    with pytest.raises(UserError, match=f"algorithm.{key}='mean': it must be one of {known}"):
        make("grpo", **{key: "mean"})


def test_grpo_estimators_and_scales_are_those_of_ops():
    outputs, rollout = draw()

    def kl(estimator):
        algorithm = make("grpo", kl_estimator=estimator)
        return algorithm.loss(outputs, rollout, algorithm.advantages(rollout, REWARDS), algorithm.coefficients)[1]["kl"]

    mask = np.arange(4) < LENGTHS[..., None]
    gap = np.asarray(outputs.reference_BGR - outputs.logprobs_BGR, np.float64)[mask]
    np.testing.assert_allclose(kl("k2"), (gap**2 / 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(kl("k3"), (np.exp(gap) - 1 - gap).mean(), rtol=1e-5)
    plain = make("grpo", advantage_scale="none").advantages(rollout, REWARDS).advantages_BGR
    np.testing.assert_allclose(plain[0, :, 0], [-0.375, 0.625, 0.125, -0.375], rtol=1e-6)
    # Squares about the means: 0.6875 in the first group, 0.5 in the second, eight rewards.
    batch = make("grpo", advantage_scale="batch", ddof=0).advantages(rollout, REWARDS).advantages_BGR
    np.testing.assert_allclose(batch[0, 1, 0], 0.625 / np.sqrt(1.1875 / 8), rtol=1e-5)
    assert make("grpo", ddof=0).min_samples == 1
    assert make("grpo").min_samples == 2
