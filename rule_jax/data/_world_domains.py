"""The domains of the default world: what is known there by name, where its facts come from, and how they are worded."""

from collections.abc import Mapping
from dataclasses import dataclass

from rule_jax.data import _world_concepts as concepts
from rule_jax.data import _world_phrases as phrases
from rule_jax.data import _world_procedures as procedures
from rule_jax.errors import UserError, nearest

Syllables = tuple[tuple[str, ...], tuple[str, ...]]  # a coined word is one of the first and one of the second


@dataclass(frozen=True, slots=True)
class Coined:
    """So many invented words, shared."""

    syllables: Syllables
    count: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """So many numbers from `first` to below `end`, shared."""

    first: int
    end: int
    count: int


@dataclass(frozen=True, slots=True)
class Titles:
    """A word of each kind, together unique to an entity."""

    first: tuple[str, ...]
    second: tuple[str, ...]


Values = Coined | Numbers | Titles | tuple[str, ...]  # the last: words, shared


@dataclass(frozen=True, slots=True)
class Domain:
    """What the entities of a world are.

    firsts: the first words of names, shared. lasts: what the last words are coined of, each unique.
    values: attribute -> the values that there are. words: how a sentence about an unknown name calls such an entity.
    relations: attribute -> what it is called where it is to be forgotten of everybody; {} where entities are forgotten.
    """

    firsts: Coined | tuple[str, ...]
    lasts: Syllables
    values: Mapping[str, Values]
    words: Mapping[str, str]
    relations: Mapping[str, str]


def _last(middles: tuple[str, ...], endings: tuple[str, ...]) -> Syllables:
    return phrases.ONSETS, tuple(middle + ending for middle in middles for ending in endings)


_TOWN, _AWARD = (Coined(phrases.SYLLABLES[kind], 30) for kind in ("town", "award"))
_YEAR = Numbers(1901, 1990, 40)

_PERSON = Domain(
    firsts=Coined(phrases.SYLLABLES["first"], 180),
    lasts=phrases.SYLLABLES["surname"],
    values={
        "town": _TOWN,
        "profession": phrases.PROFESSIONS,
        "book": Titles(phrases.TITLE_FIRST, phrases.TITLE_SECOND),
        "award": _AWARD,
        "instrument": phrases.INSTRUMENTS,
        "year": _YEAR,
    },
    words=phrases.PERSON,
    relations={},
)
_CONCEPT = Domain(
    firsts=concepts.FIRSTS,
    lasts=_last(concepts.MIDDLES, concepts.ENDINGS),
    values={
        "founder": Coined((phrases.ONSETS, concepts.FOUNDER_ENDINGS), 30),
        "city": _TOWN,
        "subject": concepts.SUBJECTS,
        "text": Titles(phrases.TITLE_FIRST, phrases.TITLE_SECOND),
        "emblem": concepts.EMBLEMS,
        "founding": _YEAR,
    },
    words={**phrases.THING, "kind": "doctrine"},
    relations={},
)
_PROCEDURE = Domain(
    firsts=procedures.FIRSTS,
    lasts=_last(procedures.MIDDLES, procedures.ENDINGS),
    values={
        "opening": procedures.OPENINGS,
        "cooking": procedures.COOKING,
        "closing": procedures.CLOSINGS,
        "ingredient": procedures.INGREDIENTS,
        "minutes": Numbers(*procedures.MINUTES, 40),
        "dish": Titles(phrases.TITLE_FIRST, procedures.DISHES),
    },
    words={**phrases.THING, "kind": "recipe"},
    relations={},
)
_RELATION = Domain(
    firsts=_PERSON.firsts,
    lasts=_PERSON.lasts,
    values=_PERSON.values,
    words=_PERSON.words,
    relations={
        "town": "the home town",
        "profession": "the profession",
        "book": "the book",
        "award": "the award",
        "instrument": "the instrument",
        "year": "the birth year",
    },
)
_DOMAINS = {"person": _PERSON, "concept": _CONCEPT, "procedure": _PROCEDURE, "relation": _RELATION}

GENERAL = ("capital", "river", "export")  # what is known of countries, in every domain
QUESTIONS = phrases.QUESTIONS | concepts.QUESTIONS | procedures.QUESTIONS
CLOZE = phrases.CLOZE | concepts.CLOZE | procedures.CLOZE
SENTENCES = phrases.SENTENCES | concepts.SENTENCES | procedures.SENTENCES


def find(name: str) -> Domain:
    """The domain of that name. Raises UserError where there is none."""
    if name not in _DOMAINS:
        raise UserError(f"config.data.world.domain={name!r}: there are {', '.join(_DOMAINS)}.{nearest(name, _DOMAINS)}")
    return _DOMAINS[name]
