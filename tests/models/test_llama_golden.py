"""The Llama family against what transformers computed, kept in golden/ by make_golden.py; needs no torch."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rule_jax import hf, programs
from rule_jax.models import decoder
from rule_jax.types import Prompts

GOLDEN = Path(__file__).with_name("golden")
CASES = sorted(file.stem for file in GOLDEN.glob("llama_*.json"))
TOLERANCE = 1e-4
PROMPT = 40  # tokens of row 0 before the golden continuation


@pytest.fixture(scope="module", params=CASES)
def golden(request, tmp_path_factory):
    """(model, params, golden arrays) of one case, its weights imported from an HF directory."""
    tensors = load_file(GOLDEN / f"{request.param}.safetensors")
    arrays = {name.removeprefix("golden."): tensors.pop(name) for name in list(tensors) if name.startswith("golden.")}
    directory = tmp_path_factory.mktemp(request.param)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text((GOLDEN / f"{request.param}.json").read_text())
    return *hf.load(directory), arrays


def worst(model, params, arrays, mask):
    """The largest difference from transformers over the kept logits of tokens that are no pads."""
    logits = np.asarray(model.logits(params, jnp.asarray(arrays["tokens"]), mask))[:, arrays["positions"]]
    real = arrays["mask"][:, arrays["positions"]].astype(bool)
    return np.abs(logits - arrays["logits"])[real].max()


def test_the_cases_cover_the_features():
    configs = [json.loads((GOLDEN / f"{case}.json").read_text()) for case in CASES]
    assert {c["rope_parameters"]["rope_type"] for c in configs} == {"default", "linear", "llama3"}
    assert all(c["rope_parameters"]["rope_theta"] != 10000.0 for c in configs)
    assert {c["tie_word_embeddings"] for c in configs} == {True, False}
    assert any(c.get("attention_bias") and c.get("mlp_bias") for c in configs)
    assert {1, 2, 4} == {c["num_key_value_heads"] for c in configs}
    assert any(c["head_dim"] != c["hidden_size"] // c["num_attention_heads"] for c in configs)
    assert all(file.stat().st_size < 150_000 for file in GOLDEN.iterdir())


def test_logits_are_those_of_transformers(golden):
    model, params, arrays = golden
    assert arrays["tokens"].shape[1] >= 300
    assert arrays["mask"][1, 0] == 0  # left-padded
    assert arrays["mask"][2, -1] == 0  # right-padded
    assert worst(model, params, arrays, jnp.asarray(arrays["mask"])) < TOLERANCE


def test_the_comparison_sees_a_wrong_rope_and_a_lost_mask(golden):
    model, params, arrays = golden
    mask = jnp.asarray(arrays["mask"])
    wrong = [dataclasses.replace(model.config, rope_theta=10000.0)]
    if model.config.rope_scaling:
        wrong.append(dataclasses.replace(model.config, rope_scaling=None))
    for config in wrong:
        assert worst(decoder.make(config), params, arrays, mask) > 100 * TOLERANCE
    assert worst(model, params, arrays, None) > 100 * TOLERANCE


def test_greedy_decoding_is_that_of_transformers(golden, one_device):
    model, params, arrays = golden
    expected = arrays["generated"]
    generate = programs.make_generate(model, one_device, samples=1, max_new_tokens=len(expected), eos_ids=(2,))
    prompts = Prompts(arrays["tokens"][:1, : PROMPT + 8], np.asarray([PROMPT], np.int32))  # 8 tokens are pads
    rollout = generate(params, prompts, jax.random.key(0), np.int32(0), np.arange(1, dtype=np.int32), np.float32(0))
    assert np.asarray(rollout.response_BGR)[0, 0].tolist() == expected.tolist()
