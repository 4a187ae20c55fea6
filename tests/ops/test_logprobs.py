"""ops.logprobs against float64: values, entropy, temperature, chunks, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rule_jax.ops import logprobs

token_logprobs = jax.jit(logprobs.token_logprobs, static_argnames="chunk")
B, N, D, V = 3, 7, 5, 11
RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(B, N, D)).astype(np.float32)
WEIGHT = RNG.normal(size=(V, D)).astype(np.float32)
HEAD = logprobs.Head(WEIGHT)
TOKENS = RNG.integers(V, size=(B, N))


def oracle(hidden, head, temperature):
    logits = hidden.astype(np.float64) @ np.asarray(head.weight_VD, np.float64).T
    if head.softcap is not None:
        logits = head.softcap * np.tanh(logits / head.softcap)
    logits = logits / temperature
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("softcap", [None, 1.5])
def test_values_and_entropy(temperature, chunk, softcap):
    head = HEAD._replace(softcap=softcap)
    logp = oracle(HIDDEN, head, temperature)
    got, entropy = token_logprobs(HIDDEN, head, TOKENS, temperature=temperature, chunk=chunk)
    np.testing.assert_allclose(got, np.take_along_axis(logp, TOKENS[..., None], -1)[..., 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(entropy, -(np.exp(logp) * logp).sum(-1), rtol=1e-5, atol=1e-6)


def test_numbers_by_hand():
    # Two words with logits 0 and ln 3 under the temperature: chances 1/4 and 3/4.
    hidden, head = jnp.ones((1, 2, 1)), logprobs.Head(jnp.array([[0.0], [2 * np.log(3)]]))
    got, entropy = token_logprobs(hidden, head, jnp.array([[0, 1]]), temperature=2.0)
    np.testing.assert_allclose(np.exp(got), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(entropy, np.full((1, 2), 2 * np.log(2) - 0.75 * np.log(3)), rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_change_neither_values_nor_gradients(chunk):
    weights = RNG.normal(size=(2, B, N))

    def scalar(hidden, head, chunk):
        logp, entropy = token_logprobs(hidden, head, TOKENS, temperature=0.7, chunk=chunk)
        return jnp.sum(weights[0] * logp) + jnp.sum(weights[1] * entropy), (logp, entropy)

    run = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True), static_argnums=2)
    whole, cut = run(HIDDEN, HEAD, None), run(HIDDEN, HEAD, chunk)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), whole, cut)
    assert cut[0][1][0].shape == (B, N)


def test_gradient_is_token_minus_expectation():
    gradient = jax.grad(lambda h: jnp.sum(token_logprobs(h, HEAD, TOKENS, temperature=0.5, chunk=2)[0]))
    wanted = (WEIGHT[TOKENS] - np.exp(oracle(HIDDEN, HEAD, 0.5)) @ WEIGHT.astype(np.float64)) / 0.5
    np.testing.assert_allclose(jax.jit(gradient)(HIDDEN), wanted, rtol=1e-4, atol=1e-5)


def test_half_precision_inputs_are_summed_in_float32():
    hidden, head = jnp.asarray(HIDDEN, jnp.bfloat16), logprobs.Head(jnp.asarray(WEIGHT, jnp.bfloat16))
    got, entropy = token_logprobs(hidden, head, TOKENS, chunk=4)
    assert got.dtype == entropy.dtype == jnp.float32
    logp = oracle(np.asarray(hidden, np.float32), head, 1.0)
    np.testing.assert_allclose(got, np.take_along_axis(logp, TOKENS[..., None], -1)[..., 0], rtol=1e-5, atol=1e-5)


def products(jaxpr):
    """(operand dtypes) of each matrix product in a jaxpr and all inside it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield {x.aval.dtype.name for x in equation.invars}
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@pytest.mark.parametrize("chunk", [None, 3])
def test_in_half_precision_every_product_of_the_gradient_is(chunk):
    half = jnp.asarray(HIDDEN, jnp.bfloat16), jnp.asarray(WEIGHT, jnp.bfloat16)

    def scalar(hidden, weight):
        return jnp.sum(logprobs.token_logprobs(hidden, logprobs.Head(weight), TOKENS, chunk=chunk)[0])

    taken = jax.make_jaxpr(jax.grad(scalar, argnums=(0, 1)))(*half).jaxpr
    assert [*products(taken)] == [{"bfloat16"}] * (3 if chunk is None else 4)  # with chunks, the logits once again
    alone = jax.make_jaxpr(jax.grad(scalar))(*half).jaxpr
    assert len([*products(alone)]) == (2 if chunk is None else 3)  # the head's own gradient is not computed
    exact = jax.grad(scalar, argnums=(0, 1))(*(x.astype(jnp.float32) for x in half))
    for got, want in zip(jax.grad(scalar, argnums=(0, 1))(*half), exact):
        assert np.abs(got.astype(jnp.float32) - want).max() < 0.02 * np.abs(want).max()


