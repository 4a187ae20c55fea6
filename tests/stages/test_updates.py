"""stages._updates: what a rollout does to policy and critic, whether its answers are packed or not."""

from pathlib import Path

import jax
import numpy as np
import pytest

from configs import grpo, ppo
from rule_jax import batching, microbatches, programs, scoring, sharding
from rule_jax.models import critic as critics
from rule_jax.models.tuning import full
from rule_jax.stages import Run, Subject, boundary_optimization
from rule_jax.stages import _replay as replay
from rule_jax.stages._updates import Training, Updates, lengths_of
from rule_jax.types import Prompts, Rollout

B, P, G, R = 8, 5, 3, 8


def made(tiny, recipe, mesh, **changes):
    config = recipe.get_config()
    sizes = {"forget_prompts": 4, "boundary_prompts": 4, "samples": G, "max_new_tokens": R}
    config.boundary_optimization.update(sizes)
    for section in (config.boundary_optimization, config.boundary_optimization.critic):
        section.optimizer.eps = 1e-3  # else Adam makes a whole step of a gradient that is but rounding
    config.update_from_flattened_dict(changes)
    run = Run(config, Path("."), Path("."), mesh)
    model, values = tiny(layers=1)
    updates = Updates(run, Subject(Path("."), model, full(model), None, (0,)), boundary_optimization.algorithm(run))
    params = jax.device_put(values, programs.param_shardings(model, mesh))
    policy, critic = programs.init_state(model, mesh, updates.optimizer, params, jax.random.key(0)), None
    if updates.critic:
        first = critics.from_policy(model, values)
        critic = programs.init_state(updates.critic, mesh, updates.critic_optimizer, first, jax.random.key(0))
    buffer = replay.empty(config.boundary_optimization, P)
    return updates, Training(policy, critic, float(updates.algorithm.coefficients["kl_coef"]), buffer), params


def batch(mesh):
    """Answers of which most are short and one takes all its places, and their rewards."""
    draw = np.random.default_rng(2)
    prompts = Prompts(draw.integers(0, 48, (B, P), dtype=np.int32), draw.integers(1, P + 1, B, dtype=np.int32))
    length_BG = draw.integers(1, 4, (B, G), dtype=np.int32)
    length_BG[3, 1] = R
    logprobs_BGR = draw.normal(-3, 0.3, (B, G, R)).astype(np.float32)
    response_BGR = draw.integers(0, 48, (B, G, R), dtype=np.int32)
    rollout = Rollout(prompts, response_BGR, length_BG, length_BG < R, logprobs_BGR, forget_B=np.arange(B) < 4)
    return sharding.put_rows((rollout, draw.normal(size=(B, G)).astype(np.float32)), mesh)


def as_rectangles(updates, training, reference, fresh, step):
    """A step of `Updates.apply` by its programs, nothing packed: (training, the mean loss of its updates)."""
    algorithm, (policy, critic, kl_coef, buffer) = updates.algorithm, training
    coefficients, seed = {**algorithm.coefficients, "kl_coef": kl_coef}, updates.run.config.seed
    replayed = replay.draw(buffer, updates.replay, seed, step)
    replayed = replayed and sharding.put_rows(replayed, updates.run.mesh)
    whole, _ = updates.targets(policy.params, reference, critic and critic.params, fresh, replayed, coefficients)
    losses, count = [], len(whole[0].length_BG)
    for epoch in range(algorithm.epochs):
        for rows in batching.minibatch_rows(seed, 4, step, epoch, algorithm.minibatches, count):
            part = updates.take(whole, rows)
            read = updates.read_by_update(reference)
            policy, metrics = updates.update(policy, read, part, updates.rate(step), coefficients)
            losses.append(metrics["loss"])
            if critic:
                critic, _ = updates.update_critic(critic, (), part, updates.critic_rate(step), coefficients)
    return Training(policy, critic, kl_coef, replay.store(buffer, updates.replay, fresh, step)), np.mean(losses)


REPLAY = {"groups": 4, "capacity": 8, "store_steps": 1, "max_reward": 9.0}


