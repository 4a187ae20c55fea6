"""Validation in the course of training, by the evaluation's own prompts and judges, greedily; and when to stop for it.

    score = 2 f k / (f + k), f and k the means over the tasks on forget records and on all others

of what each metric with a better side says, so that neither refusing all nor answering all scores. The prompts are a
fixed part of the benchmark's: a checkpoint chosen by them has seen them, and the figures of its final evaluation are a
little better for it. Everything here is a function of the parameters, so a resumed run stops where another would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from rule_jax import telemetry
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.reporting.vocabulary import direction, side
from rule_jax.stages import Run, Subject, evaluate
from rule_jax.stages._answering import Answerer
from rule_jax.stages._benchmark import benchmark, some
from rule_jax.stages._figures import figures
from rule_jax.types import Task


def check(run: Run, settings: Any) -> None:
    """Raises UserError for settings of config.boundary_optimization.validation that make no sense."""
    for name in ("every", "records", "patience"):
        if settings[name] < 0:
            raise UserError(f"config.boundary_optimization.validation.{name}={settings[name]}: it must not be negative")
    if settings.every:
        if not subset(benchmark(run).tasks, settings.records, run.config.seed):
            raise UserError(
                "config.boundary_optimization.validation.every is set, but the benchmark has no greedy tasks"
            )
    elif settings.patience:
        raise UserError(
            "config.boundary_optimization.validation.patience stops on a validation score: set validation.every too"
        )


class Validation:
    """settings: config.boundary_optimization.validation.

    every: updates between validations, 0 for none; there is one before the first update too. records: of each task, at
    most.
    """

    def __init__(self, run: Run, learner: Subject, log: telemetry.MetricsFile, settings: Any):
        self.log, self.every = log, settings.every
        self.tasks = subset(benchmark(run).tasks, settings.records, run.config.seed) if self.every else ()
        self.answers = Answerer(run, learner) if self.every else None

    def due(self, step: int) -> bool:
        """Is there a validation after `step` updates?"""
        return self.every > 0 and step % self.every == 0

    def __call__(self, params: Params, step: int) -> float:
        """The score of what `step` updates have made: parameters in the compute dtype, laid out for decoding."""
        assert self.answers is not None
        texts = self.answers.of(params, self.tasks)
        table = figures(self.tasks, {t.name: evaluate.judge(t, texts[t.name]) for t in self.tasks})
        found = sides(self.tasks, table)
        metrics = {f"validation/{task}/{name}": value for task, row in table.items() for name, value in row.items()}
        numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
        self.log.write(step, {**{f"validation/{name}": value for name, value in found.items()}, **numbers})
        shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        telemetry.info(f"{self.log.stage}: validation after {step} updates: {shown}")
        return found["score"]


@dataclass
class EarlyStopping:
    """Which step is the best so far, and when there is no more to hope for.

    patience: validations without a better score after which training stops; 0: it never does, and no step is the best.
    every: updates between validations. best: (step, score) of the best that an earlier process has saved.
    """

    patience: int
    every: int
    best: Sequence[float] | None

    @classmethod
    def of(cls, settings: Any, best: Sequence[float] | None) -> "EarlyStopping":
        """As config.boundary_optimization.validation says."""
        return cls(settings.patience, settings.every, best if settings.patience else None)

    def see(self, step: int, score: float) -> None:
        """Takes the score of a validation. Of equals the earlier stays the best."""
        if self.patience and (self.best is None or score > self.best[1]):
            self.best = step, score

    def best_at(self, step: int) -> float | None:
        """The score to be saved with this step's checkpoint; None unless it is the best so far."""
        return self.best[1] if self.best and self.best[0] == step else None

    def exhausted(self, step: int) -> bool:
        """Have there been `patience` validations since the best, none of them better?"""
        if not self.patience or self.best is None:
            return False
        return step // self.every - self.best[0] // self.every >= self.patience

    def tell(self, step: int) -> None:
        """Says at the end of training which step counts."""
        if self.best:
            telemetry.info(f"training ends after {step} updates; the best were {self.best[0]} ({self.best[1]:.3f})")


def subset(tasks: Sequence[Task], records: int, seed: int) -> tuple[Task, ...]:
    """The tasks that are answered greedily in chat, those on general ability left out, which take long; each cut to so
    many records, which the seed and its name draw."""
    chosen = []
    for task in tasks:
        fit = task.temperature == 0 and task.render == "chat" and side(task.name) != "utility"
        if fit and task.records and records:
            chosen.append(some(task, records, seed))
    return tuple(chosen)


def sides(tasks: Sequence[Task], table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """{"score", "forget", "keep"}, in [0, 1]; a side without tasks is left out and counts nothing."""
    kinds: dict[str, list[float]] = {}
    for task in tasks:
        judged = [
            value if better > 0 else 1 - value
            for name, value in table[task.name].items()
            if isinstance(value, float) and 0 <= value <= 1 and (better := direction(task.name, name))
        ]
        if judged:
            kind = "forget" if task.records[0].kind == "forget" else "keep"
            kinds.setdefault(kind, []).append(fmean(judged))
    means = {kind: fmean(values) for kind, values in sorted(kinds.items())}
    product, total = float(np.prod(list(means.values()))), sum(means.values())
    score = total if len(means) < 2 else 2 * product / total if total else 0.0
    return {"score": score, **means}
