"""Every model family against what transformers computed, kept in golden/ by make_golden.py; needs no torch.

The contract of the room: whatever file lies in it has golden cases, and each case holds to everything below.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, Callable, NamedTuple

import jax
import numpy as np
import pytest
from make_golden import CASES, LENGTH, LONGROPE, NEW, PROMPT, STRIDE, padded_batch, weights
from safetensors.numpy import load_file, save_file

from rule_jax import hf, plugin, programs, scoring
from rule_jax.models import decoder
from rule_jax.models.layers import DecoderConfig
from rule_jax.ops.logprobs import log_softmax, project
from rule_jax.types import Packed, Prompts, Rollout

GOLDEN = Path(__file__).with_name("golden")
TOLERANCE = 1e-4
NEUTRAL = {
    field.name: field.default for field in dataclasses.fields(DecoderConfig) if field.default is not dataclasses.MISSING
}
# Parameters appear and vanish with these: that they count is what the tensors of the golden checkpoint say.
PRIMARY = {case["model_type"]: name for name, case in CASES.items()}.values()  # the last of each family
OF_PARAMETERS = {"qkv_bias", "out_bias", "mlp_bias", "query_key_norm", "post_norms"}


@functools.cache
def read(case):
    """(what make_golden keeps in JSON, its arrays, the tensors of the checkpoint)."""
    kept = json.loads((GOLDEN / f"{case}.json").read_text())
    return kept, load_file(GOLDEN / f"{case}.safetensors"), weights(kept["config"], kept["shapes"])


class Loaded(NamedTuple):
    """A case imported from an HF directory. generate(prompts, temperature): two samples of at most NEW tokens."""

    case: str
    directory: Path
    model: decoder.Model
    params: Any
    generate: Callable[..., Rollout]


@pytest.fixture(scope="module", params=CASES)
def loaded(request, tmp_path_factory, one_device):
    kept, _, tensors = read(request.param)
    directory = tmp_path_factory.mktemp(request.param)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(kept["config"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "UNROLLED", 1)  # layers are scanned: one is compiled instead of several
        model, params = hf.load(directory)
    program = programs.make_generate(model, one_device, samples=2, max_new_tokens=NEW, eos_ids=(2,))
    rows = np.arange(4, dtype=np.int32)

    def generate(prompts, temperature):
        return program(params, prompts, jax.random.key(5), np.int32(0), rows, np.float32(temperature))

    return Loaded(request.param, directory, model, params, generate)


def logits(model, params, tokens, mask):
    return jax.jit(model.logits)(params, tokens, mask)


def worst(model, params, golden, mask=None):
    """The largest difference from transformers over the kept logits of tokens that are no pads."""
    tokens, real = padded_batch()
    ours = logits(model, params, tokens, real if mask is None else mask)[:, STRIDE - 1 :: STRIDE]
    return np.abs(ours - golden["logits"])[real[:, STRIDE - 1 :: STRIDE].astype(bool)].max()


def test_every_family_has_its_cases_and_no_golden_file_is_left_over():
    assert sorted({case["model_type"] for case in CASES.values()}) == plugin.names("models.families")
    assert sorted(f.name for f in GOLDEN.iterdir()) == sorted(
        f"{c}.{end}" for c in CASES for end in ("json", "safetensors")
    )
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 200_000


def test_the_cases_cover_the_features():
    configs = [plugin.load("models.families", c["model_type"]).config(read(n)[0]["config"]) for n, c in CASES.items()]
    ropes = [sight.rope for config in configs for sight in config.sights]
    assert {dict(rope.scaling or {"rope_type": "default"}.items())["rope_type"] for rope in ropes} == {
        "default",
        "linear",
        "llama3",
        "longrope",
    }
    assert all(rope.theta != 10000.0 for rope in ropes)
    assert any(rope.channels < config.head_dim for config in configs for rope in [config.sights[0].rope])
    assert {config.kv_heads for config in configs} == {1, 2, 4}
    assert any(config.head_dim != config.width // config.heads for config in configs)
    assert {config.tied_embeddings for config in configs} == {True, False}
    assert any(config.layers > decoder.UNROLLED and len(set(config.sights)) > 1 for config in configs)
    for name, value in NEUTRAL.items():
        assert any(getattr(config, name) != value for config in configs), name


def test_logits_are_those_of_transformers(loaded):
    tokens, mask = padded_batch()
    assert tokens.shape[1] >= 300
    assert (mask[1, 0], mask[2, -1]) == (0, 0)
    assert worst(loaded.model, loaded.params, read(loaded.case)[1]) < TOLERANCE


def test_the_comparison_sees_each_feature_and_the_mask(loaded, monkeypatch):
    monkeypatch.setattr(decoder, "UNROLLED", 1)
    config, golden = loaded.model.config, read(loaded.case)[1]
    assert worst(loaded.model, loaded.params, golden, np.ones_like(padded_batch()[1])) > 100 * TOLERANCE
    for what, other in wrong_configs(config):
        assert worst(decoder.make(other), loaded.params, golden) > 20 * TOLERANCE, what


def wrong_configs(config):
    """(what is wrong, the config with it), one after the other."""
    change = dataclasses.replace
    for name in NEUTRAL.keys() - OF_PARAMETERS:
        if getattr(config, name) != NEUTRAL[name]:
            yield name, change(config, **{name: NEUTRAL[name]})
    plain = tuple(change(s, rope=change(s.rope, scaling=None)) for s in config.sights)
    theta = tuple(change(s, rope=change(s.rope, theta=10000.0)) for s in config.sights)
    yield "rope", change(config, sights=plain if plain != config.sights else theta)
    if any(sight.window for sight in config.sights):
        yield "window", change(config, sights=tuple(change(s, window=s.window and s.window - 1) for s in config.sights))
    if len(set(config.sights)) > 1:
        yield "order of sights", change(config, sights=config.sights[1:] + config.sights[:1])


def test_import_and_export_are_bitwise(loaded, tmp_path):
    hf.save(tmp_path / "out", loaded.model, loaded.params, like=loaded.directory)
    before, after = read(loaded.case)[2], load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert (after[name].dtype, after[name].shape) == (tensor.dtype, tensor.shape), name
        assert tensor.tobytes() == after[name].tobytes(), name


PROMPTS = Prompts(padded_batch()[0][[0, 0, 0, 0], :64], np.array([PROMPT, 60, 9, 35], np.int32))


def needs_programs(loaded):
    """Skips all but one case of each family: sampling and scoring compile three programs more."""
    if loaded.case not in PRIMARY:
        pytest.skip("another case of the family does this")


def test_greedy_decoding_is_that_of_transformers(loaded):
    needs_programs(loaded)
    expected = read(loaded.case)[1]["generated"]
    rollout = loaded.generate(PROMPTS, 0.0)
    for sample in range(2):
        assert int(rollout.length_BG[0, sample]) == len(expected)
        assert np.asarray(rollout.response_BGR)[0, sample, : len(expected)].tolist() == expected.tolist()


def test_sampling_scoring_and_the_full_forward_are_one_function(loaded):
    """The sampler's logprobs are the teacher-forced ones over the shared prefix, of whole rows, and of packed rows.

    Prompts are longer and shorter than the windows, and padded; with longrope, rows lie on either side of its switch.
    """
    needs_programs(loaded)
    model, params = loaded.model, loaded.params
    rollout = loaded.generate(PROMPTS, 1.0)
    response, length_BG = np.asarray(rollout.response_BGR), np.asarray(rollout.length_BG)
    scored = jax.jit(lambda r: scoring.logprobs(model, params, r, 1.0, 5))(rollout)[0]
    valid = np.arange(NEW) < length_BG[..., None]
    np.testing.assert_allclose(np.asarray(rollout.logprobs_BGR)[valid], np.asarray(scored)[valid], rtol=1e-5, atol=1e-5)

    packed_rows = []
    for b in range(1, 4):
        start = PROMPTS.length_B[b]
        row = np.concatenate([PROMPTS.tokens_BP[b, :start], response[b, 0]])
        packed_rows.append(row)
    tokens, mask = np.full((3, LENGTH), 7, np.int32), np.zeros((3, LENGTH), bool)
    for b, row in enumerate(packed_rows):
        tokens[b, : len(row)], mask[b, : len(row)] = row, True
    whole = log_softmax(logits(model, params, tokens, mask), 1.0)
    sizes = [len(row) for row in packed_rows]
    packed = Packed(
        np.concatenate(packed_rows)[None],
        np.repeat([1, 2, 3], sizes)[None],
        np.concatenate([np.arange(size) for size in sizes])[None],
        np.zeros((1, sum(sizes)), np.float32),
    )
    together = jax.jit(lambda p: log_softmax(project(model.packed_hidden(p, packed), model.head(p)), 1.0))(params)
    for b, (row, end) in enumerate(zip(packed_rows, np.cumsum(sizes))):
        at = np.arange(len(row) - NEW, len(row))
        np.testing.assert_allclose(scored[b + 1, 0], whole[b, at - 1, row[at]], rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(together[0, end - len(row) : end], whole[b, : len(row)], rtol=1e-5, atol=2e-5)


def test_longrope_is_met_on_both_sides_of_its_switch():
    lengths = PROMPTS.length_B + NEW
    assert lengths.min() < CASES["phi3_long_partial"]["original_max_position_embeddings"] < lengths.max()
    assert LONGROPE["short_factor"] != LONGROPE["long_factor"]
