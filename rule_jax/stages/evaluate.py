"""Puts a benchmark's tasks to the base model and to what each training stage made of it, and writes the figures.

All answers of one shape, whatever task they belong to, share batches and one compiled program.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from rule_jax import batching, files, hf, plugin, processes, programs, sharding, telemetry
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.stages import TRAINING, Run, Subject, _lengths, check_divides, check_positive, subject
from rule_jax.stages._figures import explained, figures, scored
from rule_jax.stages._likelihood import Scorer
from rule_jax.stages._weights import after
from rule_jax.text import chat
from rule_jax.types import Judged, PromptRecord, ScoringTask, Summary, Task, TokenScores

BASE = "base"
EARLIER = "forget_earlier"  # what runs before this one forgot, and must not come back


def check(run: Run) -> None:
    """Raises UserError for an unknown benchmark, unreadable probes, and a batch that the mesh does not divide."""
    batch = run.config.evaluate.batch
    for samples in {task.samples for task in tasks(run)}:
        if batch % samples:
            raise UserError(
                f"config.evaluate.batch={batch} must be a multiple of the {samples} samples that a task draws"
            )
        check_divides(run, f"config.evaluate.batch / {samples} samples", batch // samples)
    check_positive("evaluate", run.config.evaluate, "score_tokens")
    _scoring(run)
    _summary(run)


def run(run: Run) -> None:
    """Writes evaluate/<model>/metrics.json, generations.jsonl and scores.jsonl for "base" and for each training stage
    of the run, and evaluate/notes.json: the benchmark's missing parts, and the padding of what was scored."""
    examined = subject(run)
    asked, summarize = tasks(run), _summary(run)
    answers, scorer = Answerer(run, examined), Scorer(run, examined)
    texts_to_score = scorer.fitting(_scoring(run))
    for part in _missing(run):
        telemetry.info(f"evaluate: the benchmark's part {part} is not there and is left out")
    for name in (BASE, *(stage for stage in run.config.stages if stage in TRAINING)):
        folder = run.workdir / "evaluate" / name
        if (folder / "metrics.json").exists():
            continue
        params = _params(run, examined, name)
        texts = answers(params, asked, name)
        judged = {task.name: judge(_as_asked(examined, task), texts[task.name]) for task in asked}
        measured = _measure(texts_to_score, scorer(params, texts_to_score, name))
        verdicts = {task: [verdict for _, verdict in pairs] for task, pairs in judged.items()}
        together = summarize({**verdicts, **measured})
        table = explained({**figures(asked, judged), **scored(texts_to_score, measured), **together})
        if processes.first():
            _write_generations(folder / "generations.jsonl", asked, texts, judged)
            _write_scores(folder / "scores.jsonl", texts_to_score, measured)
            files.write_json(folder / "metrics.json", table)
        telemetry.info(f"evaluate: {name}: {_headline(table)}")
    if processes.first():
        notes = {"missing": _missing(run), "scoring_padding": round(scorer.padding.waste, 4)}
        files.write_json(run.workdir / "evaluate" / "notes.json", notes)


@dataclass(frozen=True)
class _Request:
    """One prompt to be answered: which task and record it belongs to, and its tokens."""

    task: Task
    row: int
    ids: Sequence[int]


class Answerer:
    """Answers tasks with any parameters of one architecture; programs are compiled once for all of them."""

    def __init__(self, run: Run, examined: Subject):
        self.run, self.examined = run, examined
        self.cast = programs.make_rollout_params(examined.model, run.mesh, run.compute_dtype)
        self.programs: dict[tuple[int, int], Any] = {}

    def __call__(self, params: Params, tasks: Sequence[Task], label: str) -> dict[str, list[list[str]]]:
        """texts[task name][record][sample], cut at the task's stop text, outer blanks stripped."""
        return self.of(self.cast(params), tasks, label)

    def of(self, params: Params, tasks: Sequence[Task], label: str = "") -> dict[str, list[list[str]]]:
        """The same for parameters in the compute dtype, laid out for decoding; without a label, without progress."""
        texts = {task.name: [[] for _ in task.records] for task in tasks}
        batches = list(self._batches(tasks))
        with telemetry.Progress(f"evaluate {label}", len(batches), unit="batches", silent=not label) as bar:
            for number, batch in enumerate(batches):
                for request, answers in zip(batch, self._answer(params, number, batch)):
                    texts[request.task.name][request.row] = [_cut(text, request.task.stop) for text in answers]
                bar.advance()
        return texts

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[_Request]]:
        """Requests that one program call can answer together, of similar length to waste little padding."""
        groups: dict[tuple[int, int, float], list[_Request]] = defaultdict(list)
        for task in tasks:
            for row, ids in _encode(self.run, self.examined, task):
                groups[task.samples, task.max_new_tokens, task.temperature].append(_Request(task, row, ids))
        for (samples, _, _), requests in groups.items():
            size = self.run.config.evaluate.batch // samples
            ordered = sorted(requests, key=lambda request: len(request.ids))
            yield from (ordered[start : start + size] for start in range(0, len(ordered), size))

    def _answer(self, params: Params, number: int, batch: list[_Request]) -> list[list[str]]:
        task = batch[0].task
        shape = (task.samples, task.max_new_tokens)
        if shape not in self.programs:
            self.programs[shape] = programs.make_generate(
                self.examined.model,
                self.run.mesh,
                samples=shape[0],
                max_new_tokens=shape[1],
                eos_ids=self.examined.eos_ids,
            )
        size = self.run.config.evaluate.batch // task.samples
        ids = [request.ids for request in batch]
        ids += [ids[0]] * (size - len(ids))  # the last batch of a group keeps the shape
        prompts = batching.pad_prompts(ids, batching.bucket(max(map(len, ids))))
        rows_B = np.arange(size, dtype=np.int32)
        rollout = self.programs[shape](
            params,
            sharding.put_rows(prompts, self.run.mesh),
            jax.random.key(self.run.config.seed),
            np.int32(number),
            sharding.put_rows(rows_B, self.run.mesh),
            np.float32(task.temperature),
        )
        response, length = sharding.whole(rollout.response_BGR), sharding.whole(rollout.length_BG)
        flat = [response[b, g, : length[b, g]] for b in range(len(batch)) for g in range(task.samples)]
        texts = chat.decode(self.examined.tokenizer, flat)
        return [texts[b * task.samples : (b + 1) * task.samples] for b in range(len(batch))]


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


