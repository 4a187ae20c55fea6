"""Every model family beside transformers, live: logits, greedy tokens, and our export loaded by transformers.

Needs torch (`pip install -e '.[parity]'`), which the default test run does without; CI has it. Other weights and other
configurations than the golden files'.
"""

import json

import jax
import numpy as np
import pytest
from make_golden import CASES, SIZES, build, greedy, logits_of, padded_batch, plain
from safetensors.numpy import load_file

from rule_jax import hf, programs
from rule_jax.models import decoder
from rule_jax.types import Prompts

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
MODELS = {
    "llama, five layers, eight heads": {**CASES["llama_llama3_gqa"], "num_hidden_layers": 5, "num_attention_heads": 8},
    "llama, attention biases alone": {**CASES["llama_linear_tied_bias"], "mlp_bias": False, "num_key_value_heads": 2},
    "mistral, a head to all, no window": {
        **CASES["mistral_window"],
        "sliding_window": None,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 900.0},
    },
    "qwen2, no windows, untied": {"model_type": "qwen2", "rope_parameters": plain(2000.0)},
    "qwen3, biased, windows": {
        **CASES["qwen3_tied"],
        "tie_word_embeddings": False,
        "attention_bias": True,
        "num_hidden_layers": 3,
        "use_sliding_window": True,
        "sliding_window": 29,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    },
    "phi3, no longrope, tied": {"model_type": "phi3", "tie_word_embeddings": True, "rope_parameters": plain(2000.0)},
    "gemma2, biased, no caps, untied": {
        **CASES["gemma2"],
        "attention_bias": True,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "tie_word_embeddings": False,
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
    },
    "gemma3, another order, capped": {
        **CASES["gemma3_text"],
        "num_hidden_layers": 3,
        "final_logit_softcapping": 2.0,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
}


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    """(torch model, its directory, our model, our params)."""
    theirs = build(MODELS[request.param], seed=len(request.param))
    directory = tmp_path_factory.mktemp("model")
    theirs.save_pretrained(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "UNROLLED", 1)  # scanned: one layer is compiled instead of several
        return theirs, directory, *hf.load(directory)


def test_logits(pair):
    theirs, _, model, params = pair
    tokens, mask = padded_batch(7)
    ours = np.asarray(jax.jit(model.logits)(params, tokens, mask))
    assert np.abs(ours - logits_of(theirs, tokens, mask))[mask.astype(bool)].max() < TOLERANCE


def test_what_we_export_loads_in_transformers(pair, tmp_path):
    theirs, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory, shard_bytes=15_000)  # several files and an index
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    again, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert type(again) is type(theirs)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_import_and_export_are_bitwise(pair, tmp_path):
    _, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory)
    before, after = load_file(directory / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert (after[name].dtype, after[name].shape) == (tensor.dtype, tensor.shape), name
        assert tensor.tobytes() == after[name].tobytes(), name


def test_bfloat16_export_is_torchs_rounding(pair, tmp_path):
    theirs, directory, model, params = pair
    hf.save(tmp_path / "out", model, params, like=directory, dtype="bfloat16")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.bfloat16, name
        assert torch.equal(tensor, theirs.state_dict()[name].to(torch.bfloat16)), name


@pytest.mark.parametrize("pair", [name for name in MODELS if "no " not in name], indirect=True)
def test_greedy_generation_token_for_token(pair, one_device):
    """Prompts of three lengths, of which one is longer than every window; with several ids that end an answer."""
    theirs, directory, model, params = pair
    lengths, new = (3, 16, 301), 16
    tokens, _ = padded_batch(9)
    prompts = Prompts(tokens[:, :304], np.asarray(lengths, np.int32))  # what follows a prompt is padding
    free = [greedy(theirs, tokens[row, :length], new).tolist() for row, length in enumerate(lengths)]
    eos = [SIZES["eos_token_id"], free[1][4], free[2][7]]
    theirs.generation_config.eos_token_id = eos
    theirs.generation_config.save_pretrained(directory)
    assert hf.eos_ids(directory) == tuple(eos)
    generate = programs.make_generate(model, one_device, samples=1, max_new_tokens=new, eos_ids=hf.eos_ids(directory))
    rows = np.arange(3, dtype=np.int32)
    rollout = generate(params, prompts, jax.random.key(0), np.int32(0), rows, np.float32(0))
    for row, length in enumerate(lengths):
        ours = np.asarray(rollout.response_BGR)[row, 0, : int(rollout.length_BG[row, 0])].tolist()
        assert ours == greedy(theirs, tokens[row, :length], new).tolist()
        assert ours == free[row][: len(ours)]
    assert int(rollout.length_BG[1, 0]) <= 5
    theirs.generation_config.eos_token_id = SIZES["eos_token_id"]


@pytest.mark.parametrize("original", [256, 512], ids=["rows on both sides", "no row beyond"])
def test_longrope_of_a_row_is_that_of_transformers_asked_for_the_row_alone(tmp_path, original):
    """transformers takes the frequencies of a batch by its longest row; here each row has those of its own length.

    Where all rows are on one side, the whole batch agrees as well.
    """
    case = {**CASES["phi3_long_partial"], "original_max_position_embeddings": original}
    lengths = 320, 200, 269
    theirs = build(case, seed=2)
    theirs.save_pretrained(tmp_path)
    model, params = hf.load(tmp_path)
    tokens, _ = padded_batch(5)
    mask = (np.arange(tokens.shape[1]) < np.asarray(lengths)[:, None]).astype(np.int32)
    ours = np.asarray(jax.jit(model.logits)(params, tokens, mask))
    for row, length in enumerate(lengths):
        alone = logits_of(theirs, tokens[row : row + 1, :length], mask[row : row + 1, :length])
        assert np.abs(ours[row, :length] - alone[0]).max() < TOLERANCE, row
    together = np.abs(ours - logits_of(theirs, tokens, mask)).max(axis=2, where=mask.astype(bool)[..., None], initial=0)
    assert (together.max(axis=1) > TOLERANCE).tolist() == [False, original == 256, False]


def test_configs_of_transformers_4_mean_the_same(pair, tmp_path):
    """The older dialect of each config.json: rope_theta and rope_scaling, torch_dtype."""
    _, directory, model, _ = pair
    config = json.loads((directory / "config.json").read_text())
    rope = config.pop("rope_parameters")
    local = rope.pop("sliding_attention", None)
    rope = rope.pop("full_attention", rope)
    config["rope_theta"] = rope.pop("rope_theta")
    config["partial_rotary_factor"] = rope.pop("partial_rotary_factor", None)
    if local:
        config["rope_local_base_freq"] = local["rope_theta"]
    config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    if config["rope_scaling"]["type"] == "default":
        config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert hf.load_model(tmp_path).config == model.config
