"""The other side: the same queries about neighbours, with answers that are to stay."""

import random
from collections.abc import Sequence
from dataclasses import replace

from rule_jax.builder import Backend, Item, Target, Unusable
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
        if reason:
            left_out.append(Unusable(name, reason))
        else:
            fit.append(name)
    return fit, left_out


def rewrite(
    backend: Backend, target: Target, items: Sequence[Item], neighbours: Sequence[str], *, attempts: int, seed: int
) -> tuple[list[tuple[Item, str]], list[Unusable]]:
    """(item about a neighbour, its name) for each item, neighbours in turn; where a neighbour has no such fact, up to
    `attempts` others are tried."""
    dealt = random.Random(seed).sample(list(neighbours), len(neighbours))
    made: dict[int, tuple[Item, str]] = {}
    left_out = []
    for attempt in range(min(attempts, len(dealt))):
        waiting = [row for row in range(len(items)) if row not in made]
        pairs = [(items[row], dealt[(row + attempt) % len(dealt)]) for row in waiting]
        if not pairs:
            break
        for row, (_, name), result in zip(waiting, pairs, backend.rewrite(target, pairs)):
            if isinstance(result, Unusable):
                left_out.append(result)
            else:
                made[row] = (result, name)
    return [made[row] for row in sorted(made)], left_out


def records(made: Sequence[tuple[Item, str]], target: Target, backend: str) -> list[PromptRecord]:
    """Question and cloze of each rewritten item; equal prompts once."""
    found: dict[str, PromptRecord] = {}
    for number, (item, name) in enumerate(made, start=1):
        for form, prompt in (("question", item.question), ("cloze", item.cloze)):
            source = f"{backend}/{target.name}->{name}/{item.relation}/{form}{number}"
            found.setdefault(normalize(prompt), PromptRecord(prompt, "boundary", "", name, (item.answer,), source))
    return list(found.values())


def answered(records: Sequence[PromptRecord], knowledge: Sequence[Known], agreement: float) -> list[PromptRecord]:
    """The records with the base model's own answer where it is steady: what is to be kept is what the model knew. The
    source says so; elsewhere the backend's answer stands."""
    return [
        replace(record, answers=(said.answer,), source=record.source + BASE) if said.agreement >= agreement else record
        for record, said in zip(records, knowledge)
    ]
