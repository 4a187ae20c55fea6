"""ops.kernels against ops.attention: values and gradients, on packed rows, windows, padding and shared prefixes.

cuDNN's kernel needs a GPU, and is compared where the tests run on one; splash runs anywhere, interpreted.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pallas

from rule_jax import sharding
from rule_jax.models.decoder import Execution
from rule_jax.ops import kernels
from rule_jax.ops.attention import attention
from rule_jax.types import Packed, Prompts

RNG = np.random.default_rng(0)
NAMES = [
    "xla",
    "splash",
    pytest.param("cudnn", marks=pytest.mark.skipif(jax.default_backend() != "gpu", reason="cuDNN needs a GPU")),
]


def draw(name, *shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.bfloat16 if name == "cudnn" else jnp.float32)


def values_and_gradients(name, function, arguments):
    """Of a scalar function of a kernel. splash is interpreted where there is no TPU."""
    program = jax.jit(jax.value_and_grad(lambda arguments: function(kernels.make(name), *arguments), has_aux=True))
    interpreted = name == "splash" and jax.default_backend() != "tpu"
    with pallas.force_tpu_interpret_mode() if interpreted else contextlib.nullcontext():
        return jax.block_until_ready(program(arguments))


def agree(name, function, arguments):
    tolerance = 3e-2 if name == "cudnn" else 2e-5
    theirs, ours = values_and_gradients(name, function, arguments), values_and_gradients("einsum", function, arguments)
    assert all(np.abs(np.asarray(leaf, np.float32)).max() > 0.1 for leaf in jax.tree.leaves(ours))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=tolerance, atol=tolerance
        ),
        theirs,
        ours,
    )


def packed_mask(T):
    """[2, T, T] of rows with two texts and padding, in which the second row's words see eleven words back."""
    segment = np.array([[1] * 17 + [2] * (T - 17), [1] * (T - 9) + [0] * 9])
    slot = np.arange(T)
    mask = (segment[:, :, None] == segment[:, None]) & (slot[:, None] >= slot)
    mask[1] &= slot[:, None] - slot < 11
    mask[1, -9:] = False  # padding sees nothing
    return mask


@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_attention_of_rows(name, kv_heads):
    T, H, C = 131, 4, 16
    mask, weights = packed_mask(T), draw(name, 2, T, H, C)
    seen = jnp.asarray(mask.any(axis=2))[..., None, None]  # who sees nothing has a result that means nothing

    def function(kernel, q, k, v):
        out = jnp.where(seen, kernel.attention(q, k, v, jnp.asarray(mask), scale=0.4), 0)
        return jnp.sum((weights * out).astype(jnp.float32)), out

    qkv = draw(name, 2, T, H, C), draw(name, 2, T, kv_heads, C), draw(name, 2, T, kv_heads, C)
    agree(name, function, qkv)


@pytest.mark.parametrize("name", NAMES)
def test_attention_over_a_shared_prefix(name):
    B, G, P, R, H, K, C = 2, 3, 40, 7, 4, 2, 16
    slot = np.arange(R)
    of_prefix = np.broadcast_to((np.arange(P) < np.array([[40], [25]]))[:, None], (B, R, P)).copy()
    of_prefix[:, 4:, :20] = False  # a window leaves the beginning behind
    of_suffix = slot[:, None] >= slot
    weights = draw(name, B, G, R, H, C)

    def function(kernel, q, prefix, suffix):
        out = kernel.shared_prefix_attention(q, prefix, jnp.asarray(of_prefix), suffix, jnp.asarray(of_suffix))
        return jnp.sum((weights * out).astype(jnp.float32)), out

    prefix, suffix = [(draw(name, *shape, K, C), draw(name, *shape, K, C)) for shape in ((B, P), (B, G, R))]
    agree(name, function, (draw(name, B, G, R, H, C), prefix, suffix))


