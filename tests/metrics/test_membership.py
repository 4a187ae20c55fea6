"""rule_jax.metrics.membership: scores and areas that a hand can check."""

import math
import zlib

import numpy as np

from rule_jax.metrics import membership as m


def test_scores_of_one_text():
    logprobs = np.array([-1.0, -4.0, -2.0, -3.0, -5.0])
    assert m.loss(logprobs) == -3
    assert m.zlib_ratio(logprobs, "é" * 20) == -3 / len(zlib.compress(("é" * 20).encode()))
    assert m.min_k(logprobs, 0.4) == m.min_k_compat(logprobs, 0.5) == -4.5
    assert m.min_k(logprobs, 0.1) == -5
    assert math.isnan(m.min_k_compat(logprobs, 0.1))
    assert m.min_k(logprobs, 1.0) == m.loss(logprobs)


def test_no_tokens_is_no_figure():
    for value in (m.loss([]), m.min_k([], 0.4), m.min_k_compat([], 0.4)):
        assert math.isnan(value)


def test_standardized():
    np.testing.assert_allclose(m.standardized([-1.0, -2.0], [-3.0, -2.0], [2.0, 0.0]), [1, 0])


def test_auc_counts_pairs_and_halves_ties():
    assert m.auc([3, 1], [2, 1]) == (2 + 0.5) / 4
    assert m.auc([2, 3], [0, 1]) == 1
    assert math.isnan(m.auc([], [1]))
    assert math.isnan(m.auc([float("nan")], [1]))


def test_best_accuracy():
    assert m.best_accuracy([3, 1], [2, 0]) == 0.75
    assert m.best_accuracy([0], [1]) == 0.5


def test_privleak_is_relative_to_a_retrained_model():
    assert m.privleak(0.25, 0.5) == -50
    assert m.privleak(0.75, 0.5) == 50
    assert math.isnan(m.privleak(0.5, 0))
