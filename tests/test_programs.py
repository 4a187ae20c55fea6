"""programs: the update is one function of the batch, whatever the microbatches, the mesh and the padding; it learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rule_jax import batching, programs, sharding
from rule_jax.errors import UserError
from rule_jax.models.tuning import full
from rule_jax.objectives import sft
from rule_jax.types import Packed, Prompts, Rollout

B, P, G, R = 8, 5, 4, 4
TEMPERATURE = 0.7
ADAM = {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0, "moments_dtype": "float32"}


def draw_batch(seed=0):
    """A rollout with lengths from 1 to the limits, groups of equal and of unequal rewards, host arrays."""
    rng = np.random.default_rng(seed)
    length_B = rng.integers(1, P + 1, B)
    length_B[:2] = 1, P
    length_BG = rng.integers(1, R + 1, (B, G))
    length_BG[0, :2] = 1, R
    prompts = Prompts(rng.integers(48, size=(B, P)).astype(np.int32), length_B.astype(np.int32))
    rollout = Rollout(
        prompts,
        rng.integers(48, size=(B, G, R)).astype(np.int32),
        length_BG.astype(np.int32),
        length_BG < R,
        np.zeros((B, G, R), np.float32),
    )
    rewards = rng.integers(0, 3, (B, G)).astype(np.float32) / 2
    rewards[3] = 0.5
    return rollout, rewards


def host(tree):
    return jax.tree.map(np.asarray, tree)


def close(a, b, tol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tol, atol=tol), a, b)


def lies(tree, shardings):
    """Asserts that each array of the tree lies where its sharding says."""
    matches = jax.tree.map(lambda x, where: x.sharding.is_equivalent_to(where, x.ndim), tree, shardings)
    assert jax.tree.all(matches), matches


def mesh_of(name, one_device):
    if name != "one" and jax.device_count() < 8:
        pytest.skip("needs eight devices")
    return one_device if name == "one" else sharding.make_mesh(**dict(zip(sharding.AXES, name)))


@pytest.fixture(scope="session")
def meshes(one_device):
    return functools.cache(lambda name: mesh_of(name, one_device))


@pytest.fixture(scope="session")
def reference(tiny):
    _, params = tiny(layers=1)
    rng = np.random.default_rng(9)
    return jax.tree.map(lambda x: x + jnp.asarray(0.05 * rng.normal(size=x.shape), jnp.float32), params)


@pytest.fixture(scope="session")
def grpo_step(tiny, meshes, reference, algorithm):
    """grpo_step(batch, mesh, microbatches, rate, params, **coefficients) -> (params - rate * gradient, metrics)."""
    model, start = tiny(layers=1)
    grpo = algorithm("grpo", kl__coef=0.1)
    options = {"temperature": TEMPERATURE, "chunk": 3, "dtype": jnp.float32}
    loss = programs.policy_loss(model, grpo, **options)
    plain = optax.identity()

    @functools.cache
    def programs_of(mesh, microbatches):
        return (
            programs.make_targets(model, full(model), None, meshes(mesh), grpo, **options, microbatches=microbatches),
            programs.make_update(model, meshes(mesh), plain, loss, microbatches=microbatches),
        )

    def run(batch, mesh="one", microbatches=1, rate=1.0, params=start, **coefficients):
        where, (targets, update) = meshes(mesh), programs_of(mesh, microbatches)
        shardings = programs.param_shardings(model, where)
        placed, fixed = jax.device_put((params, reference), (shardings, shardings))
        state = programs.init_state(model, where, plain, placed, jax.random.key(0))
        coefficients = {k: jnp.float32(v) for k, v in {**grpo.coefficients, **coefficients}.items()}
        prepared, of_batch = targets(placed, fixed, None, sharding.put_rows(batch, where), None, coefficients)
        state, metrics = update(state, fixed, prepared, jnp.float32(rate), coefficients)
        return host(state.params), host({**metrics, **of_batch})

    return run


@pytest.mark.parametrize(("mesh", "microbatches"), [("one", 2), ("one", 4), ((8, 1, 1), 1), ((1, 4, 2), 2)])
def test_update_depends_on_neither_microbatches_nor_mesh(grpo_step, mesh, microbatches):
    params, metrics = grpo_step(draw_batch())
    other_params, other_metrics = grpo_step(draw_batch(), mesh, microbatches)
    close(other_params, params, 1e-5)
    close(other_metrics, metrics, 1e-5)
    assert metrics["grad_norm"] > 0.1
    assert metrics["zero_variance_groups"] == 1 / 8


def repeated_prompt_loss(model, params, old, reference, batch):
    """GRPO's loss with every answer behind its own copy of its prompt, through model.logits, one sum at the end."""
    rollout, rewards = batch
    total = np.zeros((B * G, P + R), np.int32)
    mask, weight = np.zeros((B * G, P + R)), 1 / rollout.length_BG.sum()
    for row in range(B * G):
        b, g = divmod(row, G)
        prompt, answer = rollout.prompts.length_B[b], rollout.length_BG[b, g]
        total[row, :prompt] = rollout.prompts.tokens_BP[b, :prompt]
        total[row, prompt : prompt + answer] = rollout.response_BGR[b, g, :answer]
        mask[row, prompt : prompt + answer] = weight
    advantages = np.zeros((B, G))
    for b, group in enumerate(rewards.astype(np.float64)):
        advantages[b] = (group - group.mean()) / (group.std(ddof=1) + 1e-6)

    def logprobs(params):
        logp = jax.nn.log_softmax(model.logits(params, total) / TEMPERATURE)[:, :-1]
        return jnp.take_along_axis(logp, total[:, 1:, None], axis=-1)[..., 0]

    new, gap = logprobs(params), logprobs(reference) - logprobs(params)
    gain = jnp.exp(new - logprobs(old)) * advantages.reshape(-1, 1).astype(np.float32)
    return jnp.sum(mask[:, 1:].astype(np.float32) * (-gain + 0.1 * (jnp.exp(gap) - 1 - gap)))