def test_splash_has_soft_caps_and_the_others_say_that_they_have_none():
    q, k = draw("splash", 1, 5, 2, 8), draw("splash", 1, 5, 2, 8)

    def function(kernel, q, k):
        out = kernel.attention(3 * q, k, k, jnp.tri(5, dtype=bool)[None], softcap=0.7)
        return jnp.sum(jnp.sin(3 * out)), out

    agree("splash", function, (q, k))
    with pytest.raises(ValueError, match="soft cap"):
        kernels.make("xla").attention(q, k, k, jnp.tri(5, dtype=bool)[None], softcap=0.7)
    assert [name for name, limits in kernels.LIMITS.items() if not limits.caps] == ["xla", "cudnn"]


def test_there_is_a_kernel_for_every_limit_and_for_no_other_name():
    assert all(isinstance(kernels.make(name), kernels.Kernel) for name in kernels.LIMITS)
    with pytest.raises(KeyError, match="flash"):
        kernels.make("flash")


def test_what_spares_memory_is_named_where_it_runs():
    assert (
        kernels.sparing("tpu", "bfloat16", capped=True) == kernels.sparing("tpu", "float32", capped=False) == "splash"
    )
    assert kernels.sparing("gpu", "bfloat16", capped=False) == "cudnn"
    assert kernels.sparing("gpu", "float32", capped=False) is None
    assert kernels.sparing("gpu", "bfloat16", capped=True) is None
    assert kernels.sparing("cpu", "float32", capped=False) is None


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 2, 4), (1, 8, 1)])
def test_every_device_attends_for_its_rows_and_heads(sizes, eight_devices):
    """Two key heads cannot be dealt out to four devices: each query head then has a copy of its own."""
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    q, k, v = draw("xla", 8, 12, 8, 6), draw("xla", 8, 12, 2, 6), draw("xla", 8, 12, 2, 6)
    mask = jnp.asarray(RNG.random((8, 12, 12)) < 0.6) | jnp.eye(12, dtype=bool)[None]
    shapes = []

    def seen(q, k, v, mask, **numbers):
        shapes.append((q.shape, k.shape, numbers))
        return attention(q, k, v, mask, **numbers)

    program = jax.jit(sharding.traced_on(mesh, lambda *arrays: sharding.per_device(seen)(*arrays, scale=0.3)))
    found = program(*jax.device_put((q, k, v, mask), sharding.rows(mesh)))
    np.testing.assert_allclose(found, attention(q, k, v, mask, scale=0.3), rtol=1e-5, atol=1e-5)
    rows, heads = 8 // (sizes[0] * sizes[1]), 8 // sizes[2]
    assert shapes == [((rows, 12, heads, 6), (rows, 12, 2 if sizes[2] == 4 else 2 // sizes[2], 6), {"scale": 0.3})]


def test_a_model_computed_otherwise_is_the_same_model(tiny):
    """Packed rows, scored answers and a prompt's last state, through the whole stack."""
    (model, params), (other, _) = tiny(), tiny(Execution(attention="xla"))
    tokens = np.arange(24, dtype=np.int32).reshape(2, 12) % 11
    segment, position = [1] * 7 + [2] * 5, [*range(7), *range(5)]
    packed = Packed(tokens, np.array([segment] * 2), np.array([position] * 2), np.ones((2, 12), np.float32))
    prompts, answers = Prompts(tokens, np.array([12, 9], np.int32)), np.arange(30, dtype=np.int32).reshape(2, 3, 5) % 11

    def states(model):
        def of(params):
            packed_BTD, scored_BGRD = (
                model.packed_hidden(params, packed),
                model.response_hidden(params, prompts, answers),
            )
            return packed_BTD, scored_BGRD, model.prefill(params, prompts, 3, 5)[0]

        return jax.jit(of)(params), str(jax.make_jaxpr(of)(params))

    (ours, by_hand), (theirs, by_library) = states(model), states(other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), theirs, ours)
    assert by_hand != by_library
