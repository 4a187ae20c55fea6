"""ops.token_statistics against float64, and with numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.ops.logprobs import Head
from rule_jax.ops.token_statistics import token_statistics

B, N, A, D, V = 2, 5, 3, 4, 9
RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(B, N, D)).astype(np.float32)
HEAD = RNG.normal(size=(V, D)).astype(np.float32)
ASKED = RNG.integers(V, size=(B, N, A))


@pytest.mark.parametrize("chunk", [None, 2, 5])
def test_values(chunk):
    logits = HIDDEN.astype(np.float64) @ HEAD.astype(np.float64).T
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    mean = (np.exp(logp) * logp).sum(-1)
    found = jax.jit(token_statistics, static_argnames="chunk")(HIDDEN, Head(HEAD), ASKED, chunk=chunk)
    np.testing.assert_allclose(found.logprob_BNA, np.take_along_axis(logp, ASKED, -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.mean_BN, mean, rtol=1e-5)
    np.testing.assert_allclose(found.deviation_BN, np.sqrt((np.exp(logp) * logp**2).sum(-1) - mean**2), rtol=1e-5)
    np.testing.assert_array_equal(found.top_BN, logp.argmax(-1))


def test_a_sure_model_deviates_by_nothing():
    found = token_statistics(jnp.ones((1, 1, 1)), Head(jnp.array([[0.0], [90.0]])), jnp.array([[[1]]]), chunk=None)
    exactly = 0 if jax.default_backend() == "cpu" else 1e-12  # a GPU's exponential of -90 is no exact 0
    assert float(found.mean_BN[0, 0]) == pytest.approx(0, abs=exactly)
    assert float(found.deviation_BN[0, 0]) == pytest.approx(0, abs=exactly)
    assert int(found.top_BN[0, 0]) == 1