def test_gradient_is_that_of_the_repeated_prompts_and_of_finite_differences(grpo_step, tiny, reference):
    model, params = tiny(layers=1)
    batch = draw_batch()

    def loss(params, old):
        return repeated_prompt_loss(model, params, old, reference, batch)

    wanted_loss, wanted = jax.jit(jax.value_and_grad(loss))(params, params)
    moved, metrics = grpo_step(batch)
    np.testing.assert_allclose(metrics["loss"], wanted_loss, rtol=1e-4, atol=1e-5)
    close(jax.tree.map(lambda p, m: np.asarray(p) - m, params, moved), host(wanted), 2e-4)

    # One kernel entry, the steepest, moved by hand.
    kernel = np.asarray(params["layers"]["attention"]["key_kernel"])
    slope = kernel - moved["layers"]["attention"]["key_kernel"]
    at = np.unravel_index(np.abs(slope).argmax(), slope.shape)

    @jax.jit
    def shifted(by):
        attention = {**params["layers"]["attention"], "key_kernel": jnp.asarray(kernel).at[at].add(by)}
        return loss({**params, "layers": {**params["layers"], "attention": attention}}, params)

    np.testing.assert_allclose((shifted(0.01) - shifted(-0.01)) / 0.02, slope[at], rtol=2e-2)


def test_rate_zero_changes_no_bit_and_the_ratio_is_one(grpo_step, tiny):
    moved, metrics = grpo_step(draw_batch(), rate=0.0)
    jax.tree.map(np.testing.assert_array_equal, moved, host(tiny(layers=1)[1]))
    assert metrics["clip_fraction/low"] == metrics["clip_fraction/high"] == 0
    assert metrics["entropy"] > 0
    assert all(np.isfinite(value) for value in metrics.values())


def test_without_advantage_the_step_lowers_the_kl(grpo_step):
    rollout, _ = draw_batch()
    batch = rollout, np.full((B, G), 0.5, np.float32)
    moved, before = grpo_step(batch, rate=0.05, kl_coef=1.0)
    _, after = grpo_step(batch, rate=0.0, kl_coef=1.0, params=moved)
    assert before["zero_variance_groups"] == 1
    np.testing.assert_allclose(before["loss"], before["kl"], rtol=1e-6)
    assert 0 < after["kl"] < 0.9 * before["kl"]
    still, _ = grpo_step(batch, rate=0.05, kl_coef=0.0)
    jax.tree.map(np.testing.assert_array_equal, still, host(grpo_step(batch, rate=0.0)[0]))


def test_what_lies_beyond_the_lengths_never_matters(grpo_step):
    rollout, rewards = draw_batch()
    rng = np.random.default_rng(5)
    prompts = rollout.prompts
    beyond_BP = np.arange(P) >= prompts.length_B[:, None]
    beyond_BGR = np.arange(R) >= rollout.length_BG[..., None]
    spoiled = rollout._replace(
        prompts=prompts._replace(tokens_BP=np.where(beyond_BP, rng.integers(48, size=(B, P)), prompts.tokens_BP)),
        response_BGR=np.where(beyond_BGR, rng.integers(48, size=(B, G, R)), rollout.response_BGR),
        logprobs_BGR=np.where(beyond_BGR, np.float32(np.nan), rollout.logprobs_BGR),
    )
    assert beyond_BP.any()
    assert beyond_BGR.any()
    close(grpo_step((spoiled, rewards)), grpo_step((rollout, rewards)), 1e-6)


