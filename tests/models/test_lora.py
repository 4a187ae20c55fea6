"""models.lora: an adapter is the sum W + s A B in every family, path and mesh, and nothing but it moves."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rule_jax import plugin, programs, sharding
from rule_jax.algorithms import Experience
from rule_jax.errors import UserError
from rule_jax.models import decoder, lora
from rule_jax.models.layouts import unstacked
from rule_jax.models.tuning import full
from rule_jax.objectives import sft
from rule_jax.types import Prompts
from tests.test_programs import draw_batch, draw_packed

GOLDEN = Path(__file__).with_name("golden")
CONFIGS = [json.loads(file.read_text())["config"] for file in sorted(GOLDEN.glob("*.json"))]
FAMILIES = {config["model_type"]: config for config in CONFIGS}  # the last case of each
SETTINGS = {"rank": 3, "alpha": 6.0, "targets": lora.PROJECTIONS}
TOKENS = np.random.default_rng(0).integers(48, size=(2, 9)).astype(np.int32)
PROMPTS = Prompts(np.random.default_rng(1).integers(48, size=(8, 5)).astype(np.int32), np.full(8, 5, np.int32))


def drawn(shapes, seed=0, width=0.3):
    """A tree of normal numbers, around 1 for the scales of norms, in place of what training would have left."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        return jnp.asarray(("scale" in str(path[-1])) + width * rng.normal(size=leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def adapted(case, **changes):
    """(model, base, tuning, adapter) of a family's golden configuration; the adapter is as if trained."""
    config = FAMILIES[case]
    model = decoder.make(plugin.load("models.families", config["model_type"]).config(config))
    tuning = lora.make(model, **{**SETTINGS, **changes})
    shapes = (jax.eval_shape(of.init, jax.random.key(0)) for of in (model, tuning))
    return model, drawn(next(shapes)), tuning, drawn(next(shapes), seed=1)


def merged(tuning, base, adapter, dtype=jnp.float32):
    return jax.jit(functools.partial(tuning.merge, dtype=dtype))(base, adapter)


def close(a, b, tol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tol, atol=tol), a, b)


def test_every_family_has_a_case():
    assert FAMILIES.keys() == set(plugin.names("models.families"))


@pytest.mark.parametrize("case", FAMILIES)
def test_an_adapter_is_off_at_the_start_and_then_the_sum(case):
    model, base, tuning, adapter = adapted(case)
    fresh = jax.jit(tuning.init)(jax.random.key(5))
    logits = jax.jit(model.logits)
    off = logits(base, TOKENS)
    exactly = 0 if jax.default_backend() == "cpu" else 1e-4  # a GPU adds up in an order of each program's own
    close(logits(tuning.read(base, fresh), TOKENS), off, tol=exactly)
    close(logits(merged(tuning, base, fresh), TOKENS), off, tol=exactly)
    on = logits(tuning.read(base, adapter), TOKENS)
    scale = np.abs(on).max()
    assert np.abs(on - off).max() > 0.05 * scale
    close(logits(merged(tuning, base, adapter), TOKENS) / scale, on / scale, tol=1e-5)


def test_every_projection_is_adapted_and_only_those_that_are_named(tiny):
    model, base = tiny()
    adapter = lora.make(model, **SETTINGS).init(jax.random.key(0))
    names = {name for own in adapter.values() for name in own}
    assert names == {f"{name}_{part}" for name in lora.PROJECTIONS for part in "ab"}
    assert {"attention", "mlp"} == set(adapter)
    for own, group in ((adapter[g], base["layers"][g]) for g in adapter):
        for name in {n[:-2] for n in own}:
            assert jnp.tensordot(own[f"{name}_a"][0], own[f"{name}_b"][0], 1).shape == group[f"{name}_kernel"].shape[1:]
    few = lora.make(model, rank=2, alpha=1.0, targets=("value", "down")).init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, few) == {
        "attention": {"value_a": (2, 16, 2), "value_b": (2, 2, 2, 4)},
        "mlp": {"down_a": (2, 24, 2), "down_b": (2, 2, 16)},
    }


def test_a_is_normal_over_its_fan_in_and_layers_differ(tiny):
    model, _ = tiny(width=64, mlp_width=256)
    a = np.asarray(lora.make(model, **{**SETTINGS, "rank": 16}).init(jax.random.key(0))["mlp"]["down_a"])
    assert a.std() == pytest.approx(256**-0.5, rel=0.05)
    assert not np.array_equal(a[0], a[1])


