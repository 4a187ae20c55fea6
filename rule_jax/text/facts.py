"""Facts: what records tell of an entity, and what an answer tells beyond its question."""

import re
from collections.abc import Sequence

from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.types import PromptRecord

SHORT = 5  # words of an answer that is a fact as it stands
_TELLING = re.compile(
    r"\d{3,}|\d+(?:[.,:/]\d+)+|[^\W\d_a-z][\w'’-]*(?:\s+(?:(?:of|the|and|de|del|der|du|la|van|von)\s+)*[^\W\d_a-z][\w'’-]*)*"
)
_OPENING = re.compile(r"(?:^|[.!?:;\n])[\s\"“‘(*-]*$")


def told(question: str, answer: str, about: str = "") -> tuple[str, ...]:
    """The facts of an answer, each once, in their order: a short one itself, of a longer one the names and numbers that
    the question does not hold.

    Names are runs of words with a capital; a single one that only opens a sentence is none, nor is "I". about: whom
    the question is about; that name is no fact.
    """
    plain = answer.strip().rstrip(".").strip()
    if len(plain.split()) <= SHORT:
        return (plain,) if plain else ()
    asked = f" {normalize(question)} "
    found: dict[str, None] = {}
    for match in _TELLING.finditer(answer):
        span = match.group()
        opens = span == "I" or (" " not in span and not span[0].isdigit() and _OPENING.search(answer[: match.start()]))
        if not opens and f" {normalize(span)} " not in asked and not (about and names_target(span, about)):
            found[span] = None
    return tuple(found)


def facts_of(records: Sequence[PromptRecord]) -> dict[str, tuple[str, ...]]:
    """Entity -> its facts, from the answers of its records, in their order; records that name no entity have none."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        if name := record.entity or record.target:
            found.setdefault(name, {}).update(dict.fromkeys(answer for answer in record.answers if answer.strip()))
    return {name: tuple(facts) for name, facts in found.items() if facts}
