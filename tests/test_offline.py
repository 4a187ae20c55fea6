"""offline: a loss of several terms is the weighted sum of what each makes of its part, in the program that trains."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rule_jax import offline, plugin, programs, sharding
from rule_jax.models import lora
from rule_jax.models.tuning import full
from rule_jax.types import Packed
from tests.test_programs import draw_packed

TERMS = {
    "ascent": ("ga", "forget", 0.5, {}),
    "away": ("npo", "forget", 2.0, {"beta": 0.4}),
    "near": ("kl", "retain", 3.0, {}),
    "lowered": ("undial", "forget", 1.0, {"gamma": 2.0}),
    "noise": ("rmu", "forget", 0.1, {"layer": 1, "towards": "noise", "scale": 3.0, "seed": 0}),
    "held": ("rmu", "retain", 0.2, {"layer": 1, "towards": "reference", "scale": 0.0, "seed": 0}),
}


def terms(*names):
    return {
        name: offline.Term(plugin.load("objectives", objective).make(**options), of, weight)
        for name, (objective, of, weight, options) in TERMS.items()
        if name in names
    }


@pytest.fixture
def setting(tiny):
    """(model, params, reference, batch)."""
    model, params = tiny(layers=2)
    rng = np.random.default_rng(5)
    reference = jax.tree.map(lambda x: x + jnp.asarray(0.1 * rng.normal(size=x.shape), jnp.float32), params)
    return model, params, reference, {"forget": draw_packed(0), "retain": draw_packed(1)}


def logits_of(model, params, packed):
    """[8, 9, 48] in float64, each segment scored by itself; the logits that predict the token at their place."""
    found = np.full((*packed.tokens_BT.shape, 48), np.nan)
    for span in (slice(0, 4), slice(4, 7)):
        logits = np.asarray(jax.jit(model.logits)(params, packed.tokens_BT[:, span]), np.float64)
        found[:, span.start + 1 : span.stop] = logits[:, :-1]
    return found


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def oracle(model, params, reference, batch):
    """The value of each of TERMS, from logits in float64."""
    forget, retain = batch["forget"], batch["retain"]
    tokens, valued = forget.tokens_BT, forget.weight_BT > 0
    one_hot = np.eye(48)[tokens]
    own, held = (log_softmax(logits_of(model, of, forget)) for of in (params, reference))
    chosen, before = (np.where(valued, (x * one_hot).sum(-1), 0) for x in (own, held))
    share = forget.weight_BT / forget.weight_BT.sum()
    answers = [(row, span) for row in range(8) for span in (slice(0, 4), slice(4, 7)) if valued[row, span].any()]
    ratios = np.array([(chosen - before)[row, span].sum() for row, span in answers])
    lowered = np.exp(log_softmax(logits_of(model, reference, forget) - 2.0 * one_hot))
    near, far = (log_softmax(logits_of(model, of, retain)) for of in (params, reference))
    kept = retain.weight_BT / retain.weight_BT.sum()

    def states(of, packed):
        return np.asarray(jax.jit(model.packed_states, static_argnums=2)(of, packed, 1), np.float64)

    def tokens_of_trained(packed):
        own_BT = np.zeros(packed.tokens_BT.shape, bool)
        for span in (slice(0, 4), slice(4, 7)):
            own_BT[:, span] = (packed.weight_BT[:, span] > 0).any(1, keepdims=True)
        return own_BT

    drawn = np.asarray(jax.random.uniform(jax.random.key(0), (16,)), np.float64)
    noise = states(params, forget) - 3.0 * drawn / np.linalg.norm(drawn)
    hold = states(params, retain) - states(reference, retain)
    return {
        "ascent": (share * chosen).sum(),
        "away": 2 / 0.4 * np.log1p(np.exp(0.4 * ratios)).mean(),
        "near": np.nansum(kept * (np.exp(far) * (far - near)).sum(-1)),
        "lowered": np.nansum(share * -(lowered * own).sum(-1)),
        "noise": (noise**2).mean(-1)[tokens_of_trained(forget)].mean(),
        "held": (hold**2).mean(-1)[tokens_of_trained(retain)].mean(),
    }


@pytest.mark.parametrize("chunk", [None, 3])
def test_each_term_is_its_equation_and_the_loss_their_weighted_sum(setting, chunk):
    model, params, reference, batch = setting
    made = terms(*TERMS)
    loss = offline.loss_of(model, made, chunk=chunk, dtype=jnp.float32)
    value, metrics = jax.jit(lambda *args: loss.apply(args[0], args[1], loss.prepare(args[2]), args[3]))(
        params, reference, batch, offline.coefficients(made)
    )
    wanted = oracle(*setting)
    for name, right in wanted.items():
        np.testing.assert_allclose(metrics[f"{name}/loss"], right, rtol=2e-4, err_msg=name)
    np.testing.assert_allclose(value, sum(TERMS[name][2] * right for name, right in wanted.items()), rtol=2e-4)
    assert {"away/log_ratio", "lowered/divergence"} <= metrics.keys()


def updated(tuning, mesh, loss, setting, made, microbatches, reference=None):
    _, params, held, batch = setting
    update = programs.make_update(tuning, mesh, optax.identity(), loss, microbatches=microbatches)
    state = programs.init_state(tuning, mesh, optax.identity(), params, jax.random.key(0))
    return update(
        state, held if reference is None else reference, sharding.put_rows(batch, mesh), jnp.float32(1.0), made
    )


@pytest.mark.parametrize(
    ("sizes", "microbatches"),
    [
        ((1, 4, 2), 2),
        *(pytest.param(sizes, cut, marks=pytest.mark.slow) for sizes, cut in (((8, 1, 1), 1), (None, 2), (None, 8))),
    ],
)
def test_microbatches_and_meshes_change_nothing(setting, one_device, sizes, microbatches):
    mesh = one_device if sizes is None else sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    model, made = setting[0], terms(*TERMS)
    loss = programs.tuned(offline.loss_of(model, made, chunk=None, dtype=jnp.float32), full(model))
    whole = updated(full(model), one_device, loss, setting, offline.coefficients(made), 1)
    other = updated(full(model), mesh, loss, setting, offline.coefficients(made), microbatches)
    for x, y in zip(jax.tree.leaves((whole[0].params, whole[1])), jax.tree.leaves((other[0].params, other[1]))):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5)


def asking(packed):
    """The rows with the places that have a weight, and 0 where a row has fewer than another."""
    found = [np.flatnonzero(row) for row in packed.weight_BT]
    asked_BA = np.zeros((len(found), max(map(len, found))), np.int32)
    for row, places in enumerate(found):
        asked_BA[row, : len(places)] = places
    return packed._replace(asked_BA=asked_BA)


@pytest.mark.parametrize("sizes", [None, (1, 4, 2)])
def test_what_is_not_asked_for_has_no_logits_and_changes_nothing(setting, one_device, sizes):
    """Gradients and metrics of every term, and of plain likelihood."""
    mesh = one_device if sizes is None else sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    model, params, reference, batch = setting
    asked = {name: asking(packed) for name, packed in batch.items()}
    assert len({(row > 0).sum() for row in asked["forget"].asked_BA}) > 1  # some rows have fewer
    made = terms(*TERMS)
    loss = programs.tuned(offline.loss_of(model, made, chunk=None, dtype=jnp.float32), full(model))
    whole, found = (
        updated(full(model), mesh, loss, (model, params, reference, of), offline.coefficients(made), 2)
        for of in (batch, asked)
    )
    for x, y in zip(jax.tree.leaves((whole[0].params, whole[1])), jax.tree.leaves((found[0].params, found[1]))):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5)
    likelihood = programs.packed_loss(model, plugin.load("objectives", "sft").make(), chunk=None, dtype=jnp.float32)

    def trace(packed):
        value = jax.value_and_grad(lambda params: likelihood.apply(params, (), likelihood.prepare(packed), {})[0])
        return jax.jit(value).trace(params)

    (wanted, gradient), (value, same) = (
        trace(packed).lower().compile()(params) for packed in (batch["forget"], asked["forget"])
    )
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    for x, y in zip(jax.tree.leaves(gradient), jax.tree.leaves(same)):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-6)
    assert "f32[8,8,48]" in str(trace(batch["forget"]).jaxpr)
    assert "f32[8,8,48]" not in str(trace(asked["forget"]).jaxpr)


def test_an_adapter_has_the_base_as_its_reference(setting, one_device):
    """A fresh adapter is the base itself: no log ratio, no divergence; and the gradient reaches it."""
    model, params, _, batch = setting
    made = terms("away", "near")
    tuning = lora.make(model, rank=2, alpha=4.0, targets=("query", "down"))
    loss = programs.tuned(offline.loss_of(model, made, chunk=None, dtype=jnp.float32), tuning)
    adapter = tuning.init(jax.random.key(1))
    state = programs.init_state(tuning, one_device, optax.identity(), adapter, jax.random.key(0))
    update = programs.make_update(tuning, one_device, optax.identity(), loss, microbatches=1)
    state, metrics = update(state, params, batch, jnp.float32(1.0), offline.coefficients(made))
    np.testing.assert_allclose(metrics["away/log_ratio"], 0, atol=1e-5)
    np.testing.assert_allclose(metrics["near/loss"], 0, atol=1e-5)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(state.params)) > 0
    assert metrics["grad_norm"] > 1e-3


def test_a_reference_is_read_only_where_a_term_looks_at_it(setting):
    model, params, _, batch = setting
    assert {name: offline.reads_reference(terms(name)) for name in TERMS} == {
        "ascent": False,
        "away": True,
        "near": True,
        "lowered": True,
        "noise": False,
        "held": True,
    }
    made = terms("ascent", "noise")
    loss = offline.loss_of(model, made, chunk=None, dtype=jnp.float32)
    value, _ = loss.apply(params, {}, loss.prepare(batch), offline.coefficients(made))
    assert np.isfinite(value)


def test_no_gradient_reaches_the_reference(setting):
    model, params, reference, batch = setting
    made = terms(*TERMS)
    loss = offline.loss_of(model, made, chunk=None, dtype=jnp.float32)
    gradient = jax.jit(
        jax.grad(lambda held: loss.apply(params, held, loss.prepare(batch), offline.coefficients(made))[0])
    )(reference)
    assert all(not np.asarray(x).any() for x in jax.tree.leaves(gradient))


def test_an_empty_part_adds_nothing(setting):
    model, params, reference, batch = setting
    made = terms("ascent", "near")
    nothing = Packed(*batch["retain"][:3], np.zeros_like(batch["retain"].weight_BT))
    loss = offline.loss_of(model, made, chunk=None, dtype=jnp.float32)
    value, metrics = loss.apply(
        params, reference, loss.prepare({**batch, "retain": nothing}), offline.coefficients(made)
    )
    assert metrics["near/loss"] == 0
    np.testing.assert_allclose(value, 0.5 * metrics["ascent/loss"], rtol=1e-6)
