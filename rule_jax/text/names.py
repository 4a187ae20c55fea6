"""Does a text name an entity? By its full name, an alias, or a person's surname."""

import functools
import re
from collections.abc import Sequence

from rule_jax.text.overlap import normalize

_NAME_PART = re.compile(r"[^\W\d_]\.?(?:[^\W\d_]\.)*|[^\W\d_][^\W\d_'’.-]*(?:['’-][^\W\d_]+)*")
_GENERATION = {"Jr", "Sr", "II", "III", "IV"}
_PARTICLES = {"da", "de", "del", "der", "di", "la", "le", "van", "von", "bin", "al"}
# Words that show a capitalised name to be no person's.
_FIRST = re.compile("The|New|Mount|Lake|North|South|East|West|Great|United|Saint|San|Los|Las")
_LAST = re.compile(
    "Academy|Age|Airport|Army|Avenue|Bank|Basin|Battle|Bay|Beach|Bridge|Building|Canal|Canyon|Castle|Cathedral|Church|City|"
    "Club|College|Company|Corporation|County|Cup|Desert|Dynasty|Empire|Falls|Festival|Forest|Foundation|Games|Gardens?|"
    "Group|Gulf|Hall|House|Inc|Institute|Islands?|Kingdom|Lake|League|Library|Monument|Mountains?|Museum|Ocean|Olympics|"
    "Palace|Park|Party|Peninsula|Prize|Republic|Revolution|River|School|Sea|Square|Stadium|States|Station|Street|Strait|"
    "System|Temple|Theatre|Theorem|Towers?|Treaty|Union|University|Valley|Wall|Wars?|World|Zoo"
)
# After a surname's 's these make another name: King's Landing, King's Cross Station.
_PLACES = (
    "Arms|Bay|Beach|Bench|Bridge|Canyon|Cathedral|Chapel|Church|College|Corner|Counsel|Creek|Cross|Ferry|Gate|Head|Highway|"
    "Hill|Hospital|Island|Landing|Lane|Lynn|Mill|Park|Peak|Point|Quay|Road|School|Square|Station|Street|Theatre|Wharf"
)
_OF_A_PLACE = re.compile(rf"['’]s((?:[ \t]+(?:{_PLACES})\b)+)(?![ \t]+[^\W\d_a-z])")
# Capitalised only because they open a sentence: the surname after one of these is not part of another full name.
_OPENERS = re.compile(
    "after|although|and|are|as|at|because|before|both|but|by|can|could|describe|did|do|does|explain|for|from|had|has|have|"
    "how|if|in|is|it|like|list|many|most|name|of|on|or|read|since|so|tell|that|then|these|this|those|though|to|under|unlike|"
    "until|was|were|what|when|where|which|while|who|whom|whose|why|will|with|would|yes|no"
)
_HONORIFICS = re.compile("mr|mrs|ms|dr|sir|dame|prof|professor|lord|lady|author|novelist|president")
_BEFORE = re.compile(r"([\w'’-]+)(\.?)[ \t]+$")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\"“‘(\n])\s*$")
_NEXT_NAME = re.compile(r"[ \t]+[^\W\d_a-z][^\W\d_]")


def names_target(text: str, target: str, aliases: Sequence[str] = ()) -> bool:
    """True when the text names the target.

    A full name or alias counts in any case, with straight or curly quotes, with or without accents, as a possessive.
    For a target or alias that looks like a person's name, so do other forms of it (`full_forms`: "Stephen Edwin King",
    "S. King", "Stephen and Tabitha King"; "Robert Downey" for Robert Downey, Jr.), and the surname alone: only when
    spelt with its capital, and not as a part of another's name or after an article. For Stephen King, "King's novels"
    and "Did King write it?" count, "a king", "the King", "King Arthur", "Billie Jean King" and "King's Landing" do not.
    No list of people is consulted, so "Harry Potter" counts as a person. An empty name is never named.
    """
    held = f" {normalize(text)} "
    keys = [normalize(name) for name in (target, *aliases)]
    if any(key and f" {key} " in held for key in keys):
        return True
    return any(_names_person(text, name) for name in (target, *aliases))


def _names_person(text: str, name: str) -> bool:
    family = surname(name)
    if not family or family not in text:
        return False
    if re.search(full_forms(name), text) or re.search(_couple(name), text):
        return True
    return any(stands_alone(text, m.start(), m.end()) for m in re.finditer(rf"(?<!\w){re.escape(family)}(?!\w)", text))


@functools.lru_cache(maxsize=1024)
def full_forms(name: str) -> str:
    """A pattern for the ways in which a person's name is given in full: the first name or its initial, at most two
    middle names or initials, the surname, perhaps "Jr." or the like. `name` must have a surname."""
    first, family = name.split()[0], surname(name)
    given = rf"(?:{re.escape(first)}|(?<!\.)(?<!\. ){re.escape(first[0])}\.)"  # no middle initial of another
    between = r"(?:(?:\s+|(?<=\.))[^\W\d_a-z][\w’'-]*\.?){0,2}"  # capitalised, as far as a pattern can tell
    generation = rf"(?:,?\s+(?:{'|'.join(sorted(_GENERATION))})(?!\w)\.?)?"
    return rf"(?<!\w){given}{between}\s+{re.escape(family)}(?!\w){generation}"


def _couple(name: str) -> str:
    """A pattern for the name as the first of two that share the surname."""
    first, family = re.escape(name.split()[0]), re.escape(surname(name))
    return rf"(?<!\w){first}\s+(?:and|&)\s+[^\W\d_a-z][\w’'-]*\s+{family}(?!\w)"


@functools.lru_cache(maxsize=1024)
def surname(name: str) -> str:
    """The family name of what looks like a Western person's name of two to four capitalised words; else ""."""
    parts = [part.rstrip(",") for part in name.split()]
    if len(parts) > 2 and parts[-1].rstrip(".") in _GENERATION:
        parts.pop()
    if (
        not 2 <= len(parts) <= 4
        or _FIRST.fullmatch(parts[0])
        or _LAST.fullmatch(parts[-1])
        or len(parts[-1].rstrip(".")) < 2
    ):
        return ""
    person = all(_NAME_PART.fullmatch(part) and (part[0].isupper() or part in _PARTICLES) for part in parts)
    return parts[-1] if person and parts[-1][0].isupper() else ""


def stands_alone(text: str, start: int, end: int) -> bool:
    """True when the capitalised word text[start:end] is a surname on its own, not a part of another name or a rank."""
    if _NEXT_NAME.match(text, end) or _OF_A_PLACE.match(text, end):
        return False
    before = _BEFORE.search(text, max(0, start - 40), start)  # a window: linear in the text
    if before is None:
        return True
    word, stop = before.groups()
    if word.casefold() in {"a", "an", "the"}:
        return False
    if not word[0].isupper() or _HONORIFICS.fullmatch(word.casefold()) or word == "I":
        return True
    if stop and len(word) > 2:  # no initial: a sentence ends
        return True
    opens = _SENTENCE_START.search(text, max(0, before.start() - 4), before.start()) is not None
    return opens and _OPENERS.fullmatch(word.casefold()) is not None
