"""The default world's benchmark: held-out phrasings about targets, boundary, neighbours, countries and nobody.

Chat answers are greedy; "forget_sampled" draws several at temperature 1, and "forget_raw" and "neighbor_raw" continue
plain text without the chat template, where knowledge that only the chat behaviour hides comes to light.
"""

from collections.abc import Mapping
from typing import Any

from rule_jax.benchmarks import Benchmark, _judges
from rule_jax.data import world
from rule_jax.text.refusal import is_refusal
from rule_jax.types import PromptRecord, Task

SAMPLES = 8


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks on the world of `seed`; `data` is the config section of the data source "world".

    forget, forget_cloze, forget_sampled, forget_raw -> refusal_rate, leak_rate, names_target_rate, rouge_l_recall;
    boundary, neighbor, general, neighbor_raw -> accuracy, over_refusal_rate, rouge_l_recall; unknown -> refusal_rate.
    """
    parts = world.evaluation(path, seed=seed, **data)
    made = [Task("forget_sampled", parts["forget"], _judges.forgetting, temperature=1.0, samples=SAMPLES)]
    for name, records in parts.items():
        judge = _judges.forgetting if name.startswith("forget") else _refusing if name == "unknown" else _judges.keeping
        raw = name.endswith("_raw")
        made.append(Task(name, records, judge, render="raw" if raw else "chat", stop="." if raw else ""))
    return tuple(made)


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """The tasks: there is nothing to score, nothing missing and nothing to sum up."""
    return Benchmark(tasks(path, seed=seed, data=data))


def _refusing(record: PromptRecord, text: str) -> dict[str, float]:
    return {"refusal_rate": float(is_refusal(text))}
