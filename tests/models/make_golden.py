"""Writes tests/models/golden/: tiny random models of transformers and what transformers computes with them.

    pip install -e '.[parity]' && python tests/models/make_golden.py [CASE ...]

One pair of files per case. `<case>.json`: the model's config.json and the shape of every tensor of its checkpoint.
`<case>.safetensors`:
    logits     float32 [B, N, V], at every STRIDE-th column of `padded_batch`; those at pads mean nothing
    generated  int32 [M]: what greedy decoding adds to the first PROMPT tokens of row 0
The weights are not kept: `weights` draws them again from a generator whose stream NumPy has frozen. A golden file
changes only when a case is added or changed here, never to make a test pass: it is what transformers says.
test_families_parity.py builds its live models with `build` as well.
"""

import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("golden")
LENGTH, STRIDE, PROMPT, NEW = 320, 20, 40, 12
PADS = (0, 37, 51)  # row 1 begins with 37 pads, row 2 ends in 51
SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 20000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 3000.0,
    "short_factor": [1.0, 1.3],
    "long_factor": [2.0, 5.0],
}


def plain(theta: float) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


CASES: dict[str, dict[str, Any]] = {
    "llama_llama3_gqa": {  # explicit head_dim that is not width / heads
        "model_type": "llama",
        "head_dim": 12,
        "rope_parameters": LLAMA3,
    },
    "llama_linear_tied_bias": {
        "model_type": "llama",
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 7000.0},
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama_default_mqa": {"model_type": "llama", "num_key_value_heads": 1, "rope_parameters": plain(500000.0)},
    "mistral_window": {
        "model_type": "mistral",
        "head_dim": 12,
        "sliding_window": 37,
        "rope_parameters": plain(3000.0),
    },
    "qwen2_upper_windows": {
        "model_type": "qwen2",
        "num_hidden_layers": 3,
        "use_sliding_window": True,
        "sliding_window": 41,
        "max_window_layers": 1,
        "tie_word_embeddings": True,
        "rope_parameters": plain(4000.0),
    },
    "qwen3_tied": {
        "model_type": "qwen3",
        "head_dim": 12,
        "tie_word_embeddings": True,
        "rope_parameters": plain(5000.0),
    },
    "phi3_short_window": {  # no row is longer than the original length; an attention factor of its own
        "model_type": "phi3",
        "num_key_value_heads": 4,
        "sliding_window": 47,
        "original_max_position_embeddings": 512,
        "rope_parameters": {**LONGROPE, "factor": 2.0, "attention_factor": 1.4},
    },
    "phi3_long_partial": {  # every row is
        "model_type": "phi3",
        "hidden_size": 32,
        "original_max_position_embeddings": 64,
        "rope_parameters": {**LONGROPE, "factor": 16.0, "partial_rotary_factor": 0.5},
    },
    "gemma2": {
        "model_type": "gemma2",
        "num_hidden_layers": 3,
        "head_dim": 8,
        "sliding_window": 40,
        "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 2.0,
        "tie_word_embeddings": True,
        "rope_parameters": plain(6000.0),
    },
    "gemma3_text": {
        "model_type": "gemma3_text",
        "num_hidden_layers": 7,
        "head_dim": 8,
        "sliding_window": 33,
        "query_pre_attn_scalar": 24,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "sliding_attention": plain(500.0),
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 30000.0},
        },
    },
}


def weights(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """float32 tensors by name: no parameter at its start, and large enough that attention is not nearly uniform."""
    tensors = {}
    gemma = config["model_type"].startswith("gemma")  # multiplies embeddings, and norms by 1 + weight
    for name, shape in shapes.items():
        draw = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
        value = draw.standard_normal(tuple(shape))
        if "norm" in name:
            value = (0.0 if gemma else 1.0) + 0.3 * value
        else:
            value = (0.1 if gemma else 0.25) * value if "embed" in name or "lm_head" in name else 0.4 * value
        tensors[name] = value.astype(np.float32)
    return tensors


def build(case: Mapping[str, Any], seed: int = 0) -> Any:
    """transformers' model of a case, in float32, with the weights that `weights` draws."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    case = dict(case)
    config = AutoConfig.for_model(case.pop("model_type"), **{**SIZES, **case})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().to(torch.float32)
    drawn = weights(config.to_dict(), shapes_of(model), seed)
    report = model.load_state_dict({name: torch.tensor(value) for name, value in drawn.items()}, strict=False)
    assert not report.unexpected_keys
    return model


def shapes_of(model: Any) -> dict[str, list[int]]:
    """Name -> shape of what save_pretrained would write."""
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    return {name: list(value.shape) for name, value in model.state_dict().items() if name not in tied}


def padded_batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, mask), int32 [3, LENGTH]. Pads hold random tokens: who looks at one is found out."""
    draw = np.random.RandomState(seed)
    tokens = draw.randint(3, SIZES["vocab_size"], (len(PADS), LENGTH)).astype(np.int32)
    mask = np.ones_like(tokens)
    mask[1, : PADS[1]] = 0
    mask[2, LENGTH - PADS[2] :] = 0
    return tokens, mask


def logits_of(model: Any, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float32 [B, T, V], with positions counted from a row's first token as `generate` does."""
    import torch

    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    with torch.no_grad():
        out = model(
            input_ids=torch.tensor(tokens.astype(np.int64)),
            attention_mask=torch.tensor(mask.astype(np.int64)),
            position_ids=torch.tensor(positions.astype(np.int64)),
        )
    return out.logits.numpy()


def greedy(model: Any, prompt: np.ndarray, new: int) -> np.ndarray:
    """int32 [<= new]: greedy tokens up to and including the first EOS."""
    import torch

    ids = torch.tensor(prompt[None].astype(np.int64))
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False)
    return out[0, len(prompt) :].numpy().astype(np.int32)


def write(cases: Sequence[str], say: Callable[[str], object]) -> None:
    from safetensors.numpy import save_file

    FOLDER.mkdir(exist_ok=True)
    for name in cases:
        model = build(CASES[name])
        tokens, mask = padded_batch()
        logits = np.ascontiguousarray(logits_of(model, tokens, mask)[:, STRIDE - 1 :: STRIDE])
        generated = greedy(model, tokens[0, :PROMPT], NEW)
        save_file({"logits": logits, "generated": generated}, FOLDER / f"{name}.safetensors")
        kept = {"config": {**model.config.to_diff_dict(), "dtype": "float32"}, "shapes": shapes_of(model)}
        text = json.dumps(kept, sort_keys=True)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        say(f"{name}: |logits| <= {np.abs(logits).max():.2f}, generated {generated.tolist()}\n")


if __name__ == "__main__":
    write(sys.argv[1:] or list(CASES), sys.stdout.write)