@pytest.mark.parametrize(
    ("recipe", "sizes", "changes"),
    [
        (grpo, None, {f"boundary_optimization.replay.{key}": value for key, value in REPLAY.items()}),
        (ppo, None, {"algorithm.updates.minibatches": 2}),
        pytest.param(grpo, (1, 2, 2), {"boundary_optimization.microbatches": 2}, marks=pytest.mark.slow),
    ],
    ids=["grpo with replay", "ppo in two minibatches", "grpo on four devices in two microbatches"],
)
def test_packed_answers_train_what_rectangles_train(tiny, one_device, recipe, sizes, changes):
    mesh = one_device
    if sizes is not None:
        mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)), devices=jax.devices()[:4])
    fresh = batch(mesh)
    updates, training, params = made(tiny, recipe, mesh, **changes)
    _, rectangles, _ = made(tiny, recipe, mesh, **changes)
    reference = jax.tree.map(lambda x: 0.9 * x, params)
    assert updates.packed(fresh[0], lengths_of(fresh[0])).packing is not None
    for step in range(2):
        training, metrics, _ = updates.apply(training, reference, fresh, step)
        rectangles, loss = as_rectangles(updates, rectangles, reference, fresh, step)
        assert metrics["loss"] == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
        assert metrics["grad_norm"] > 0.01
        assert metrics["places"] <= 0.5
    assert metrics.get("replay/stored", 0) == (8 if recipe is grpo and sizes is None else 0)
    for one, other in zip(jax.tree.leaves(training[:2]), jax.tree.leaves(rectangles[:2]), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_updates_to_the_samplers_own_log_probabilities_are_those_to_a_pass_of_the_scorer(tiny, one_device):
    two = {"algorithm.updates.minibatches": 2, "algorithm.kl.coef": 0.1}
    scored, training, params = made(tiny, grpo, one_device, **two)
    sampled, other, _ = made(tiny, grpo, one_device, **two, **{"algorithm.updates.old": "sampled"})
    assert (scored.algorithm.scored, sampled.algorithm.scored) == (True, False)
    rollout, rewards_BG = batch(one_device)
    own_BGR, _ = scoring.logprobs(scored.learner.model, params, rollout, 1.0, None)
    fresh = rollout._replace(logprobs_BGR=own_BGR), rewards_BG
    reference = jax.tree.map(lambda x: 0.9 * x, params)
    training, wanted, _ = scored.apply(training, reference, fresh, 0)
    other, metrics, _ = sampled.apply(other, reference, fresh, 0)
    assert metrics["ratio/max"] > 1.0001  # the second update finds a policy that has moved
    assert metrics["sampler_gap"] == pytest.approx(0, abs=1e-6)  # the first one's
    for name in ("loss", "kl", "ratio/min", "ratio/max", "grad_norm"):
        assert metrics[name] == pytest.approx(float(wanted[name]), rel=1e-4), name
    for one, two_ in zip(jax.tree.leaves(training.policy.params), jax.tree.leaves(other.policy.params), strict=True):
        np.testing.assert_allclose(one, two_, rtol=2e-5, atol=2e-6)


def test_a_rollout_without_a_choice_is_learnt_from_whole(tiny, one_device):
    updates, _, _ = made(tiny, grpo, one_device)
    fresh = batch(one_device)
    chosen, rows = updates.chosen(fresh, 0)
    assert chosen is fresh
    assert rows.tolist() == [*range(B)]


@pytest.mark.parametrize("sizes", [(1, 1, 1), pytest.param((2, 2, 1), marks=pytest.mark.slow)])
@pytest.mark.parametrize("recipe", [grpo, ppo])
def test_what_is_chosen_trains_as_if_nothing_else_had_been_sampled(tiny, recipe, sizes):
    count = sizes[0] * sizes[1]
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)), devices=jax.devices()[:count])
    changes = {"boundary_optimization.kept_prompts": 4, "algorithm.updates.minibatches": 1}
    updates, training, params = made(tiny, recipe, mesh, **changes)
    _, without, _ = made(tiny, recipe, mesh, **changes)
    rollout, rewards_BG = jax.tree.map(np.array, jax.device_get(batch(mesh)))
    rewards_BG[[0, 2, 5, 6]] = 0.5  # their answers all earn the same
    fresh = sharding.put_rows((rollout, rewards_BG), mesh)
    chosen, rows = updates.chosen(fresh, 0)
    assert rows.tolist() == [1, 3, 4, 7]
    alone = sharding.put_rows(jax.tree.map(lambda x: x[rows], (rollout, rewards_BG)), mesh)
    reference = jax.tree.map(lambda x: 0.9 * x, params)
    training, metrics, _ = updates.apply(training, reference, chosen, 0)
    without, same, _ = updates.apply(without, reference, alone, 0)
    assert metrics["zero_variance_groups"] == 0
    assert metrics["loss"] == same["loss"]
    for one, other in zip(jax.tree.leaves(training[:2]), jax.tree.leaves(without[:2]), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("recipe", [grpo, ppo])
@pytest.mark.parametrize("longest", [R, R - 1], ids=["packed", "rectangle"])
def test_what_is_left_to_its_size_trains_what_one_microbatch_trains(tiny, one_device, monkeypatch, recipe, longest):
    """Cut into four parts, or two where answers are packed; policy and critic."""
    monkeypatch.setattr(microbatches, "KEPT", 100_000)
    monkeypatch.setattr(microbatches, "WORTH", 0.0)
    rollout, rewards_BG = batch(one_device)
    if longest < R:  # nearly all of the rectangle, which no half holds
        rollout = rollout._replace(length_BG=jax.numpy.full_like(rollout.length_BG, longest))
    found = []
    for parts in (0, 1):
        changes = {"boundary_optimization.microbatches": parts, "algorithm.updates.minibatches": 1}
        updates, training, params = made(tiny, recipe, one_device, **changes)
        packed = updates.packed(rollout, lengths_of(rollout))
        assert (packed.packing is None) == (longest < R)
        assert microbatches.of_rollout(updates.learner.model.config, packed, one_device) == (4 if longest < R else 2)
        reference = jax.tree.map(lambda x: 0.9 * x, params)
        training, metrics, _ = updates.apply(training, reference, (rollout, rewards_BG), 0)
        found.append((training[:2], {name: metrics[name] for name in ("loss", "grad_norm", "kl", "ratio/max")}))
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4, abs=1e-6)
    for one, other in zip(jax.tree.leaves(found[0][0]), jax.tree.leaves(found[1][0]), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
