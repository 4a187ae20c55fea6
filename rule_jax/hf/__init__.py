"""Hugging Face model directories, in and out: safetensors, config, tokenizer, chat template.

    model, params = hf.load(path)                       # the Model tuple, and its parameters as a tree of arrays
    logits_BTV = model.logits(params, tokens_BT)        # full forward; mask_BT=... where rows are padded, left or right
    hf.save(out_dir, model, params, like=path)          # an HF directory again, with all that `path` has beside weights

Only safetensors and JSON are read; pickles are refused. Tensors stream piece by piece from the files to the device
shards that need them, and a directory is published by a rename, so a killed export never looks complete.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rule_jax import sharding
from rule_jax.hf._directory import eos_ids, load_model, read_config
from rule_jax.hf._export import save
from rule_jax.hf._import import check, load_params
from rule_jax.models.decoder import Model, Params

__all__ = [
    "check",
    "eos_ids",
    "load",
    "load_model",
    "load_params",
    "read_config",
    "save",
]


def load(path: str | Path, mesh: Mesh | None = None, dtype: Any = jnp.float32) -> tuple[Model, Params]:
    """The model of an HF directory and its parameters, on `mesh` (default: one device), in `dtype`.

    Raises UserError when a file is missing or unreadable, the architecture is not supported, a tensor is missing,
    unexpected or of another shape than config.json implies, or the mesh does not fit the model.
    """
    model = load_model(path)
    mesh = mesh or jax.make_mesh(
        (1, 1, 1), sharding.AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3, devices=jax.devices()[:1]
    )
    return model, load_params(path, model, mesh, dtype)
