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
                     "agreement": {proxy: rank correlation with the ratings | null}}}; {} where that stage was not run
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
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rule_jax.errors import UserError
from rule_jax.reporting import answers, published, recorded
from rule_jax.reporting.figures import of_questions
from rule_jax.reporting.vocabulary import is_share, model_label

OF_ATTACKS = ("refusal_rate", "leak_rate", "leak_any_rate", "kept_accuracy")
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
    config = recorded.read(workdir / "config.json")
    clock = recorded.read(workdir / "time.json", recorded.CLOCK)
    found = sorted(p.name for p in (workdir / "evaluate").glob("*") if p.is_dir())
    if not found:
        raise UserError(f"{workdir / 'evaluate'}: no evaluated model. Run the stage 'evaluate' before 'report'.")
    order = ["base", *config.get("stages", ())]
    models = sorted(found, key=lambda m: (order.index(m) if m in order else len(order), m))
    said = {m: _answers(workdir, m) for m in models}
    targets = sorted({row["target"] for of_model in said.values() for row in of_model if row.get("target")})
    examples = workdir / "data" / "rejection.jsonl"
    exchanges = recorded.lines(examples, recorded.TAUGHT) if examples.exists() else ()
    taught = [row.get("response") or "" for row in exchanges]
    report = {
        "schema": 1,
        "seed": config.get("seed"),
        "targets": targets,
        "config": _finite(config),
        "stages": {m: _stage(workdir, m) for m in models},
        "confusion": {m: answers.fates(of_model) for m, of_model in said.items()},
        "rings": {m: answers.rings(of_model, targets) for m, of_model in said.items()},
        "unnamed": {m: answers.unnamed(of_model) for m, of_model in said.items()},
        "best_of": {m: answers.best_of(of_model) for m, of_model in said.items()},
        "wordings": {m: answers.wordings(of_model, taught, targets) for m, of_model in said.items()},
        "naturalness": {m: answers.naturalness(of_model) for m, of_model in said.items()},
        "robustness": _robustness(workdir),
        "judged": {p.stem: _finite(recorded.read(p)) for p in sorted((workdir / "naturalness").glob("*.json"))},
        "evaluation": _notes(workdir / "evaluate" / "notes.json"),
        "time_s": _finite(clock["time_s"]),
        "tokens": _tokens(workdir),
        "peak_rss_bytes": clock.get("peak_rss_bytes"),
        "devices": clock.get("devices"),
        "versions": _versions(),
    }
    return report | {"published": published.tables({model_label(m): [published.figures(report, m)] for m in models})}


def read_training(workdir: Path) -> list[dict[str, Any]]:
    """The numbers of logs/metrics.jsonl by stage (in order of appearance) and step; of one logged twice, the last.

    A run that trained nothing need not have the file.
    """
    steps: dict[str, dict[int, dict[str, Any]]] = {}
    path = workdir / "logs" / "metrics.jsonl"
    if not path.exists() and not (workdir / "evaluate" / "base").exists():
        return []
    for line in recorded.lines(path, recorded.STEP):
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
        for row in recorded.lines(workdir / "evaluate" / model / "generations.jsonl", recorded.ANSWER):
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
    asked = [(row["task"], row["prompt"], row) for row in recorded.lines(folder / "generations.jsonl", recorded.ANSWER)]
    if scores.exists():
        asked += [(row["task"], row["source"], row) for row in recorded.lines(scores, recorded.SCORED)]
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, question, row in asked:
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
    tasks = _clean_tasks(recorded.figures(workdir / "evaluate" / model / "metrics.json"))
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
    found = recorded.lines(workdir / "evaluate" / model / "generations.jsonl", recorded.ANSWER)
    return [{**row, "judged": _finite(row.get("judged") or {})} for row in found]


def attacked(report: Mapping[str, Any], model: str) -> dict[str, dict[str, float]]:
    """{task: {metric: value}} of a model's attacks, as if each were a task of its own: "forget_attacked/<attack>", and
    "forget_relearned/<curve>", what leaks at the end of it. report: as from `collect`."""
    found = report.get("robustness", {}).get(model, {})
    tables = {f"forget_attacked/{attack}": row for attack, row in found.get("attacks", {}).items()}
    tables |= {f"forget_relearned/{name}": curve[-1] for name, curve in found.get("relearning", {}).items()}
    return {
        task: {metric: float(row[metric]) for metric in OF_ATTACKS if row.get(metric) is not None}
        for task, row in tables.items()
    }


def _robustness(workdir: Path) -> dict[str, Any]:
    """robustness/<model>/metrics.json of each model, "base" first; empty where nothing was attacked."""
    found = sorted((workdir / "robustness").glob("*/metrics.json"), key=lambda p: (p.parent.name != "base", p))
    return {path.parent.name: _finite(recorded.read(path)) for path in found}


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
    return {"missing": [], "too_long": {}, **(recorded.read(path, recorded.COUNTED) if path.exists() else {})}


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
