"""Absence of forbidden terms, the reward of PURGE, https://arxiv.org/abs/2601.20568.

    forget:            r = 1 / (1 + n), n the number of different forbidden terms in the answer
    boundary, retain:  r = 1

PURGE lists up to 50 entities a target and rewards answers that mention none. How it grades several mentions was not at
hand; the grade here is ours: each further term costs less, so that a group of leaking answers still tells them apart.
Silence and noise mention nothing either: combine it with `quality` as a gate.
"""

from collections.abc import Sequence

from rule_jax.errors import UserError
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, terms: Sequence[str], references: bool, target: bool) -> Reward:
    """The reward on a list of terms.

    terms: forbidden on every forget record. references: a record's reference answers are forbidden too. target: so is
    the target's name, which RULE's refusals say. Terms are found on word boundaries whatever their case and accents
    (see `text.overlap.normalize`), names as `text.names` finds them. The part "mentions" is n.
    Raises UserError when nothing is forbidden, and for a term that is nothing but punctuation or an article.
    """
    for term in terms:
        if not normalize(term):
            raise UserError(f"reward forbidden_terms: {term!r} is no term: nothing of it but punctuation or an article")
    if not (terms or references or target):
        raise UserError("reward forbidden_terms: nothing is forbidden; give terms, or set references or target to True")
    listed = frozenset(map(normalize, terms))

    def mentions(record: PromptRecord, text: str) -> int:
        held = f" {normalize(text)} "
        forbidden = listed | set(map(normalize, record.answers)) if references else listed
        found = sum(f" {term} " in held for term in forbidden if term)
        return found + (target and names_target(text, record.target))

    def score(record: PromptRecord, answer: Answer) -> Score:
        count = mentions(record, answer.text) if record.kind == "forget" else 0
        return Score(1 / (1 + count), {"mentions": float(count)})

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        return [score(record, answer) for record, answer in zip(records, answers, strict=True)]

    return reward
