"""What the report reads: the files of a workdir, checked and joined, without a word of judgement or HTML.

Reads from the workdir
    config.json                          the resolved configuration
    logs/metrics.jsonl                   a line per training step: {"stage", "step", scalar: value, ...}
    evaluate/<model>/metrics.json        {task: {metric: value | null, "n": int, "per_target": {target: {...}}}}
    evaluate/<model>/generations.jsonl   {"task", "kind", "prompt", "target", "entity", "answers", "text", "judged"}
    evaluate/notes.json                  {"missing": [part of the benchmark that was not there], "too_long": {task:
                                         {"left_out", "cut", "of", "limit"}}, ...}; may be absent
    time.json                            {"peak_rss_bytes": int, "time_s": {stage: seconds}}

Schema 1 of report/metrics.json
    schema           1
    seed             the run's seed
    targets          the entities that were to be forgotten, by name
    config           config.json, whole (a value that is not finite is null)
    stages           {model: {task: {metric: value | null, "n": int, "per_target"?: {target: {metric: value | null}},
                     "intervals"?: {metric: [low, high]}}}},
                     "base" first, then the models in the order of config["stages"], then any others by name
    confusion        {model: {forget task: {"refused", "leaked", "hallucinated", "gibberish", "empty", "n"}}}, and
    rings, unnamed, best_of, wordings, naturalness: {model: ...}, as the functions of `answers` say
    robustness       {model: robustness/<model>/metrics.json}: {"attacks": {attack: {metric: value, "n"}}, "relearning":
                     {curve: [{"step", "leak_rate", "refusal_rate", "n"}]}, "drift": {"kl", "low", "high", "n",
                     "tokens"} | null}; {} where nothing was attacked
    judged           {model: naturalness/<model>.json}: {"forget" | "retain": {"n", "perplexity_original", "ratings",
                     "agreement_with_likelihood"}}; {} where that stage was not run
    evaluation       evaluate/notes.json, whole; {"missing": [], "too_long": {}} where it is absent
    erasure          of audit.json: {"request_id", "made", "data", "models", "record_sha256"}; page.write adds it
    published        the models' figures in the layout of papers' tables, as `published.tables` says; [] where none fits
    time_s           {stage: seconds}
    tokens           {stage: tokens that its models read and wrote, as far as they were counted}
    peak_rss_bytes   the largest resident memory of the process
    devices          {"count", "kind", "platform", "hosts", "cores"}; null where the run did not say
    versions         {"python", "platform", package: version | null}

A figure that cannot be computed (not finite, or of a task with n = 0) is null, never 0. Intervals of shares are 95%
Wilson intervals of the proportion at its n, and follow from the two numbers.
"""

import importlib.metadata
import json
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rule_jax.errors import UserError
from rule_jax.reporting import answers, published
from rule_jax.reporting.figures import of_questions
from rule_jax.reporting.vocabulary import is_share, model_label

PACKAGES = (
    "rule_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "matplotlib",
    "jinja2",
)


def collect(workdir: Path) -> dict[str, Any]:
    """The content of report/metrics.json (schema 1, see the module's head) from the files of a workdir."""
    config = _read_json(workdir / "config.json")
    clock = _read_json(workdir / "time.json")
    if "time_s" not in clock:
        raise UserError(f"{workdir / 'time.json'}: 'time_s' is missing (has {sorted(clock)}). Run the job again.")
    found = sorted(p.name for p in (workdir / "evaluate").glob("*") if p.is_dir())
    if not found:
        raise UserError(f"{workdir / 'evaluate'}: no evaluated model. Run the stage 'evaluate' before 'report'.")
    order = ["base", *config.get("stages", ())]
    models = sorted(found, key=lambda m: (order.index(m) if m in order else len(order), m))
    generations = {m: _answers(workdir, m) for m in models}
    targets = sorted({row["target"] for rows in generations.values() for row in rows if row.get("target")})
    examples = workdir / "data" / "rejection.jsonl"
    taught = [row.get("response", "") for row in (_read_jsonl(examples) if examples.exists() else ())]
    stages = {m: _stage(workdir, m) for m in models}
    return {
        "schema": 1,
        "seed": config.get("seed"),
        "targets": targets,
        "config": _finite(config),
        "stages": stages,
        "published": published.tables({model_label(m): [stages[m]] for m in models}),
        "confusion": {m: answers.fates(rows) for m, rows in generations.items()},
        "rings": {m: answers.rings(rows, targets) for m, rows in generations.items()},
        "unnamed": {m: answers.unnamed(rows) for m, rows in generations.items()},
        "best_of": {m: answers.best_of(rows) for m, rows in generations.items()},
        "wordings": {m: answers.wordings(rows, taught, targets) for m, rows in generations.items()},
        "naturalness": {m: answers.naturalness(rows) for m, rows in generations.items()},
        "robustness": _robustness(workdir),
        "judged": {p.stem: _finite(_read_json(p)) for p in sorted((workdir / "naturalness").glob("*.json"))},
        "evaluation": _notes(workdir / "evaluate" / "notes.json"),
        "time_s": _finite(clock["time_s"]),
        "tokens": _tokens(workdir),
        "peak_rss_bytes": clock.get("peak_rss_bytes"),
        "devices": clock.get("devices"),
        "versions": _versions(),
    }


