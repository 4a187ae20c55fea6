"""scoring: a rollout in packed rows is the rollout as a rectangle, whatever the model sees, and as it was sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import batching, programs, scoring, sharding
from rule_jax.models import critic as critics
from rule_jax.types import Prompts, Rollout
from tests.models.test_decoder import VARIANTS, close_gradients

B, P, G, R = 6, 5, 3, 6
RNG = np.random.default_rng(0)
TEMPERATURE = 0.7
LENGTHS = RNG.integers(1, 3, (B, G))
LENGTHS[0, :2], LENGTHS[4, 2] = (1, R), R - 1
ROLLOUT = Rollout(
    Prompts(RNG.integers(48, size=(B, P)).astype(np.int32), np.array([1, P, 3, 4, 2, 5], np.int32)),
    RNG.integers(48, size=(B, G, R)).astype(np.int32),
    LENGTHS.astype(np.int32),
    LENGTHS < R,
    np.zeros((B, G, R), np.float32),
)


def packed(rollout, **options):
    """The rollout with its packing, which there is."""
    sizes = rollout.prompts.tokens_BP.shape[1], rollout.response_BGR.shape[2]
    packing = batching.pack_answers(
        np.asarray(rollout.prompts.length_B), np.asarray(rollout.length_BG), sizes, **options
    )
    assert packing is not None
    return rollout._replace(packing=packing)


def valid(rollout):
    return np.arange(rollout.response_BGR.shape[-1]) < np.asarray(rollout.length_BG)[..., None]


@pytest.mark.parametrize(("variant", "chunk"), [*((name, None) for name in VARIANTS), (next(iter(VARIANTS)), 4)])
def test_packed_rows_are_the_rectangle(tiny, variant, chunk):
    """Log-probabilities, entropies and the gradient of both, with windows and ropes that know the length."""
    model, params = tiny(**VARIANTS[variant])
    mask_BGR, weights = valid(ROLLOUT), RNG.normal(size=(2, B, G, R)).astype(np.float32)

    @jax.jit
    def found(params, rollout):
        def scalar(params):
            both = [jnp.where(mask_BGR, x, 0.0) for x in scoring.logprobs(model, params, rollout, TEMPERATURE, chunk)]
            return sum(jnp.sum(w * x) for w, x in zip(weights, both)), both

        return jax.grad(scalar, has_aux=True)(params)

    wanted, same = found(params, ROLLOUT), found(params, packed(ROLLOUT))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5), same[1], wanted[1])
    close_gradients(same[0], wanted[0])
    assert packed(ROLLOUT).packing.from_BT.size <= B * (P + G * (R - 1)) / 2


def test_a_group_behind_several_copies_of_its_prompt_is_the_rectangle_too(tiny, monkeypatch):
    monkeypatch.setattr(batching, "SIGHT", 0)
    model, params = tiny()
    lengths = np.array([[1, 1, 1], [R, R, R], *[[1, 1, 1]] * 4], np.int32)
    rollout = ROLLOUT._replace(length_BG=lengths)
    cut = packed(rollout)
    prompts = np.unique(cut.packing.trunk_BT[cut.packing.segment_BT > 0])
    assert len(prompts) > B
    scored = jax.jit(lambda rollout: scoring.logprobs(model, params, rollout, TEMPERATURE, None))
    mask = valid(rollout)
    for one, other in zip(scored(cut), scored(rollout)):
        np.testing.assert_allclose(np.asarray(one)[mask], np.asarray(other)[mask], rtol=2e-5, atol=2e-5)


def test_values_of_packed_rows_are_those_of_the_rectangle(tiny):
    model, params = tiny()
    critic = critics.make(model)
    values = critics.from_policy(model, params)
    values["value"]["head_VD"] = RNG.normal(size=(1, model.config.width)).astype(np.float32)
    of = jax.jit(lambda rollout: scoring.values(critic, values, rollout))
    mask = valid(ROLLOUT)
    one, other = np.asarray(of(packed(ROLLOUT))), np.asarray(of(ROLLOUT))
    np.testing.assert_allclose(one[mask], other[mask], rtol=2e-5, atol=2e-5)
    assert np.ptp(one[mask]) > 0.1


def test_what_is_sampled_is_what_packed_rows_score(tiny, mesh8):
    """Over eight devices, through answers that end early."""
    model, params = tiny()
    generate = programs.make_generate(model, mesh8, samples=4, max_new_tokens=16, eos_ids=tuple(range(20)))
    prompts = Prompts(RNG.integers(48, size=(16, P)).astype(np.int32), RNG.integers(1, P + 1, 16).astype(np.int32))
    rows = np.arange(16, dtype=np.int32)
    rollout = generate(params, prompts, jax.random.key(0), jnp.int32(0), rows, jnp.float32(TEMPERATURE))
    ways = sharding.row_shards(mesh8)
    whole = sharding.put_rows(packed(jax.tree.map(np.asarray, rollout), ways=ways), mesh8)
    scored = jax.jit(sharding.traced_on(mesh8, lambda r: scoring.logprobs(model, params, r, TEMPERATURE, None)))
    mask = valid(rollout)
    found, sampled = np.asarray(scored(whole)[0])[mask], np.asarray(rollout.logprobs_BGR)[mask]
    np.testing.assert_allclose(found, sampled, rtol=1e-5, atol=1e-5)
    assert np.asarray(rollout.length_BG).max() > 4 * np.asarray(rollout.length_BG).min()
