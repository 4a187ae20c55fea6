"""The forget-retain plane: where a model lies in it, and what a set of models achieves on both axes together.

Two readings. "leak": the share of questions about the target whose answer gives the truth away, against the share of
other questions that are answered rightly. "rouge_l": the ROUGE-L recall of the reference answers on either side, which
is what the paper (arXiv 2506.07171) and RWKU print. Either axis is the mean over the tasks of its side, each task
counting alike; prompts without the chat template, sampled answers and earlier targets are not in it. General ability
(MMLU and its like) is an axis of its own, "utility".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rule_jax.metrics import pareto
from rule_jax.reporting.figures import Figure, figure, mean_of, of_runs
from rule_jax.reporting.vocabulary import Side, counts, side

READINGS = {"leak": ("leak_rate", "accuracy"), "rouge_l": ("rouge_l_recall", "rouge_l_recall")}
UTILITIES = ("accuracy", "exact_match", "true_share")
REFUSALS = ("refusal_rate", "over_refusal_rate")
# Of (1 - forget, retain): everything that was known is told, nothing else is. The worst there is, and the same for all.
REFERENCE_POINT = (0.0, 0.0)
FORGET_LIMITS, RETAIN_SHARE = (0.1, 0.2, 0.3), 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model lies. forget: less is better. refused, over_refused: the share of questions on the forget side and
    on the other that are refused. utility: of general ability. of_base: retain relative to that of the model which the
    run began from. None where something was not measured, or the base's retain is 0."""

    forget: float
    retain: float
    refused: float | None
    over_refused: float | None
    utility: float | None
    of_base: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """A model of one run. family: the method by which it was trained, whatever the settings. places: by reading, None
    where there is none."""

    method: str
    family: str
    run: str
    places: Mapping[str, Place | None]


def axes(stages: Mapping, model: str, metrics: tuple[str, str]) -> tuple[Figure | None, Figure | None]:
    """(forget, retain) of a model by a metric each, with intervals where the parts have them."""
    told, kept = metrics
    return mean_of(_parts(stages, model, "forget", (told,))), mean_of(_parts(stages, model, "retain", (kept,)))


def place(report: Mapping[str, Any], model: str, reading: str) -> Place | None:
    """Where a model of a run lies; None where an axis was not measured. report: of the run, as from data.collect."""
    stages = report["stages"]
    forget, retain = axes(stages, model, READINGS[reading])
    if forget is None or retain is None:
        return None
    base = axes(stages, "base", READINGS[reading])[1]
    return Place(
        forget=forget.value,
        retain=retain.value,
        refused=_mean_over(stages, model, "forget", REFUSALS),
        over_refused=_mean_over(stages, model, "retain", REFUSALS),
        utility=_mean_over(stages, model, "utility", UTILITIES),
        of_base=retain.value / base.value if base and base.value else None,
    )


def summary(points: Sequence[Point]) -> dict[str, Any]:
    """By reading, what there is of it:

    points          [{"method", "family", "run", the fields of a Place, "non_dominated"}]
    hypervolume     of all points, above the reference point
    reference_point (1 - forget, retain)
    methods         {method: {"forget", "retain", "refused", "over_refused", "hypervolume", "non_dominated"}}: means
                    over its runs, each a dict of mean, low, high, n (refusals: None where a run lacks them); and
                    whether no other method's mean is better on both axes. The hypervolume of one run's model is the
                    rectangle (1 - forget) x retain
    families        {family: {"points", "hypervolume", "trapezoid_auc", "retain_at_forget": {limit: retain | null},
                    "forget_at_retain_of_base": forget | null}}: of all its points together
    """
    table = {}
    for reading in READINGS:
        found = [(point, spot) for point in points if (spot := point.places.get(reading)) is not None]
        if not found:
            continue
        best = set(pareto.non_dominated([_up(spot) for _, spot in found]))
        table[reading] = {
            "points": [
                {
                    "method": point.method,
                    "family": point.family,
                    "run": point.run,
                    **{name: getattr(spot, name) for name in Place.__slots__},
                    "non_dominated": number in best,
                }
                for number, (point, spot) in enumerate(found)
            ],
            "hypervolume": pareto.hypervolume([_up(spot) for _, spot in found], REFERENCE_POINT),
            "reference_point": list(REFERENCE_POINT),
            "methods": _methods(found),
            "families": _families(found),
        }
    return table


def _parts(stages: Mapping, model: str, wanted: Side, metrics: Sequence[str]) -> list[Figure]:
    tasks = [task for task in stages.get(model, {}) if side(task) == wanted and counts(task)]
    found = [[figure(stages, model, task, metric) for metric in metrics] for task in tasks]
    return [first for row in found if (first := next((f for f in row if f), None))]


def _mean_over(stages: Mapping, model: str, wanted: Side, metrics: Sequence[str]) -> float | None:
    mean = mean_of(_parts(stages, model, wanted, metrics))
    return mean.value if mean else None


def _up(spot: Place) -> tuple[float, float]:
    """More is better on both axes."""
    return 1 - spot.forget, spot.retain


def _methods(found: Sequence[tuple[Point, Place]]) -> dict[str, Any]:
    by_method: dict[str, list[Place]] = {}
    for point, spot in found:
        by_method.setdefault(point.method, []).append(spot)
    rows = {}
    for name, spots in by_method.items():
        areas = [pareto.hypervolume([_up(spot)], REFERENCE_POINT) for spot in spots]
        columns = {
            key: [getattr(spot, key) for spot in spots] for key in ("forget", "retain", "refused", "over_refused")
        }
        columns["hypervolume"] = areas
        rows[name] = {key: _mean(key, values) for key, values in columns.items()}
    best = pareto.non_dominated([(1 - row["forget"]["mean"], row["retain"]["mean"]) for row in rows.values()])
    return {name: {**row, "non_dominated": number in best} for number, (name, row) in enumerate(rows.items())}


def _mean(name: str, values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    mean = of_runs(name, known)
    return {"mean": mean.value, "low": mean.low, "high": mean.high, "n": mean.n}


def _families(found: Sequence[tuple[Point, Place]]) -> dict[str, Any]:
    by_family: dict[str, list[Place]] = {}
    for point, spot in found:
        by_family.setdefault(point.family, []).append(spot)
    return {name: _family(spots) for name, spots in by_family.items()}


def _family(spots: Sequence[Place]) -> dict[str, Any]:
    up = [_up(spot) for spot in spots]
    relative = [(1 - spot.forget, spot.of_base) for spot in spots if spot.of_base is not None]
    kept = pareto.best_where(relative, axis=1, at_least=RETAIN_SHARE, of=0) if relative else None
    return {
        "points": len(spots),
        "hypervolume": pareto.hypervolume(up, REFERENCE_POINT),
        "trapezoid_auc": pareto.trapezoid_auc([x for x, _ in up], [y for _, y in up], retain_at_least=0.0),
        "retain_at_forget": {
            f"{limit:g}": pareto.best_where(up, axis=0, at_least=1 - limit, of=1) for limit in FORGET_LIMITS
        },
        "forget_at_retain_of_base": None if kept is None else 1 - kept,
    }