@pytest.mark.usefixtures("eight_devices")
def test_the_state_is_donated_and_its_moments_lie_beside_their_parameters(tiny):
    model, params = tiny(layers=1)
    mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2)
    adam = programs.optimizer(**ADAM)
    where = programs.param_shardings(model, mesh)
    placed = jax.device_put(params, where)
    state = programs.init_state(model, mesh, adam, placed, jax.random.key(0))
    rollout_params = programs.make_cast(model, mesh, jnp.float32, "decode")(state.params)

    lies(state.opt_state[1].mu, where)
    lies(state.opt_state[1].nu, where)
    lies(state.params, where)
    embedding = state.opt_state[1].mu["ends"]["embedding"]
    assert embedding.addressable_shards[0].data.shape == (24, 4)
    lies(rollout_params, programs.param_shardings(model, mesh, "decode"))

    abstract = programs.abstract_state(model, mesh, adam)
    lies(state, jax.tree.map(lambda x: x.sharding, abstract))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract) == jax.tree.map(lambda x: (x.shape, x.dtype), state)

    loss = programs.packed_loss(model, sft.make(), chunk=None, dtype=jnp.float32)
    update = programs.make_update(model, mesh, adam, loss, microbatches=1)
    batch = sharding.put_rows(draw_packed(), mesh)
    first, _ = update(state, (), batch, jnp.float32(1e-3), {})
    assert all(x.is_deleted() for x in jax.tree.leaves(state.params))
    assert not any(x.is_deleted() for x in jax.tree.leaves((placed, rollout_params)))
    jax.tree.map(np.testing.assert_array_equal, placed, params)
    assert int(first.step) == 1
    lies(first.opt_state[1].nu, where)
    # Adam's first step is the rate itself, whatever the gradient's size.
    moved = np.abs(np.asarray(first.params["ends"]["head"]) - np.asarray(params["ends"]["head"]))
    assert np.median(moved) == pytest.approx(1e-3, rel=0.02)


def draw_packed(seed=0):
    """Eight rows of two segments each and padding, weights between 0 and 2."""
    rng = np.random.default_rng(seed)
    segment = np.array([[1] * 4 + [2] * 3 + [0] * 2] * 8, np.int32)
    position = np.array([[0, 1, 2, 3, 0, 1, 2, 0, 0]] * 8, np.int32)
    weight = (rng.integers(0, 3, segment.shape) * (position > 0)).astype(np.float32)
    return Packed(rng.integers(48, size=segment.shape).astype(np.int32), segment, position, weight)


def test_packed_loss_is_the_weighted_likelihood_of_each_segment_alone(tiny, one_device):
    model, params = tiny(layers=1)
    packed = draw_packed()
    wanted = 0.0
    for span in (slice(0, 4), slice(4, 7)):
        tokens = packed.tokens_BT[:, span]
        logp = np.asarray(jax.nn.log_softmax(jax.jit(model.logits)(params, tokens)), np.float64)
        chosen = np.take_along_axis(logp[:, :-1], tokens[:, 1:, None], axis=-1)[..., 0]
        wanted -= (packed.weight_BT[:, span][:, 1:] * chosen).sum() / packed.weight_BT.sum()
    results = []
    for microbatches in (1, 4):
        loss = programs.packed_loss(model, sft.make(), chunk=3, dtype=jnp.float32)
        update = programs.make_update(model, one_device, optax.identity(), loss, microbatches=microbatches)
        state = programs.init_state(model, one_device, optax.identity(), params, jax.random.key(0))
        state, metrics = update(state, (), sharding.put_rows(packed, one_device), jnp.float32(1.0), {})
        results.append(host((state.params, metrics)))
    np.testing.assert_allclose(results[0][1]["loss"], wanted, rtol=1e-5)
    close(results[0], results[1], 1e-5)


