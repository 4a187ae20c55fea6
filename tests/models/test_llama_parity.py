"""The Llama family beside transformers, live: logits, tensors, greedy tokens, and our export loaded by transformers.

Needs torch (`pip install -e '.[parity]'`), which the default test run does without; CI has it.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from make_golden import CASES, build, greedy, logits_of, padded_batch
from safetensors.numpy import load_file

from rule_jax import hf, programs
from rule_jax.types import Prompts

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
WIDE = {
    "initializer_range": 0.1,
    "num_key_value_heads": 4,
    "num_attention_heads": 8,
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "head_dim": 16,
}
MODELS = {
    **CASES,
    "five_layers": {**WIDE, "rope_parameters": {"rope_type": "default", "rope_theta": 300.0}},
    "attention_bias_only": {"attention_bias": True, "num_key_value_heads": 2, "tie_word_embeddings": True},
}


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    """(torch model, its directory, our model, our params)."""
    theirs = build(MODELS[request.param], seed=len(request.param))
    directory = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(directory)
    return theirs, directory, *hf.load(directory)


def same_where_real(ours, theirs, mask):
    return np.abs(ours - theirs)[mask.astype(bool)].max()


def test_logits(pair):
    theirs, _, model, params = pair
    tokens, mask = padded_batch(7, model.config.vocab_size)
    ours = np.asarray(model.logits(params, jnp.asarray(tokens), jnp.asarray(mask)))
    assert same_where_real(ours, logits_of(theirs, tokens, mask), mask) < TOLERANCE


def test_import_and_export_are_bitwise(pair, tmp_path):
    _, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory)
    before, after = load_file(directory / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert (after[name].dtype, after[name].shape) == (tensor.dtype, tensor.shape), name
        assert tensor.tobytes() == after[name].tobytes(), name


def test_what_we_export_loads_in_transformers(pair, tmp_path):
    theirs, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory, shard_bytes=30_000)  # several files and an index
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    again, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", attn_implementation="eager", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    tokens, mask = padded_batch(8, model.config.vocab_size)
    np.testing.assert_array_equal(logits_of(again.eval(), tokens, mask), logits_of(theirs, tokens, mask))


def test_greedy_generation_token_for_token(pair, one_device):
    theirs, _, model, params = pair
    lengths, new, eos = (3, 16, 301), 24, theirs.config.eos_token_id
    tokens, _ = padded_batch(9, model.config.vocab_size)
    ids = [tokens[row, :length] for row, length in enumerate(lengths)]
    generate = programs.make_generate(model, one_device, samples=2, max_new_tokens=new, eos_ids=(eos,))
    rows = np.arange(len(ids), dtype=np.int32)
    prompts = Prompts(tokens[:, :304], np.asarray(lengths, np.int32))  # what follows a prompt is padding
    rollout = generate(params, prompts, jax.random.key(0), np.int32(0), rows, np.float32(0))
    for row, sample in itertools.product(range(len(ids)), range(2)):
        ours = np.asarray(rollout.response_BGR)[row, sample, : int(rollout.length_BG[row, sample])]
        assert ours.tolist() == greedy(theirs, ids[row], new).tolist(), (row, sample)


def test_generation_ends_at_the_same_eos(pair, one_device):
    """With the third greedy token declared an EOS, both stop there and keep it."""
    theirs, _, model, params = pair
    tokens, _ = padded_batch(10, model.config.vocab_size)
    free = greedy(theirs, tokens[0, :20], 8)
    eos = int(free[2])
    theirs.generation_config.eos_token_id = [eos, 2]
    expected = greedy(theirs, tokens[0, :20], 8)
    theirs.generation_config.eos_token_id = 2
    generate = programs.make_generate(model, one_device, samples=1, max_new_tokens=8, eos_ids=(eos, 2))
    prompts = Prompts(tokens[:1, :32], np.asarray([20], np.int32))
    rollout = generate(params, prompts, jax.random.key(0), np.int32(0), np.arange(1, dtype=np.int32), np.float32(0))
    ours = np.asarray(rollout.response_BGR)[0, 0, : int(rollout.length_BG[0, 0])]
    assert ours.tolist() == expected.tolist()
    assert len(ours) <= 3
    assert bool(rollout.finished_BG[0, 0])


def test_bfloat16_export_is_torchs_rounding(pair, tmp_path):
    theirs, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory, dtype=jnp.bfloat16)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.bfloat16, name
        assert torch.equal(tensor, theirs.state_dict()[name].to(torch.bfloat16)), name
