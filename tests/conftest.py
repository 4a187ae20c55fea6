"""Eight fake devices, strict shapes and a tiny decoder for every test. Set before JAX's backend starts."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import functools
from typing import Any, Callable

import jax
import pytest

from rule_jax import sharding
from rule_jax.models import decoder
from rule_jax.models.decoder import Model, Params
from rule_jax.models.layers import DecoderConfig

CONFIG = {
    "vocab_size": 48,
    "width": 16,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 4,
    "mlp_width": 24,
    "norm_eps": 1e-5,
    "rope_theta": 100.0,
    "rope_scaling": None,
    "max_positions": 128,
    "tied_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
}


@functools.cache
def _tiny(remat: bool, changes: tuple[tuple[str, Any], ...]) -> tuple[Model, Params]:
    model = decoder.make(DecoderConfig(**{**CONFIG, **dict(changes)}), remat=remat)
    params = jax.jit(model.init)(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = jax.jit(lambda x, key: x + 0.2 * jax.random.normal(key, x.shape))
    return model, jax.tree.unflatten(tree, map(noisy, leaves, keys))


@pytest.fixture(scope="session")
def tiny() -> Callable[..., tuple[Model, Params]]:
    """tiny(remat=False, **changes to CONFIG) -> (model, params); no parameter is 0, 1 or small, biases included."""
    return lambda remat=False, **changes: _tiny(remat, tuple(sorted(changes.items())))


@pytest.fixture(scope="session")
def mesh8() -> Any:
    """All eight devices side by side."""
    return sharding.make_mesh(data=8, fsdp=1, tensor=1)


@pytest.fixture(scope="session")
def one_device() -> Any:
    """A mesh of the first device alone, which make_mesh refuses to build: the yardstick of every other mesh."""
    axis_types = (jax.sharding.AxisType.Auto,) * len(sharding.AXES)
    return jax.make_mesh((1, 1, 1), sharding.AXES, axis_types=axis_types, devices=jax.devices()[:1])
