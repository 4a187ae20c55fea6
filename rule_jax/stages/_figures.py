"""What judges said of answers and queries, as the rows of evaluate/<model>/metrics.json."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rule_jax.types import Judged, PromptRecord, ScoringTask, Task

NONE_FITS = {"n": 0, "all": "no query of it is short enough for the model"}


def figures(tasks: Sequence[Task], judged: Mapping[str, Sequence[tuple[PromptRecord, Mapping[str, float]]]]) -> dict:
    """{task: {metric: mean over records and samples, ..., "n": records}}, with "per_target" where there are targets.

    Tasks "parent/child" are pooled as "parent", and given apart. A task without answers has the
    reason instead, see `explained`.
    """
    pooled: dict[str, list[tuple[PromptRecord, Mapping[str, float]]]] = defaultdict(list)
    for task in tasks:
        pooled[task.name] += judged[task.name]
        parent, _, child = task.name.partition("/")
        if child:
            pooled[parent] += judged[task.name]
    return {name: _means(verdicts) if verdicts else dict(NONE_FITS) for name, verdicts in pooled.items()}


def _means(verdicts: Sequence[tuple[PromptRecord, Mapping[str, float]]]) -> dict[str, Any]:
    def mean(some: Sequence[tuple[PromptRecord, Mapping[str, float]]]) -> dict[str, Any]:
        metrics = some[0][1].keys() if some else ()
        means: dict[str, Any] = {m: float(np.mean([verdict[m] for _, verdict in some])) for m in metrics}
        return {**means, "n": len({id(record) for record, _ in some})}

    targets = sorted({record.target for record, _ in verdicts} - {""})
    per_target = {target: mean([v for v in verdicts if v[0].target == target]) for target in targets}
    return mean(verdicts) | ({"per_target": per_target} if targets else {})


def scored(tasks: Sequence[ScoringTask], judged: Judged) -> dict[str, dict[str, Any]]:
    """{task: {metric: mean over queries, "n": queries}}, without the metrics whose name begins with "_".

    Where a query has no value (NaN), neither has the task: the reason stands in its place, see `explained`.
    """
    table: dict[str, dict[str, Any]] = {}
    for task in tasks:
        values = judged[task.name]
        row: dict[str, Any] = {"n": len(values)}
        if not values:
            row |= NONE_FITS
        for metric in values[0] if values else ():
            if metric.startswith("_"):
                continue
            column = [value[metric] for value in values]
            lacking = sum(map(math.isnan, column))
            fault = f"{lacking} of {len(column)} texts have too few tokens for it"
            row[metric] = fault if lacking else float(np.mean(column))
        table[task.name] = row
    return table


def explained(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table with null for every figure that is no number, and why not under "reasons" in its row."""
    return {name: _explained(row) for name, row in table.items()}


def _explained(row: Mapping[str, Any]) -> dict[str, Any]:
    reasons = {key: value for key, value in row.items() if isinstance(value, str)}
    for key, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            reasons[key] = "it is not a finite number"
    kept = {key: None if key in reasons else value for key, value in row.items()}
    return {**kept, "reasons": reasons} if reasons else kept
