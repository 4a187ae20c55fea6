"""How sure is a mean? Percentile bootstrap over seeds, targets or queries, alone and paired.

Efron (1979). The intervals are of the mean, by resampling the given values with replacement, and are functions of
(values, seed) alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its interval; NaN for no values. With one value the interval is that value: nothing is
    known about its spread, and n says so."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of the values and its 95 % interval."""
    numbers = np.asarray(values, np.float64)
    if not len(numbers):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    means = _resampled_means(numbers, seed, resamples)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(numbers.mean()), float(low), float(high), len(numbers))


def paired_difference(
    values: Sequence[float], others: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The mean of values - others and its 95 % interval, for two runs on the same queries, seeds or targets in the same
    order: what they share cancels out. Raises ValueError for different numbers of values."""
    if len(values) != len(others):
        raise ValueError(f"{len(values)} values cannot be paired with {len(others)}")
    return bootstrap(np.subtract(values, others).tolist(), seed=seed, resamples=resamples)


def expected_max(values: Sequence[float], k: int) -> float:
    """The mean of the greatest of k of the values, over all choices of k: what k draws show at their worst, without
    bias, from as many draws or more. Of values 0 and 1 it is the estimator of pass@k, and of leaks leak@k.

    Source: https://arxiv.org/abs/2107.03374 equation 1; https://arxiv.org/abs/2511.04934. Raises ValueError for fewer
    than k values.
    """
    if not 1 <= k <= len(values):
        raise ValueError(f"the greatest of {k} of {len(values)} values")
    choices = math.comb(len(values), k)
    return math.fsum(value * (math.comb(i, k - 1) / choices) for i, value in enumerate(sorted(values)))


def separated(difference: Interval) -> bool:
    """True when the interval lies on one side of 0, so that "better" may be said. Never for fewer than two values."""
    return difference.n > 1 and (difference.low > 0 or difference.high < 0)


def _resampled_means(numbers: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of so many draws, in blocks of at most four million values."""
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, 4_000_000 // len(numbers)))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    draws = (numbers[rng.integers(0, len(numbers), (size, len(numbers)))] for size in sizes)
    return np.concatenate([draw.mean(axis=1) for draw in draws])