def test_sequences_in_shared_rows_train_what_each_alone_trains(tiny, one_device):
    model, params = tiny(layers=1)
    rng = np.random.default_rng(4)
    lengths = 3, 5, 4, 9, 16, 6, 7, 8, 3, 5, 4, 10
    exchanges = [(rng.integers(48, size=n), [0.0] * (n - 2) + [1.0] * 2) for n in lengths]
    packed = batching.pack(exchanges, 16, share_rows=False)  # type: ignore[arg-type]
    rows = np.array([4, 0, 7, 2, 9, 11, 5, 1])
    together = batching.sharing(packed, rows[None], multiple=1)(0)
    assert together.tokens_BT.size < 8 * 16
    assert together.asked_BA is not None
    loss, found = programs.packed_loss(model, sft.make(), chunk=None, dtype=jnp.float32), []
    for batch in (batching.take(packed, rows), together):
        update = programs.make_update(model, one_device, optax.identity(), loss, microbatches=1)
        state = programs.init_state(model, one_device, optax.identity(), params, jax.random.key(0))
        state, metrics = update(state, (), sharding.put_rows(batch, one_device), jnp.float32(1.0), {})
        found.append(host((state.params, metrics)))
    close(found[0], found[1], 1e-5)
    assert found[0][1]["grad_norm"] > 0.1


def test_optimizer_by_hand():
    clip = programs.optimizer(**{**ADAM, "weight_decay": 0.1, "max_grad_norm": 1.0, "moments_dtype": "float32"})
    params, grads = {"w": jnp.array([1.0, -2.0])}, {"w": jnp.array([3.0, 4.0])}
    first, state = clip.update(grads, clip.init(params), params)
    # Clipped to (0.6, 0.8); Adam's first step is the sign; the decay adds a tenth of the parameter.
    np.testing.assert_allclose(first["w"], [1 + 0.1, 1 - 0.2], rtol=1e-5)
    np.testing.assert_allclose(state[1].mu["w"], [0.06, 0.08], rtol=1e-5)
    np.testing.assert_allclose(state[1].nu["w"], [0.05 * 0.36, 0.05 * 0.64], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"warmup_steps": 0, "decay": "constant", "steps": 3}, [2, 2, 2, 2]),
        ({"warmup_steps": 2, "decay": "constant", "steps": 4}, [1, 2, 2, 2]),
        ({"warmup_steps": 4, "decay": "linear", "steps": 8}, [0.5, 1, 1.5, 2, 2, 1.5, 1, 0.5, 0]),
        ({"warmup_steps": 0, "decay": "cosine", "steps": 4}, [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0]),
        ({"warmup_steps": 1, "decay": "linear", "steps": 3}, [2, 2, 1, 0]),
        ({"warmup_steps": 3, "decay": "linear", "steps": 3}, [2 / 3, 4 / 3, 2]),
    ],
)
def test_schedule_by_hand(options, wanted):
    rate = programs.schedule(peak=2.0, **options)
    np.testing.assert_allclose([rate(step) for step in range(len(wanted))], wanted, atol=1e-6)
    assert isinstance(rate(0), float)


def test_schedule_refuses():
    with pytest.raises(UserError, match="warmup_steps=5 is longer than the 4 steps"):
        programs.schedule(peak=1.0, warmup_steps=5, decay="linear", steps=4)
    with pytest.raises(UserError, match="decay='step': it must be one of cosine, linear, constant"):
        programs.schedule(peak=1.0, warmup_steps=0, decay="step", steps=4)


def test_sampler_and_scorer_agree_on_two_meshes(tiny, grpo_step, meshes):
    model, params = tiny(layers=1)
    rollouts = []
    for name in ((8, 1, 1), (1, 4, 2)):
        mesh = meshes(name)
        fast = programs.make_cast(model, mesh, jnp.float32, "decode")(params)
        generate = programs.make_generate(model, mesh, samples=G, max_new_tokens=R, eos_ids=(3, 9, 30))
        prompts = sharding.put_rows(draw_batch()[0].prompts, mesh)
        rows = sharding.put_rows(np.arange(B, dtype=np.int32), mesh)
        rollout = generate(fast, prompts, jax.random.key(1), jnp.int32(0), rows, jnp.float32(TEMPERATURE))
        assert rollout.response_BGR.sharding.is_equivalent_to(sharding.rows(mesh), 3)
        rollouts.append(host(rollout))
    np.testing.assert_array_equal(rollouts[0].response_BGR, rollouts[1].response_BGR)
    assert 0 < rollouts[0].finished_BG.mean() < 1
    _, metrics = grpo_step((rollouts[0], draw_batch()[1]))
    assert metrics["sampler_gap"] < 1e-5
    hot = rollouts[0]._replace(logprobs_BGR=rollouts[0].logprobs_BGR * TEMPERATURE)
    assert grpo_step((hot, draw_batch()[1]))[1]["sampler_gap"] > 0.1


def test_rollout_params_are_cast_leaf_by_leaf(tiny, one_device):
    model, params = tiny(layers=1)
    half = programs.make_cast(model, one_device, jnp.bfloat16, "train")(params)
    jax.tree.map(lambda h, p: np.testing.assert_array_equal(h, p.astype(jnp.bfloat16)), half, params)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
