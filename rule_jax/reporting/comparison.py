"""Many runs side by side: what each method achieves over seeds and targets, and where it lies in the plane.

A *method* is what a training stage made, over all runs whose configs differ in seed and target alone; the models that
the runs began from are the method "base". Figures are means over runs with bootstrap intervals, and differences are
paired by (seed, target); where no method has two runs, they are means over questions, paired by question.

Two methods are called different only where the interval of their difference lies on one side of 0, or, where they share
neither seeds nor questions, where their own intervals lie apart.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rule_jax.errors import UserError
from rule_jax.metrics import statistics
from rule_jax.reporting import plane, published
from rule_jax.reporting.data import Values, attacked, collect, flat, read_questions
from rule_jax.reporting.figures import Figure, apart, of_questions, of_runs
from rule_jax.reporting.vocabulary import direction, model_label, task_names

BASE = "base"
# What runs of one method may differ in.
APART = ("seed", "data.path", "data.more_paths", "data.earlier", "watch", "report")
RESAMPLES = 2_000


@dataclass(frozen=True)
class Ran:
    """One run: its folder, what `collect` found there, and which seed and target it is of."""

    place: Path
    report: Mapping[str, Any]
    unit: str


@dataclass
class Method:
    """A row of the comparison. model: its stage. runs: those that have it, in order. values: by run or by question."""

    name: str
    family: str
    model: str
    runs: list[Ran] = field(default_factory=list)
    values: Values = field(default_factory=dict)


def compare(workdirs: Sequence[Path], reports: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The content of metrics.json of a comparison (schema 1). reports: of the runs, where they were collected before.

    schema      1
    over        "runs" or "questions": what figures are means over
    runs        [{"path", "seed", "targets", "group"}]
    settings    {dotted key: {group: value}}: what the groups of runs differ in
    reference   the method that the others are compared with, beside the base
    methods     [{"name", "model", "family", "runs": [path]}]
    figures     {method: {task: {metric: {"mean", "low", "high", "n", "better": 1 | -1 | 0, "versus": {other method:
                {"mean", "low", "high", "n", "paired", "verdict": 1 (better) | -1 (worse) | 0}}}}}}
    planes      as plane.summary says, by reading
    published   as published.tables says, a row a method

    Raises UserError for a folder that is given twice or is no finished run.
    """
    runs = _read(workdirs, reports)
    groups = _groups(runs)
    methods = _methods(groups)
    over = "runs" if any(len(method.runs) > 1 for method in methods if method.model != BASE) else "questions"
    for method in methods:
        method.values = _by_run(method) if over == "runs" else _by_question(method)
    reference = next((m.name for m in reversed(methods) if m.runs[0] in next(iter(groups.values()))), BASE)
    against = [method for method in methods if method.name in (BASE, reference)]
    return {
        "schema": 1,
        "over": over,
        "runs": [
            {"path": str(run.place), "seed": run.report["seed"], "targets": run.report["targets"], "group": name}
            for name, members in groups.items()
            for run in members
        ],
        "settings": _settings(groups),
        "reference": reference,
        "methods": [
            {"name": m.name, "model": m.model, "family": m.family, "runs": [str(run.place) for run in m.runs]}
            for m in methods
        ],
        "figures": {method.name: _figures(method, against, over) for method in methods},
        "published": published.tables(
            {m.name: [published.figures(run.report, m.model) for run in m.runs] for m in methods}
        ),
        "planes": plane.summary([point for method in methods for point in _points(method)]),
    }


def _read(workdirs: Sequence[Path], reports: Sequence[Mapping[str, Any]] | None) -> list[Ran]:
    places = [Path(workdir) for workdir in workdirs]
    twice = [place for place in places if [p.resolve() for p in places].count(place.resolve()) > 1]
    if twice:
        raise UserError(f"{twice[0]} is given twice; a run counts once")
    reports = [collect(place) for place in places] if reports is None else reports
    told = len({_target(report) for report in reports}) > 1
    units = [f"seed {report['seed']}" + (f", {_target(report)}" if told else "") for report in reports]
    return [Ran(*each) for each in zip(places, reports, units)]


def _target(report: Mapping[str, Any]) -> str:
    data = report["config"].get("data", {})
    return "+".join(Path(path).name for path in (data.get("path", ""), *data.get("more_paths", ())))


def _groups(runs: Sequence[Ran]) -> dict[str, list[Ran]]:
    """Runs by method, under a name made of what their folders have in common and others have not."""
    by_config: dict[str, list[Ran]] = {}
    for run in runs:
        by_config.setdefault(json.dumps(_identity(run), sort_keys=True), []).append(run)
    root = os.path.commonpath([run.place.absolute() for run in runs])
    named: dict[str, list[Ran]] = {}
    for members in by_config.values():
        shared = Path(os.path.commonpath([run.place.absolute() for run in members]))
        name = shared.name if shared == Path(root) else str(shared.relative_to(root))
        while name in named:
            name += "'"
        named[name] = members
    return named


