"""programs and algorithms together: what every on-policy algorithm's update is, with its critic, and that it learns."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rule_jax import batching, plugin, programs, scoring, sharding
from rule_jax.algorithms import Experience, PolicyOutputs
from rule_jax.models import critic as critics
from rule_jax.models.tuning import full
from rule_jax.ops.logprobs import token_logprobs
from rule_jax.types import Packed, Prompts
from tests.test_programs import ADAM, TEMPERATURE, B, G, P, R, close, draw_batch, host, reference  # noqa: F401

NAMES = plugin.names("algorithms")
ONE_UPDATE = {"updates__epochs": 1, "updates__minibatches": 1, "kl__coef": 0.1}
ROWS = np.arange(B, dtype=np.int32)


@pytest.fixture(scope="session")
def setting(tiny, reference, one_device, algorithm):  # noqa: F811
    """setting(name, mesh=one device, microbatches=1, **changes) is a Setting, its programs made once."""
    model, params = tiny(layers=1)
    critic = critics.make(model)
    values = critics.from_policy(model, jax.tree.map(lambda x: 0.9 * x, params))
    values["value"]["head_VD"] = 0.3 * np.random.default_rng(3).normal(size=(1, model.config.width)).astype(np.float32)

    @functools.cache
    def made(name, mesh, microbatches, changes):
        return Setting(name, algorithm(name, **{**ONE_UPDATE, **dict(changes)}), mesh, microbatches)

    class Setting:
        def __init__(self, name, algorithm, mesh, microbatches):
            self.algorithm, self.mesh, self.name = algorithm, mesh, name
            self.critic = critic if algorithm.value_loss else None
            options = {"temperature": TEMPERATURE, "chunk": 3, "dtype": jnp.float32}
            self.targets = programs.make_targets(
                model, full(model), self.critic, mesh, algorithm, **options, microbatches=microbatches
            )
            self.update = programs.make_update(
                model, mesh, optax.identity(), programs.policy_loss(model, algorithm, **options),
                microbatches=microbatches,
            )  # fmt: skip
            if self.critic:
                self.update_critic = programs.make_update(
                    critic, mesh, optax.identity(), programs.value_loss(critic, algorithm, dtype=jnp.float32),
                    microbatches=microbatches,
                )  # fmt: skip

        def step(self, batch, replayed=None, rate=1.0, params=params, values=values, **coefficients):
            """Policy and critic less rate times their gradients, and the metrics of both."""
            coefficients = {k: jnp.float32(v) for k, v in {**self.algorithm.coefficients, **coefficients}.items()}
            where = programs.param_shardings(model, self.mesh)
            placed, fixed = jax.device_put((params, reference), (where, where))
            of_critic = None
            if self.critic:
                of_critic = jax.device_put(values, programs.param_shardings(critic, self.mesh))
            rows = sharding.put_rows((batch, replayed), self.mesh)
            prepared, metrics = self.targets(placed, fixed, of_critic, *rows, coefficients)
            state = programs.init_state(model, self.mesh, optax.identity(), placed, jax.random.key(0))
            state, seen = self.update(state, fixed, prepared, jnp.float32(rate), coefficients)
            moved, metrics = {"policy": state.params}, {**metrics, **seen}
            if self.critic:
                state = programs.init_state(critic, self.mesh, optax.identity(), of_critic, jax.random.key(0))
                state, seen = self.update_critic(state, (), prepared, jnp.float32(rate), coefficients)
                moved["critic"] = state.params
                metrics |= {f"value/{name}": value for name, value in seen.items()}
            return host(moved), host(metrics)

    def run(name, mesh=one_device, microbatches=1, **changes):
        return made(name, mesh, microbatches, tuple(sorted(changes.items())))

    run.model, run.params, run.critic, run.values = model, params, critic, values
    run.untrained = critics.from_policy(model, params)
    return run


def rollout_batch(seed=0):
    """draw_batch with log-probabilities of an older policy."""
    rollout, rewards = draw_batch(seed)
    noise = np.random.default_rng(seed).normal(size=(B, G, R)).astype(np.float32)
    return rollout._replace(logprobs_BGR=-3 + 0.3 * noise), rewards


@pytest.mark.parametrize(
    ("name", "sizes", "microbatches"),
    [
        *((name, (1, 4, 2), 2) for name in NAMES),
        pytest.param("ppo", None, 4, marks=pytest.mark.slow),
        *(pytest.param(name, (8, 1, 1), 1, marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_update_depends_on_neither_microbatches_nor_mesh(setting, name, sizes, microbatches, one_device):
    mesh = one_device if sizes is None else sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    wanted = setting(name).step(rollout_batch())
    found = setting(name, mesh, microbatches).step(rollout_batch())
    close(found, wanted, 2e-5)
    assert wanted[1]["grad_norm"] > 0.1
    if name == "ppo":
        assert wanted[1]["value/grad_norm"] > 0.1


def repeated(model, params, rollout):
    """hidden_BGRD of the states that predict each response token, every answer behind its own copy of its prompt."""
    tokens, segment = np.zeros((B * G, P + R), np.int32), np.zeros((B * G, P + R), np.int32)
    at = np.zeros((B * G, R), np.int32)
    for row in range(B * G):
        b, g = divmod(row, G)
        prompt, answer = rollout.prompts.length_B[b], rollout.length_BG[b, g]
        tokens[row, :prompt] = rollout.prompts.tokens_BP[b, :prompt]
        tokens[row, prompt : prompt + answer] = rollout.response_BGR[b, g, :answer]
        segment[row, : prompt + answer] = 1
        at[row] = prompt - 1 + np.arange(R)
    position = np.tile(np.arange(P + R, dtype=np.int32), (B * G, 1))
    hidden = model.packed_hidden(params, Packed(tokens, segment, position, np.zeros((B * G, P + R), np.float32)))
    return jnp.take_along_axis(hidden, at[..., None], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_shared_prefix_update_is_that_of_repeated_prompts(setting, name, reference):  # noqa: F811
    """The loss and every leaf of every gradient, policy and critic; the arrays come from packed_hidden, row by row."""
    made, (rollout, rewards) = setting(name), rollout_batch()
    algorithm, model, critic = made.algorithm, setting.model, setting.critic

    def logprobs(params):
        tokens = rollout.response_BGR.reshape(B * G, R)
        found = token_logprobs(repeated(model, params, rollout), model.head(params), tokens, temperature=TEMPERATURE)
        return tuple(x.reshape(B, G, R) for x in found)

    def values(params):
        return (repeated(critic, params, rollout) @ critic.head(params).weight_VD[0]).reshape(B, G, R)

    fixed = jax.jit(logprobs)(reference)[0]
    before = PolicyOutputs(*jax.jit(logprobs)(setting.params), fixed)
    experience = Experience(rollout, jnp.asarray(rewards), None, before, jax.jit(values)(setting.values))
    if not algorithm.scored:
        experience = experience._replace(outputs=None, values_BGR=None)
    targets = algorithm.weigh(algorithm.targets(experience, algorithm.coefficients)[0])

    def policy_loss(params):
        return algorithm.loss(PolicyOutputs(*logprobs(params), fixed), rollout, targets, algorithm.coefficients)[0]

    wanted_loss, wanted = jax.jit(jax.value_and_grad(policy_loss))(setting.params)
    moved, metrics = made.step((rollout, rewards))
    np.testing.assert_allclose(metrics["loss"], wanted_loss, rtol=1e-4, atol=1e-5)
    close(jax.tree.map(lambda p, m: np.asarray(p) - m, setting.params, moved["policy"]), host(wanted), 2e-4)
    if algorithm.value_loss:

        def value_loss(params):
            return algorithm.value_loss(values(params), rollout, targets, algorithm.coefficients)[0]

        wanted_loss, wanted = jax.jit(jax.value_and_grad(value_loss))(setting.values)
        np.testing.assert_allclose(metrics["value/loss"], wanted_loss, rtol=1e-4)
        close(jax.tree.map(lambda p, m: np.asarray(p) - m, setting.values, moved["critic"]), host(wanted), 2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_rate_zero_keeps_every_bit_and_the_ratio_at_one_through_the_real_sampler(setting, name, one_device):
    """Padding, answers that end and answers that are cut, a temperature that is not 1, and two updates of a batch."""
    model, params = setting.model, setting.params
    prompts = batching.pad_prompts([list(range(1, 2 + row % 3)) for row in range(B)], batching.bucket(4))
    generate = programs.make_generate(model, one_device, samples=G, max_new_tokens=R, eos_ids=(3, 9, 30))
    rollout = generate(params, prompts, jax.random.key(1), jnp.int32(0), ROWS, jnp.float32(TEMPERATURE))
    rewards = jnp.asarray(np.random.default_rng(0).integers(0, 3, (B, G)) / 2, jnp.float32)
    assert 0 < np.asarray(rollout.finished_BG).mean() < 1
    for epochs in (1, 2) if name == "grpo" else (2,):
        moved, metrics = setting(name, updates__epochs=epochs).step(host((rollout, rewards)), rate=0.0)
        jax.tree.map(np.testing.assert_array_equal, moved["policy"], host(params))
        assert metrics["clip_fraction/low"] == metrics["clip_fraction/high"] == 0
        assert metrics["sampler_gap"] < 1e-5
        np.testing.assert_allclose([metrics["ratio/min"], metrics["ratio/max"]], 1, atol=1e-5)
        assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    ("name", "placement", "estimator"),
    [("grpo", "loss", "k3"), ("reinforce_pp", "loss", "k2"), *((name, "reward", "k1") for name in NAMES)],
)
def test_without_rewards_the_step_lowers_the_kl(setting, name, placement, estimator, one_device):
    """Rewards and values of 0, so no advantage but the KL's own: what is left is the pull to the reference."""
    made = setting(name, kl__placement=placement, kl__estimator=estimator)
    generate = programs.make_generate(setting.model, one_device, samples=64, max_new_tokens=R, eos_ids=(3, 9, 30))
    prompts, key = draw_batch()[0].prompts, jax.random.key(1)
    rollout = generate(setting.params, prompts, key, jnp.int32(0), ROWS, jnp.float32(TEMPERATURE))
    batch = host(rollout), np.zeros((B, 64), np.float32)
    moved, before = made.step(batch, rate=0.02, values=setting.untrained, kl_coef=1.0)
    _, after = made.step(batch, rate=0.0, params=moved["policy"], values=setting.untrained, kl_coef=1.0)
    assert before["zero_variance_groups"] == 1
    assert 0 < after["kl"] < 0.97 * before["kl"]
    if placement == "loss":
        still, _ = made.step(batch, rate=0.02, values=setting.untrained, kl_coef=0.0)
        jax.tree.map(np.testing.assert_array_equal, still["policy"], host(setting.params))


