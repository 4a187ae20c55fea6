"""What every file of the algorithms room promises: each is made with the options of its recipe, configs/<name>.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import plugin, programs
from rule_jax.algorithms import Experience, PolicyOutputs
from rule_jax.errors import UserError
from rule_jax.types import Prompts, Rollout

NAMES = plugin.names("algorithms")
LENGTHS = np.array([[1, 3, 4, 2], [4, 4, 1, 2], [2, 2, 2, 2]], np.int32)
BEYOND = np.arange(4) >= LENGTHS[..., None]
REWARDS = jnp.array([[0.0, 1.0, 0.5, 0.0], [1.0, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.5]])
# Every branch of the loss at once: all coefficients are there, and reach it.
EVERYTHING = {"surrogate__entropy_coef": 0.01, "kl__coef": 0.1}


def draw(lengths=LENGTHS, size=4, seed=0):
    """(Experience, PolicyOutputs a little later): random numbers, as after one update."""
    rng = np.random.default_rng(seed)
    B, G = lengths.shape
    shape = (B, G, size)
    outputs = PolicyOutputs(*(jnp.asarray(-rng.exponential(size=shape), jnp.float32) for _ in range(3)))
    prompts = Prompts(np.ones((B, 2), np.int32), np.full(B, 2, np.int32))
    sampled = outputs.logprobs_BGR + jnp.asarray(0.05 * rng.normal(size=shape), jnp.float32)
    rollout = Rollout(prompts, rng.integers(9, size=shape).astype(np.int32), lengths, lengths < size, sampled)
    rewards = jnp.resize(REWARDS, (B, G))
    values = jnp.asarray(rng.normal(size=shape), jnp.float32)
    later = outputs._replace(logprobs_BGR=outputs.logprobs_BGR + jnp.asarray(0.3 * rng.normal(size=shape), jnp.float32))
    return Experience(rollout, rewards, None, outputs, values), later


def targets_of(algorithm, experience):
    """What the algorithm makes of an experience as programs.make_targets hands it over."""
    if not algorithm.scored:
        experience = experience._replace(outputs=None, values_BGR=None)
    return algorithm.targets(experience, algorithm.coefficients)


def stored_old(algorithm):
    """Whether the old policy is not the policy itself."""
    return algorithm.epochs * algorithm.minibatches > 1


def losses(algorithm, experience, later, values=None, targets=None):
    """(policy's loss, its metrics, critic's loss, its metrics) after weighing; the critic's are 0 without one."""
    if targets is None:
        targets = targets_of(algorithm, experience)[0]
    targets = algorithm.weigh(targets)
    found = algorithm.loss(later, experience.rollout, targets, algorithm.coefficients)
    if algorithm.value_loss is None:
        return *found, jnp.zeros(()), {}
    values = experience.values_BGR * 1.1 if values is None else values
    return *found, *algorithm.value_loss(values, experience.rollout, targets, algorithm.coefficients)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_beyond_the_lengths_matters(name, algorithm):
    made = algorithm(name, **EVERYTHING)
    experience, later = draw()

    def spoil(tree, with_what):
        return jax.tree.map(lambda x: jnp.where(BEYOND, with_what, x) if x.shape == BEYOND.shape else x, tree)

    def run(later, values, experience):
        policy, metrics, critic, critic_metrics = losses(made, experience, later, values)
        return policy + critic, {**metrics, **critic_metrics}

    step = jax.value_and_grad(run, argnums=(0, 1), has_aux=True)
    wanted = step(later, experience.values_BGR, experience)
    assert np.isfinite(wanted[0][0])
    assert all(np.shape(value) == () and np.isfinite(value) for value in wanted[0][1].values()), wanted[0][1]
    gradient = np.asarray(wanted[1][0].logprobs_BGR)
    assert (gradient[BEYOND] == 0).all()
    assert (gradient[~BEYOND] != 0).any()
    for junk in (jnp.nan, 7.0):
        tokens = experience.rollout.response_BGR
        spoiled = spoil(experience._replace(rollout=experience.rollout._replace(response_BGR=None)), junk)
        spoiled = spoiled._replace(rollout=spoiled.rollout._replace(response_BGR=tokens))
        found = step(spoil(later, junk), spoil(experience.values_BGR, junk), spoiled)
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("aggregate", ["token_mean", "sequence_mean", "constant"])
def test_microbatches_add_up(name, aggregate, algorithm):
    made = algorithm(name, surrogate__aggregate=aggregate, **EVERYTHING)
    experience, later = draw()
    targets = made.weigh(targets_of(made, experience)[0])

    def of(rows):
        part, outputs, shares = jax.tree.map(lambda x: x[rows], (experience, later, targets))
        policy, metrics = made.loss(outputs, part.rollout, shares, made.coefficients)
        if made.value_loss is None:
            return {"loss": policy, **metrics}
        critic, critic_metrics = made.value_loss(part.values_BGR * 2, part.rollout, shares, made.coefficients)
        return {"loss": policy, **metrics, "value/loss": critic, **{f"value/{k}": v for k, v in critic_metrics.items()}}

    whole = of(slice(None))
    parts = [of(slice(row, row + 1)) for row in range(3)]
    for key, value in whole.items():
        reduce = programs.REDUCE.get(key.rpartition("/")[2], jnp.sum)
        np.testing.assert_allclose(reduce(jnp.stack([p[key] for p in parts])), value, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_targets_have_the_shape_of_tokens_and_shares_of_one(name, algorithm):
    made = algorithm(name)
    targets = made.weigh(targets_of(made, draw()[0])[0])
    for array in (targets.advantages_BGR, targets.weight_BGR, targets.share_BGR):
        assert array.shape == BEYOND.shape
        assert (np.asarray(array)[BEYOND] == 0).all()
    np.testing.assert_allclose(targets.weight_BGR.sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(targets.share_BGR[~BEYOND], 1 / LENGTHS.sum(), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_coefficient_reaches_a_program(name, algorithm):
    made = algorithm(name, **EVERYTHING)
    assert {"clip_low", "clip_high", "dual_clip", "kl_coef", "entropy_coef"} <= set(made.coefficients)
    experience, later = draw()

    def traced(coefficients):
        policy, _, critic, _ = losses(made._replace(coefficients=coefficients), experience, later)
        return policy + critic

    # Read off the program: a number that is baked in would not show in any one value.
    jaxpr = jax.make_jaxpr(traced)({k: jnp.float32(v) for k, v in made.coefficients.items()})
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    unused = [k for k, v in zip(sorted(made.coefficients), jaxpr.jaxpr.invars) if id(v) not in used]
    assert not unused


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_group_works_and_is_at_least_one(name, algorithm):
    made = algorithm(name)
    assert made.min_samples >= 1
    lengths = np.full((2, made.min_samples), 2, np.int32)
    targets, _ = targets_of(made, draw(lengths)[0])
    assert np.isfinite(targets.advantages_BGR).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_everyone_watches_is_reported(name, algorithm):
    made = algorithm(name)
    experience, later = draw()
    metrics = targets_of(made, experience)[1] | losses(made, experience, later)[1]
    watched = "kl entropy clip_fraction/low clip_fraction/high ratio/min ratio/max sampler_gap zero_variance_groups"
    assert set(watched.split()) <= set(metrics)
    assert metrics["zero_variance_groups"] == pytest.approx(1 / 3)
    gap, ratio = (np.asarray(x)[~BEYOND] for x in (
        later.reference_BGR - later.logprobs_BGR,
        jnp.exp(later.logprobs_BGR - experience.outputs.logprobs_BGR) if stored_old(made) else jnp.ones(BEYOND.shape),
    ))  # fmt: skip
    assert metrics["kl"] == pytest.approx((np.exp(gap) - 1 - gap).mean(), rel=1e-4)
    assert metrics["ratio/min"] == pytest.approx(ratio.min(), rel=1e-4)
    assert metrics["ratio/max"] == pytest.approx(ratio.max(), rel=1e-4)
    off = np.abs(later.logprobs_BGR - experience.rollout.logprobs_BGR)[~BEYOND].mean()
    assert metrics["sampler_gap"] == pytest.approx(off, rel=1e-4)


@pytest.mark.parametrize(("placement", "estimator"), [("loss", "k3"), ("reward", "k1")])
@pytest.mark.parametrize("name", NAMES)
def test_the_pull_to_the_reference_may_be_weaker_on_forget_queries(name, placement, estimator, algorithm):
    def found(coef, forget, forget_B):
        made = algorithm(name, kl__placement=placement, kl__estimator=estimator, kl__coef=coef, kl__forget=forget)
        experience, later = draw()
        experience = experience._replace(rollout=experience.rollout._replace(forget_B=np.array(forget_B)))
        targets = targets_of(made, experience)[0]
        return np.asarray(targets.advantages_BGR), float(losses(made, experience, later, targets=targets)[0])

    every, none, mixed = [True] * 3, [False] * 3, [True, False, True]
    for one, other in (((0.4, 0.25, every), (0.1, 1.0, every)), ((0.4, 0.25, none), (0.4, 1.0, none))):
        for x, y in zip(found(*one), found(*other), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    if placement == "loss":
        _, later = draw()
        gap = np.asarray(later.reference_BGR - later.logprobs_BGR)
        k3 = np.where(BEYOND, 0, np.exp(gap) - 1 - gap)[np.array(mixed)].sum() / (~BEYOND).sum()
        assert found(0.4, 1.0, mixed)[1] - found(0.4, 0.25, mixed)[1] == pytest.approx(0.4 * 0.75 * k3, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_old_policy_may_be_as_the_sampler_saw_it(name, algorithm):
    several = {"updates__minibatches": 2, "kl__placement": "loss", "kl__estimator": "k3"}
    scored = algorithm(name, **several, updates__old="scored")
    sampled = algorithm(name, **several, updates__old="sampled")
    assert scored.scored
    assert sampled.scored == bool(sampled.value_loss)  # a critic has to be asked all the same
    experience, later = draw()
    ratio = np.asarray(jnp.exp(later.logprobs_BGR - experience.rollout.logprobs_BGR))[~BEYOND]
    seen = losses(sampled, experience, later)[1]
    assert seen["ratio/max"] == pytest.approx(ratio.max(), rel=1e-4)
    assert seen["ratio/max"] != pytest.approx(float(losses(scored, experience, later)[1]["ratio/max"]), rel=1e-2)
    alone = algorithm(name, updates__minibatches=1, updates__epochs=1, updates__old="sampled")
    assert targets_of(alone, experience)[0].old_BGR is None  # one update's old policy is the policy


@pytest.mark.parametrize("name", NAMES)
def test_answers_that_are_left_out_have_no_gradient_and_no_share(name, algorithm):
    experience, later = draw()

    def gradient(**options):
        made = algorithm(name, **EVERYTHING, **options)
        total, found = jax.value_and_grad(lambda o: losses(made, experience, o)[0])(later)
        return float(total), np.abs(np.asarray(found.logprobs_BGR)) + np.abs(np.asarray(found.entropy_BGR))

    _, everything = gradient()
    _, no_equals = gradient(answers__drop_zero_variance=True)
    _, no_cut = gradient(answers__mask_truncated=True)
    cut = ~experience.rollout.finished_BG
    assert cut.any()
    assert (everything[~BEYOND] != 0).all()
    assert (no_equals[2] == 0).all()
    assert (no_equals[:2][~BEYOND[:2]] != 0).all()
    assert (no_cut[cut] == 0).all()
    assert (no_cut[~cut & (LENGTHS > 1)].sum(-1) != 0).all()
    # When nothing is left the loss is 0, not 0 / 0.
    equal = experience._replace(rewards_BG=jnp.full(LENGTHS.shape, 0.5))
    for aggregate in ("token_mean", "sequence_mean", "constant"):
        made = algorithm(name, answers__drop_zero_variance=True, surrogate__aggregate=aggregate, **EVERYTHING)
        assert losses(made, equal, later)[0] == 0
        assert losses(made, equal, later)[2] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_replayed_group_is_weighed_against_its_own_sampler(name, algorithm):
    """The ratio of a replayed group is to rollout.logprobs, whatever the policy said of it before the update."""
    made = algorithm(name, kl__placement="none", surrogate__entropy_coef=0.0)
    experience, later = draw()
    experience = experience._replace(replayed_B=jnp.array([False, True, False]))
    targets, metrics = targets_of(made, experience)
    flat = targets._replace(advantages_BGR=jnp.where(BEYOND, 0.0, 1e-3))  # small enough for no clip to matter
    open_clip = made._replace(coefficients={**made.coefficients, "clip_high": 1e9})
    found, seen, _, _ = losses(open_clip, experience, later, targets=flat)
    before = experience.outputs.logprobs_BGR if stored_old(made) else later.logprobs_BGR
    old = jnp.where(jnp.array([False, True, False])[:, None, None], experience.rollout.logprobs_BGR, before)
    ratio = np.asarray(jnp.exp(later.logprobs_BGR - old))
    np.testing.assert_allclose(found, -1e-3 * ratio[~BEYOND].mean(), rtol=1e-4)
    np.testing.assert_allclose(seen["ratio/max"], ratio[~BEYOND].max(), rtol=1e-5)
    # What is reported of the policy is of fresh answers.
    fresh = ~BEYOND & np.array([True, False, True])[:, None, None]
    np.testing.assert_allclose(seen["entropy"], np.asarray(later.entropy_BGR)[fresh].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["zero_variance_groups"], 1 / 2)


@pytest.mark.parametrize("name", NAMES)
def test_k1_in_the_loss_is_refused_with_the_reason_and_is_welcome_in_the_reward(name, algorithm):
    with pytest.raises(UserError, match="inside the loss its expected on-policy gradient is zero"):
        algorithm(name, kl__placement="loss", kl__estimator="k1")
    assert algorithm(name, kl__placement="reward", kl__estimator="k1").scored
    for estimator in ("k2", "k3"):
        algorithm(name, kl__placement="loss", kl__estimator=estimator)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl__placement": "both"}, "algorithm.kl.placement='both': it must be one of none, reward, loss"),
        ({"kl__estimator": "k4"}, "algorithm.kl.estimator='k4': it must be one of k1, k2, k3"),
        ({"kl__coef": -1.0}, "algorithm.kl.coef=-1.0: it must be at least 0"),
        ({"kl__forget": 1.5}, "algorithm.kl.forget=1.5: it must be between 0 and 1"),
        ({"kl__placement": "none", "kl__target": 0.1}, "steers a coefficient that has no effect"),
        ({"kl__coef": 0.0, "kl__forget": 0.5}, "kl.forget=0.5 is a part of a coefficient that has no effect"),
        ({"surrogate__ratio": "mean"}, "algorithm.surrogate.ratio='mean': it must be one of token, sequence"),
        ({"surrogate__aggregate": "mean"}, "algorithm.surrogate.aggregate='mean': it must be one of token_mean, seq"),
        ({"surrogate__dual_clip": 0.5}, "algorithm.surrogate.dual_clip=0.5: it must be at least 1"),
        ({"surrogate__clip_low": 1.5}, "algorithm.surrogate.clip_low=1.5: it must be between 0 and 1"),
        ({"answers__overlong_margin": -1}, "algorithm.answers.overlong_margin=-1: it must be at least 0"),
        ({"updates__minibatches": 0}, "algorithm.updates.minibatches=0: it must be at least 1"),
        ({"updates__old": "none"}, "algorithm.updates.old='none': it must be one of scored, sampled"),
    ],
)
def test_options_that_mean_nothing_are_refused(name, change, message, algorithm):
    with pytest.raises(UserError, match=message):
        algorithm(name, **change)
