"""Models at their published sizes, each with a slice that it must fit and the settings with which it does.

All at the shapes that RULE was published with: 32 prompts of 512 tokens, 8 answers each of 1,024. Run by
test_published.py and, for Llama-3.1-8B, by tests/models/make_memory_table.py, which writes the table of memory.
"""

from pathlib import Path
from typing import Any

from configs import rwku_llama3_8b_grpo
from rule_jax import files, sharding
from rule_jax.planning import machines
from rule_jax.stages import Run

ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 128256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}


def llama(width: int, inner: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers}
    return {**LLAMA, **sizes, "num_attention_heads": heads, "rope_scaling": {**ROPE, "factor": 8.0}, **more}


MODELS = {
    "Llama-3.2-1B": llama(
        2048, 8192, 16, 32, head_dim=64, tie_word_embeddings=True, rope_scaling={**ROPE, "factor": 32.0}
    ),
    "Llama-3.1-8B": llama(4096, 14336, 32, 32),
    "Llama-3.1-70B": llama(8192, 28672, 80, 64),
}
PROMPTS = 32
SAVING = {"model.moments_dtype": "bfloat16", "model.logit_chunk": 256, "model.remat": True}
LORA = {"lora.rank": 16}
# (model, slice, (fsdp, tensor), settings)
CASES: dict[str, tuple[str, str, tuple[int, int], dict[str, Any]]] = {
    "1B, v5e:2x2": ("Llama-3.2-1B", "v5e:2x2", (2, 2), {}),
    "8B, v5e:4x4": ("Llama-3.1-8B", "v5e:4x4", (4, 4), {}),
    "8B, v5p:2x2x2": ("Llama-3.1-8B", "v5p:2x2x2", (4, 2), {}),
    "8B LoRA, v5e:2x4": ("Llama-3.1-8B", "v5e:2x4", (2, 4), LORA),
    "70B LoRA, v5e:8x8": ("Llama-3.1-70B", "v5e:8x8", (4, 16), {**LORA, "boundary_optimization.rollout_parts": 8}),
}


def run_of(
    folder: Path, model: str, topology: str, sizes: tuple[int, int], own: dict[str, Any], count: int | None = None
) -> Run:
    """The run of a case, with one prompt a microbatch on each share of the mesh. folder: for its config.json. count:
    devices of the slice, if not all."""
    files.write_json(folder / "config.json", MODELS[model])
    config: Any = rwku_llama3_8b_grpo.get_config()
    fsdp, tensor = sizes
    parts = {"boundary_optimization.microbatches": PROMPTS // fsdp, "model.path": str(folder)}
    config.update_from_flattened_dict({**SAVING, **parts, **own})
    mesh = sharding.make_mesh(data=1, fsdp=fsdp, tensor=tensor, devices=machines.devices(topology)[:count])
    return Run(config, Path("."), Path("."), mesh)
