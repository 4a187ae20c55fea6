"""What an answer tells beyond its question: a short one itself, of a longer one the names and numbers."""

import re

from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize

SHORT = 5  # words of an answer that is a fact as it stands
_TELLING = re.compile(
    r"\d{3,}|\d+(?:[.,:/]\d+)+|[^\W\d_a-z][\w'’-]*(?:\s+(?:(?:of|the|and|de|del|der|du|la|van|von)\s+)*[^\W\d_a-z][\w'’-]*)*"
)
_OPENING = re.compile(r"(?:^|[.!?:;\n])[\s\"“‘(*-]*$")


def told(question: str, answer: str, about: str = "") -> tuple[str, ...]:
    """The facts of an answer, each once, in their order; none of a name or number that the question holds.

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
