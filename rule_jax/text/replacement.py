"""Turns a query about one entity into the same query about another: the rule-based half of building a boundary."""

import re
from collections.abc import Sequence

from rule_jax.text.names import stands_alone, surname
from rule_jax.text.overlap import normalize


def replace_entity(query: str, target: str, neighbour: str, aliases: Sequence[str] = ()) -> str | None:
    """The query with every mention of the target replaced by the neighbour; None when it never names the target.

    A full name or alias becomes the neighbour's full name, in capitals or lower case where the mention was. A surname
    on its own (see `names.names_target`) becomes the neighbour's surname, or its full name when it has none. Endings
    such as 's stay as written. All mentions are replaced in one pass, so a neighbour's name may hold the target's.
    Facts in the query are left alone: whether the new question is true of the neighbour is for the caller to check.
    """
    family = surname(target)
    names = sorted((name for name in (target, *aliases) if name.strip()), key=len, reverse=True)
    branches = [rf"(?P<full>(?i:{'|'.join(map(_spelling, names))}))"] if names else []
    branches += [rf"(?P<family>{re.escape(family)})"] if family else []
    if not branches:
        return None
    count = 0

    def put(match: re.Match[str]) -> str:
        nonlocal count
        mention = match.group()
        if match.lastgroup == "family":
            if not stands_alone(query, match.start(), match.end()):
                return mention
            count += 1
            return surname(neighbour) or neighbour
        count += 1
        return _in_case_of(mention, neighbour)

    replaced = re.sub(rf"(?<!\w)(?:{'|'.join(branches)})(?!\w)", put, query)
    return replaced if count else None


def _spelling(name: str) -> str:
    """A pattern for a name under any blanks, either kind of apostrophe, and with or without its accents."""
    return r"\s+".join("".join(map(_letter, word)) for word in name.split())


def _letter(letter: str) -> str:
    if letter in "'’":
        return "['’]"
    plain = letter if letter.isascii() else normalize(letter)
    return re.escape(letter) if plain in ("", letter) else f"(?:{re.escape(letter)}|{plain})"


def _in_case_of(mention: str, name: str) -> str:
    if mention.isupper():
        return name.upper()
    return name.lower() if mention.islower() else name
