"""A user's own probes: what is to be forgotten, what lies beside it, and anything else that is to be kept."""

from collections.abc import Mapping
from typing import Any

from rule_jax.benchmarks import Benchmark, _judges
from rule_jax.data import jsonl
from rule_jax.types import Task

MAX_NEW_TOKENS = 64


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """A task for each kind of record that there is, "forget", "boundary" and "retain"; `data` is the section "jsonl".

    The records are those of `evaluation_file`, or, where that is "", those that are trained on.
    """
    records = jsonl.evaluation(path, **data)
    judges = {"forget": _judges.forgetting, "boundary": _judges.keeping, "retain": _judges.keeping}
    made = []
    for kind, judge in judges.items():
        chosen = tuple(record for record in records if record.kind == kind)
        if chosen:
            made.append(Task(kind, chosen, judge, max_new_tokens=MAX_NEW_TOKENS))
    return tuple(made)


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """The tasks: there is nothing to score, nothing missing and nothing to sum up."""
    return Benchmark(tasks(path, seed=seed, data=data))
