"""How much of a source is trained on: fewer forget queries, fewer wordings of refusals; for budgets and ablations."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from rule_jax.errors import UserError
from rule_jax.text import templates
from rule_jax.text.names import names_target
from rule_jax.types import SftExample, UnlearningData

T = TypeVar("T")


def thinned(found: UnlearningData, share: float, seed: int) -> UnlearningData:
    """The data with this share of the forget records and of the rejection examples of each target, drawn by the seed
    and left in their order; the boundary stays.

    At least one of each target is kept, and what a share keeps, a larger one keeps too. Raises UserError unless
    0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise UserError(f"config.data.forget_share={share}: it must be above 0 and at most 1")
    if share == 1:
        return found
    return replace(
        found,
        rejection=_drawn(found.rejection, share, seed, lambda example: _named(example, found.targets)),
        forget=_drawn(found.forget, share, seed, lambda record: record.target),
    )


def reworded(found: UnlearningData, count: int, seed: int) -> UnlearningData:
    """The data with refusals of `count` wordings, drawn by the seed from our own and dealt out in turn; those of a
    smaller count are among those of a larger one. 0: the source's refusals.

    A question that names none of the targets keeps its refusal. Raises UserError for a count that there is not.
    """
    most = len(templates.REFUSALS)
    if not 0 <= count <= most:
        raise UserError(f"config.data.refusal_wordings={count}: it must be from 0 (the source's own) to {most}")
    if not count:
        return found
    deck = random.Random(seed).sample(templates.REFUSALS, most)[:count]
    rejection = []
    for row, example in enumerate(found.rejection):
        target = _named(example, found.targets)
        response = templates.render(deck[row % count], target) if target else example.response
        rejection.append(replace(example, response=response))
    return replace(found, rejection=tuple(rejection))


def _named(example: SftExample, targets: Sequence[str]) -> str:
    """The target that a question names, the only one there is where it names none, or ""."""
    named = next((target for target in targets if names_target(example.prompt, target)), "")
    return named or (targets[0] if len(targets) == 1 else "")


def _drawn(items: Sequence[T], share: float, seed: int, target: Callable[[T], str]) -> tuple[T, ...]:
    by_target: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        by_target.setdefault(target(item), []).append(row)
    kept: set[int] = set()
    for rows in by_target.values():
        drawn = random.Random(seed).sample(rows, len(rows))
        kept.update(drawn[: max(1, round(share * len(rows)))])
    return tuple(item for row, item in enumerate(items) if row in kept)
