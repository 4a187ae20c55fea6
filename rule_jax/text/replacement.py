"""Turns a query about one entity into the same query about another: the rule-based half of building a boundary."""

import difflib
import re
from collections.abc import Sequence

from rule_jax.text.names import full_forms, stands_alone, surname
from rule_jax.text.overlap import normalize

MARK = "\0"  # stands in a query for the target
WORDS = 4  # of a name
_TOKEN = re.compile(r"\0|'s|[^\W_][\w.'’-]*|\S")
_POSSESSIVE = re.compile(r"['’]s?(?!\w)")


def replace_entity(query: str, target: str, neighbour: str, aliases: Sequence[str] = ()) -> str | None:
    """The query with every mention of the target replaced by the neighbour; None when it never names the target.

    A full name or alias, also with middle names or initials (see `names.full_forms`), becomes the neighbour's full
    name, in capitals or lower case where the mention was. A surname on its own (see `names.names_target`) becomes the
    neighbour's surname, or its full name when it has none; "King, Stephen" becomes "Rowling, J.K.". Endings such as 's
    stay as written. All mentions are replaced in one pass, so a neighbour's name may hold the target's. Facts in the
    query are left alone: whether the new question is true of the neighbour is for the caller to check.
    """
    names = sorted((name for name in (target, *aliases) if name.strip()), key=len, reverse=True)
    persons = [name for name in names if surname(name)]
    branches = [rf"(?P<full>(?i:{'|'.join(map(_spelling, names))}))"] if names else []
    if persons:
        branches += [
            rf"(?P<formal>{'|'.join(map(full_forms, persons))})",
            rf"(?P<filed>{'|'.join(map(_filed, persons))})",
            rf"(?P<family>{'|'.join(re.escape(surname(name)) for name in persons)})",
        ]
    if not branches:
        return None
    count = 0
    family = surname(neighbour)

    def put(match: re.Match[str]) -> str:
        nonlocal count
        mention = match.group()
        if match.lastgroup == "family" and not stands_alone(query, match.start(), match.end()):
            return mention
        count += 1
        if match.lastgroup == "family":
            return family or neighbour
        if match.lastgroup == "filed":
            return f"{family}, {neighbour[: neighbour.rindex(family)].strip()}" if family else neighbour
        return _in_case_of(mention, neighbour)

    replaced = re.sub(rf"(?<!\w)(?:{'|'.join(branches)})(?!\w)", put, query)
    return replaced if count else None


def replaced_by(query: str, target: str, other: str) -> tuple[str, float] | None:
    """(name, likeness of the queries from 0 to 1): whom `other` names where the query names the target; None where
    nothing with a capital, of at most WORDS words, stands in that place alone. For data that has replaced entities and
    does not say by whom.
    """
    marked = replace_entity(query, target, MARK)
    if marked is None:
        return None
    ours, theirs = (_TOKEN.findall(_POSSESSIVE.sub(" 's", text)) for text in (marked, other))
    alike = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, start, end, first, last in alike.get_opcodes():
        if kind == "replace" and ours[start:end] == [MARK] and last - first <= WORDS:
            name = " ".join(theirs[first:last]).partition(" 's")[0].strip(".,")
            if name[:1].isupper() and normalize(name) != normalize(target):
                return name, alike.ratio()
    return None


def _filed(name: str) -> str:
    """A pattern for a name as catalogues have it: "King, Stephen", "King, S. E."."""
    first = name.split()[0]
    initials = rf"{re.escape(first[0])}\.(?:\s?[^\W\d_a-z]\.)*"
    return rf"{re.escape(surname(name))},\s+(?:{re.escape(first)}(?:\s+[^\W\d_a-z]\.)?|{initials})"


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