@pytest.mark.parametrize("chunk", [1, None])
def test_in_half_precision_a_weight_s_gradient_is_rounded_once_however_many_chunks(chunk):
    """A thousand places that pull the same way: a sum in bfloat16 would stop moving at 256 of them.

    What may be lost is the rounding of each logit's gradient, before its product, and that of the whole sum.
    """
    places, rounding = 1024, 2.0**-8
    hidden = jnp.asarray(RNG.uniform(0.5, 1, (1, places, D)), jnp.bfloat16)
    weight, tokens = jnp.asarray(WEIGHT, jnp.bfloat16), jnp.zeros((1, places), int)

    def total(weight):
        return jnp.sum(token_logprobs(hidden, logprobs.Head(weight), tokens, chunk=chunk)[0])

    states, head = np.asarray(hidden, np.float64)[0], logprobs.Head(np.asarray(weight, np.float64))
    of_logits = np.eye(V)[np.zeros(places, int)] - np.exp(oracle(states, head, 1.0))
    wanted = of_logits.T @ states
    allowed = rounding * (np.abs(of_logits).T @ states + np.abs(wanted))
    gradient = jax.jit(jax.grad(total))
    got = gradient(weight)
    assert got.dtype == jnp.bfloat16
    assert (np.abs(np.asarray(got, np.float64) - wanted) <= allowed + 1e-4).all()  # and a little for float32
    wide_copy = f"tensor<{V}x{D}xbf16>) -> tensor<{V}x{D}xf32>"
    assert wide_copy not in gradient.lower(weight).as_text()


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ((16, 192, 2048, 1), 192),  # the default world's update: 6 million logits
        ((1, 2048, 2**17, 1), 2048),  # as many as there may be
        ((1, 2049, 2**17, 1), 1025),  # in two parts, alike
        ((8, 8192, 128256, 1), 256),  # 261 at most: 32 parts
        ((8, 8192, 128256, 4), 1024),  # four devices hold 1046
        ((4096, 10, 2**17, 1), 1),  # one place is too much already, and cannot be cut
        ((2, 0, 2048, 1), 0),
    ],
)
def test_how_many_places_are_looked_at_together(sizes, wanted):
    assert logprobs.places_at_once(*sizes) == wanted


def test_a_large_head_is_cut_without_being_told():
    rows, places, vocabulary = 2, 8192, 128256  # 1046 places at most, so eight parts
    hidden = jax.ShapeDtypeStruct((rows, places, D), jnp.bfloat16)
    head = logprobs.Head(jax.ShapeDtypeStruct((vocabulary, D), jnp.bfloat16))
    tokens = jax.ShapeDtypeStruct((rows, places), jnp.int32)
    program = {
        chunk: token_logprobs.lower(hidden, head, tokens, chunk=chunk).as_text() for chunk in (None, 1024, places)
    }
    assert program[None] == program[1024] != program[places]


def test_large_logits_stay_finite():
    got, entropy = token_logprobs(1e4 * HIDDEN, HEAD, TOKENS, temperature=0.1)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(entropy, np.zeros((B, N)), atol=1e-3)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="axis D"):
        token_logprobs(HIDDEN, logprobs.Head(WEIGHT[:, 1:]), TOKENS)
