"""ops.teacher against float64: cross-entropy and entropy, the lowered logit, chunks, and whom the gradient reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops.logprobs import Head
from rule_jax.ops.teacher import taught

B, N, D, V = 2, 5, 4, 7
RNG = np.random.default_rng(0)
HIDDEN, TEACHER = (RNG.normal(size=(B, N, D)).astype(np.float32) for _ in range(2))
HEAD, TEACHER_HEAD = (Head(RNG.normal(size=(V, D)).astype(np.float32)) for _ in range(2))
TOKENS = RNG.integers(V, size=(B, N))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def oracle(hidden, teacher, penalty):
    log_p = log_softmax(hidden.astype(np.float64) @ HEAD.weight_VD.T.astype(np.float64))
    logits = teacher.astype(np.float64) @ TEACHER_HEAD.weight_VD.T.astype(np.float64)
    for b, n in np.ndindex(B, N):
        logits[b, n, TOKENS[b, n]] -= penalty
    log_q = log_softmax(logits)
    return -(np.exp(log_q) * log_p).sum(-1), -(np.exp(log_q) * log_q).sum(-1), np.exp(log_p), np.exp(log_q)


@pytest.mark.parametrize("penalty", [0.0, 3.0])
@pytest.mark.parametrize("chunk", [None, 2])
def test_values_and_gradient(penalty, chunk):
    cross, entropy, p, q = oracle(HIDDEN, TEACHER, penalty)

    def total(hidden, teacher):
        found = taught(hidden, HEAD, teacher, TEACHER_HEAD, TOKENS, penalty=penalty, chunk=chunk)
        return jnp.sum(found.cross_entropy_BN) + jnp.sum(found.entropy_BN), found

    gradients, found = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(HIDDEN, TEACHER)
    np.testing.assert_allclose(found.cross_entropy_BN, cross, rtol=1e-5)
    np.testing.assert_allclose(found.entropy_BN, entropy, rtol=1e-5)
    np.testing.assert_allclose(gradients[0], (p - q) @ HEAD.weight_VD, rtol=1e-4, atol=1e-5)  # d CE / d logits = p - q
    np.testing.assert_array_equal(gradients[1], np.zeros_like(TEACHER))


def test_the_logits_of_both_heads_are_counted():
    hidden, tokens = jax.ShapeDtypeStruct((1, 4096, D), jnp.float32), jax.ShapeDtypeStruct((1, 4096), jnp.int32)
    head = Head(jax.ShapeDtypeStruct((2**17, D), jnp.float32))
    run = jax.jit(taught, static_argnames="chunk")  # 2048 places of one head, 1024 of two
    program = {chunk: run.lower(hidden, head, hidden, head, tokens, chunk=chunk).as_text() for chunk in (None, 1024)}
    assert program[None] == program[1024]


def test_a_model_that_is_its_teacher_has_no_divergence():
    found = taught(HIDDEN, HEAD, HIDDEN, HEAD, TOKENS)
    np.testing.assert_allclose(found.cross_entropy_BN, found.entropy_BN, rtol=1e-6)


def test_a_large_penalty_leaves_the_token_no_chance():
    # Two words alike: without the first, the teacher is sure of the second, of which the model thinks 1/4.
    hidden, head = jnp.ones((1, 1, 1)), Head(jnp.array([[np.log(3.0)], [0.0]]))
    teacher = taught(hidden, head, hidden, Head(jnp.ones((2, 1))), jnp.array([[0]]), penalty=100.0)
    np.testing.assert_allclose(teacher.cross_entropy_BN, [[np.log(4)]], rtol=1e-6)
    np.testing.assert_allclose(teacher.entropy_BN, [[0]], atol=1e-6)
