"""A figure: one metric of one task of one model, with its interval; and what makes two figures differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rule_jax.metrics import statistics
from rule_jax.reporting.vocabulary import is_share, percent

RESAMPLES = 2_000  # of questions; their number makes the interval, not that of the resamples


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the report. low, high: its 95% interval, None where there is none. n: what it is the mean of."""

    value: float
    n: int
    low: float | None
    high: float | None
    text: str

    @property
    def ends(self) -> tuple[float, float, float]:
        """(value, low, high); without an interval all three are the value."""
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        return self.value, low, high

    @property
    def interval(self) -> str:
        """The interval, of a share in per cent, "94.1–99.5", or "" where there is none."""
        if self.low is None or self.high is None:
            return ""
        if self.text.endswith("%"):
            return f"{100 * self.low:.1f}–{100 * self.high:.1f}"
        return f"{self.low:.3g}–{self.high:.3g}"


def figure(stages: Mapping, model: str, task: str, metric: str) -> Figure | None:
    """One metric of one task of one model, or None where it is absent or null. stages: of report/metrics.json.

    Shares have their Wilson interval at the number of questions; other means one where the row has "intervals".
    """
    row = stages.get(model, {}).get(task, {})
    value, n = row.get(metric), row.get("n") or 0
    if value is None:
        return None
    if is_share(metric):
        low, high = wilson(value, n) or (None, None)
    else:
        low, high = row.get("intervals", {}).get(metric, (None, None))
    return Figure(value, n, low, high, shown(metric, value))


def shown(metric: str, value: float) -> str:
    """A value of a metric in writing: shares in per cent."""
    return percent(value) if is_share(metric) else f"{value:.3g}"


def wilson(p: float | None, n: int) -> tuple[float, float] | None:
    """The 95% Wilson score interval of a proportion p of n: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    None where there is no interval: p is None or outside [0, 1], or n is 0. For a mean over several samples of each of
    n questions it is at least as wide as it need be.
    """
    if p is None or n < 1 or not 0 <= p <= 1:
        return None
    z = 1.959964
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def of_questions(metric: str, values: Sequence[float]) -> Figure:
    """The mean over questions, at least one: a share with its Wilson interval, anything else with a bootstrap's."""
    if is_share(metric):
        mean = sum(values) / len(values)
        low, high = wilson(mean, len(values)) or (None, None)
        return Figure(mean, len(values), low, high, shown(metric, mean))
    return of_runs(metric, values, resamples=RESAMPLES)


def of_runs(metric: str, values: Sequence[float], *, resamples: int = statistics.RESAMPLES) -> Figure:
    """The mean over runs, at least one, with a bootstrap interval; one value says nothing of its spread."""
    found = statistics.bootstrap(values, resamples=resamples)
    low, high = (found.low, found.high) if found.n > 1 else (None, None)
    return Figure(found.mean, found.n, low, high, shown(metric, found.mean))


def mean_of(parts: Sequence[Figure]) -> Figure | None:
    """The mean of shares of different questions, each counting alike however many questions it has; None of none.

    Its interval adds the squared distances from each value to either end of its own interval (Zou and Donner 2008,
    https://doi.org/10.1002/sim.3095); none where a part has none.
    """
    if not parts:
        return None
    mean = sum(part.value for part in parts) / len(parts)
    ends = [(part.low, part.high) for part in parts if part.low is not None and part.high is not None]
    low = high = None
    if len(ends) == len(parts):
        below = math.sqrt(sum((part.value - end[0]) ** 2 for part, end in zip(parts, ends))) / len(parts)
        above = math.sqrt(sum((end[1] - part.value) ** 2 for part, end in zip(parts, ends))) / len(parts)
        low, high = max(0.0, mean - below), min(1.0, mean + above)
    return Figure(mean, sum(part.n for part in parts), low, high, percent(mean))


def apart(one: Figure | None, other: Figure | None) -> int:
    """+1 where the first interval lies wholly above the second, -1 wholly below, 0 where they meet or are unknown."""
    if not one or not other or one.low is None or one.high is None or other.low is None or other.high is None:
        return 0
    return (one.low > other.high) - (one.high < other.low)