def _encode(run: Run, examined: Subject, task: Task) -> list[tuple[int, list[int]]]:
    """(record, token ids) of the prompts that leave room for an answer among the model's positions."""

    def encode(prompts: Sequence[str]) -> list[list[int]]:
        if task.render == "raw":
            return chat.encode_raw(examined.tokenizer, prompts)
        system = run.config.model.system_prompt
        return chat.encode_chat(examined.tokenizer, prompts, system=system, prefill=task.prefill)

    prompts = [record.prompt for record in task.records]
    limit = examined.model.config.max_positions - task.max_new_tokens
    return _lengths.fitting(
        run,
        f"evaluate: prompts of {task.name}",
        limit,
        prompts,
        encode(prompts) if prompts else [],
        tokens=len,
        again=lambda row, prompt: encode([prompt])[0],
    )


def _cut(text: str, stop: str) -> str:
    return (text.partition(stop)[0] if stop else text).strip()


def _params(run: Run, examined: Subject, name: str) -> Params:
    if name == BASE:
        return hf.load_params(examined.path, examined.model, run.mesh)
    return after(run, examined, name)


def _benchmark(run: Run) -> tuple[Any, str]:
    """The benchmark's module and its name."""
    name = run.config.evaluate.benchmark or run.config.data.source
    return plugin.load("benchmarks", name), name


def _paths(run: Run) -> tuple[str, ...]:
    return (run.config.data.path, *run.config.data.more_paths)


def _scoring(run: Run) -> tuple[ScoringTask, ...]:
    """The benchmark's scoring tasks on all targets of the run."""
    benchmark, name = _benchmark(run)
    settings = run.config.data[name].to_dict()
    made = [benchmark.scoring(path, seed=run.config.seed, data=settings) for path in _paths(run)]
    by_name: dict[str, ScoringTask] = {}
    for task in (task for tasks in made for task in tasks):
        known = by_name.get(task.name)
        by_name[task.name] = replace(known, queries=known.queries + task.queries) if known else task
    return tuple(by_name.values())


def _summary(run: Run) -> Summary:
    return _benchmark(run)[0].summary(run.config.data.path, retrained=run.config.evaluate.retrained)


def _missing(run: Run) -> list[str]:
    benchmark, _ = _benchmark(run)
    several = len(_paths(run)) > 1
    return [f"{path}: {part}" if several else part for path in _paths(run) for part in benchmark.missing(path)]


def tasks(run: Run) -> tuple[Task, ...]:
    """The benchmark's tasks on all targets of the run; on what earlier runs forgot, its forget tasks alone, named
    "forget_earlier/<task>", or "forget_earlier_raw/<task>" for those without the chat template."""
    config = run.config
    benchmark, name = _benchmark(run)
    repeated = {*_paths(run)} & set(config.data.earlier)
    if repeated:
        raise UserError(
            f"config.data.earlier has {min(repeated)!r}, which this run forgets; earlier runs forgot others"
        )

    def made(path: str) -> tuple[Task, ...]:
        return benchmark.tasks(path, seed=config.seed, data=config.data[name].to_dict())

    current = [task for path in _paths(run) for task in made(path)]
    earlier = [
        replace(task, name=f"{EARLIER}{'_raw' if task.render == 'raw' else ''}/{task.name}")
        for path in config.data.earlier
        for task in made(path)
        if task.name.startswith("forget")
    ]
    return merged([*current, *earlier])


def merged(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """One task for each name: those of several targets put together, in order."""
    by_name: dict[str, Task] = {}
    for task in tasks:
        known = by_name.get(task.name)
        by_name[task.name] = replace(known, records=known.records + task.records) if known else task
    return tuple(by_name.values())


def _write_generations(path: Any, tasks: Sequence[Task], texts: Mapping, judged: Mapping) -> None:
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
    """One figure per task: what a forget task refuses, what any other gets right."""
    shown = {name: row.get("accuracy", row.get("refusal_rate")) for name, row in table.items() if "/" not in name}
    return ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
