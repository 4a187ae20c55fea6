"""Which of the proposed facts become forget queries, and which of those the base model knows."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rule_jax.builder import Item, Target, Unusable
from rule_jax.builder.audit import INDIRECT, WORDED
from rule_jax.builder.base_model import Known
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.text.similarity import earlier_twins
from rule_jax.types import PromptRecord


class Query(NamedTuple):
    """An item about the target, and the forget records that ask for it: a question, a cloze or both."""

    item: Item
    records: tuple[PromptRecord, ...]


def distinct(
    replies: Iterable[Sequence[Item | Unusable]], target: Target, similarity: float
) -> Iterator[Item | Unusable]:
    """The items that can be asked, as they come, and why others cannot.

    An item must name the target in both forms, unless it is marked as indirect; and its question must differ from those
    before it (`similarity.earlier_twins`): in its words, where templates make several of one fact on purpose.
    """
    kept: list[Item] = []
    for reply in replies:
        named = []
        for item in reply:
            if isinstance(item, Unusable):
                yield item
            elif item.indirect or all(
                names_target(t, target.name, target.aliases) for t in (item.question, item.cloze)
            ):
                named.append(item)
            else:
                yield Unusable(item.question, f"it never names {target.name}")
        known, together = len(kept), [*kept, *named]
        asked, said = [item.question for item in together], [item.answer for item in together]
        alike = 1.0 if all(item.template for item in together) else similarity
        for item, twin in zip(named, earlier_twins(asked, said, alike, distinct=known)[known:]):
            if twin is None:
                kept.append(item)
                yield item
            else:
                yield Unusable(item.question, f"nearly the same as {asked[twin]!r}")


def asked(items: Iterable[Item], target: Target, backend: str) -> Iterator[Query]:
    """Question and cloze of each item as records; equal prompts once."""
    seen = set()
    for number, item in enumerate(items, start=1):
        records = []
        for form, prompt in (("question", item.question), ("cloze", item.cloze)):
            if normalize(prompt) not in seen:
                seen.add(normalize(prompt))
                marks = (WORDED if item.template else "") + (INDIRECT if item.indirect else "")
                source = f"{backend}/{target.name}/{item.relation}/{form}{number}{marks}"
                records.append(PromptRecord(prompt, "forget", target.name, target.name, (item.answer,), source))
        yield Query(item, tuple(records))


def known(queries: Iterable[Query], knowledge: Iterator[Known], agreement: float) -> Iterator[Query | Unusable]:
    """The queries with those of their records that the base model answers consistently, its own answer added to the
    facts that must not leak; and why others are left out: what a model never knew, it cannot be seen to forget.

    knowledge: of all records, in order.
    """
    for query in queries:
        kept = []
        for record in query.records:
            said = next(knowledge)
            if said.agreement < agreement:
                reason = f"the base model has no steady answer ({said.answer!r}, agreement {said.agreement:.2f})"
                yield Unusable(record.prompt, reason)
                continue
            own = () if normalize(said.answer) in map(normalize, record.answers) else (said.answer,)
            kept.append(replace(record, answers=(*record.answers, *own)))
        if kept:
            yield Query(query.item, tuple(kept))


def chosen(queries: Sequence[Query], count: int) -> list[Query]:
    """At most `count` of them, the relations in turn."""
    by_relation: dict[str, list[Query]] = defaultdict(list)
    for query in queries:
        by_relation[query.item.relation].append(query)
    turns = max(map(len, by_relation.values()), default=0)
    ordered = [queue[turn] for turn in range(turns) for queue in by_relation.values() if turn < len(queue)]
    return ordered[:count]