def read_training(workdir: Path) -> list[dict[str, Any]]:
    """The numbers of logs/metrics.jsonl by stage (in order of appearance) and step; of one logged twice, the last.

    A run that trained nothing need not have the file.
    """
    steps: dict[str, dict[int, dict[str, Any]]] = {}
    path = workdir / "logs" / "metrics.jsonl"
    if not path.exists() and not (workdir / "evaluate" / "base").exists():
        return []
    for i, line in enumerate(_read_jsonl(path), start=1):
        if not {"stage", "step"} <= line.keys():
            raise UserError(f"{path}:{i}: a training line needs 'stage' and 'step' (has {sorted(line)}).")
        steps.setdefault(line["stage"], {}).setdefault(line["step"], {}).update(line)
    return [lines[step] for lines in steps.values() for step in sorted(lines)]


def read_examples(workdir: Path, models: Sequence[str]) -> list[dict[str, Any]]:
    """The generations of all models joined by task and prompt (and its occurrence, when asked several times).

    Returns {"task", "kind", "prompt", "target", "entity", "answers", "outputs": {model: {"text", "judged"}}} in the
    order of the first model; a model that lacks a prompt is absent from its outputs.
    """
    joined: dict[tuple[str, str, int], dict[str, Any]] = {}
    for model in models:
        seen: Counter[tuple[str, str]] = Counter()
        for row in _read_jsonl(workdir / "evaluate" / model / "generations.jsonl"):
            query = (row["task"], row["prompt"])
            about = {key: row.get(key) for key in ("task", "kind", "prompt", "target", "entity", "answers")}
            example = joined.setdefault((*query, seen[query]), {**about, "outputs": {}})
            example["outputs"][model] = {"text": row["text"], "judged": _finite(row.get("judged") or {})}
            seen[query] += 1
    return list(joined.values())


Values = dict[str, dict[str, dict[str, float]]]  # {task: {metric: {question, or whatever was measured: value}}}


def read_questions(workdir: Path, model: str) -> Values:
    """What was judged of each question, as the mean over its samples; {task: {metric: {question: value}}}.

    Tasks "parent/child" are pooled as "parent" too, as in evaluate/<model>/metrics.json.
    """
    folder = workdir / "evaluate" / model
    scores = folder / "scores.jsonl"
    rows = [(row["task"], row["prompt"], row) for row in _read_jsonl(folder / "generations.jsonl")]
    rows += [(row["task"], row["source"], row) for row in (_read_jsonl(scores) if scores.exists() else ())]
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, question, row in rows:
        for task in dict.fromkeys((name, name.partition("/")[0])):
            for metric, value in _finite(row.get("judged") or {}).items():
                if value is not None and not metric.startswith("_"):
                    found.setdefault(task, {}).setdefault(metric, {}).setdefault(question, []).append(value)
    return {
        task: {metric: {q: fmean(values) for q, values in by.items()} for metric, by in metrics.items()}
        for task, metrics in found.items()
    }


def flat(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """A nested config as (dotted key, value) rows."""
    if not isinstance(config, dict) or (not config and prefix):
        return [(prefix, config)]
    return [row for key, value in config.items() for row in flat(value, f"{prefix}.{key}" if prefix else key)]


def _stage(workdir: Path, model: str) -> dict[str, Any]:
    """The figures of one model; those that are no shares with their intervals over questions."""
    tasks = _clean_tasks(_read_json(workdir / "evaluate" / model / "metrics.json"))
    questions = read_questions(workdir, model)
    for task, row in tasks.items():
        columns = {m: by for m, by in questions.get(task, {}).items() if not is_share(m) and row.get(m) is not None}
        found = {metric: of_questions(metric, list(by.values())) for metric, by in columns.items()}
        ends = {metric: [f.low, f.high] for metric, f in found.items() if f.low is not None}
        tasks[task] = {**row, **({"intervals": ends} if ends else {})}
    return tasks


def _clean_tasks(tasks: Mapping[str, Mapping]) -> dict[str, Any]:
    """The figures of one model with null for whatever is not finite, and for every metric of a task with n = 0."""
    return {
        task: {k: v if row.get("n") or k in ("n", "reasons") else None for k, v in _finite(row).items()}
        for task, row in tasks.items()
    }


def _answers(workdir: Path, model: str) -> list[dict[str, Any]]:
    rows = _read_jsonl(workdir / "evaluate" / model / "generations.jsonl")
    return [{**row, "judged": _finite(row.get("judged") or {})} for row in rows]


def _robustness(workdir: Path) -> dict[str, Any]:
    """robustness/<model>/metrics.json of each model, "base" first; empty where nothing was attacked."""
    found = sorted((workdir / "robustness").glob("*/metrics.json"), key=lambda p: (p.parent.name != "base", p))
    return {path.parent.name: _finite(_read_json(path)) for path in found}


def _finite(value: Any) -> Any:
    """The value with None in place of every NaN and infinity, however deep."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tokens(workdir: Path) -> dict[str, int]:
    counted: dict[str, int] = {}
    log, notes = workdir / "logs" / "metrics.jsonl", _notes(workdir / "evaluate" / "notes.json")
    for line in read_training(workdir) if log.exists() else ():
        if isinstance(line.get("tokens"), int | float):
            counted[line["stage"]] = counted.get(line["stage"], 0) + int(line["tokens"])
    return {**counted, **({"evaluate": notes["tokens"]} if "tokens" in notes else {})}


def _notes(path: Path) -> dict[str, Any]:
    return {"missing": [], "too_long": {}, **(_read_json(path) if path.exists() else {})}


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object."""
    return _parse(_read(path), str(path))


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    """A file that holds a JSON object on every line that is not blank."""
    return [_parse(line, f"{path}:{i}") for i, line in enumerate(_read(path).split("\n"), start=1) if line.strip()]


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error}). Run the stage that writes it again.") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}.")
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: the report needs this file. Run the stages before 'report' first.") from error