def test_gradients_are_those_through_the_sum_and_the_base_has_none(tiny):
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    adapter = drawn(jax.eval_shape(tuning.init, jax.random.key(0)), seed=2)
    weights = np.random.default_rng(3).normal(size=(*TOKENS.shape, 48)).astype(np.float32)

    def loss(params):
        return jnp.sum(weights * jax.nn.log_softmax(model.logits(params, TOKENS)))

    through_sum = jax.jit(jax.grad(lambda x: loss(tuning.merge(base, x, jnp.float32))))(adapter)
    of_base, of_adapter = jax.jit(jax.grad(lambda b, x: loss(tuning.read(b, x)), argnums=(0, 1)))(base, adapter)
    size = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(through_sum))
    close(*(jax.tree.map(lambda g: g / size, g) for g in (of_adapter, through_sum)), tol=1e-5)
    assert all(np.abs(g).max() > 1e-3 * size for g in jax.tree.leaves(of_adapter))
    assert not any(g.any() for g in jax.tree.leaves(of_base))


def test_prefill_and_decode_know_the_adapter(tiny):
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    on = tuning.read(base, drawn(jax.eval_shape(tuning.init, jax.random.key(0)), seed=2))
    response = np.random.default_rng(4).integers(48, size=(8, 2, 3)).astype(np.int32)

    def decoded(params):
        last, cache = model.prefill(params, PROMPTS, 2, 2)
        states = [jnp.broadcast_to(last[:, None], (8, 2, last.shape[-1]))]
        for index in range(2):
            hidden, cache = model.decode(params, response[..., index], jnp.int32(index), PROMPTS, cache)
            states.append(hidden)
        return jnp.stack(states, axis=2)

    teacher_forced = jax.jit(model.response_hidden)
    close(jax.jit(decoded)(on), teacher_forced(on, PROMPTS, response))
    assert np.abs(teacher_forced(on, PROMPTS, response) - teacher_forced(base, PROMPTS, response)).max() > 0.1


def test_an_adapter_on_an_adapter_is_one_adapter(tiny):
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    first, then = (drawn(jax.eval_shape(tuning.init, jax.random.key(0)), seed=s) for s in (1, 2))
    both = tuning.join(first, then)
    assert (lora.rank_of(first), lora.rank_of(both)) == (3, 6)
    one_by_one = merged(tuning, merged(tuning, base, first), then)
    close(merged(tuning, base, both), one_by_one, tol=1e-5)


def test_the_sum_is_made_in_float32_and_rounded_once(tiny):
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    adapter = drawn(jax.eval_shape(tuning.init, jax.random.key(0)), width=1e-2)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), base)
    got = merged(tuning, half, adapter, jnp.bfloat16)
    exact = merged(tuning, jax.tree.map(lambda x: x.astype(jnp.float32), half), adapter)
    jax.tree.map(np.testing.assert_array_equal, got, jax.tree.map(lambda x: x.astype(jnp.bfloat16), exact))


def test_rank_zero_trains_everything(tiny):
    model, params = tiny()
    tuning = lora.make(model, rank=0, alpha=0.0, targets=())
    assert tuning.read({}, params) is params
    assert tuning.join({}, params) is params
    assert (tuning.init, tuning.axes, tuning.keeps_base) == (model.init, model.axes, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": -1}, r"config.lora.rank=-1: it must be 0 \(train all parameters\) or the rank"),
        ({"alpha": 0.0}, r"config.lora.alpha=0.0: it must be positive"),
        ({"targets": ("q_proj",)}, r"'q_proj' is no projection; they are query, key, value, out, gate, up, down"),
        ({"targets": ()}, "no projection is named; they are query"),
    ],
)
def test_settings_that_describe_no_adapter(changes, message):
    with pytest.raises(UserError, match=message):
        lora.check(**{**SETTINGS, **changes})


# Training


def steps(model, base, mesh, microbatches=1):
    """(adapter, metrics) after each of two supervised steps from a fresh adapter, everything in its shards."""
    tuning = lora.make(model, **SETTINGS)
    loss = programs.tuned(programs.packed_loss(model, sft.make(), chunk=None, dtype=jnp.float32), tuning)
    update = programs.make_update(tuning, mesh, optax.identity(), loss, microbatches=microbatches)
    base = jax.device_put(base, programs.param_shardings(model, mesh))
    start = programs.init_params(tuning, mesh, jax.random.key(3))
    state = programs.init_state(tuning, mesh, optax.identity(), start, jax.random.key(0))
    seen = []
    for _ in range(2):
        state, metrics = update(state, base, sharding.put_rows(draw_packed(), mesh), jnp.float32(0.5), {})
        where = programs.param_shardings(tuning, mesh)
        assert jax.tree.all(jax.tree.map(lambda x, w: x.sharding.is_equivalent_to(w, x.ndim), state.params, where))
        seen.append(jax.tree.map(np.asarray, (state.params, metrics)))
    return seen


