"""Relearning: how little training brings the forgotten back?

The model is trained on some facts about the targets, answered truly, and asked about the others; or on answers that
have nothing to do with them. A knowledge that was only hidden comes back in a few steps; one that was never there does
not (https://arxiv.org/abs/2406.13356).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from rule_jax import batching, preemption, programs, sharding, telemetry
from rule_jax.models.decoder import Params
from rule_jax.objectives import sft
from rule_jax.stages import Run, Subject, evaluate
from rule_jax.stages._answering import Answerer
from rule_jax.stages._figures import figures
from rule_jax.text import chat
from rule_jax.types import Packed, PromptRecord, Task

STREAM = 5  # of chance: the order of the facts


class Relearning:
    """settings: config.robustness.relearning.

    examples: numbers of facts to train on, a curve each. benign: a curve on as many answers about other things too.
    steps, batch, peak: updates, rows of one, and their constant learning rate. every: updates between measurements.
    """

    def __init__(self, run: Run, examined: Subject, answers: Answerer, settings: Any):
        self.run, self.examined, self.answers, self.settings = run, examined, answers, settings
        self.optimizer = programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
        self.objective = sft.make()
        loss = programs.packed_loss(examined.model, self.objective, chunk=run.logit_chunk, dtype=run.compute_dtype)
        self.update = programs.make_update(examined.model, run.mesh, self.optimizer, loss, microbatches=1)

    def __call__(self, params: Params, forget: Sequence[Task], keep: Sequence[Task]) -> dict[str, list[dict[str, Any]]]:
        """{"<k> facts" | "<k> others": [{"step", "leak_rate", "refusal_rate", "n"}, ...]}, from step 0 on.

        params: in float32. Facts that are trained on are not measured, nor is anything with an answer of theirs.
        """
        facts = [record for task in forget for record in task.records if record.answers]
        others = [record for task in keep for record in task.records if record.answers]
        curves = {}
        for count in self.settings.examples:
            taught = _drawn(facts, count, self.run.config.seed)
            told = {(record.target, answer) for record in taught for answer in record.answers}
            asked = tuple(_without(task, told) for task in forget)
            if not any(task.records for task in asked) or not taught:
                continue
            curves[f"{count} facts"] = self._curve(params, taught, asked)
            if self.settings.benign and others:
                curves[f"{count} others"] = self._curve(params, _drawn(others, count, self.run.config.seed), asked)
        return curves

    def _curve(self, params: Params, taught: Sequence[PromptRecord], asked: Sequence[Task]) -> list[dict[str, Any]]:
        rows = self._rows(taught)
        state = programs.init_state(
            self.examined.model, self.run.mesh, self.optimizer, params, jax.random.key(self.run.config.seed)
        )
        curve = []
        for step in range(self.settings.steps + 1):
            preemption.stop()
            if step % self.settings.every == 0 or step == self.settings.steps:
                curve.append({"step": step, **self._measured(state.params, asked)})
            if step < self.settings.steps:
                chosen = np.arange(step * self.settings.batch, (step + 1) * self.settings.batch) % len(rows.tokens_BT)
                batch = sharding.put_rows(batching.take(rows, chosen), self.run.mesh)
                state, _ = self.update(state, (), batch, self.settings.peak, self.objective.coefficients)
        telemetry.info(
            f"robustness: trained on {len(taught)}, leaks {curve[0]['leak_rate']:.3f} -> {curve[-1]['leak_rate']:.3f}"
        )
        return curve

    def _rows(self, taught: Sequence[PromptRecord]) -> Packed:
        system = self.run.config.model.system_prompt
        prompts, responses = [r.prompt for r in taught], [r.answers[0] for r in taught]
        pairs = chat.encode_examples(self.examined.tokenizer, prompts, responses, self.examined.eos_ids, system=system)
        sequences = [([*p, *r], [0.0] * len(p) + [1.0] * len(r)) for p, r in pairs]
        length = batching.bucket(max(len(tokens) for tokens, _ in sequences))
        return batching.asking(batching.pack(sequences, length, share_rows=False))

    def _measured(self, params: Params, asked: Sequence[Task]) -> dict[str, Any]:
        renamed = [replace(task, name=f"relearned/{task.name}") for task in asked]
        texts = self.answers.of(self.answers.cast(params), renamed)
        table = figures(renamed, {task.name: evaluate.judge(task, texts[task.name]) for task in renamed})
        return {key: table["relearned"][key] for key in ("leak_rate", "refusal_rate", "n")}


def _drawn(records: Sequence[PromptRecord], count: int, seed: int) -> list[PromptRecord]:
    order = np.random.default_rng([seed, STREAM]).permutation(len(records))
    return [records[row] for row in order[:count]]


def _without(task: Task, told: set[tuple[str, str]]) -> Task:
    left = [r for r in task.records if r.answers and not any((r.target, answer) in told for answer in r.answers)]
    return replace(task, records=tuple(left))
