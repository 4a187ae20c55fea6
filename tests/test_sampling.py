"""sampling: what generate reports is what teacher forcing finds, and an answer depends on nothing but its own row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import programs, sampling, scoring
from rule_jax.types import Prompts, Rollout

RNG = np.random.default_rng(0)
PROMPTS = Prompts(RNG.integers(48, size=(8, 6)).astype(np.int32), np.array([6, 1, 4, 5, 2, 6, 3, 6], np.int32))
ROWS = np.arange(8, dtype=np.int32)
EOS = (3, 11, 20)


@pytest.fixture(scope="session")
def generate(tiny, mesh8):
    """generate(prompts, rows, temperature=..., step=..., eos_ids=..., parts=..., ...), each program made once."""
    model, params = tiny()
    made = functools.cache(functools.partial(programs.make_generate, model, mesh8))

    def run(prompts=PROMPTS, rows=ROWS, *, temperature=1.0, step=0, key=5, samples=3, max_new_tokens=7, **more):
        program = made(samples=samples, max_new_tokens=max_new_tokens, **{"eos_ids": EOS, **more})
        rollout = program(params, prompts, jax.random.key(key), jnp.int32(step), rows, jnp.float32(temperature))
        return Rollout(Prompts(*map(np.asarray, rollout.prompts)), *map(np.asarray, rollout[1:5]))

    return run


@pytest.fixture(scope="session")
def rescore(tiny):
    model, params = tiny()
    scored = jax.jit(lambda rollout, temperature: scoring.logprobs(model, params, rollout, temperature, None))
    return lambda rollout, temperature: np.asarray(scored(rollout, jnp.float32(temperature))[0])


def valid(rollout):
    return np.arange(rollout.response_BGR.shape[-1]) < rollout.length_BG[..., None]


@pytest.mark.parametrize(("temperature", "eos_ids"), [(1.0, EOS), (0.6, EOS), (2.0, EOS), (1.3, (0,)), (0.0, EOS)])
def test_reported_logprobs_are_the_teacher_forced_ones(generate, rescore, temperature, eos_ids):
    rollout = generate(temperature=temperature, eos_ids=eos_ids)
    mask = valid(rollout)
    wanted = rescore(rollout, temperature or 1.0)
    np.testing.assert_allclose(rollout.logprobs_BGR[mask], wanted[mask], rtol=1e-5, atol=1e-5)
    assert (rollout.logprobs_BGR[~mask] == 0).all()
    assert (rollout.logprobs_BGR[mask] < 0).all()
    if temperature and eos_ids == EOS:
        assert 0 < rollout.finished_BG.sum() < rollout.finished_BG.size, "both ends are to be met"


def test_lengths_count_the_eos_and_nothing_behind_it(generate):
    rollout = generate()
    for tokens, length, finished in zip(
        rollout.response_BGR.reshape(-1, 7), rollout.length_BG.ravel(), rollout.finished_BG.ravel()
    ):
        ends = np.flatnonzero(np.isin(tokens, EOS))
        assert length == (ends[0] + 1 if len(ends) else 7)
        assert finished == (len(ends) > 0)
        assert (tokens[length:] == EOS[0]).all()
    assert len({EOS.index(t) for t in rollout.response_BGR[valid(rollout)] if t in EOS}) > 1


def test_greedy_is_the_argmax_of_repeated_full_forwards(generate, tiny):
    model, params = tiny()
    rollout = generate(temperature=0.0, samples=2, eos_ids=(47,))
    logits = jax.jit(model.logits)
    sequences = [list(tokens[:length]) for tokens, length in zip(*PROMPTS)]
    for _ in range(7):
        padded = np.array([s + [0] * (13 - len(s)) for s in sequences])
        mask = np.arange(13) < np.array([[len(s)] for s in sequences])
        scores = np.asarray(logits(params, padded, mask))
        for row, s in enumerate(sequences):
            s.append(int(scores[row, len(s) - 1].argmax()))
    for row, s in enumerate(sequences):
        answer = s[PROMPTS.length_B[row] :]
        length = answer.index(47) + 1 if 47 in answer else 7
        for sample in range(2):
            assert list(rollout.response_BGR[row, sample, :length]) == answer[:length]
            assert rollout.length_BG[row, sample] == length


def test_one_new_token(generate, rescore):
    rollout = generate(max_new_tokens=1)
    assert rollout.response_BGR.shape == (8, 3, 1)
    assert (rollout.length_BG == 1).all()
    np.testing.assert_array_equal(rollout.finished_BG, np.isin(rollout.response_BGR[..., 0], EOS))
    np.testing.assert_allclose(rollout.logprobs_BGR, rescore(rollout, 1.0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(rollout.response_BGR, generate().response_BGR[..., :1])


def test_a_longer_limit_only_continues(generate):
    short, long = generate(max_new_tokens=3), generate()
    mask = valid(short)
    np.testing.assert_array_equal(short.response_BGR[mask], long.response_BGR[..., :3][mask])
    np.testing.assert_array_equal(short.length_BG, np.minimum(long.length_BG, 3))


def test_an_answer_belongs_to_its_row_number(generate):
    base = generate()
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    moved = generate(Prompts(PROMPTS.tokens_BP[order], PROMPTS.length_B[order]), ROWS[order])
    np.testing.assert_array_equal(moved.response_BGR, base.response_BGR[order])
    np.testing.assert_allclose(moved.logprobs_BGR, base.logprobs_BGR[order], atol=1e-5)
    other_rows = generate(rows=ROWS + 100)
    assert (other_rows.response_BGR != base.response_BGR).any(axis=(1, 2)).all()


def test_parts_of_a_batch_answer_like_the_whole(generate):
    whole, parts = generate(), generate(parts=2)
    np.testing.assert_array_equal(parts.response_BGR, whole.response_BGR)
    np.testing.assert_array_equal(parts.prompts.tokens_BP, whole.prompts.tokens_BP)
    np.testing.assert_allclose(parts.logprobs_BGR, whole.logprobs_BGR, atol=1e-5)


def test_padding_of_the_prompt_is_never_seen(generate):
    base = generate()
    padded = np.pad(PROMPTS.tokens_BP, ((0, 0), (0, 4)))
    padded[np.arange(10) >= PROMPTS.length_B[:, None]] = 17
    got = generate(Prompts(padded, PROMPTS.length_B))
    np.testing.assert_array_equal(got.response_BGR, base.response_BGR)
    np.testing.assert_allclose(got.logprobs_BGR, base.logprobs_BGR, atol=1e-5)


@pytest.mark.parametrize("hole", [0, EOS[0]])
def test_a_pad_or_eos_id_inside_a_prompt_is_a_token(generate, tiny, hole):
    model, params = tiny()
    tokens = PROMPTS.tokens_BP.copy()
    tokens[:, 0] = hole
    lengths = np.full(8, 6, np.int32)
    got = generate(Prompts(tokens, lengths), max_new_tokens=1, temperature=0.0)
    wanted = jax.jit(model.logits)(params, tokens)[:, -1].argmax(-1)
    np.testing.assert_array_equal(got.response_BGR[:, 0, 0], wanted)
    without = generate(Prompts(tokens[:, 1:], lengths - 1), max_new_tokens=1, temperature=0.0)
    assert np.abs(got.logprobs_BGR - without.logprobs_BGR).max() > 1e-3


def test_steps_keys_and_samples_differ_and_repeat(generate):
    base = generate()
    np.testing.assert_array_equal(base.response_BGR, generate().response_BGR)
    for other in (generate(step=1), generate(key=6)):
        assert (other.response_BGR != base.response_BGR).any(axis=(1, 2)).all()
    assert (base.response_BGR[:, 0] != base.response_BGR[:, 1]).any(axis=1).all()
    # Position by position, too: a key that forgot its token number would repeat its draw.
    assert (base.response_BGR[..., 0] != base.response_BGR[..., 1]).any()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_match_the_distribution(temperature):
    # Pearson's chi-square over 5 words: 4 degrees of freedom, 99.9 % quantile 18.5. The key is fixed.
    logits = jnp.log(jnp.array([0.4, 0.3, 0.15, 0.1, 0.05]))
    keys = sampling.row_keys(jax.random.key(0), jnp.arange(500), 8)
    token, logp = jax.jit(sampling.sample_token)(keys, jnp.broadcast_to(logits, (500, 8, 5)), jnp.float32(temperature))
    chances = np.asarray(jax.nn.softmax(logits / temperature))
    counts = np.bincount(np.asarray(token).ravel(), minlength=5)
    assert ((counts - 4000 * chances) ** 2 / (4000 * chances)).sum() < 18.5
    np.testing.assert_allclose(logp, np.log(chances)[token], rtol=1e-5, atol=1e-6)


def test_a_uniform_model_samples_uniformly_over_tokens_and_steps(tiny):
    model, params = tiny()
    flat = {**params, "ends": {**params["ends"], "head": jnp.zeros((48, 16))}}
    prompts = Prompts(np.ones((64, 2), np.int32), np.full(64, 2, np.int32))

    @jax.jit
    def run():
        return sampling.generate(
            model,
            flat,
            prompts,
            jax.random.key(2),
            jnp.arange(64),
            jnp.float32(0.7),
            samples=8,
            max_new_tokens=8,
            eos_ids=(48,),
        )

    rollout = run()
    assert not rollout.finished_BG.any()
    np.testing.assert_allclose(rollout.logprobs_BGR, np.full((64, 8, 8), -np.log(48)), rtol=1e-6)
    tokens = np.asarray(rollout.response_BGR)
    # Chi-square with 47 degrees of freedom, 99.9 % quantile 82.7; of all tokens and of each step's.
    for part in (tokens, tokens[..., 0], tokens[..., 7], tokens[:, 0], tokens[:, 7]):
        expected = part.size / 48
        assert ((np.bincount(part.ravel(), minlength=48) - expected) ** 2 / expected).sum() < 82.7
    # Neighbouring steps are independent: they agree once in 48 draws.
    assert (tokens[..., 1:] == tokens[..., :-1]).mean() == pytest.approx(1 / 48, abs=0.01)


def test_greedy_takes_the_first_of_equals_and_reports_temperature_one():
    keys = sampling.row_keys(jax.random.key(0), jnp.arange(1), 1)
    token, logp = sampling.sample_token(keys, jnp.array([[[0.0, 2.0, 2.0]]]), jnp.float32(0.0))
    assert int(token[0, 0]) == 1
    np.testing.assert_allclose(logp[0, 0], 2 - np.log(1 + 2 * np.exp(2)), rtol=1e-6)


def test_an_answer_may_end_at_once(tiny):
    # Every word ends an answer, so none needs a second step: what lies behind is the filling, whatever the limit.
    model, params = tiny()
    rollout = jax.jit(
        lambda: sampling.generate(
            model,
            params,
            PROMPTS,
            jax.random.key(0),
            ROWS,
            jnp.float32(1.0),
            samples=2,
            max_new_tokens=5,
            eos_ids=tuple(range(48)),
        )
    )()
    assert (rollout.length_BG == 1).all()
    assert rollout.finished_BG.all()
    assert (rollout.response_BGR[..., 1:] == 0).all()
    assert (rollout.logprobs_BGR[..., 1:] == 0).all()
