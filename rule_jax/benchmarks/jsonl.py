"""A user's own probes: what is to be forgotten, what lies beside it, and anything else that is to be kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax.benchmarks import Benchmark, _judges
from rule_jax.data import jsonl
from rule_jax.types import PromptRecord, Task

MAX_NEW_TOKENS = 64
JUDGES = {"forget": _judges.forgetting, "boundary": _judges.keeping, "retain": _judges.keeping}


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """A task for each kind of record that there is, "forget", "boundary" and "retain", asked as the records say: those
    of plain text are the task "forget_raw", those whose answer is begun by the first prefill "forget_begun/1".

    `data` is the section "jsonl". The records are those of `evaluation_file`, or, where that is "", those that are
    trained on.
    """
    records = jsonl.evaluation(path, **data)
    prefills = list(dict.fromkeys(record.prefill for record in records if record.prefill))
    asked: dict[str, list[PromptRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: [*JUDGES].index(record.kind)):
        way = f"_begun/{prefills.index(record.prefill) + 1}" if record.prefill else ""
        asked[record.kind + ("_raw" if record.render == "raw" else way)].append(record)
    return tuple(_task(name, alike) for name, alike in asked.items())


def _task(name: str, alike: Sequence[PromptRecord]) -> Task:
    """A task of records of one kind that are put to the model in one way."""
    kind, render, prefill = alike[0].kind, alike[0].render, alike[0].prefill
    return Task(name, tuple(alike), JUDGES[kind], render=render, prefill=prefill, max_new_tokens=MAX_NEW_TOKENS)


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """The tasks: there is nothing to score, nothing missing and nothing to sum up."""
    return Benchmark(tasks(path, seed=seed, data=data))