def test_what_lies_beyond_the_lengths_never_reaches_policy_or_critic(setting):
    rollout, rewards = rollout_batch()
    rng, prompts = np.random.default_rng(5), rollout.prompts
    beyond_BP = np.arange(P) >= prompts.length_B[:, None]
    beyond_BGR = np.arange(R) >= rollout.length_BG[..., None]
    spoiled = rollout._replace(
        prompts=prompts._replace(tokens_BP=np.where(beyond_BP, rng.integers(48, size=(B, P)), prompts.tokens_BP)),
        response_BGR=np.where(beyond_BGR, rng.integers(48, size=(B, G, R)), rollout.response_BGR),
        logprobs_BGR=np.where(beyond_BGR, np.float32(np.nan), rollout.logprobs_BGR),
    )
    close(setting("ppo").step((spoiled, rewards)), setting("ppo").step((rollout, rewards)), 1e-6)


@pytest.mark.parametrize(
    ("name", "sizes", "microbatches"),
    [
        ("grpo", (1, 4, 2), 2),
        *(pytest.param(name, (8, 1, 1), 1, marks=pytest.mark.slow) for name in NAMES),
        *(pytest.param(name, None, 4, marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_a_batch_of_which_part_is_replayed_is_cut_and_spread_like_any_other(
    setting, name, sizes, microbatches, one_device
):
    mesh = one_device if sizes is None else sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    fresh, replayed = rollout_batch(), rollout_batch(seed=1)
    wanted = setting(name).step(fresh, replayed)
    close(setting(name, mesh, microbatches).step(fresh, replayed), wanted, 2e-5)
    assert wanted[1]["zero_variance_groups"] == 1 / 8


def test_minibatches_are_the_batch_dealt_out_once(one_device, mesh8):
    rollout, rewards = rollout_batch()
    orders = [batching.minibatch_rows(7, 4, step, epoch, 2, B) for step in range(2) for epoch in range(2)]
    assert len({tuple(order.ravel()) for order in orders}) == 4
    for order in orders:
        assert order.shape == (2, B // 2)
        assert sorted(order.ravel()) == list(range(B))
    np.testing.assert_array_equal(batching.minibatch_rows(7, 4, 0, 0, 2, B), orders[0])
    np.testing.assert_array_equal(batching.minibatch_rows(7, 4, 3, 1, 1, B), [range(B)])
    part = programs.make_take(one_device)((rollout, rewards), orders[0][1])
    np.testing.assert_array_equal(part[1], rewards[orders[0][1]])
    np.testing.assert_array_equal(part[0].prompts.tokens_BP, rollout.prompts.tokens_BP[orders[0][1]])
    spread = programs.make_take(mesh8)(sharding.put_rows(rewards, mesh8), np.arange(B)[::-1])
    assert spread.sharding.is_equivalent_to(sharding.rows(mesh8), 2)


def test_a_critic_is_the_policy_but_for_its_head(setting, tiny):
    for tied in (False, True):
        model, params = tiny(layers=1, tied_embeddings=tied)
        critic = critics.make(model)
        first = critics.from_policy(model, params)
        assert jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, jax.eval_shape(critic.init, jax.random.key(0)))
        assert jax.tree.structure(critic.axes, is_leaf=lambda x: isinstance(x, tuple)) == jax.tree.structure(first)
        assert "head" not in first["ends"]
        assert first["ends"]["embedding"] is params["ends"]["embedding"]
        rollout, _ = draw_batch()
        assert (scoring.values(critic, first, rollout) == 0).all()
        ones = {**first, "value": {"head_VD": np.ones((1, 16), np.float32)}}
        hidden = model.response_hidden(params, rollout.prompts, rollout.response_BGR)
        np.testing.assert_allclose(scoring.values(critic, ones, rollout), hidden.sum(-1), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def toy(tiny, one_device, algorithm):
    """toy(name, seed, steps, **changes) -> (mean reward, metrics) of each step of a task of two branches.

    The prompt's first token tells which: after 1 the answer should begin with 5, after 2 with 6.
    """
    model, start = tiny(layers=1, vocab_size=12)
    critic, adam = critics.make(model), programs.optimizer(**ADAM)
    generate = programs.make_generate(model, one_device, samples=8, max_new_tokens=2, eos_ids=(0,))
    cut_tokens = np.array([[1, 7], [2, 7], [1, 8], [2, 8], [1, 9], [2, 9], [1, 10], [2, 10]], np.int32)
    prompts, wanted = Prompts(cut_tokens, np.full(8, 2, np.int32)), np.where(cut_tokens[:, :1] == 1, 5, 6)
    rows, options = np.arange(8, dtype=np.int32), {"temperature": 1.0, "chunk": None, "dtype": jnp.float32}

    @functools.cache
    def programs_of(name, changes):
        made = algorithm(name, **dict(changes))
        values = made.value_loss and programs.value_loss(critic, made, dtype=jnp.float32)
        return (
            made,
            programs.make_targets(
                model, full(model), critic if values else None, one_device, made, **options, microbatches=1
            ),
            programs.make_update(model, one_device, adam, programs.policy_loss(model, made, **options), microbatches=1),
            values and programs.make_update(critic, one_device, adam, values, microbatches=1),
            programs.make_take(one_device),
        )  # fmt: skip

    def learn(name, seed, steps, rate=2e-2, critic_rate=5e-3, decay=False, **changes):
        made, targets, update, update_critic, take = programs_of(name, tuple(sorted(changes.items())))
        policy = programs.init_state(model, one_device, adam, start, jax.random.key(seed))
        first = critics.from_policy(model, start)
        values = programs.init_state(critic, one_device, adam, first, jax.random.key(seed)) if made.value_loss else None
        coefficients, seen = {k: jnp.float32(v) for k, v in made.coefficients.items()}, []
        for step in range(steps):
            left = 1 - step / steps if decay else 1
            rollout = generate(policy.params, prompts, jax.random.key(seed), jnp.int32(step), rows, jnp.float32(1.0))
            rewards = (np.asarray(rollout.response_BGR)[..., 0] == wanted).astype(np.float32)
            fresh = rollout, jnp.asarray(rewards)
            batch, metrics = targets(policy.params, start, values and values.params, fresh, None, coefficients)
            gaps = []
            for epoch in range(made.epochs):
                for part in batching.minibatch_rows(seed, 0, step, epoch, made.minibatches, 8):
                    minibatch = take(batch, part)
                    policy, more = update(policy, start, minibatch, jnp.float32(rate * left), coefficients)
                    gaps.append(more["sampler_gap"])
                    if values:
                        values, _ = update_critic(values, (), minibatch, jnp.float32(critic_rate), coefficients)
            if "kl_coef" in coefficients:
                adapted = made.adapt(float(coefficients["kl_coef"]), float(more["kl"]))
                coefficients["kl_coef"] = jnp.float32(adapted)
            seen.append({"reward": rewards.mean(), **metrics, **more, "sampler_gap": gaps[0]})
        return {name: np.array([float(step[name]) for step in seen]) for name in seen[0]}

    return learn


LEARNERS = {
    "grpo": {"kl__placement": "none"},
    "ppo": {"kl__coef": 0.0},
    "reinforce_pp": {"kl__coef": 0.0},
    "grpo, one ratio per answer": {"kl__placement": "none", "surrogate__ratio": "sequence", "updates__epochs": 2},
    "reinforce_pp, with a baseline": {"kl__coef": 0.0, "baseline": "group"},
}


@pytest.mark.parametrize(
    ("learner", "seed"),
    [
        pytest.param(learner, seed, marks=[] if learner in NAMES and seed == 0 else pytest.mark.slow)
        for learner in LEARNERS
        for seed in range(5)
    ],
)
def test_it_learns_two_branches(toy, learner, seed):
    # PPO's rate falls to 0, as in the recipe: whitening makes the critic's last errors as large as the first signal.
    options: dict[str, Any] = {"steps": 80, "decay": True} if learner == "ppo" else {"steps": 60}
    # Eight samples that agree on a wrong word teach nothing: a little entropy keeps that from lasting.
    options["surrogate__entropy_coef"] = 0.01
    seen = toy(learner.partition(",")[0], seed, **options, **LEARNERS[learner])
    assert seen["reward"][0] < 0.4
    assert seen["reward"][-10:].mean() >= 0.98
    assert (seen["sampler_gap"] < 1e-4).all()


def test_an_adaptive_coefficient_holds_its_target(toy):
    """The reward pulls the policy away from the reference; the controller lets it go so far and no further.

    What it holds is the mean of the clipped error that it steps by: KL of a batch is skewed, its mean lies above.
    """
    target = 0.15
    changes = {"kl__target": target, "kl__coef": 0.05, "kl__gain": 0.5, "kl__placement": "loss", "kl__estimator": "k2"}
    seen = toy("grpo", 0, 250, rate=5e-3, **changes)
    assert seen["kl"][0] < 1e-6  # it starts at the reference
    assert abs(np.clip(seen["kl"][100:] / target - 1, -0.2, 0.2).mean()) < 0.03
    assert np.median(seen["kl"][100:]) == pytest.approx(target, rel=0.2)
    free = toy("grpo", 0, 150, rate=5e-3, **{**changes, "kl__target": 0.0})
    assert free["kl"][-50:].mean() > 1.5 * target
