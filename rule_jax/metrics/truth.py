"""TOFU (https://arxiv.org/abs/2401.06121): probability of an answer, truth ratio, model utility, forget quality.

Losses are mean negative log-probabilities per token, in nats: loss_B of the answer (paraphrased, for the truth ratio),
perturbed_BA of its A wrong variants. The truth ratio of a question is P(wrong) / P(right), for which two formulas are
published; `Formula` names the one that is used:

* "mean_probability": the wrong variants' probabilities are averaged. The paper's equation 1, and `utils.py` of
  https://github.com/locuslab/tofu.
* "mean_loss": their losses are averaged, so that P(wrong) is the geometric mean. The repository's
  `aggregate_eval_stat.py`, whose numbers are on the leaderboard, open-unlearning, and forget quality in either file.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from rule_jax.types import Array

Formula = Literal["mean_loss", "mean_probability"]

KEPT = ("real_authors", "real_world", "retain")  # the sets whose nine figures make up the model utility


class Losses(NamedTuple):
    """What TOFU's evaluation finds on a set of B questions: losses, and the ROUGE-L recall of generated answers."""

    answer_B: Array
    paraphrased_B: Array
    perturbed_BA: Array
    rouge_B: Array


class ForgetQuality(NamedTuple):
    """The two-sample Kolmogorov-Smirnov test of truth ratios. pvalue is TOFU's forget quality, statistic in [0, 1]."""

    pvalue: float
    statistic: float


def truth_ratio(right_B: Array, wrong_BA: Array, formula: Formula) -> np.ndarray:
    """P(wrong) / P(right) of each question, [B], by the formula."""
    right, wrong = np.asarray(right_B, np.float64), np.asarray(wrong_BA, np.float64)
    if formula == "mean_loss":
        mean = wrong.mean(axis=1)
    else:  # log-mean-exp, so that losses of hundreds of nats do not all become 0
        least = wrong.min(axis=1)
        mean = least - np.log(np.mean(np.exp(least[:, None] - wrong), axis=1))
    with np.errstate(over="ignore"):
        return np.exp(right - mean)


def closer_to_one(ratio_B: Array) -> float:
    """Mean of min(ratio, 1/ratio): for what is forgotten, where right and wrong are to be equally likely."""
    ratio = np.asarray(ratio_B, np.float64)
    with np.errstate(divide="ignore"):
        return float(np.mean(np.minimum(ratio, 1 / ratio)))


def below_one(ratio_B: Array) -> float:
    """Mean of max(0, 1 - ratio): for what is kept, where the right answer is to be the likelier."""
    return float(np.mean(np.maximum(0, 1 - np.asarray(ratio_B, np.float64))))


def share_of_right(ratio_B: Array) -> np.ndarray:
    """P(right) / (P(right) + P(wrong)) of each question: 1 / (1 + ratio)."""
    return 1 / (1 + np.asarray(ratio_B, np.float64))


def share_of_options(right_B: Array, wrong_BA: Array) -> np.ndarray:
    """P(right) / (P(right) + the sum of the wrong variants') of each question: probability, where there are options."""
    losses = np.concatenate([np.asarray(right_B)[:, None], np.asarray(wrong_BA)], axis=1).astype(np.float64)
    shares = np.exp(losses.min(axis=1, keepdims=True) - losses)
    return shares[:, 0] / shares.sum(axis=1)


def figures(name: str, losses: Losses, formula: Formula) -> dict[str, float]:
    """rouge, probability and truth_ratio of a set: "real_authors", "real_world", "retain" or "forget"."""
    ratio = truth_ratio(losses.paraphrased_B, losses.perturbed_BA, formula)
    if name in ("real_authors", "real_world"):
        probability = share_of_options(losses.answer_B, losses.perturbed_BA)
    else:
        probability = np.exp(-np.asarray(losses.answer_B, np.float64))
    return {
        "rouge": float(np.mean(losses.rouge_B)),
        "probability": float(np.mean(probability)),
        "truth_ratio": closer_to_one(ratio) if name == "forget" else below_one(ratio),
    }


def model_utility(sets: Mapping[str, Losses], formula: Formula) -> float:
    """The harmonic mean of the nine figures of the sets in `KEPT`. 0 when one of them is."""
    return harmonic_mean([value for name in KEPT for value in figures(name, sets[name], formula).values()])


def harmonic_mean(values: Array) -> float:
    """The number of values over the sum of their inverses, of values >= 0; 0 when one of them is."""
    return float(stats.hmean(np.asarray(values, np.float64)))


def forget_quality(unlearned: Losses, retrained: Losses) -> ForgetQuality:
    """Are the truth ratios on the forget set told apart from those of a model that never saw it? A high p-value: not.

    By the formula "mean_loss". The sets may differ in size.
    """
    ratios = (truth_ratio(model.paraphrased_B, model.perturbed_BA, "mean_loss") for model in (unlearned, retrained))
    return ks(*ratios)


def ks(sample: Array, other: Array) -> ForgetQuality:
    """The two-sided test on two samples, exact up to 10,000 values of either."""
    found = stats.ks_2samp(sample, other)
    return ForgetQuality(float(found.pvalue), float(found.statistic))  # type: ignore[attr-defined]
