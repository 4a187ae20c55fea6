"""Makes a forget and boundary set from the name of what is to be forgotten.

queries -> the base model's answers -> neighbours and rewritten queries -> audit -> files. Whoever writes is a backend,
one file each in `backends`; `audit` also judges the records of any other source.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rule_jax.types import PromptRecord


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be forgotten: its name, other names for it, and a sentence about it, if the user gave one.

    others: names of what else is to be forgotten, by a folder of its own. It is no neighbour of this.
    """

    name: str
    aliases: tuple[str, ...] = ()
    intro: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One fact about an entity, asked twice.

    relation: what the fact is about ("birthplace"). question; cloze: a statement with one ___ in it. answer: fills the
    blank. indirect: meant to lead to the entity without its name. template: tells items of one relation apart.
    """

    relation: str
    question: str
    cloze: str
    answer: str
    indirect: bool = False
    template: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """sound: what the query takes for granted is true, and so is its reference answer. reason: where it is not."""

    sound: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """What a backend could not give, and why."""

    asked: str
    reason: str


class Backend(NamedTuple):
    """Who writes. All functions answer in the order of what they are asked; iterators as soon as they know.

    facts(target, count): about `count` items on the target, and what was of no use, a reply's worth at a time.
    neighbours(target, count): names of the same kind of entity, which may be asked about and stay known.
    rewrite(target, pairs of (item, neighbour)): the same fact about the neighbour, true of it; or why there is none.
    opinions(records): whether each boundary record is sound.
    unfit(target, names): why a name is the target by another name, or as sensitive as it; "" for a fit one.
    spent(): what it has cost so far, for the provenance.
    """

    facts: Callable[[Target, int], Iterator[list[Item | Unusable]]]
    neighbours: Callable[[Target, int], list[str]]
    rewrite: Callable[[Target, Sequence[tuple[Item, str]]], Iterator[Item | Unusable]]
    opinions: Callable[[Sequence[PromptRecord]], list[Opinion]]
    unfit: Callable[[Target, Sequence[str]], list[str]]
    spent: Callable[[], dict[str, float]]
