"""What a run did, as figures (`report/metrics.json`) and as a page (`report/report.html`).

The page is one file that needs no network; it is a pure function of the figures, the training log and the generations.
Intervals on it are over the questions that were asked (figures.py); `comparison` has those over seeds and targets.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import Any

from rule_jax import files
from rule_jax.reporting import audit, panels, plane, plots, published
from rule_jax.reporting.alarms import alarms
from rule_jax.reporting.data import collect, flat, read_examples, read_training
from rule_jax.reporting.figures import apart, figure
from rule_jax.reporting.templates import template
from rule_jax.reporting.verdict import LIMITS, final_model, under_attack, verdict
from rule_jax.reporting.vocabulary import (
    ATTACKS,
    METRICS,
    NOT_TESTED,
    TASKS,
    direction,
    model_label,
    task_label,
    task_names,
)

MAX_EXAMPLES_PER_TASK, MAX_ANSWERS, MAX_TEXT_BYTES = 40, 1400, 600
ERASURE = ("request_id", "made", "data", "models", "record_sha256")  # of the record, on the page
BADGES = {  # metric -> (word when it holds, word when it does not)
    "refusal_rate": ("refuses", "answers"),
    "leak_rate": ("leaks", ""),
    "names_target_rate": ("names target", ""),
    "accuracy": ("right", "wrong"),
    "over_refusal_rate": ("refuses wrongly", ""),
}


def write(workdir: Path) -> Path:
    """Write `report/metrics.json` and `report/report.html` of a finished run; returns the page's path.

    Where the figures fit the layout of a paper's table, `report/tables.md` has that too.
    `report/audit.json` is written with them once, and never again: it is what later states are compared with.

    Raises UserError for an input that is missing or not what the head of `data` describes.
    """
    workdir = Path(workdir)
    report, training = collect(workdir), read_training(workdir)
    examples = read_examples(workdir, list(report["stages"]))
    kept = audit.write(workdir, report)
    report["erasure"] = {key: kept[key] for key in ERASURE}
    page = render(report, training, examples)
    files.write_json(workdir / "report" / "metrics.json", report)
    files.write_text(workdir / "report" / "report.html", page)
    if report["published"]:
        files.write_text(workdir / "report" / "tables.md", published.markdown(report["published"]))
    return workdir / "report" / "report.html"


def render(report: Mapping[str, Any], training: Sequence[Mapping[str, Any]], examples: Sequence[Mapping]) -> str:
    """The page: one HTML file that needs no network.

    report: as from `collect`. training: as from `read_training`. examples: as from `read_examples`.
    """
    stages = report["stages"]
    models = list(stages)
    final = final_model(report)
    targets = list(dict.fromkeys(e["target"] for e in examples if e["target"]))
    logged = dict.fromkeys(line["stage"] for line in training)
    curves = {s: panels.training_panels(s, [line for line in training if line["stage"] == s]) for s in logged}
    ran = task_names(stages)
    return template("report.html").render(
        report=report,
        models=models,
        model_names=[model_label(model) for model in models],
        final=final,
        targets=targets,
        verdict=verdict(stages, final, targets),
        attacks=_attacks(report["robustness"], final),
        under_attack=under_attack(report["robustness"], final),
        samples=_samples(report["robustness"]),
        relearning=_relearning(report["robustness"].get(final, {}).get("relearning", {})),
        drift=report["robustness"].get(final, {}).get("drift"),
        rings=_rings(report["rings"]),
        table=[_task_rows(stages, task) for task in ran],
        planes=_planes(stages),
        confusion=_confusion_figures(report["confusion"]),
        training={stage: shown for stage, shown in curves.items() if shown},
        alarms={stage: alarms(line for line in training if line["stage"] == stage) for stage in logged},
        examples=_example_groups(examples, models, final),
        per_target=_per_target(stages, final),
        config=sorted((key, json.dumps(value, ensure_ascii=False)) for key, value in flat(report["config"])),
        not_tested=[
            words
            for marks, words in NOT_TESTED
            if not any(mark in name for mark in marks for name in [*ran, *_tried(report)])
        ],
        limits=LIMITS,
    )


def _task_rows(stages: Mapping, task: str) -> dict[str, Any]:
    """One block of the before/after table: a row a metric, a cell a model, marked where it differs from the base.

    A metric that only informs and is 0 for every model has nothing to tell and no row.
    """
    notes = ("n", "per_target", "reasons", "intervals")
    metrics = dict.fromkeys(m for model in stages.values() for m in model.get(task, {}) if m not in notes)
    rows = []
    for metric in metrics:
        better = direction(task, metric)
        base = figure(stages, "base", task, metric)
        cells = []
        for model in stages:
            cell = figure(stages, model, task, metric)
            mark = {1: "better", -1: "worse", 0: ""}[apart(cell, base) * better]
            cells.append({"figure": cell, "mark": mark})
        if better or not all(cell["figure"] and cell["figure"].value == 0 for cell in cells):
            rows.append({"label": METRICS.get(metric, metric), "better": better, "cells": cells})
    label, about = TASKS.get(task, (task, ""))
    return {"task": task, "label": label, "about": about, "rows": rows}


def _planes(stages: Mapping) -> list[dict[str, str]]:
    """The forget-retain planes: the share of the other questions that is answered rightly, against refusals of those
    about the target, and against leaks."""
    planes = []
    for metric, xlabel in (("refusal_rate", "target questions refused"), ("leak_rate", "target answers leaked")):
        points = []
        for model in stages:
            x, y = plane.axes(stages, model, (metric, "accuracy"))
            if x and y:
                points.append(plots.Point(model_label(model), x.ends, y.ends))
        if points:
            ideal_right = metric == "refusal_rate"
            svg = plots.forget_retain(
                f"plane-{metric}", points, xlabel, "other questions right", ideal_right=ideal_right
            )
            planes.append({"caption": METRICS[metric], "svg": svg})
    return planes


def _not_tested(tried: Sequence[str]) -> list[str]:
    return [words for marks, words in NOT_TESTED if not any(mark in name for mark in marks for name in tried)]


def _tried(report: Mapping[str, Any]) -> list[str]:
    """The attacks that were made, and "relearning", "drift" and "natural" where they were looked at."""
    found = report["robustness"].values()
    judged = ["natural" for of in report["judged"].values() for row in of.values() if row.get("ratings")]
    return [*(a for of in found for a in of["attacks"]), *(k for of in found for k, v in of.items() if v), *judged]


def _attacks(robustness: Mapping[str, Mapping], final: str) -> list[dict[str, Any]]:
    """[{"models", "rows": [{"label", "cells": [(leaks, refusals) of each model], "kept"}]}], figures or None."""
    models = [model for model in ("base", final) if model in robustness]
    tables = {model: robustness[model]["attacks"] for model in dict.fromkeys(models)}
    rows = []
    for attack in dict.fromkeys(attack for table in tables.values() for attack in table):
        leaks = "leak_any_rate" if attack == "sampled" else "leak_rate"
        cells = [tuple(figure(tables, model, attack, metric) for metric in (leaks, "refusal_rate")) for model in tables]
        of_final = tables.get(final, {}).get(attack, {})
        kept = {final: {attack: {"accuracy": of_final.get("kept_accuracy"), "n": of_final.get("kept_n")}}}
        rows.append(
            {"label": ATTACKS.get(attack, attack), "cells": cells, "kept": figure(kept, final, attack, "accuracy")}
        )
    return [{"models": list(tables), "rows": rows}] if rows else []


def _samples(robustness: Mapping[str, Mapping]) -> list[dict[str, str]]:
    """What leaks in at least one of k sampled answers, of the base and of the last model."""
    found = {model: of["attacks"].get("sampled", {}).get("leak_at") for model, of in robustness.items()}
    series = {
        model_label(model): [(int(k), leaks) for k, leaks in curve.items()] for model, curve in found.items() if curve
    }
    if not series:
        return []
    svg = plots.lines(
        "samples", "Leaks in at least one of several answers", "questions leaked", series, "percent", xlabel="answers"
    )
    return [
        {"caption": "Questions about the targets of which one sampled answer leaks, by how many are drawn", "svg": svg}
    ]


def _relearning(curves: Mapping[str, Sequence[Mapping]]) -> list[dict[str, str]]:
    if not curves:
        return []
    series = {f"{name}": [(point["step"], point["leak_rate"]) for point in curve] for name, curve in curves.items()}
    svg = plots.lines("relearning", "Leaks while the model is trained again", "other facts leaked", series, "percent")
    return [{"caption": "Facts about the targets that were not trained on, leaked", "svg": svg}]


def _rings(rings: Mapping[str, Sequence[Mapping]]) -> dict[str, Any]:
    """The figures by distance from the target: two plots, and the rows of a table."""
    names = list(dict.fromkeys(row["ring"] for rows in rings.values() for row in rows))
    if len(names) < 2:
        return {}
    drawn = []
    for key, caption in (("answered", "Answered with the truth"), ("refused", "Refused")):
        series = {model_label(model): {row["ring"]: row[key] for row in rows} for model, rows in rings.items()}
        svg = plots.by_ring(f"rings-{key}", f"{caption}, by distance from the target", caption.lower(), names, series)
        drawn.append({"caption": caption, "svg": svg})
    table = [
        {"ring": name, "cells": [next((r for r in rows if r["ring"] == name), None) for rows in rings.values()]}
        for name in names
    ]
    return {"plots": drawn, "table": table}


def _confusion_figures(confusion: Mapping) -> list[dict[str, str]]:
    figures = []
    for task in task_names(confusion):
        rows = {model_label(m): tasks[task] for m, tasks in confusion.items() if task in tasks}
        label, n = task_label(task), max(row["n"] for row in rows.values())
        svg = plots.confusion_bars(f"confusion-{task}", f"What became of the answers, {label}", rows)
        figures.append({"caption": f"{label}, n = {n}", "svg": svg})
    return figures


def _per_target(stages: Mapping, final: str) -> dict[str, Any]:
    """The table by target, of the metrics that have a better side.

    {"groups": {task label: number of columns}, "columns": [(metric label, direction)], "rows": [(target, [(base,
    final)])]}.
    """
    tasks = {t: row["per_target"] for t, row in stages[final].items() if row.get("per_target")}
    columns = [
        (task, metric)
        for task, per in tasks.items()
        for metric in dict.fromkeys(m for row in per.values() for m in row)
        if direction(task, metric)
    ]
    rows = []
    for target in dict.fromkeys(target for per in tasks.values() for target in per):
        views = {m: {t: row.get("per_target", {}).get(target, {}) for t, row in stages[m].items()} for m in stages}
        rows.append((target, [tuple(figure(views, m, t, k) for m in ("base", final)) for t, k in columns]))
    heads = [(METRICS.get(metric, metric), direction(task, metric)) for task, metric in columns]
    return {"groups": Counter(task_label(task) for task, _ in columns), "columns": heads, "rows": rows}


def _example_groups(examples: Sequence[Mapping], models: Sequence[str], final: str) -> list[dict[str, Any]]:
    """The examples by task, the final model's worst first, at most 40 a task and fewer when tasks and models are many.

    [{"task", "label", "total", "items": [{"prompt", "about", "answers", "fault", "outputs": [{"model", "text",
    "badges": [(word, tone)]}]}]}]; texts are cut at 600 bytes of HTML, so that the page stays below 2 MB.
    """
    by_task: dict[str, list[Mapping]] = {}
    for example in examples:
        by_task.setdefault(example["task"], []).append(example)
    names = [task for task in [*TASKS, *by_task] if task in by_task]
    cap = max(5, min(MAX_EXAMPLES_PER_TASK, MAX_ANSWERS // max(1, len(by_task) * len(models))))
    groups = []
    for task in dict.fromkeys(names):
        ranked = sorted(by_task[task], key=lambda e: -_faults(task, e["outputs"].get(final)))
        items = [
            {
                "prompt": _cut(e["prompt"]),
                "about": e["entity"] or e["target"] or "",
                "answers": _cut(" | ".join(e["answers"] or ())),
                "fault": _faults(task, e["outputs"].get(final)) >= 0.5,
                "outputs": [
                    {"model": m, "text": _cut(out["text"]), "badges": _badges(task, out["judged"])}
                    for m in models
                    if (out := e["outputs"].get(m))
                ],
            }
            for e in ranked[:cap]
        ]
        groups.append({"task": task, "label": task_label(task), "total": len(ranked), "items": items})
    return groups


def _faults(task: str, output: Mapping | None) -> float:
    """How bad an answer is: the sum over its judged metrics of the distance from their better end."""
    judged = output["judged"] if output else {}
    sides = ((value, direction(task, metric)) for metric, value in judged.items() if value is not None)
    return sum(1 - value if side > 0 else value for value, side in sides if side)


def _badges(task: str, judged: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """(word, "good" | "bad" | "plain") for each judgement that has a word to say."""
    badges = []
    for metric, value in judged.items():
        if value is None or metric not in BADGES:
            continue
        word = BADGES[metric][0 if value >= 0.5 else 1]
        side = direction(task, metric) * (1 if value >= 0.5 else -1)
        if word:
            badges.append((word, {1: "good", -1: "bad", 0: "plain"}[side]))
    return badges


def _cut(text: str) -> str:
    """As much of a text as takes 600 bytes once escaped and encoded, and a count of what is left out."""
    sizes = accumulate(len(escape(character).encode()) for character in text[:MAX_TEXT_BYTES])
    kept = sum(size <= MAX_TEXT_BYTES for size in sizes)
    return text if kept == len(text) else f"{text[:kept]} … ({len(text) - kept} more characters)"
