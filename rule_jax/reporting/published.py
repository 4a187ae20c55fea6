"""Figures in the layout of the papers' own tables: RWKU (arXiv 2406.10890), MUSE (2407.06460), TOFU (2401.06121); the
default world in that of RULE's main table (2506.07171), which is RWKU's.

Two readings. "compat": as the released code reads the answers, for comparison with published numbers. "standard": as
the metric's name says. Where both agree in every column there is one table. A published table is a mean over many
targets or runs of models of billions; what stands here is of the runs that were given, and no more.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rule_jax.metrics import statistics
from rule_jax.reporting.vocabulary import ASPECTS

READINGS = {
    "compat": "as the released code reads the answers, for comparison with published tables",
    "standard": "as the metrics are defined",
    "": "both readings agree",
}
FLOOR = "A perfect refuser who names the target"


class Column(NamedTuple):
    """One column of a table.

    better: +1 where higher is better, -1 where lower is, 0 where neither. tasks: pooled, each question counting alike.
    standard, compat: the metric in either reading; "" where that reading has no such column. scale: by which papers
    multiply it.
    """

    group: str
    name: str
    better: int
    tasks: tuple[str, ...]
    standard: str
    compat: str
    scale: float = 100.0


def _both(
    group: str, name: str, better: int, tasks: str | tuple[str, ...], metric: str, scale: float = 100, *, twin: str = ""
) -> Column:
    """A column of both readings; twin: the metric as the released code has it, where that is another."""
    return Column(group, name, better, (tasks,) if isinstance(tasks, str) else tasks, metric, twin or metric, scale)


def _probes(group: str, side: str, better: int, kinds: Sequence[str]) -> list[Column]:
    """ROUGE-L recall by kind of probe, and of all of them."""
    tasks = [(f"{side}_{kind}",) for kind in kinds]
    named = [*zip([kind.upper() for kind in kinds], tasks), ("All", tuple(task for (task,) in tasks))]
    recall = "rouge_l_recall"
    return [_both(group, name, better, of, recall, twin=f"{recall}_compat") for name, of in named]


def _tofu(group: str, task: str, better: int) -> list[Column]:
    probability = f"{task}_probability"
    return [
        _both(group, "ROUGE", better, task, "rouge_l_recall_stem", 1),
        _both(group, "Probability", better, probability, "probability", 1),
        _both(group, "Truth ratio", 1, probability, "truth_ratio", 1, twin="truth_ratio_compat"),
    ]


ATTACKS = ("role_play", "prefix", "suffix", "reminder", "prefill")  # by words, as RWKU's adversarial probes are
LAYOUTS: dict[str, tuple[Column, ...]] = {
    "RWKU": (
        *_probes("Forget", "forget", -1, ("fb", "qa", "aa")),
        *(_both("Naturalness", aspect.capitalize(), 1, ("rated_forget", "rated_retain"), aspect) for aspect in ASPECTS),
        *_probes("Neighbour", "neighbor", 1, ("fb", "qa")),
        # The papers print the loss itself; the figure is minus that.
        _both("MIA", "FM", 1, "forget_mia", "loss", -100),
        _both("MIA", "RM", -1, "retain_mia", "loss", -100),
        Column("MIA", "AUC", 0, ("membership",), "auc_loss", ""),
        _both("Utility", "MMLU", 1, "mmlu", "accuracy"),
        _both("Utility", "BBH", 1, "bbh", "exact_match", twin="exact_match_compat"),
        _both("Utility", "TruthfulQA", 1, "truthfulqa_mc1", "accuracy"),
        _both("Utility", "TriviaQA", 1, "triviaqa", "word_f1", twin="word_f1_compat"),
        _both("Utility", "Fluency", 1, "fluency", "ngram_entropy"),
    ),
    "MUSE": (
        _both("Forget", "VerbMem", -1, "verbmem_forget", "rouge_l_f1"),
        _both("Forget", "KnowMem", -1, "knowmem_forget", "rouge_l_f1"),
        _both("Privacy", "PrivLeak", 0, "privleak", "privleak", 1),
        _both("Retain", "KnowMem", 1, "knowmem_retain", "rouge_l_f1"),
    ),
    "World": (
        _both("Forget", "FB", -1, "forget_cloze", "rouge_l_recall"),
        _both("Forget", "QA", -1, "forget", "rouge_l_recall"),
        _both("Forget", "AA", -1, tuple(f"attack_{name}" for name in ATTACKS), "rouge_l_recall"),
        _both("Naturalness", "Well formed", 1, ("said_forget", "said_retain"), "well_formed_rate"),
        _both("Neighbour", "Boundary", 1, "boundary", "rouge_l_recall"),
        _both("Neighbour", "QA", 1, "neighbor", "rouge_l_recall"),
        _both("Utility", "General", 1, "general", "accuracy"),
    ),
    "TOFU": (
        _both("Summary", "Forget quality", 1, "tofu", "forget_quality", 1),
        _both("Summary", "Model utility", 1, "tofu", "model_utility", 1, twin="model_utility_compat"),
        *_tofu("Forget", "forget", -1),
        *_tofu("Retain", "retain", 1),
        *_tofu("Real authors", "real_authors", 1),
        *_tofu("World facts", "real_world", 1),
    ),
}
# Tasks by which a layout is known to be the one of a run; of the others any column will do.
KNOWN_BY = {"World": ("forget_cloze",)}
ABOUT = {
    "RWKU": "ROUGE-L recall; naturalness: ratings by a judge, where one was asked; MIA: mean loss on passages about "
    "the target (FM) and about others (RM), and the area under the curve between them; MMLU and TruthfulQA (MC1) "
    "accuracy, BBH exact match, TriviaQA F1, entropy of word pairs and triples; all times 100. “All” counts every "
    "probe alike.",
    "MUSE": "ROUGE-L F1 times 100; PrivLeak in per cent, best near 0.",
    "World": "ROUGE-L recall; FB: gaps in sentences, QA: questions, AA: questions under attacks by words (role play, "
    "text before and after, reminders, a begun answer), where these were made; well formed: answers that are whole "
    "sentences or a name; boundary: people whose questions training saw; general: right answers. All times 100.",
    "TOFU": "Forget quality is the p-value of a Kolmogorov-Smirnov test against a model that never saw the forget set; "
    "model utility the harmonic mean of the nine figures of the last three sets; ROUGE is ROUGE-L recall.",
}

Stages = Mapping[str, Mapping[str, Any]]


def figures(report: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What `tables` reads of a model in a report (schema 1, see data.py): the figures of its tasks, of its answers to
    either side as "said_<side>", under each attack as "attack_<name>" and, as "rated_<side>", a judge's ratings, where
    one was asked."""
    found = dict(report["stages"][model])
    found |= {f"said_{side}": row for side, row in report.get("naturalness", {}).get(model, {}).items()}
    attacks = report.get("robustness", {}).get(model, {}).get("attacks", {})
    found |= {f"attack_{name}": row for name, row in attacks.items()}
    for side, of_side in report["judged"].get(model, {}).items():
        if ratings := of_side.get("ratings"):
            found[f"rated_{side}"] = {aspect: of["mean"] for aspect, of in ratings.items()} | {"n": of_side["n"]}
    return found


