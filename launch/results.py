"""What a sweep found, from the files of its runs alone: a row a point and model, as CSV and Parquet, and a page."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from launch.local import Places
from launch.points import Point
from rule_jax import files
from rule_jax.metrics import pareto
from rule_jax.reporting import comparison_page
from rule_jax.reporting.data import attacked, collect
from rule_jax.reporting.plane import place

PLACE = ("forget", "retain", "refused", "over_refused")
ABOUT = ("label", "seed", "config", "digest", "model")
Row = dict[str, Any]


def rows(point: Point, report: Mapping[str, Any]) -> list[Row]:
    """A row a model of a finished point: ABOUT, what the sweep set ("config.<key>"), and every figure
    ("<task>/<metric>", attacks as tasks of their own), with where the model lies in the plane (PLACE; see
    reporting.plane) and how its refusals are worded ("wordings/..."; see reporting.answers.wordings). report: of its
    run, as from reporting.data.collect."""
    own = {f"config.{key}": value for key, value in point.overrides.items()}
    made = []
    for model, tasks in report["stages"].items():
        about = (point.label, point.seed, point.config, point.digest, model)
        spot = place(report, model, "leak")
        figures = {
            f"{task}/{metric}": value
            for task, row in {**tasks, **attacked(report, model)}.items()
            for metric, value in row.items()
            if isinstance(value, int | float) or value is None
        }
        plane = {name: getattr(spot, name) for name in PLACE} if spot else {}
        wordings = {f"wordings/{name}": value for name, value in report["wordings"].get(model, {}).items()}
        made.append({**dict(zip(ABOUT, about)), **own, **plane, **figures, **wordings})
    return made


def write(points: Sequence[Point], places: Places, shown: Sequence[Point]) -> list[Path]:
    """results.csv, results.parquet and costs.csv of finished points, and the page of those that are shown, where these
    are several; returns the paths.

    Only costs.csv, the seconds of each stage, is another when points are run again. What one run took over from another
    (see sharing) costs it nothing there.
    """
    out, runs = places.workdir, [places.run(point) for point in points]
    reports = {run: collect(run) for run in runs}
    table = [row for point, run in zip(points, runs) for row in rows(point, reports[run])]
    names = {"table": out / "results.csv", "parquet": out / "results.parquet", "costs": out / "costs.csv"}
    files.write_text(names["table"], _csv(table))
    _write_parquet(names["parquet"], table)
    costs = [files.read_json(run / "time.json")["time_s"] for run in runs]
    files.write_text(
        names["costs"], _csv([{"label": p.label, "seed": p.seed, **cost} for p, cost in zip(points, costs)])
    )
    if len(shown) < 2:
        return [*names.values()]
    kept = [places.run(point) for point in shown]
    return [*names.values(), comparison_page.write(kept, out / "report", [reports[run] for run in kept])]


def _columns(table: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in table for key in row))


def _csv(table: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(table), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _write_parquet(path: Path, table: Sequence[Row]) -> None:
    """A column that holds more than one kind of value, or lists, is text."""
    made = {name: _column([row.get(name) for row in table]) for name in _columns(table)}
    with files.draft(path) as file:
        parquet.write_table(pa.table(made), file)


def _column(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    if len(kinds) == 1 and kinds <= {str, bool}:
        return pa.array(values)
    return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def front(table: Sequence[Mapping[str, Any]], model: str, column: str) -> dict[str, list[Mapping[str, Any]]]:
    """For each value of `column` the rows of a model that none of the same value dominates in (1 - forget, retain), the
    highest `harmony` first. Rows without a place in the plane are not looked at."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in table:
        if row["model"] == model and row.get("forget") is not None:
            groups.setdefault(row[column], []).append(row)
    found = {}
    for name, rows in groups.items():
        kept = pareto.non_dominated([[1 - row["forget"], row["retain"]] for row in rows])
        found[name] = sorted((rows[place] for place in kept), key=harmony, reverse=True)
    return found


def harmony(row: Mapping[str, Any]) -> float:
    """The harmonic mean of 1 - forget and retain: 1 for a model that forgets all and keeps all, 0 if either fails."""
    forgotten, kept = 1 - row["forget"], row["retain"]
    return 2 * forgotten * kept / (forgotten + kept) if forgotten + kept > 0 else 0.0
