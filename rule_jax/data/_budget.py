"""What of a source is trained on: fewer forget queries, fewer wordings of refusals, reference answers that are wrong or
missing; for budgets and ablations."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from rule_jax.errors import UserError
from rule_jax.text import templates
from rule_jax.text.names import names_target
from rule_jax.types import PromptRecord, SftExample, UnlearningData

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


def misanswered(found: UnlearningData, wrong: float, missing: float, seed: int) -> UnlearningData:
    """The data with these shares of the boundary's reference answers wrong, or taken away, drawn by the seed: what a
    set is like whose answers nobody checked. What a smaller share changes, a larger one changes too.

    A wrong answer is the one to the same question about another entity, where there is such a record, otherwise that to
    any other question. Raises UserError for shares below 0 or of more than 1 together, and where no other answer is.
    """
    if min(wrong, missing) < 0 or wrong + missing > 1:
        raise UserError(
            f"config.data.boundary_answers: wrong={wrong}, missing={missing}: at least 0 each, at most 1 together"
        )
    answered = [row for row, record in enumerate(found.boundary) if record.answers]
    drawn = random.Random(seed).sample(answered, len(answered))
    false = set(drawn[: round(wrong * len(drawn))])
    lost = set(drawn[::-1][: min(round(missing * len(drawn)), len(drawn) - len(false))])
    alike: dict[str, list[PromptRecord]] = {}
    for row in answered:
        alike.setdefault(_question(found.boundary[row]), []).append(found.boundary[row])
    rng, boundary = random.Random(seed), list(found.boundary)
    for row in sorted(false | lost):
        record, answers = boundary[row], ()
        if row in false:
            others = _others(record, alike[_question(record)]) or _others(record, [found.boundary[r] for r in answered])
            if not others:
                raise UserError(f"config.data.boundary_answers.wrong={wrong}: all boundary records have one answer")
            answers = rng.choice(others).answers
        boundary[row] = replace(record, answers=answers)
    return replace(found, boundary=tuple(boundary))


def _question(record: PromptRecord) -> str:
    """What is asked, whoever it is about."""
    return record.prompt.replace(record.entity, "…") if record.entity else record.prompt


def _others(record: PromptRecord, among: Sequence[PromptRecord]) -> list[PromptRecord]:
    """Those whose answers are all other ones."""
    own = {answer.casefold() for answer in record.answers}
    return [other for other in among if not own & {answer.casefold() for answer in other.answers}]


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
