"""Which of the proposed facts become forget queries, and which of those the base model knows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from rule_jax.builder import Item, Target, Unusable
from rule_jax.builder.audit import INDIRECT
from rule_jax.builder.base_model import Known
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.text.similarity import earlier_twins
from rule_jax.types import PromptRecord


def select(items: Sequence[Item], target: Target, count: int, similarity: float) -> tuple[list[Item], list[Unusable]]:
    """At most `count` of the items, the relations in turn, and why others are left out.

    An item must name the target in both forms, unless it is marked as indirect; and its question must differ from those
    before it, in its normal form and by `similarity`.
    """
    left_out = []
    named = []
    for item in items:
        if item.indirect or all(names_target(t, target.name, target.aliases) for t in (item.question, item.cloze)):
            named.append(item)
        else:
            left_out.append(Unusable(item.question, f"it never names {target.name}"))
    by_relation: dict[str, list[Item]] = defaultdict(list)
    twins = earlier_twins([item.question for item in named], [item.answer for item in named], similarity)
    for item, twin in zip(named, twins):
        if twin is None:
            by_relation[item.relation].append(item)
        else:
            left_out.append(Unusable(item.question, f"nearly the same as {named[twin].question!r}"))
    queues = list(by_relation.values())
    turns = max(map(len, queues), default=0)
    ordered = [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)]
    return ordered[:count], left_out


def forget_records(items: Sequence[Item], target: Target, backend: str) -> list[PromptRecord]:
    """Question and cloze of each item; equal clozes once."""
    records: dict[str, PromptRecord] = {}
    for number, item in enumerate(items, start=1):
        for form, prompt in (("question", item.question), ("cloze", item.cloze)):
            source = f"{backend}/{target.name}/{item.relation}/{form}{number}" + (INDIRECT if item.indirect else "")
            record = PromptRecord(prompt, "forget", target.name, target.name, (item.answer,), source)
            records.setdefault(normalize(prompt), record)
    return list(records.values())


def known(
    records: Sequence[PromptRecord], knowledge: Sequence[Known], agreement: float
) -> tuple[list[PromptRecord], list[Unusable]]:
    """The forget records that the base model answers consistently, its own answer added to the facts that must not
    leak, and those that it does not: what a model never knew, it cannot be seen to forget."""
    kept, left_out = [], []
    for record, said in zip(records, knowledge):
        if said.agreement < agreement:
            reason = f"the base model has no steady answer ({said.answer!r}, agreement {said.agreement:.2f})"
            left_out.append(Unusable(record.prompt, reason))
            continue
        own = () if normalize(said.answer) in map(normalize, record.answers) else (said.answer,)
        kept.append(replace(record, answers=(*record.answers, *own)))
    return kept, left_out
