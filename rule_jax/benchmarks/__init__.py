"""What proves forgetting: one file a benchmark, with its data's tasks, their judges and what is summed up of them.

Every file has make(path, *, seed, data, retrained) -> Benchmark. path: of one target. data: the section of the config
that has the benchmark's name. retrained: where a model's figures lie that never saw the forget set; "" for none.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rule_jax.types import Judged, ScoringTask, Summary, Task


def _nothing(judged: Judged) -> Mapping[str, Mapping[str, float | str]]:
    return {}


class Benchmark(NamedTuple):
    """What is asked of a model: queries to answer, texts to score, and what is made of several of them together.

    missing: parts that the target's folder lacks. summary: figures beyond those of the single tasks.
    """

    tasks: tuple[Task, ...]
    scoring: tuple[ScoringTask, ...] = ()
    missing: tuple[str, ...] = ()
    summary: Summary = _nothing