def _identity(run: Ran) -> dict[str, Any]:
    return {key: value for key, value in flat(run.report["config"]) if not key.startswith(APART)}


def _settings(groups: Mapping[str, Sequence[Ran]]) -> dict[str, dict[str, Any]]:
    found = {name: _identity(members[0]) for name, members in groups.items()}
    keys = dict.fromkeys(key for identity in found.values() for key in identity)
    table = {key: {name: identity.get(key) for name, identity in found.items()} for key in keys}
    return {key: row for key, row in table.items() if len({json.dumps(value) for value in row.values()}) > 1}


def _methods(groups: Mapping[str, Sequence[Ran]]) -> list[Method]:
    """The base, then the models of each group. Runs with one start (model, seed, data) share their base."""
    base, methods, seen = Method(BASE, BASE, BASE), [], set()
    for name, members in groups.items():
        for model in dict.fromkeys(model for run in members for model in run.report["stages"]):
            having = [run for run in members if model in run.report["stages"]]
            if model == BASE:
                for run in having:
                    start = (run.unit, run.report["config"].get("model", {}).get("path"))
                    base.runs += [run] if start not in seen else []
                    seen.add(start)
            else:
                label = f"{name}: {model_label(model).lower()}" if len(groups) > 1 else model_label(model).lower()
                methods.append(Method(label, _family(having[0], model), model, having))
    return [base, *methods] if base.runs else methods


def _family(run: Ran, model: str) -> str:
    section = {"boundary_optimization": "algorithm", "baseline": "baseline"}.get(model, "")
    return f"{model} {run.report['config'].get(section, {}).get('name', '')}".strip()


def _by_run(method: Method) -> Values:
    values: Values = {}
    for unit, run in _units(method.runs):
        evaluated = run.report["stages"][method.model] | attacked(run.report, method.model)
        for task, row in evaluated.items():
            for metric, value in row.items():
                if isinstance(value, int | float) and metric != "n":
                    values.setdefault(task, {}).setdefault(metric, {})[unit] = float(value)
    return values


def _units(runs: Iterable[Ran]) -> list[tuple[str, Ran]]:
    """Each run under its seed and target; of several with the same, the later ones are numbered."""
    count: dict[str, int] = {}
    named = []
    for run in runs:
        count[run.unit] = count.get(run.unit, 0) + 1
        named.append((run.unit if count[run.unit] == 1 else f"{run.unit} ({count[run.unit]})", run))
    return named


def _by_question(method: Method) -> Values:
    values: Values = {}
    for run in method.runs:
        for task, metrics in read_questions(run.place, method.model).items():
            for metric, by in metrics.items():
                column = values.setdefault(task, {}).setdefault(metric, {})
                column.update({f"{run.unit}: {question}": value for question, value in by.items()})
    return values


def _points(method: Method) -> list[plane.Point]:
    return [
        plane.Point(
            method.name,
            method.family,
            unit,
            {reading: plane.place(run.report, method.model, reading) for reading in plane.READINGS},
        )
        for unit, run in _units(method.runs)
    ]


def _figures(method: Method, against: Sequence[Method], over: str) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for task in task_names({method.name: method.values}):
        for metric, column in method.values[task].items():
            own, better = _mean(metric, column, over), direction(task, metric)
            versus = {
                other.name: _difference(metric, column, other.values[task][metric], over, better)
                for other in against
                if other is not method and metric in other.values.get(task, {})
            }
            row = {"mean": own.value, "low": own.low, "high": own.high, "n": own.n, "better": better, "versus": versus}
            table.setdefault(task, {})[metric] = row
    return table


def _mean(metric: str, column: Mapping[str, float], over: str) -> Figure:
    values = list(column.values())
    return of_runs(metric, values) if over == "runs" else of_questions(metric, values)


def _difference(
    metric: str, own: Mapping[str, float], other: Mapping[str, float], over: str, better: int
) -> dict[str, Any]:
    shared = [unit for unit in own if unit in other]
    if len(shared) > 1:
        resamples = statistics.RESAMPLES if over == "runs" else RESAMPLES
        found = statistics.paired_difference(
            [own[unit] for unit in shared], [other[unit] for unit in shared], resamples=resamples
        )
        sign = (found.low > 0) - (found.high < 0) if statistics.separated(found) else 0
        return {**found._asdict(), "paired": True, "verdict": sign * better}
    one, two = _mean(metric, own, over), _mean(metric, other, over)
    sign = apart(one, two)
    gap = {"mean": one.value - two.value, "low": None, "high": None, "n": min(one.n, two.n)}
    return {**gap, "paired": False, "verdict": sign * better}
