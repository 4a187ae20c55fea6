"""LoRA adapters as directories that the library `peft` loads onto the transformers model.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint; for every adapted linear layer of the model
`base_model.model.NAME.lora_A.weight` [rank, inputs] and `...lora_B.weight` [outputs, rank], and its layer then computes
x W^T + (lora_alpha / r) x A^T B^T.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from rule_jax import files, hf, plugin, processes, sharding
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.models.decoder import Model, Params
from rule_jax.models.families._tensors import Tensor


def save(out_dir: str | Path, model: Model, adapter: Params, like: str | Path, *, scale: float) -> None:
    """Writes adapter_config.json and adapter_model.safetensors (float32), whole or not at all.

    adapter: of models.lora, joined or not. like: the HF directory of the model that the adapter stands on. scale: alpha
    over rank, as in training. A projection that the checkpoint holds in one tensor with others (Phi 3's qkv_proj) has
    its low-rank path in rows and columns of its own, zeros between: the rank of that layer is the sum of theirs.
    In a multi-process run every process calls it and the first one writes. Raises UserError when the disk refuses.
    """
    out = Path(out_dir)
    rank = lora.rank_of(adapter)
    modules = _modules(model, adapter, like)
    tensors = dict(_tensors(model, adapter, modules))
    if not processes.first():
        return
    parts = {name.rpartition(".")[2]: len(fused) for name, fused in modules.items()}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(Path(like).absolute()),
        "inference_mode": True,
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": sorted(parts),
        "rank_pattern": {name: count * rank for name, count in parts.items() if count > 1},
        "alpha_pattern": {name: count * scale * rank for name, count in parts.items() if count > 1},
    }
    try:
        with files.whole_folder(out) as draft:
            save_file(tensors, draft / "adapter_model.safetensors", metadata={"format": "pt"})
            files.open_up(draft / "adapter_model.safetensors")  # safetensors makes it readable by its owner alone
            files.write_json(draft / "adapter_config.json", config)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{out} cannot be written: {error}. Make room, or choose another place.") from None


def _modules(model: Model, adapter: Mapping[str, Any], like: str | Path) -> dict[str, list[Tensor]]:
    """The linear layers of the checkpoint that are adapted, each with those of our kernels in it that are."""
    found: dict[str, list[Tensor]] = {}
    family = plugin.load("models.families", hf.read_config(like)["model_type"])
    for tensor in family.tensors(model.config):
        *_, group, leaf = tensor.path
        if leaf.removesuffix(lora.KERNEL) + "_a" in adapter.get(group, ()):
            found.setdefault(tensor.name.removesuffix(".weight"), []).append(tensor)
    return found


def _tensors(
    model: Model, adapter: Mapping[str, Any], modules: Mapping[str, list[Tensor]]
) -> Iterator[tuple[str, np.ndarray]]:
    for module, fused in modules.items():
        downs, ups, firsts = [], [], []
        for tensor in fused:
            *_, group, leaf = tensor.path
            own, name = adapter[group], leaf.removesuffix(lora.KERNEL)
            a, b = (sharding.whole(own[f"{name}_{part}"]) for part in "ab")
            downs.append(a.reshape(a.shape[0], -1, a.shape[-1]).swapaxes(1, 2))  # [L, rank, inputs]
            ups.append(b.reshape(*b.shape[:2], -1).swapaxes(1, 2))  # [L, outputs, rank]
            firsts.append(tensor.rows[0] if tensor.rows else 0)
        outputs = fused[0].rows[1] if fused[0].rows else ups[0].shape[1]
        rank = ups[0].shape[2]
        for layer in range(model.config.layers):
            up = np.zeros((outputs, rank * len(fused)), np.float32)
            for number, (first, part) in enumerate(zip(firsts, ups)):
                up[first : first + part.shape[1], rank * number : rank * (number + 1)] = part[layer]
            name = f"base_model.model.{module.format(layer=layer)}"
            down = np.concatenate([part[layer] for part in downs])
            yield f"{name}.lora_A.weight", np.ascontiguousarray(down, np.float32)
            yield f"{name}.lora_B.weight", up
