"""Puts a benchmark's tasks to the base model and to what each training stage made of it, and writes the figures.

A run that trains nothing evaluates the model of config.model.path alone, under the name "model".
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rule_jax import files, hf, processes, telemetry
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.stages import (
    TRAINING,
    Run,
    Subject,
    _benchmark,
    _guard,
    check_divides,
    check_positive,
    load_subject,
    prepare_data,
    subject,
)
from rule_jax.stages._answering import Answerer
from rule_jax.stages._figures import explained, figures, scored
from rule_jax.stages._guard import Guard
from rule_jax.stages._likelihood import Scorer
from rule_jax.stages._weights import after, before
from rule_jax.text import chat
from rule_jax.types import Judged, PromptRecord, ScoringTask, Task, TokenScores

BASE, ALONE = "base", "model"


def check(run: Run) -> None:
    """Raises UserError for an unknown benchmark, unreadable probes, and a batch that the mesh does not divide; where
    nothing prepares a model, for one that cannot be read."""
    if "prepare_data" not in run.config.stages:
        _check_model(run)
    batch = run.config.evaluate.batch
    for samples in {task.samples for task in _benchmark.benchmark(run).tasks}:
        if batch % samples:
            raise UserError(
                f"config.evaluate.batch={batch} must be a multiple of the {samples} samples that a task draws"
            )
        check_divides(run, f"config.evaluate.batch / {samples} samples", batch // samples)
    check_positive("evaluate", run.config.evaluate, "score_tokens")


def run(run: Run) -> None:
    """Writes evaluate/<model>/metrics.json, generations.jsonl and scores.jsonl for "base" and for each training stage
    of the run, and evaluate/notes.json: what the benchmark lacks, what is too long for the model, and
    the padding of answering, of scoring and of both."""
    if "prepare_data" not in run.config.stages:
        prepare_data.settle_model(run)
    examined, benchmark = subject(run), _benchmark.benchmark(run)
    answers, scorer = Answerer(run, examined), Scorer(run, examined)
    longest = max((guard(run, name).system for name in models(run)), key=len)
    texts_to_score = scorer.fitting(benchmark.scoring, longest)
    for part in benchmark.missing:
        telemetry.info(f"evaluate: the benchmark's part {part} is not there and is left out")
    for name in models(run):
        folder = run.workdir / "evaluate" / name
        if (folder / "metrics.json").exists():
            continue
        weights = params(run, examined, name)
        before_it = guard(run, name)
        texts = answers(weights, benchmark.tasks, f"evaluate {name}", before_it)
        judged = {task.name: judge(_as_asked(examined, task), texts[task.name]) for task in benchmark.tasks}
        measured = _measure(texts_to_score, scorer(weights, texts_to_score, name, before_it.system))
        verdicts = {task: [verdict for _, verdict in pairs] for task, pairs in judged.items()}
        together = benchmark.summary({**verdicts, **measured})
        table = explained({**figures(benchmark.tasks, judged), **scored(texts_to_score, measured), **together})
        if processes.first():
            write_generations(folder / "generations.jsonl", benchmark.tasks, texts, judged)
            _write_scores(folder / "scores.jsonl", texts_to_score, measured)
            files.write_json(folder / "metrics.json", table)
        telemetry.info(f"evaluate: {name}: {_headline(table)}")
    if processes.first():
        together = answers.padding + scorer.padding
        notes = {
            "missing": list(benchmark.missing),
            "too_long": {task: found._asdict() for task, found in {**answers.too_long, **scorer.too_long}.items()},
            "scoring_padding": round(scorer.padding.waste, 4),
            "answering_padding": round(answers.padding.waste, 4),
            "padding": round(together.waste, 4),
            "tokens": together.used,
        }
        files.write_json(run.workdir / "evaluate" / "notes.json", notes)


def models(run: Run) -> tuple[str, ...]:
    """The names of the models that are evaluated: the base and what each training stage made, or the one there is."""
    made = tuple(stage for stage in run.config.stages if stage in TRAINING)
    return (BASE, *made) if made else (ALONE,)


def ends(run: Run) -> tuple[str, ...]:
    """The first and the last of the models: what the run began from and what it made of that."""
    first, *others = models(run)
    return (first, *others[-1:])


def params(run: Run, examined: Subject, name: str) -> Params:
    """The parameters of a model that is evaluated, by its name."""
    if name in (BASE, ALONE):
        return hf.load_params(examined.path, examined.model, run.mesh)
    return after(run, examined, name) if name in run.trained else before(run, examined, name)


def guard(run: Run, name: str) -> Guard:
    """What stands before a model that is evaluated, by its name."""
    return _guard.of(run, name, tuple(files.read_json(run.workdir / "data" / "model.json")["targets"]))


def judge(task: Task, texts: Sequence[Sequence[str]]) -> list[tuple[PromptRecord, Mapping[str, float]]]:
    """(record, verdict) of every answer; texts as from Answerer."""
    return [(record, task.judge(record, text)) for record, samples in zip(task.records, texts) for text in samples]


def _as_asked(examined: Subject, task: Task) -> Task:
    """The task with its references cut to the length that answers may have, where it asks for that."""
    if not task.cut_references:
        return task
    return replace(task, records=tuple(_cut_references(examined, task, record) for record in task.records))


def _cut_references(examined: Subject, task: Task, record: PromptRecord) -> PromptRecord:
    ids = chat.encode_raw(examined.tokenizer, record.answers)
    return replace(record, answers=tuple(chat.decode(examined.tokenizer, [x[: task.max_new_tokens] for x in ids])))


def _measure(
    tasks: Sequence[ScoringTask], scores: Mapping[str, Sequence[Sequence[TokenScores]]]
) -> dict[str, list[Mapping[str, float]]]:
    return {task.name: [task.judge(q, s) for q, s in zip(task.queries, scores[task.name])] for task in tasks}


def _check_model(run: Run) -> None:
    path = run.config.model.path
    if not path and _benchmark.name(run) != "world":
        raise UserError(
            f"nothing says which model the benchmark {_benchmark.name(run)!r} is to examine: set config.model.path to "
            "an HF directory (only the world brings a model of its own)"
        )
    if path:
        hf.check(path)
        load_subject(run, Path(path))


def write_generations(path: Path, tasks: Sequence[Task], texts: Mapping, judged: Mapping) -> None:
    """One line an answer: {"task", "kind", "prompt", "target", "entity", "answers", "text", "judged"}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for task in tasks:
            flat = [text for samples in texts[task.name] for text in samples]
            for (record, verdict), text in zip(judged[task.name], flat):
                row = {
                    "task": task.name,
                    "kind": record.kind,
                    "prompt": record.prompt,
                    "target": record.target,
                    "entity": record.entity,
                    "answers": list(record.answers),
                    "text": text,
                    "judged": dict(verdict),
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_scores(path: Any, tasks: Sequence[ScoringTask], judged: Judged) -> None:
    """One line a query: {"task", "source", "judged"}; values that are not finite are null."""
    with path.open("w", encoding="utf-8") as file:
        for task in tasks:
            for query, values in zip(task.queries, judged[task.name]):
                finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
                file.write(json.dumps({"task": task.name, "source": query.source, "judged": finite}) + "\n")


def _headline(table: Mapping[str, Mapping[str, Any]]) -> str:
    """One figure per task: what a task without right answers refuses, and what any other gets right."""
    told: dict[str, list[str]] = {"refused": [], "right": []}
    for name, row in table.items():
        said, value = ("right", row["accuracy"]) if "accuracy" in row else ("refused", row.get("refusal_rate"))
        if value is not None and "/" not in name:
            told[said].append(f"{name} {value:.3f}")
    return "; ".join(f"{said}: {', '.join(figures)}" for said, figures in told.items() if figures)
