"""models.layers: what a layer projects with, and what its gradient costs."""

import re

import jax
import jax.numpy as jnp
import pytest

from rule_jax.models.layers import product

TOKENS, NARROW, WIDE = (3, 37), 24, 88


def arrays(*shapes: tuple[int, ...]) -> list[jax.Array]:
    return [jax.random.normal(key, shape) for key, shape in zip(jax.random.split(jax.random.key(0), 8), shapes)]


@pytest.mark.parametrize(("inputs", "outputs"), [((6,), (5,)), ((6,), (2, 4)), ((2, 3), (5,)), ((2, 3), (2, 2))])
def test_gradients_are_those_of_a_tensordot(inputs, outputs):
    x, kernel, weight = arrays((*TOKENS, *inputs), (*inputs, *outputs), (*TOKENS, *outputs))

    def of(f):
        return jax.grad(lambda x, kernel: jnp.sum(weight * f(x, kernel, len(inputs))), argnums=(0, 1))(x, kernel)

    for mine, autodiff in zip(of(product), of(jnp.tensordot)):
        assert mine.shape == autodiff.shape
        assert jnp.allclose(mine, autodiff, atol=1e-5)


def turned(f) -> bool:
    """Does the compiled gradient of a kernel [NARROW, WIDE] hold the gradient of what came out, [WIDE, tokens]?"""
    x, kernel, weight = arrays((*TOKENS, NARROW), (NARROW, WIDE), (*TOKENS, WIDE))
    loss = jax.grad(lambda kernel: jnp.sum(jnp.sin(weight * f(x, kernel, 1))))
    text = jax.jit(loss).lower(kernel).compile().as_text()
    assert text
    return bool(re.search(rf"f32\[{WIDE},(?:{TOKENS[0]},{TOKENS[1]}|{TOKENS[0] * TOKENS[1]})\]\{{(?:2,)?1,0\}}", text))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="how XLA multiplies on a CPU")
def test_no_gradient_is_turned_before_it_is_multiplied():
    assert turned(jnp.tensordot)  # once this fails, XLA does it by itself and `product` can go
    assert not turned(product)
