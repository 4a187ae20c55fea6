"""ops.categorical: the chances are those of the distribution, also far out, and what has none is never drawn."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import sharding
from rule_jax.ops.categorical import BLOCKS, categorical

RNG = np.random.default_rng(0)


def keys(*shape):
    return jax.random.split(jax.random.key(1), shape)


@pytest.mark.parametrize("size", [1, 5, BLOCKS, 1000, 20 * BLOCKS])
def test_frequencies_are_the_distribution_s(size):
    logprobs = jax.nn.log_softmax(jnp.asarray(RNG.normal(size=size), jnp.float32) * 2)
    drawn = jax.jit(categorical)(keys(100, 400), jnp.broadcast_to(logprobs, (100, 1, size)).repeat(400, axis=1))
    assert drawn.dtype == jnp.int32
    assert drawn.shape == (100, 400)
    chances = np.asarray(jnp.exp(logprobs), np.float64)
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=size)
    assert counts.shape == (size,)
    often = chances * drawn.size > 5  # below that, chi-square's law does not hold: those count as one
    counts, expected = (np.append(x[often], x[~often].sum()) for x in (counts, chances * drawn.size))
    kept = expected > 1e-2
    chi_square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    freedom = kept.sum() - 1
    assert chi_square <= freedom + 4 * np.sqrt(2 * freedom)  # its mean and four of its standard deviations


def test_what_has_no_chance_is_never_drawn():
    """Nine of ten categories are out, whole blocks and both ends among them."""
    inside = np.sort(RNG.choice(np.arange(100, 900), 80, replace=False))
    logits = np.full(1000, -np.inf, np.float32)
    logits[inside] = RNG.normal(size=80)
    logprobs = jnp.broadcast_to(jax.nn.log_softmax(logits), (20_000, 1000))
    drawn = np.unique(categorical(keys(20_000), logprobs))
    assert np.isin(drawn, inside).all()
    assert len(drawn) > 70


def test_a_certain_category_is_drawn_and_a_rare_one_as_often_as_it_should():
    for place in (0, 63, 64, 999):
        certain = jnp.where(jnp.arange(1000) == place, 0.0, -jnp.inf)
        assert (categorical(keys(1000), jnp.broadcast_to(certain, (1000, 1000))) == place).all()
    rare = jnp.log(jnp.array([1 - 1e-3, 1e-3]))
    found = int(categorical(keys(100_000), jnp.broadcast_to(rare, (100_000, 2))).sum())
    assert abs(found - 100) < 4 * 10


def test_draws_depend_on_their_key_and_on_nothing_beside(mesh8):
    logprobs = jax.nn.log_softmax(jnp.asarray(RNG.normal(size=(6, 4, 1024)), jnp.float32))
    own = keys(6, 4)
    drawn = np.asarray(jax.jit(categorical)(own, logprobs))
    np.testing.assert_array_equal(categorical(own[3, 2], logprobs[3, 2]), drawn[3, 2])
    assert (drawn != np.asarray(categorical(keys(6, 5)[:, 1:], logprobs))).any()
    spread = sharding.make_mesh(data=2, fsdp=1, tensor=4)
    where = jax.sharding.NamedSharding(spread, jax.sharding.PartitionSpec("data", None, "tensor"))
    program = jax.jit(categorical).lower(own, jax.device_put(logprobs, where)).compile()
    np.testing.assert_array_equal(program(own, jax.device_put(logprobs, where)), drawn)
    sent = re.findall(r"= (?:\()?f32\[([\d,]+)\][^ ]* (?:all-gather|all-to-all|all-reduce)", program.as_text())
    sizes = [np.prod([int(x) for x in shape.split(",")]) for shape in sent]
    assert sizes, "nothing was sent: the check looks at the wrong program"
    assert max(sizes) <= 3 * 4 * BLOCKS, "of each row its sums and one block may go from device to device, no more"