def tables(rows: Mapping[str, Sequence[Stages]]) -> list[dict[str, Any]]:
    """What there is of LAYOUTS, of one model or method a row.

    rows: by name, {task: {metric: value | null, "n"}} of each of its runs. Returns [{"benchmark", "reading", "columns":
    [{"group", "name", "better", "scale"}], "rows": [{"name", "cells": [{"mean", "low", "high", "n"} | null]}]}]: means
    over runs with a 95% bootstrap interval, null with one run. A cell is null where a run lacks any part of it. The
    last row is FLOOR, where the metrics have one.
    """
    made = []
    for benchmark, columns in LAYOUTS.items():
        agree = all(column.standard == column.compat for column in columns)
        for reading in ("",) if agree else ("compat", "standard"):
            chosen = [(column, metric) for column in columns if (metric := _metric(column, reading))]
            found = [{"name": name, "cells": _cells(runs, chosen)} for name, runs in rows.items()]
            own = [column.tasks == KNOWN_BY.get(benchmark, column.tasks) for column, _ in chosen]
            if not any(cell for row in found for cell, counts in zip(row["cells"], own) if counts):
                continue
            last = list(rows.values())[-1]
            floor = _cells(last, [(column, f"{metric}_floor") for column, metric in chosen])
            found += [{"name": FLOOR, "cells": floor}] if any(floor) else []
            heads = [{key: getattr(c, key) for key in ("group", "name", "better", "scale")} for c, _ in chosen]
            made.append({"benchmark": benchmark, "reading": reading, "columns": heads, "rows": found})
    return made


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """The tables as Markdown, for a README or a paper's draft."""
    return "\n".join(_markdown(table) for table in found)


def text(value: float | None, scale: float) -> str:
    """A cell's number as tables print it: one digit after the point; three figures of what is below 1 unscaled."""
    if value is None:
        return "–"
    return f"{value:.3g}" if scale == 1 and 0 < abs(value) < 1 else f"{value:.1f}"


def _markdown(table: Mapping[str, Any]) -> str:
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    heads = [f"{column['group']} {column['name']}{arrows[column['better']]}" for column in table["columns"]]
    lines = [["", *heads], ["---", *["---:"] * len(heads)]]
    for row in table["rows"]:
        cells = [text(cell and cell["mean"], c["scale"]) for cell, c in zip(row["cells"], table["columns"])]
        lines.append([row["name"].replace("|", "\\|"), *cells])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    reading = f", {table['reading']}" if table["reading"] else ""
    about = f"{READINGS[table['reading']].capitalize()}. {ABOUT[table['benchmark']]}"
    return f"## {table['benchmark']}{reading}\n\n{about}\n\n{body}\n"


def _metric(column: Column, reading: str) -> str:
    return column.compat if reading == "compat" else column.standard


def _cells(runs: Sequence[Stages], columns: Sequence[tuple[Column, str]]) -> list[dict[str, Any] | None]:
    return [_mean([_value(stages, column, metric) for stages in runs]) for column, metric in columns]


def _value(stages: Stages, column: Column, metric: str) -> float | None:
    """The mean over the questions of all its tasks, scaled."""
    rows = [stages.get(task, {}) for task in column.tasks]
    if not all(row.get(metric) is not None and row.get("n") for row in rows):
        return None
    total = sum(row["n"] for row in rows)
    return column.scale * sum(row[metric] * (row["n"] / total) for row in rows)


def _mean(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    found = statistics.bootstrap(known)
    ends = (found.low, found.high) if found.n > 1 else (None, None)
    return {"mean": found.mean, "low": ends[0], "high": ends[1], "n": found.n}