@pytest.fixture(scope="module")
def on_one_device(tiny, one_device):
    return steps(*tiny(layers=1), one_device)


@pytest.mark.usefixtures("eight_devices")
@pytest.mark.parametrize(("sizes", "microbatches"), [((8, 1, 1), 1), ((1, 4, 2), 2)])
def test_a_step_is_the_same_on_every_mesh(tiny, on_one_device, sizes, microbatches):
    model, base = tiny(layers=1)
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    close(steps(model, base, mesh, microbatches), on_one_device, tol=1e-5)


@pytest.mark.usefixtures("eight_devices")
def test_an_adapter_is_sharded_like_its_projection(tiny):
    model, _ = tiny()
    where = programs.param_shardings(lora.make(model, **SETTINGS), sharding.make_mesh(data=1, fsdp=4, tensor=2))
    assert where["attention"]["query_a"].spec == jax.P(None, "fsdp", None)
    assert where["attention"]["query_b"].spec == jax.P(None, None, "tensor", None)
    assert where["attention"]["out_a"].spec == jax.P(None, "tensor", None, None)
    assert where["mlp"]["down_b"].spec == jax.P(None, None, "fsdp")


def test_b_moves_first(tiny, on_one_device):
    model, _ = tiny(layers=1)
    (once, _), (twice, _) = on_one_device
    start = jax.jit(lora.make(model, **SETTINGS).init)(jax.random.key(3))
    np.testing.assert_array_equal(once["mlp"]["up_a"], start["mlp"]["up_a"])  # while B is zero, A has no gradient
    assert np.abs(once["mlp"]["up_b"]).max() > 1e-3
    assert np.abs(twice["mlp"]["up_a"] - start["mlp"]["up_a"]).max() > 1e-6


def test_the_reference_is_the_base(tiny, algorithm):
    model, base = tiny(layers=1)
    tuning, grpo = lora.make(model, **SETTINGS), algorithm("grpo")
    loss = programs.policy_loss(model, grpo, temperature=1.0, chunk=None, dtype=jnp.float32)
    loss = programs.tuned(loss, tuning)
    rollout, rewards_BG = draw_batch()
    targets, _ = grpo.targets(Experience(rollout, rewards_BG, None, None, None), grpo.coefficients)
    batch = loss.prepare((rollout, targets))
    kl = jax.jit(lambda adapter: loss.apply(adapter, base, batch, grpo.coefficients)[1]["kl"])
    fresh = tuning.init(jax.random.key(3))
    assert kl(fresh) == pytest.approx(0, abs=1e-7)
    assert kl(drawn(fresh, width=0.1)) > 1e-4


def test_the_state_holds_the_adapter_alone(tiny, mesh8):
    model, _ = tiny()
    tuning = lora.make(model, **SETTINGS)
    adam = programs.optimizer(b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0, max_grad_norm=1.0, moments_dtype="float32")
    abstract = programs.abstract_state(tuning, mesh8, adam)
    assert jax.tree.structure(abstract.opt_state[1].mu) == jax.tree.structure(abstract.params)
    assert jax.tree.structure(abstract.params) == jax.tree.structure(jax.eval_shape(tuning.init, jax.random.key(0)))


def test_a_frozen_base_may_lie_in_the_compute_dtype(tiny):
    # A forward pass casts the base anyway, so it makes no difference to a single bit.
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    adapter = drawn(jax.eval_shape(tuning.init, jax.random.key(0)), seed=2)
    half = programs.cast(base, jnp.bfloat16)
    logits = jax.jit(lambda base: model.logits(programs.cast(tuning.read(base, adapter), jnp.bfloat16), TOKENS))
    np.testing.assert_array_equal(logits(base), logits(half))


@pytest.mark.usefixtures("eight_devices")
def test_merging_for_the_rollout_lies_in_the_decoding_layout(tiny):
    model, base = tiny()
    tuning = lora.make(model, **SETTINGS)
    mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2)
    adapter = drawn(jax.eval_shape(tuning.init, jax.random.key(0)), seed=2)
    placed = jax.device_put((base, adapter), tuple(programs.param_shardings(of, mesh) for of in (model, tuning)))
    copy = programs.make_merge(model, tuning, mesh, jnp.float32, "decode")(*placed)
    close(copy, unstacked(merged(tuning, base, adapter)), tol=1e-5)
    where = programs.param_shardings(model, mesh, "decode")
    assert jax.tree.all(jax.tree.map(lambda x, w: x.sharding.is_equivalent_to(w, x.ndim), copy, where))
    whole = programs.make_merge(model, full(model), mesh, jnp.bfloat16, "train")({}, placed[0])
    assert {x.dtype for x in jax.tree.leaves(whole)} == {jnp.dtype("bfloat16")}
