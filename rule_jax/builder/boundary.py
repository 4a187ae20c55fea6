"""The other side: the same queries about neighbours, with answers that are to stay."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rule_jax.builder import Backend, Item, Target, Unusable
from rule_jax.builder.audit import WORDED
from rule_jax.builder.base_model import Known
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.types import PromptRecord

BASE = "#base"  # ends the source of a record whose answer is the base model's own


def fit_neighbours(backend: Backend, target: Target, names: Sequence[str]) -> tuple[list[str], list[Unusable]]:
    """The names that are not the target's, not part of it and not as sensitive, by rule and by the backend."""
    spelt: dict[str, str] = {}
    for name in names:
        spelt.setdefault(normalize(name), name)
    distinct = list(spelt.values())
    reasons = backend.unfit(target, distinct)
    fit, left_out = [], []
    for name, reason in zip(distinct, reasons):
        if names_target(name, target.name, target.aliases) or normalize(name) in normalize(target.name).split():
            reason = f"it is {target.name} by another name, or holds its name"
        elif any(names_target(name, other) or normalize(name) in normalize(other).split() for other in target.others):
            reason = "it is to be forgotten too"
        if reason:
            left_out.append(Unusable(name, reason))
        else:
            fit.append(name)
    return fit, left_out


def rewrite(
    backend: Backend, target: Target, items: Sequence[Item], neighbours: Sequence[str], *, attempts: int, seed: int
) -> Iterator[tuple[Item, str] | Unusable]:
    """(item about a neighbour, its name) for each item, as they come, neighbours in turn; where a neighbour has no such
    fact, up to `attempts` others are tried."""
    dealt = random.Random(seed).sample(list(neighbours), len(neighbours))
    waiting = list(range(len(items)))
    for attempt in range(min(attempts, len(dealt))):
        pairs = [(items[row], dealt[(row + attempt) % len(dealt)]) for row in waiting]
        failed = []
        for result, row, (_, name) in zip(backend.rewrite(target, pairs) if pairs else (), waiting, pairs):
            if isinstance(result, Unusable):
                failed.append(row)
                yield result
            else:
                yield result, name
        waiting = failed


def records(made: Iterable[tuple[Item, str]], target: Target, backend: str) -> Iterator[PromptRecord]:
    """Question and cloze of each rewritten item; equal prompts once."""
    seen = set()
    for number, (item, name) in enumerate(made, start=1):
        for form, prompt in (("question", item.question), ("cloze", item.cloze)):
            if normalize(prompt) not in seen:
                seen.add(normalize(prompt))
                mark = WORDED if item.template else ""
                source = f"{backend}/{target.name}->{name}/{item.relation}/{form}{number}{mark}"
                yield PromptRecord(prompt, "boundary", "", name, (item.answer,), source)


def answered(records: Iterable[PromptRecord], knowledge: Iterable[Known], agreement: float) -> Iterator[PromptRecord]:
    """The records with the base model's own answer where it is steady: what is to be kept is what the model knew. The
    source says so; elsewhere the backend's answer stands."""
    for record, said in zip(records, knowledge):
        steady = said.agreement >= agreement
        yield replace(record, answers=(said.answer,), source=record.source + BASE) if steady else record
