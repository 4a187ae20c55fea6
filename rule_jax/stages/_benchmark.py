"""What the evaluation of a run asks: its benchmark, over all targets and over what earlier runs forgot."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from rule_jax import plugin
from rule_jax.benchmarks import Benchmark
from rule_jax.errors import UserError
from rule_jax.reporting.vocabulary import side
from rule_jax.stages import Run
from rule_jax.types import ScoringTask, Task

EARLIER = "forget_earlier"  # what runs before this one forgot, and must not come back

AnyTask = TypeVar("AnyTask", Task, ScoringTask)


def name(run: Run) -> str:
    """config.evaluate.benchmark; "" is the one of the data source."""
    return run.config.evaluate.benchmark or run.config.data.source


def benchmark(run: Run) -> Benchmark:
    """The run's benchmark on all its targets, put together by the names of tasks.

    Of what earlier runs forgot there are the forget tasks alone, named "forget_earlier/<task>", or
    "forget_earlier_raw/<task>" for those without the chat template. Raises UserError for an unknown benchmark,
    unreadable probes, and an earlier target that this run forgets.
    """
    config = run.config
    paths = (config.data.path, *config.data.more_paths)
    repeated = {*paths} & set(config.data.earlier)
    if repeated:
        raise UserError(
            f"config.data.earlier has {min(repeated)!r}, which this run forgets; earlier runs forgot others"
        )
    room, settings = plugin.load("benchmarks", name(run)), config.data[name(run)].to_dict()
    if not config.data.path and name(run) != "world":
        raise UserError(f"the benchmark {name(run)!r} reads files: set config.data.path to where they are")

    def made(path: str) -> Benchmark:
        return room.make(path, seed=config.seed, data=settings, retrained=config.evaluate.retrained)

    each = {path: made(path) for path in paths}
    earlier = [
        replace(task, name=f"{EARLIER}{'_raw' if task.render == 'raw' else ''}/{task.name}")
        for path in config.data.earlier
        for task in made(path).tasks
        if side(task.name) == "forget"
    ]
    several = len(each) > 1
    return Benchmark(
        tasks=merged([*(task for one in each.values() for task in one.tasks), *earlier], _more_records),
        scoring=merged([task for one in each.values() for task in one.scoring], _more_queries),
        missing=tuple(f"{path}: {part}" if several else part for path, one in each.items() for part in one.missing),
        summary=each[paths[0]].summary,
    )


def merged(tasks: Iterable[AnyTask], join: Callable[[AnyTask, AnyTask], AnyTask]) -> tuple[AnyTask, ...]:
    """One task for each name: those of several targets joined, in order."""
    by_name: dict[str, Any] = {}
    for task in tasks:
        by_name[task.name] = join(by_name[task.name], task) if task.name in by_name else task
    return tuple(by_name.values())


def some(task: Task, records: int, seed: int) -> Task:
    """The task with so many of its records, at most, in their order; seed and name draw which."""
    rng = np.random.default_rng([seed, *task.name.encode()])
    rows = sorted(rng.permutation(len(task.records))[:records])
    return replace(task, records=tuple(task.records[row] for row in rows))


def _more_records(task: Task, more: Task) -> Task:
    return replace(task, records=task.records + more.records)


def _more_queries(task: ScoringTask, more: ScoringTask) -> ScoringTask:
    return replace(task, queries=task.queries + more.queries)
