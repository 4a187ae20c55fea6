"""stages._weights: the KL reference in host memory changes where it lies, and nothing that is learned."""

from pathlib import Path

import jax
import numpy as np
import pytest

from configs import grpo
from rule_jax import programs, sharding
from rule_jax.errors import UserError
from rule_jax.models.tuning import full
from rule_jax.stages import Run, Subject, boundary_optimization
from rule_jax.stages._updates import Training, Updates
from rule_jax.stages._weights import as_reference, check_reference, on_device
from rule_jax.types import Prompts, Rollout

B, G, P, R = 4, 2, 5, 3


def run_with(mesh, **changes):
    config = grpo.get_config()
    small = {"forget_prompts": 2, "boundary_prompts": 2, "samples": G, "max_new_tokens": R, "microbatches": 2}
    config.boundary_optimization.update(small)
    config.boundary_optimization.optimizer.eps = 1e-3  # else Adam makes a whole step of a gradient that is but rounding
    config.update_from_flattened_dict(changes)
    return Run(config, Path("."), Path("."), mesh)


def rollout_and_rewards(mesh):
    draw = np.random.default_rng(2)
    prompts = Prompts(draw.integers(0, 48, (B, P), dtype=np.int32), np.array([5, 2, 4, 1], np.int32))
    response_BGR = draw.integers(0, 48, (B, G, R), dtype=np.int32)
    length_BG = draw.integers(1, R + 1, (B, G), dtype=np.int32)
    logprobs_BGR = np.zeros((B, G, R), np.float32)
    rollout = Rollout(prompts, response_BGR, length_BG, length_BG < R, logprobs_BGR)
    return sharding.put_rows((rollout, draw.normal(size=(B, G)).astype(np.float32)), mesh)


def updated(run, tiny):
    """(memories that the reference lies in, the policy after two steps, the KL that the second one saw)."""
    model, values = tiny(layers=1)
    learner = Subject(Path("."), model, full(model), None, (0,))
    updates = Updates(run, learner, boundary_optimization.algorithm(run))
    params = jax.device_put(values, programs.param_shardings(model, run.mesh))
    reference = as_reference(run, learner, params)
    state = programs.init_state(model, run.mesh, updates.optimizer, params, jax.random.key(0))
    training, fresh = Training(state, None, 0.01, None), rollout_and_rewards(run.mesh)
    for step in range(2):
        training, metrics, _ = updates.apply(training, reference, fresh, step)
    kinds = {leaf.sharding.memory_kind for leaf in jax.tree.leaves(reference)}
    return kinds, jax.device_get(training.policy.params), float(metrics["kl"])


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(data=1, fsdp=2, tensor=2, devices=jax.devices()[:4])


def test_a_reference_in_host_memory_trains_the_same_policy(tiny, mesh):
    (kind, policy, kl), (away, same, also) = (
        updated(run_with(mesh, **{"model.reference_memory": memory}), tiny) for memory in ("device", "host")
    )
    assert (kind, away) == ({"device"}, {"pinned_host"})
    assert kl == pytest.approx(also, rel=1e-5)
    assert kl > 1e-6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), policy, same)


def test_a_reference_in_host_memory_is_no_argument_of_the_update(tiny, mesh):
    model, values = tiny(layers=1)
    learner = Subject(Path("."), model, full(model), None, (0,))
    for memory, left in (("device", values), ("host", {})):
        run = run_with(mesh, **{"model.reference_memory": memory})
        updates = Updates(run, learner, boundary_optimization.algorithm(run))
        assert updates.read_by_update(values) == left
        assert updates.read_by_model(values) == {}


def test_what_comes_back_to_the_device_is_the_reference(tiny, mesh):
    model, values = tiny(layers=1)
    learner = Subject(Path("."), model, full(model), None, (0,))
    params = jax.device_put(values, programs.param_shardings(model, mesh))
    away = as_reference(run_with(mesh, **{"model.reference_memory": "host"}), learner, params)
    back = on_device(away)
    assert jax.tree.map(lambda x: x.sharding, back) == jax.tree.map(lambda x: x.sharding, params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model.reference_memory": "disk"}, "'disk': it must be one of device, host"),
        ({"model.reference_memory": "host", "lora.rank": 4}, "the reference is the base"),
    ],
)
def test_a_memory_that_makes_no_sense_is_refused(mesh, changes, named):
    with pytest.raises(UserError, match=named):
        check_reference(run_with(mesh, **changes))
