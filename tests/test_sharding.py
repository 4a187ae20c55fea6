"""sharding: the mesh, the table of axes, and rows out to the devices and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rule_jax import sharding
from rule_jax.errors import UserError


def spec(names, shape, mesh, layout="train"):
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    return sharding.param_shardings({"x": names}, {"x": leaf}, mesh, layout)["x"].spec


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [((8, 1, 1), (8, 1, 1)), ((-1, 2, 2), (2, 2, 2)), ((1, -1, 1), (1, 8, 1)), ((2, 4, -1), (2, 4, 1))],
)
def test_one_size_takes_the_rest(sizes, wanted):
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    assert tuple(mesh.shape[axis] for axis in sharding.AXES) == wanted
    assert mesh.size == jax.device_count() == 8


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2, 2, 1), "has 8; set config.mesh"),
        ((-1, 3, 1), "needs a multiple of 3 devices, this run has 8"),
        ((16, 1, -1), "needs a multiple of 16 devices, this run has 8"),
        ((-1, -1, 1), "at most one is -1"),
        ((0, 8, 1), "sizes are positive"),
        ((-2, 8, 1), "sizes are positive"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))


def test_rules_of_both_layouts():
    mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2)
    kernel = ("layers", "embed", "heads", "head_dim"), (3, 16, 4, 6)
    assert spec(*kernel, mesh) == PartitionSpec(None, "fsdp", "tensor", None)
    assert spec(*kernel, mesh, "decode") == PartitionSpec(None, None, "tensor", None)
    assert spec(("vocab", "embed"), (48, 16), mesh) == PartitionSpec("tensor", "fsdp")
    assert spec(("mlp", "embed"), (24, 16), mesh) == PartitionSpec("tensor", "fsdp")
    assert spec(("norm",), (17,), mesh) == PartitionSpec(None)


def test_an_indivisible_dimension_is_named_with_its_axis():
    mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2)
    with pytest.raises(UserError, match="mesh axis tensor=2 does not divide the model's vocab of 49"):
        spec(("vocab", "embed"), (49, 16), mesh)
    with pytest.raises(UserError, match="mesh axis fsdp=4 does not divide the model's embed of 18"):
        spec(("vocab", "embed"), (48, 18), mesh)


def test_few_key_heads_are_replicated():
    mesh = sharding.make_mesh(data=1, fsdp=2, tensor=4)
    names = "embed", "kv_heads", "head_dim"
    assert spec(names, (16, 2, 4), mesh) == PartitionSpec("fsdp", None, None)
    assert spec(names, (16, 8, 4), mesh) == PartitionSpec("fsdp", "tensor", None)


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2), (1, 4, 2), (1, 1, 8)])
def test_rows_go_out_and_come_back(sizes):
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    tree = {"a": np.arange(32).reshape(16, 2), "b": np.arange(16.0)}
    placed = sharding.put_rows(tree, mesh)
    ways = sizes[0] * sizes[1]
    assert sharding.row_shards(mesh) == ways
    assert placed["a"].addressable_shards[0].data.shape == (16 // ways, 2)
    for name, values in tree.items():
        numbers, back = sharding.local_rows(placed[name])
        np.testing.assert_array_equal(numbers, np.arange(16))
        np.testing.assert_array_equal(back, values)
        np.testing.assert_array_equal(sharding.whole(placed[name]), values)
        assert placed[name].dtype == jnp.asarray(values).dtype


def test_rows_and_replicated_are_what_they_say():
    mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
    assert sharding.rows(mesh) == NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    assert sharding.replicated(mesh).is_fully_replicated
