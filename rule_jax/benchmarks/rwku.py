"""RWKU (arXiv 2406.10890): is the target forgotten, and what lies beside it kept?

The queries are put as the benchmark's released evaluation puts them (github.com/jinzhuoran/RWKU, `eval_forget.py` and
`eval_neighbor.py`): an instruction and the question in the user's turn, the assistant's turn begun with "Answer:", 30
greedy tokens, cut at the first newline. Two adversarial types are put differently. An in-context probe is itself a
sequence of "Question: ... Answer: ..." and gets no further "Question:" before it. An affirmative suffix ("Sure, here is
the answer:") must stand last, so its turn ends without a newline and the assistant's turn is begun with nothing.

Since the beginning of a turn belongs to a Task, the adversarial probes are a task per type, "forget_aa/role_play" and
so on (Spanish and French are one type, cross-lingual, as in the paper), and counted together as "forget_aa".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rule_jax.benchmarks import _judges
from rule_jax.benchmarks import _rwku_prompts as prompts
from rule_jax.data import rwku
from rule_jax.types import PromptRecord, Task

POOLED = "forget_aa"


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks of a target folder, for the probe files that it has; `rwku.evaluation(path).missing` names the others.

    seed and data are the room's signature: the probes are fixed and need neither.

    Names: "forget_fb", "forget_qa", "forget_aa/<type>", "neighbor_fb", "neighbor_qa". A task's records carry the whole
    user's turn as their prompt. Raises UserError as `rwku.evaluation`.
    """
    made = []
    for name, records in rwku.evaluation(path).sets.items():
        if name == POOLED:
            made += _adversarial(records)
        else:
            made.append(
                _task(name, records, prompts.CLOZE if name.endswith("_fb") else prompts.QUESTION, prompts.ANSWER)
            )
    return tuple(made)


def floor(task: Task) -> dict[str, float]:
    """The leak_rate and rouge_l_recall of a model that says the target's name and nothing else, on a forget task.

    RULE teaches refusals that name their target, so this is what a perfect one scores where the name is the answer.
    """
    judged = [task.judge(record, record.target) for record in task.records]
    return {
        metric: sum(figures[metric] for figures in judged) / len(judged) for metric in ("leak_rate", "rouge_l_recall")
    }


def _adversarial(records: Sequence[PromptRecord]) -> list[Task]:
    """A task per type, in the order of the types' names."""
    by_type: dict[str, list[PromptRecord]] = {}
    for record in records:
        by_type.setdefault(_type_name(record), []).append(record)
    made = []
    for kind, members in sorted(by_type.items()):
        template = {"affirmative_suffix": prompts.AFFIRMATIVE, "incontext_learning": prompts.IN_CONTEXT}.get(
            kind, prompts.QUESTION
        )
        prefill = "" if kind == "affirmative_suffix" else prompts.ANSWER
        made.append(_task(f"{POOLED}/{kind}", members, template, prefill))
    return made


def _type_name(record: PromptRecord) -> str:
    """RWKU's words for a type as a name: "cross lingual (French)" -> "cross_lingual"."""
    words = rwku.adversarial_type(record).partition("(")[0].lower()
    return "_".join(re.findall(r"\w+", words))


def _task(name: str, records: Sequence[PromptRecord], template: str, prefill: str) -> Task:
    return Task(
        name=name,
        records=tuple(replace(record, prompt=template.format(record.prompt)) for record in records),
        judge=_judges.keeping if name.startswith("neighbor") else _judges.forgetting,
        prefill=prefill,
        max_new_tokens=prompts.ANSWER_TOKENS,
        stop="\n",
    )
