"""Warnings of a training run: what is going wrong, and which knob mends it. A pure function of the metric history.

    for line in history: raised += alarms.see(line)

Each symptom measures the newest steps; its alarm is raised when the measure crosses one limit, and can be raised again
only after it has come back over another. The limits were set on the default world, whose healthy runs raise none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

WINDOW = 5  # steps that a measure looks back on

Series = Mapping[str, Sequence[float]]  # every metric's values, oldest first


@dataclass(frozen=True, slots=True)
class Alarm:
    """A pathology that began at a step. text: what is seen, and the knob."""

    step: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Symptom:
    """measure(series) -> how bad it is, or None where it cannot be told (too few steps, a metric that is not logged).

    Raised when the measure is at least `raised`, ready again when it is below `cleared`. text: takes the measure.
    """

    name: str
    measure: Callable[[Series], float | None]
    raised: float
    cleared: float
    text: str


def recent(series: Series, name: str, back: int = 0) -> float | None:
    """The mean of a metric over WINDOW steps that end `back` steps ago; None where there are not so many."""
    values = series.get(name, ())
    end = len(values) - back
    return fmean(values[end - WINDOW : end]) if end >= WINDOW else None


def unsolved(series: Series) -> bool:
    """Is there reward left to earn? False once answers earn nearly what the best of them has earned: then groups
    without variance and a policy without entropy are what success looks like."""
    reward = recent(series, "reward")
    return reward is not None and reward < 0.9 * max((1.0, *series.get("reward/max", ())))


def _refusals_missing(series: Series) -> float | None:
    rate = recent(series, "refusal_rate/forget")
    return None if rate is None else 1 - rate


def _refusals_rising(series: Series) -> float | None:
    """How far the refusal rate of boundary prompts lies above the lowest that it was."""
    now = recent(series, "refusal_rate/boundary")
    values = series.get("refusal_rate/boundary", ())
    earlier = [fmean(values[end - WINDOW : end]) for end in range(WINDOW, len(values) - WINDOW + 1)]
    return None if now is None or not earlier else now - min(earlier)


def _no_signal(series: Series) -> float | None:
    share = recent(series, "zero_variance_groups")
    return None if share is None else share * unsolved(series)


def _entropy_lost(series: Series) -> float | None:
    """The share of the first steps' entropy that is gone, while there is reward left to earn."""
    now, values = recent(series, "entropy"), series.get("entropy", ())
    if now is None or len(values) < 2 * WINDOW:
        return None
    return (1 - now / max(fmean(values[:WINDOW]), 1e-9)) * unsolved(series)


def _cut(series: Series) -> float | None:
    """After Rejection Steering answers ramble and soon learn to end: the first steps say nothing."""
    return recent(series, "truncated") if len(series.get("truncated", ())) >= 2 * WINDOW else None


def _mean_of(*names: str) -> Callable[[Series], float | None]:
    """The recent means of these metrics, added up."""

    def measure(series: Series) -> float | None:
        found = [value for name in names if (value := recent(series, name)) is not None]
        return sum(found) if found else None

    return measure


SYMPTOMS = (
    Symptom(
        "no refusals",
        _refusals_missing,
        raised=0.98,
        cleared=0.95,
        text="{0:.0%} of the sampled answers to forget prompts do not refuse, and what is never sampled is never "
        "rewarded: Rejection Steering was too weak. Raise config.rejection_steering.dosage.refusal_rate, .steps or "
        ".schedule.peak.",
    ),
    Symptom(
        "over-refusal",
        _refusals_rising,
        raised=0.2,
        cleared=0.1,
        text="{0:.0%} more of the boundary prompts are refused than before: the model over-refuses. Raise "
        "config.boundary_optimization.boundary_prompts, or lower its schedule.peak.",
    ),
    Symptom(
        "no signal",
        _no_signal,
        raised=0.95,
        cleared=0.8,
        text="in {0:.0%} of the groups all answers earn the same, so nothing is learned from them, and the reward is "
        "not at its best. Raise config.boundary_optimization.samples or .temperature, or steer longer before "
        "(config.rejection_steering.dosage.refusal_rate).",
    ),
    Symptom(
        "KL runs away",
        _mean_of("kl"),
        raised=3.0,
        cleared=1.5,
        text="the policy is {0:.1f} nats a token from its reference. Lower "
        "config.boundary_optimization.schedule.peak, or raise config.algorithm.kl.coef.",
    ),
    Symptom(
        "answers cut",
        _cut,
        raised=0.25,
        cleared=0.1,
        text="{0:.0%} of the answers are cut before their end. Raise config.boundary_optimization.max_new_tokens; if "
        "they ramble, keep config.reward.unfinished=False.",
    ),
    Symptom(
        "entropy collapsed",
        _entropy_lost,
        raised=0.95,
        cleared=0.8,
        text="{0:.0%} of the first steps' entropy is gone while there is reward left to earn: all samples are alike. "
        "Lower config.boundary_optimization.schedule.peak, or raise its temperature or config.algorithm.kl.coef.",
    ),
    Symptom(
        "gibberish",
        _mean_of("gibberish", "empty"),
        raised=0.1,
        cleared=0.05,
        text="{0:.0%} of the answers are empty or noise: the reward is hacked, or the policy has broken. Gate "
        "config.reward with quality (see rewards/weighted.py), raise config.algorithm.kl.coef, or lower "
        "config.boundary_optimization.schedule.peak.",
    ),
    Symptom(
        "sampler and scorer disagree",
        _mean_of("sampler_gap"),
        raised=0.1,
        cleared=0.05,
        text="the sampler's log-probabilities are off by {0:.2f} nats a token from those of the update, so answers are "
        "not the policy's own. Set config.model.compute_dtype=float32; if it stays, this is a fault of the program.",
    ),
)


@dataclass
class Alarms:
    """Sees the steps of one stage in order, and says what is new. The state is a function of the steps seen."""

    symptoms: Sequence[Symptom] = SYMPTOMS
    series: dict[str, list[float]] = field(default_factory=dict)
    ringing: set[str] = field(default_factory=set)

    def see(self, line: Mapping[str, Any]) -> list[Alarm]:
        """line: {"step": int, metric: value, ...}; the alarms that it raises."""
        for name, value in line.items():
            if isinstance(value, int | float):
                self.series.setdefault(name, []).append(float(value))
        new = []
        for symptom in self.symptoms:
            measured = symptom.measure(self.series)
            if measured is None:
                continue
            if measured < symptom.cleared:
                self.ringing.discard(symptom.name)
            elif measured >= symptom.raised and symptom.name not in self.ringing:
                self.ringing.add(symptom.name)
                new.append(Alarm(int(line["step"]), symptom.name, symptom.text.format(measured)))
        return new


def alarms(history: Iterable[Mapping[str, Any]]) -> list[Alarm]:
    """All alarms that a stage's lines of logs/metrics.jsonl raise, in order."""
    seen = Alarms()
    return [alarm for line in history for alarm in seen.see(line)]
