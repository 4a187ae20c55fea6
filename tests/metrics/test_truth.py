"""rule_jax.metrics.truth: TOFU's figures by hand, from probabilities that are powers of a half."""

import numpy as np
import pytest

from rule_jax.metrics import truth

HALF = np.log(2.0)  # the loss of a probability of a half
LOSSES = truth.Losses(
    answer_B=np.array([1.0, 2.0]) * HALF,
    paraphrased_B=np.array([1.0, 3.0]) * HALF,
    perturbed_BA=np.array([[1.0, 3.0], [1.0, 3.0]]) * HALF,
    rouge_B=np.array([0.25, 0.75]),
)


def test_the_two_formulas():
    ratio = {
        f: truth.truth_ratio(LOSSES.paraphrased_B, LOSSES.perturbed_BA, f) for f in ("mean_loss", "mean_probability")
    }
    np.testing.assert_allclose(ratio["mean_loss"], [1 / 4 / (1 / 2), 1 / 4 / (1 / 8)])
    np.testing.assert_allclose(ratio["mean_probability"], [5 / 16 / (1 / 2), 5 / 16 / (1 / 8)])


def test_neither_formula_underflows():
    for formula in ("mean_loss", "mean_probability"):
        assert truth.truth_ratio([900.0], [[900.0, 900.0]], formula) == pytest.approx([1.0])
    assert truth.closer_to_one(truth.truth_ratio([900.0], [[1.0]], "mean_loss")) == 0


def test_aggregates():
    assert truth.closer_to_one([0.5, 2.0, 1.0]) == pytest.approx(2 / 3)
    assert truth.below_one([0.25, 3.0]) == 0.375
    np.testing.assert_allclose(truth.share_of_right([1.0, 3.0]), [0.5, 0.25])
    np.testing.assert_allclose(truth.share_of_options(LOSSES.answer_B, LOSSES.perturbed_BA), [4 / 9, 2 / 7])


def test_figures_of_a_set():
    kept = truth.figures("retain", LOSSES, "mean_loss")
    assert kept == pytest.approx({"rouge": 0.5, "probability": 3 / 8, "truth_ratio": 0.25})
    world = truth.figures("real_world", LOSSES, "mean_loss")
    assert world == pytest.approx({**kept, "probability": (4 / 9 + 2 / 7) / 2})
    forgotten = truth.figures("forget", LOSSES, "mean_loss")
    assert forgotten == pytest.approx({**kept, "truth_ratio": 0.5})


def test_utility_is_the_harmonic_mean_of_nine():
    sets = {"real_authors": LOSSES, "real_world": LOSSES, "retain": LOSSES}
    options = (4 / 9 + 2 / 7) / 2
    expected = 9 / (3 / 0.5 + 2 / options + 1 / 0.375 + 3 / 0.25)
    assert truth.model_utility(sets, "mean_loss") == pytest.approx(expected)
    assert truth.harmonic_mean([0.5, 0.0]) == 0


def test_forget_quality_tells_truth_ratios_apart():
    same = truth.forget_quality(LOSSES, LOSSES)
    assert same == (1.0, 0.0)
    told = truth.ks([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0])
    assert told == pytest.approx((2 / 70, 1.0))  # 2 of the 8! / (4! 4!) orders are as far apart
