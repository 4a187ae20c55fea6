"""Answers to tasks, with any parameters of one architecture.

All answers of one shape, whatever task they belong to, share batches and one compiled program.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from rule_jax import batching, preemption, programs, sharding, telemetry
from rule_jax.models.decoder import Params
from rule_jax.stages import Run, Subject, _guard, _lengths
from rule_jax.stages._guard import Guard
from rule_jax.stages._lengths import TooLong
from rule_jax.stages._likelihood import Padding
from rule_jax.text import chat
from rule_jax.types import Task

STEP_COST = 12  # of one more decoding step, for however few rows, in padded prompt tokens


@dataclass(frozen=True)
class _Request:
    """One prompt to be answered: which task and record it belongs to, and its tokens."""

    task: Task
    row: int
    ids: Sequence[int]


class Answerer:
    """Answers tasks with any parameters of one architecture; programs are compiled once for all of them.

    padding: of all calls so far, prompts and answers together. too_long: by task, where prompts were, when last asked.
    """

    def __init__(self, run: Run, examined: Subject):
        self.run, self.examined = run, examined
        self.cast = programs.make_cast(examined.model, run.mesh, run.compute_dtype, "decode")
        self.programs: dict[tuple[int, int], Any] = {}
        self.padding = Padding()
        self.too_long: dict[str, TooLong] = {}

    def __call__(
        self, params: Params, tasks: Sequence[Task], label: str, guard: Guard | None = None
    ) -> dict[str, list[list[str]]]:
        """texts[task name][record][sample], cut at the task's stop text, outer blanks stripped.

        guard: what stands before the model; None: nothing but the run's own system prompt.
        """
        return self.of(self.cast(params), tasks, label, guard)

    def of(
        self, params: Params, tasks: Sequence[Task], label: str = "", guard: Guard | None = None
    ) -> dict[str, list[list[str]]]:
        """The same for parameters in the compute dtype, laid out for decoding; without a label, without progress."""
        guard = guard or _guard.bare(self.run)
        texts: dict[str, list[list[str]]] = {}
        for task in tasks:
            refusals = [guard.refusal(record.prompt) for record in task.records]
            texts[task.name] = [[] if refusal is None else [refusal] * task.samples for refusal in refusals]
        batches = list(self._batches(tasks, texts, guard.system))
        with telemetry.Progress(label, len(batches), unit="batches", silent=not label) as bar:
            for number, (rows, batch) in enumerate(batches):
                if label:  # else it is part of a loop that has more to save
                    preemption.stop()
                for request, answers in zip(batch, self._answer(params, number, batch, rows)):
                    texts[request.task.name][request.row] = [_cut(text, request.task.stop) for text in answers]
                bar.advance()
        return texts

    def _batches(
        self, tasks: Sequence[Task], texts: Mapping[str, Sequence], system: str
    ) -> Iterator[tuple[int, list[_Request]]]:
        """(rows, requests) that one program call can answer together, of similar length to waste little padding; what
        has its texts already is not asked.

        Few batches against little padding: see `batching.plan`. Prompts of one padded length stand by task, whose
        answers are alike long: a batch is decoded until its longest one has ended.
        """
        groups: dict[tuple[int, int, float], list[_Request]] = defaultdict(list)
        for task in tasks:
            for row, ids in self._encode(task, system):
                if texts[task.name][row]:
                    continue
                groups[task.samples, task.max_new_tokens, task.temperature].append(_Request(task, row, ids))
        ways = sharding.row_shards(self.run.mesh)
        for (samples, longest, _), requests in groups.items():
            ordered = sorted(requests, key=_place)
            lengths = [batching.fine_bucket(len(request.ids)) for request in ordered]
            size = self.run.config.evaluate.batch // samples
            for start, stop, rows in batching.plan(lengths, size, ways=ways, overhead=STEP_COST * longest):
                yield rows, ordered[start:stop]

    def _encode(self, task: Task, system: str) -> list[tuple[int, list[int]]]:
        """(record, token ids) of the prompts that leave room for an answer among the model's positions."""

        def encode(prompts: Sequence[str]) -> list[list[int]]:
            if task.render == "raw":
                return chat.encode_raw(self.examined.tokenizer, prompts)
            return chat.encode_chat(self.examined.tokenizer, prompts, system=system, prefill=task.prefill)

        prompts = [record.prompt for record in task.records]
        fitted = _lengths.fitting(
            self.run,
            f"evaluate: prompts of {task.name}",
            self.examined.model.config.max_positions - task.max_new_tokens,
            prompts,
            encode(prompts) if prompts else [],
            tokens=len,
            again=lambda row, prompt: encode([prompt])[0],
        )
        if fitted.too_long:
            self.too_long[task.name] = fitted.too_long
        return fitted.kept

    def _answer(self, params: Params, number: int, batch: list[_Request], rows: int) -> list[list[str]]:
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
        ids = [request.ids for request in batch]
        used = sum(map(len, ids))
        ids += [ids[0]] * (rows - len(ids))
        prompts = batching.pad_prompts(ids, batching.fine_bucket(max(map(len, ids))))
        rows_B = np.arange(rows, dtype=np.int32)
        rollout = self.programs[shape](
            params,
            sharding.put_rows(prompts, self.run.mesh),
            jax.random.key(self.run.config.seed),
            np.int32(number),
            sharding.put_rows(rows_B, self.run.mesh),
            np.float32(task.temperature),
        )
        response, length = sharding.whole(rollout.response_BGR), sharding.whole(rollout.length_BG)
        self.padding.slots += prompts.tokens_BP.size + length.size * int(length.max())
        self.padding.used += used + int(length[: len(batch)].sum())
        flat = [response[b, g, : length[b, g]] for b in range(len(batch)) for g in range(task.samples)]
        texts = chat.decode(self.examined.tokenizer, flat)
        return [texts[b * task.samples : (b + 1) * task.samples] for b in range(len(batch))]


def _place(request: _Request) -> tuple[int, str, int]:
    """By what requests are ordered: padded length, task, length."""
    return batching.fine_bucket(len(request.ids)), request.task.name, len(request.ids)


def _cut(text: str, stop: str) -> str:
    return (text.partition(stop)[0] if stop else text).strip()
