"""How much of a text does a model continue word for word? From whether each token was the model's first choice.

right_N: bool, one per scored token in order: the token is the argmax of the model's prediction, given all before it.
Both figures lie in [0, 1]; NaN where no token is scored.
"""

import numpy as np

from rule_jax.types import Array


def exact_memorization(right_N: Array) -> float:
    """The share of tokens predicted right (Tirumala et al. 2022, arXiv 2205.10770)."""
    return float(np.mean(right_N)) if len(right_N) else float("nan")


def extraction_strength(right_N: Array) -> float:
    """1 - k/N for the shortest prefix k after which every token is predicted right (Carlini et al. 2021).

    0 when even the last token is wrong, 1 when all are right.
    """
    return _known_suffix(right_N) / len(right_N) if len(right_N) else float("nan")


def extraction_strength_compat(right_N: Array) -> float:
    """As open-unlearning computes it (src/evals/metrics/memorization.py): never below 1/N, as its loop ends at the last
    token whether that one is right or wrong."""
    return max(_known_suffix(right_N), 1) / len(right_N) if len(right_N) else float("nan")


def _known_suffix(right_N: Array) -> int:
    wrong = np.flatnonzero(~np.asarray(right_N, bool))
    return len(right_N) - (int(wrong[-1]) + 1 if len(wrong) else 0)
