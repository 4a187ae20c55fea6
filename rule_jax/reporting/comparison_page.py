"""The page of many runs: what `comparison.compare` found, as one HTML file without network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rule_jax import files
from rule_jax.reporting import plots, published
from rule_jax.reporting.comparison import BASE, compare
from rule_jax.reporting.figures import Figure, shown
from rule_jax.reporting.templates import template
from rule_jax.reporting.vocabulary import METRICS, TASKS, percent, task_label, task_names

MAX_SETTINGS = 60  # rows of what the runs differ in; metrics.json has all
AXES = {
    "leak": ("target answers leaked", "other questions right", "Leaks and right answers"),
    "rouge_l": (
        "ROUGE-L recall, target",
        "ROUGE-L recall, others",
        "ROUGE-L recall on either side, as the paper has it",
    ),
}
BESIDE = {  # of a method in the plane -> what a strip shows
    "forget": "targets:\nleaked",
    "refused": "targets:\nrefused",
    "retain": "others:\nright",
    "over_refused": "others:\nrefused",
}
VERDICTS = {1: "better", -1: "worse", 0: "not separated"}


def write(workdirs: Sequence[Path], out: Path, reports: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Writes `out`/metrics.json and `out`/report.html of several finished runs; returns the page's path.

    reports: of the runs, as from data.collect, where they were read before. Where figures fit the layout of a paper's
    table, `out`/tables.md has that too.
    Raises UserError as `comparison.compare` does.
    """
    compared = compare(workdirs, reports)
    files.write_json(out / "metrics.json", compared)
    files.write_text(out / "report.html", render(compared))
    if compared["published"]:
        files.write_text(out / "tables.md", published.markdown(compared["published"]))
    return out / "report.html"


def render(compared: Mapping[str, Any]) -> str:
    """The page. compared: as from `comparison.compare`."""
    names = [method["name"] for method in compared["methods"]]
    return template("comparison.html").render(
        compared=compared,
        names=names,
        headline=_headline(compared),
        planes=[_plane(reading, found) for reading, found in compared["planes"].items()],
        strips=_strips(compared),
        table=[_task_rows(compared["figures"], task) for task in task_names(compared["figures"])],
        differences=_differences(compared),
        settings=list(compared["settings"].items())[:MAX_SETTINGS],
        groups=list(dict.fromkeys(run["group"] for run in compared["runs"])),
    )


def _headline(compared: Mapping[str, Any]) -> str:
    """Which method covers most of the plane, and from which others the data can tell it apart."""
    found = compared["planes"].get("leak")
    if not found or len(found["methods"]) < 2:
        return "No run has figures on both sides of the boundary: there is nothing to compare"
    rows = {name: row["hypervolume"] for name, row in found["methods"].items() if name != BASE}
    first = max(rows, key=lambda name: rows[name]["mean"])
    best = rows[first]
    if best["low"] is None:
        return f"“{first}” covers most of the plane, {percent(best['mean'])}; one run says nothing of other seeds"
    words = f"“{first}” covers most of the plane, {percent(best['mean'])} ({_range(best)})"
    alike = [name for name, row in rows.items() if name != first and not (row["high"] or row["mean"]) < best["low"]]
    if not alike:
        return f"{words}; every other interval lies below" if len(rows) > 1 else words
    return f"{words}; not separated from it: {', '.join(alike)}"


def _range(row: Mapping[str, Any]) -> str:
    return f"95% interval {100 * row['low']:.1f}–{percent(row['high'])} over {row['n']} runs"


def _plane(reading: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Behind the base, the methods that cover most stand first."""
    xlabel, ylabel, caption = AXES[reading]
    clouds, rows = {}, []
    ordered = sorted(found["methods"].items(), key=lambda item: (item[0] != BASE, -item[1]["hypervolume"]["mean"]))
    for name, row in ordered:
        runs = [(point["forget"], point["retain"]) for point in found["points"] if point["method"] == name]
        figures = {key: _figure("share_rate", row[key]) for key in ("forget", "retain", "hypervolume")}
        clouds[name] = plots.Cloud(runs, plots.Point(name, figures["forget"].ends, figures["retain"].ends))
        rows.append({"name": name, "best": row["non_dominated"], **figures})
    front = sorted((row["forget"].value, row["retain"].value) for row in rows if row["best"])
    svg = plots.plane(f"plane-{reading}", clouds, front, xlabel, ylabel)
    return {"caption": caption, "svg": svg, "rows": rows, "families": found["families"], "all": found}


def _strips(compared: Mapping[str, Any]) -> str:
    """The base and what the last stage of each group of runs left, in the order in which they were given; "" where no
    run has a place in the plane of leaks."""
    found = compared["planes"].get("leak", {}).get("methods", {})
    groups = {run["path"]: run["group"] for run in compared["runs"]}
    last = {groups[m["runs"][0]]: m["name"] for m in compared["methods"] if m["model"] != BASE}
    rows = {label: found[name] for label, name in {BASE: BASE, **last}.items() if name in found}
    columns = {
        words: {label: _figure("share_rate", row[key]).ends for label, row in rows.items() if row[key]}
        for key, words in BESIDE.items()
    }
    return plots.strips("strips", "Group by group", [*rows], columns) if rows else ""


def _figure(metric: str, row: Mapping[str, Any]) -> Figure:
    return Figure(row["mean"], row["n"], row["low"], row["high"], shown(metric, row["mean"]))


def _task_rows(figures: Mapping[str, Mapping], task: str) -> dict[str, Any]:
    """One block of the table: a row a metric, a cell a method, marked where it differs from the base."""
    metrics = dict.fromkeys(metric for tasks in figures.values() for metric in tasks.get(task, {}))
    rows = []
    for metric in metrics:
        found = [tasks.get(task, {}).get(metric) for tasks in figures.values()]
        better = next(row["better"] for row in found if row)
        if better or any(row and row["mean"] for row in found):
            cells = [{"figure": row and _figure(metric, row), "mark": _mark(row)} for row in found]
            rows.append({"label": METRICS.get(metric, metric), "better": better, "cells": cells})
    label, about = task_label(task), TASKS.get(task, ("", ""))[1]
    return {"task": task, "label": label, "about": about, "rows": rows}


def _mark(row: Mapping[str, Any] | None) -> str:
    verdict = row["versus"].get(BASE, {}).get("verdict", 0) if row else 0
    return {1: "better", -1: "worse", 0: ""}[verdict]


def _differences(compared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the methods of the reference's stage do otherwise than it, by task and metric that has a better side."""
    models = {method["name"]: method["model"] for method in compared["methods"]}
    reference = compared["reference"]
    rows = []
    for name, tasks in compared["figures"].items():
        if models[name] != models[reference]:
            continue
        for task, metrics in tasks.items():
            for metric, row in metrics.items():
                found = row["versus"].get(reference)
                if found and row["better"]:
                    rows.append(
                        {
                            "name": name,
                            "task": task_label(task),
                            "metric": METRICS.get(metric, metric),
                            "figure": _figure(metric, found),
                            "paired": found["paired"],
                            "words": VERDICTS[found["verdict"]],
                        }
                    )
    return rows
