"""Writes tests/models/golden/: tiny random models of transformers and what transformers computes with them.

    pip install -e '.[parity]' && python tests/models/make_golden.py

One pair of files per case: `<case>.json` is the model's config.json, `<case>.safetensors` its float32 weights beside
    golden.tokens     int32 [B, T], T > 300: one full row, one left-padded, one right-padded
    golden.mask       int32 [B, T], 1 where a token is no pad
    golden.positions  int32 [N]: the columns whose logits are kept
    golden.logits     float32 [B, N, V]; those at pads mean nothing
    golden.generated  int32 [M]: what greedy decoding adds to the first PROMPT tokens of row 0
A golden file changes only when a case is added or changed here, never to make a test pass: it is what transformers
says. test_llama_parity.py builds its live models with `build` as well.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("golden")
LENGTH, STRIDE, PROMPT, NEW = 320, 20, 40, 12
PADS = (0, 37, 51)  # row 1 begins with 37 pads, row 2 ends in 51
SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 4096,
    "initializer_range": 0.25,  # large enough that attention is not nearly uniform
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
CASES: dict[str, dict[str, Any]] = {
    "llama_llama3_gqa": {  # explicit head_dim that is not width / heads
        "num_key_value_heads": 2,
        "head_dim": 12,
        "rope_parameters": LLAMA3,
        "tie_word_embeddings": False,
    },
    "llama_linear_tied_bias": {
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 7000.0},
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama_default_mqa": {
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "tie_word_embeddings": False,
    },
}


def build(case: dict[str, Any], seed: int) -> Any:
    """A LlamaForCausalLM in float32 whose every parameter is random, norms and biases too."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **case}, attn_implementation="eager")).eval().to(torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0.0, 0.3)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def padded_batch(seed: int, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, mask), int32 [3, LENGTH]. Pads hold random tokens: who looks at one is found out."""
    tokens = np.random.default_rng(seed).integers(3, vocab_size, (len(PADS), LENGTH)).astype(np.int32)
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


def write(folder: Path, say: Callable[[str], object]) -> None:
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    for seed, (name, case) in enumerate(CASES.items()):
        model = build(case, seed)
        tokens, mask = padded_batch(seed, SIZES["vocab_size"])
        positions = np.arange(STRIDE - 1, LENGTH, STRIDE, dtype=np.int32)
        tensors = {key: value.numpy() for key, value in model.state_dict().items()}
        if case["tie_word_embeddings"]:
            del tensors["lm_head.weight"]
        tensors |= {
            "golden.tokens": tokens,
            "golden.mask": mask,
            "golden.positions": positions,
            "golden.logits": logits_of(model, tokens, mask)[:, positions],
            "golden.generated": greedy(model, tokens[0, :PROMPT], NEW),
        }
        file = folder / f"{name}.safetensors"
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, file)
        config = {"architectures": ["LlamaForCausalLM"], **model.config.to_diff_dict(), "dtype": "float32"}
        file.with_suffix(".json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        say(f"{file.name}: {file.stat().st_size} bytes, generated {tensors['golden.generated'].tolist()}\n")


if __name__ == "__main__":
    write(FOLDER, sys.stdout.write)
