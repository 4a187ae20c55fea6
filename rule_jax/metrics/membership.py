"""Was a text in the training data? Scores of one text from its tokens' log-probabilities, and what sets of them tell.

Every score is larger for a text that looks more like a member. As published, with the sign changed where it differs:
LOSS (Yeom et al. 2018), Zlib (Carlini et al. 2021), Min-K% (Shi et al. 2023, arXiv 2310.16789) and Min-K%++ (Zhang et
al. 2024, arXiv 2404.02936); AUC and PrivLeak of MUSE (Shi et al. 2024, arXiv 2407.06460).

Min-K% takes the share `ratio` of the tokens with the lowest values, rounded down. Where that is none, in a text of less
than 1 / ratio tokens, the released codes of RWKU and MUSE get NaN (`min_k_compat`); `min_k` takes one token then, as
open-unlearning does.
"""

import zlib

import numpy as np
from scipy import stats

from rule_jax.types import Array


def loss(logprobs_N: Array) -> float:
    """Mean log-probability of the tokens, in nats: minus the loss. NaN for no tokens."""
    return float(np.mean(logprobs_N)) if len(logprobs_N) else float("nan")


def zlib_ratio(logprobs_N: Array, text: str) -> float:
    """`loss` over the length in bytes of the text after zlib: how likely it is for its information."""
    return loss(logprobs_N) / len(zlib.compress(text.encode("utf-8")))


def min_k(values_N: Array, ratio: float) -> float:
    """Mean of the lowest values, int(N * ratio) of them and at least one. values: log-probabilities, or `standardized`
    ones for Min-K%++. NaN for no tokens. ratio in (0, 1]."""
    return _mean_of_lowest(values_N, max(1, int(len(values_N) * ratio)))


def min_k_compat(values_N: Array, ratio: float) -> float:
    """As `min_k`, but NaN where int(N * ratio) is 0."""
    return _mean_of_lowest(values_N, int(len(values_N) * ratio))


def standardized(logprobs_N: Array, mean_N: Array, deviation_N: Array) -> np.ndarray:
    """(logprob - mean) / deviation, of Min-K%++: mean and standard deviation of the log-probability of a token drawn
    from the model itself, at each position."""
    return (np.asarray(logprobs_N) - np.asarray(mean_N)) / np.maximum(np.asarray(deviation_N), 1e-9)


def auc(members: Array, others: Array) -> float:
    """The probability that a member's score is above another's, ties counted half: the area under the ROC curve.

    NaN when there are no members or no others, or when a score is NaN.
    """
    if not len(members) or not len(others):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([members, others]), nan_policy="propagate")
    count = len(members)
    return float((np.sum(ranks[:count]) - count * (count + 1) / 2) / (count * len(others)))


def best_accuracy(members: Array, others: Array) -> float:
    """The best balanced accuracy of a threshold: members at or above it, others below. 0.5 for scores that tell nothing
    or the opposite."""
    members, others = np.asarray(members), np.asarray(others)
    thresholds = np.unique(np.concatenate([members, others]))
    hit = [np.mean(members >= threshold) + np.mean(others < threshold) for threshold in thresholds]
    return float(max(1.0, *hit) / 2)


def privleak(auc: float, auc_retrained: float) -> float:
    """(AUC - AUC_retrained) / AUC_retrained * 100. Zero: the forget set looks as it does to a model that never saw it.

    https://github.com/jaechan-repo/muse_bench: AUC is that of *held-out* texts against the forget set, each by its
    Min-40%, so it is `auc(holdout, forget)`; below zero the forget set still looks like training data
    (under-unlearned), above zero too little (over-unlearned). NaN where auc_retrained is 0.
    """
    return (auc - auc_retrained) / auc_retrained * 100 if auc_retrained else float("nan")


def _mean_of_lowest(values_N: Array, count: int) -> float:
    lowest = np.sort(np.asarray(values_N, np.float64))[:count]
    return float(np.mean(lowest)) if len(lowest) else float("nan")
