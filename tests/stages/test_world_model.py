"""stages._world_model: the optimizer of the default world's base model."""

import jax
import numpy as np
import pytest

from rule_jax import programs, sharding
from rule_jax.stages import _world_model

SETTINGS = {"beta": 0.95, "b1": 0.9, "b2": 0.98, "eps": 1e-8, "adam_share": 0.5, "weight_decay": 0.1}


def gradients(params):
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return treedef.unflatten([jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)])


@pytest.mark.parametrize(
    ("group", "kernel", "inputs"), [("attention", "query", 1), ("attention", "out", 2), ("mlp", "down", 1)]
)
def test_a_kernel_moves_as_one_matrix(tiny, group, kernel, inputs):
    model, params = tiny()
    optimizer = _world_model.make_optimizer(model, **{**SETTINGS, "weight_decay": 0.0})
    direction, _ = optimizer.update(gradients(params), optimizer.init(params), params)
    moved = np.asarray(direction["layers"][group][f"{kernel}_kernel"])
    for layer in moved.reshape(len(moved), np.prod(moved.shape[1 : 1 + inputs]), -1):
        values = np.linalg.svd(layer, compute_uv=False) / (0.2 * np.sqrt(max(layer.shape)))
        # Five Newton-Schulz steps bring singular values near 1, not to it; the tiniest of a square matrix not so far.
        assert 0.5 < values[-2] <= values[0] < 1.3


def test_the_rest_takes_adam_s_steps_at_its_share_of_the_rate(tiny):
    model, params = tiny()
    optimizer = _world_model.make_optimizer(model, **SETTINGS)
    grads = gradients(params)
    direction, _ = optimizer.update(grads, optimizer.init(params), params)
    # Nesterov's first step, corrected: (0.9 * 0.1 / 0.19 + 0.1 / 0.1) g / |g|; weight decay is 0.1 p; both are halved.
    first = 0.5 * (1.473684 * np.sign(grads["ends"]["embedding"]) + 0.1 * params["ends"]["embedding"])
    np.testing.assert_allclose(direction["ends"]["embedding"], first, atol=1e-5)


@pytest.mark.parametrize("sizes", [(2, 4, 1), (1, 4, 2)])
def test_momentum_lies_beside_its_kernel_and_a_mesh_changes_no_step(tiny, one_device, sizes):
    model, params = tiny()
    optimizer = _world_model.make_optimizer(model, **SETTINGS)
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    loss = programs.Loss(lambda batch: batch, lambda params, _, rows, __: (fit(params, rows), {}), lambda *_: 1)
    found = []
    for where in (one_device, mesh):
        state = programs.init_state(model, where, optimizer, params, jax.random.key(0))
        update = programs.make_update(model, where, optimizer, loss, microbatches=1)
        batch = sharding.put_rows(np.linspace(0.5, 1.5, 8, dtype=np.float32), where)
        for _ in range(2):
            state, _ = update(state, (), batch, 0.01, {})
        found.append(state)
    for path, moment in jax.tree.leaves_with_path(found[1].opt_state):
        if "query_kernel" in jax.tree_util.keystr(path):
            assert moment.sharding == found[1].params["layers"]["attention"]["query_kernel"].sharding
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found[0].params, found[1].params)


def fit(params, rows):
    """A loss whose gradient is full of different numbers everywhere."""
    return sum((rows.mean() * np.float32(0.1 + i) * (x**2).sum() for i, x in enumerate(jax.tree.leaves(params))), 0.0)
