"""Every model family on meshes of eight devices: logits and gradients are those of one device, to rounding."""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from make_golden import CASES, SIZES

from rule_jax import plugin, programs, sharding
from rule_jax.errors import UserError
from rule_jax.models import decoder, lora
from rule_jax.ops.logprobs import log_softmax, project
from rule_jax.types import Packed

pytestmark = pytest.mark.usefixtures("eight_devices")
# One case of each family, the last one in the table: where a family has a variety, that is the richest.
FAMILIES = {case["model_type"]: case for case in CASES.values()}
MESHES = ((1, 4, 2), (1, 8, 1), (1, 1, 8))  # data, fsdp, tensor
TOKENS = np.random.default_rng(0).integers(64, size=(8, 12)).astype(np.int32)
PACKED = Packed(
    TOKENS,
    np.repeat([[1] * 7 + [2] * 5], 8, axis=0).astype(np.int32),
    np.repeat([[*range(7), *range(5)]], 8, axis=0).astype(np.int32),
    np.ones(TOKENS.shape, np.float32),
)


def model_of(family):
    """Its windows are shorter than the rows; eight devices divide all its sizes but the 2 key heads."""
    case = {**SIZES, **FAMILIES[family], "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 8}
    layers = min(case["num_hidden_layers"], 3)
    config = plugin.load("models.families", family).config({**case, "rms_norm_eps": 1e-5, "num_hidden_layers": layers})
    sights = tuple(dataclasses.replace(s, window=s.window and 4) for s in config.sights[-layers:])
    return decoder.make(dataclasses.replace(config, sights=sights))


@functools.cache
def weights(family):
    """float32 parameters on the host, none at its start."""
    return drawn(model_of(family), family)


def drawn(declared, family):
    draw = np.random.default_rng(zlib.crc32(family.encode()))
    shapes = jax.eval_shape(declared.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: 0.3 * draw.normal(size=leaf.shape).astype(np.float32), shapes)


def run(family, mesh):
    """(logits, gradients, the parameters as they lay) on a mesh."""
    model = model_of(family)
    where = programs.param_shardings(model, mesh)
    params = jax.device_put(weights(family), where)

    def loss(params, packed):
        logits = project(model.packed_hidden(params, packed), model.head(params))
        return jnp.mean(jnp.square(log_softmax(logits, 0.7))), logits

    program = jax.jit(jax.grad(loss, has_aux=True), out_shardings=(where, sharding.rows(mesh)))
    gradients, logits = program(params, sharding.put_rows(PACKED, mesh))
    return np.asarray(logits), jax.tree.map(np.asarray, gradients), params


@pytest.fixture(autouse=True)
def scanned(monkeypatch):
    monkeypatch.setattr(decoder, "UNROLLED", 1)  # one layer is compiled instead of several


@functools.cache
def alone(family):
    """(logits, gradients) on one device."""
    axis_types = (jax.sharding.AxisType.Auto,) * 3
    mesh = jax.make_mesh((1, 1, 1), sharding.AXES, axis_types=axis_types, devices=jax.devices()[:1])
    return run(family, mesh)[:2]


def pairs(own):
    """(family, mesh) pairs: the one mesh that falls to each family in turn, or all the others."""
    for place, family in enumerate(FAMILIES):
        for number, sizes in enumerate(MESHES):
            if (place % len(MESHES) == number) == own:
                yield pytest.param(family, sizes, id=f"{family}-fsdp={sizes[1]},tensor={sizes[2]}")


@pytest.mark.parametrize(("family", "sizes"), list(pairs(own=True)))
def test_logits_and_gradients_are_those_of_one_device(family, sizes):
    compare(family, sizes)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "sizes"), list(pairs(own=False)))
def test_logits_and_gradients_are_those_of_one_device_on_every_mesh(family, sizes):
    compare(family, sizes)


def compare(family, sizes):
    logits, gradients = alone(family)
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    spread_logits, spread_gradients, params = run(family, mesh)
    _, fsdp, tensor = sizes
    attention = params["layers"]["attention"]
    for name, ways in (("query", fsdp * tensor), ("key", fsdp * tensor if tensor < 8 else 1)):
        kernel = attention[f"{name}_kernel"]
        assert kernel.addressable_shards[0].data.size * ways == kernel.size, name
    agree((spread_logits, spread_gradients), (logits, gradients))


def agree(found, expected):
    """Two results (logits, gradients) are one, to float32's rounding."""
    (spread_logits, spread_gradients), (logits, gradients) = found, expected
    np.testing.assert_allclose(spread_logits, logits, rtol=1e-5, atol=1e-5)
    for (path, one), many in zip(jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(spread_gradients)):
        scale = np.abs(one).max()
        assert scale > 0, path
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5 * scale, err_msg=jax.tree_util.keystr(path))


def run_adapted(family, mesh):
    """(logits, the adapter's gradients) on a mesh."""
    model = model_of(family)
    tuning = lora.make(model, rank=2, alpha=4.0, targets=lora.PROJECTIONS)
    where = programs.param_shardings(tuning, mesh)
    base = jax.device_put(weights(family), programs.param_shardings(model, mesh))
    adapter = jax.device_put(drawn(tuning, family), where)

    def loss(adapter, base, packed):
        params = tuning.read(base, adapter)
        logits = project(model.packed_hidden(params, packed), model.head(params))
        return jnp.mean(jnp.square(log_softmax(logits, 0.7))), logits

    program = jax.jit(jax.grad(loss, has_aux=True), out_shardings=(where, sharding.rows(mesh)))
    gradients, logits = program(adapter, base, sharding.put_rows(PACKED, mesh))
    return np.asarray(logits), jax.tree.map(np.asarray, gradients)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_gives_on_eight_devices_what_it_gives_on_one(family, one_device):
    logits, gradients = run_adapted(family, one_device)
    assert np.abs(logits - alone(family)[0]).max() > 0.1  # it is on
    agree(run_adapted(family, sharding.make_mesh(data=1, fsdp=4, tensor=2)), (logits, gradients))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mesh_that_does_not_fit_names_dimension_and_axis(family):
    model, mesh = model_of(family), sharding.make_mesh(data=1, fsdp=1, tensor=8)
    for change, named in (
        ({"mlp_width": 20}, "mlp of 20"),
        ({"heads": 6}, "heads of 6"),
        ({"vocab_size": 60}, "vocab of 60"),
    ):
        other = decoder.make(dataclasses.replace(model.config, **change))
        with pytest.raises(UserError, match=f"mesh axis tensor=8 does not divide the model's {named}"):
            programs.param_shardings(other, mesh)
