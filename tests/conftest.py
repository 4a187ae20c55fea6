"""Eight fake devices, strict shapes and a tiny decoder for every test. Set before JAX's backend starts.

With JAX_PLATFORMS=cuda or tpu, tests run on what is there, in full float32; what needs more devices is skipped.
"""

import os
import tempfile

from tests.runs import HASTILY

if os.environ.get("JAX_PLATFORMS", "cpu") == "cpu":
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8 {HASTILY}"
else:
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"  # accelerators round what they multiply
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# What was compiled once is not compiled again: a second run takes a third of the first one's time.
# Each of several workers has a cache of its own: JAX does not write an entry at once.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    f"{tempfile.gettempdir()}/rule_jax_tests_{os.getuid()}{os.environ.get('PYTEST_XDIST_WORKER', '')}",
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# No test reaches for the hub; data sets in its layout are made on the spot and cached beside them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = f"{tempfile.gettempdir()}/rule_jax_tests_datasets_{os.getuid()}"

import functools
import importlib
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import plugin, sharding
from rule_jax.models import decoder
from rule_jax.models.decoder import Execution, Model, Params
from rule_jax.models.layers import DecoderConfig, Sight
from rule_jax.ops.rope import Rope

CONFIG = {
    "vocab_size": 48,
    "width": 16,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 4,
    "mlp_width": 24,
    "norm_eps": 1e-5,
    "sights": (Sight(Rope(100.0, 4)),),
    "max_positions": 128,
    "tied_embeddings": False,
    "qkv_bias": False,
    "out_bias": False,
    "mlp_bias": False,
}


@functools.cache
def _tiny(execution: Execution, changes: tuple[tuple[str, Any], ...]) -> tuple[Model, Params]:
    model = decoder.make(DecoderConfig(**{**CONFIG, **dict(changes)}), execution)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        centre = float("scale" in jax.tree_util.keystr(path))
        return jnp.asarray(centre + 0.3 * rng.normal(size=leaf.shape), jnp.float32)

    return model, jax.tree_util.tree_map_with_path(draw, jax.eval_shape(model.init, jax.random.key(0)))


@pytest.fixture(scope="session")
def tiny() -> Callable[..., tuple[Model, Params]]:
    """tiny(decoder.DEFAULT, **changes to CONFIG) -> (model, params): no parameter at its start, not even biases."""

    def made(execution: Execution = decoder.DEFAULT, **changes: Any) -> tuple[Model, Params]:
        return _tiny(execution, tuple(sorted(changes.items(), key=lambda change: change[0])))

    return made


@pytest.fixture(scope="session")
def eight_devices() -> None:
    """Skips where there are fewer."""
    if jax.device_count() < 8:
        pytest.skip(f"needs eight devices, here are {jax.device_count()}")


@pytest.fixture(scope="session")
def mesh8(eight_devices: None) -> Any:
    """All eight devices side by side."""
    return sharding.make_mesh(data=8, fsdp=1, tensor=1)


@pytest.fixture(scope="session")
def one_device() -> Any:
    """A mesh of the first device alone, which make_mesh refuses to build: the yardstick of every other mesh."""
    axis_types = (jax.sharding.AxisType.Auto,) * len(sharding.AXES)
    return jax.make_mesh((1, 1, 1), sharding.AXES, axis_types=axis_types, devices=jax.devices()[:1])


def _algorithm(name: str, **changes: Any) -> Any:
    options = importlib.import_module(f"configs.{name}").get_config().algorithm
    options.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    options = options.to_dict()
    return plugin.load("algorithms", options.pop("name")).make(**options)


@pytest.fixture(scope="session")
def algorithm() -> Callable[..., Any]:
    """algorithm("grpo", kl__coef=0.1) is the algorithm as its recipe in configs/ makes it, but with kl.coef 0.1."""
    return _algorithm
