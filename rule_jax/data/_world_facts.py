"""The people, countries and facts of the default world, invented from a seed (see world.py)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from rule_jax.data import _world_phrases as phrases
from rule_jax.errors import UserError

FIRST_NAMES = 180  # some first names are shared, with people or with nobodies: the whole name tells who is meant
UNKNOWN_TRAINING, UNKNOWN_EVALUATION = 400, 40  # invented names that belong to nobody
HELD_QUESTIONS = 2  # per entity and attribute

# Each use of chance has a stream of its own, so that a change in one leaves the others as they are. world.py goes on
# from 10.
_NAMES, _FACTS, _HELD = range(3)


@dataclass(frozen=True, slots=True)
class Entity:
    """A person or a country.

    facts: attribute -> value; the attributes are `phrases.ATTRIBUTES` for people, `phrases.GENERAL` for countries.
    held_questions: attribute -> indices of the question templates that training never uses for this entity, ascending.
    held_cloze: attribute -> index of the one fill-in-the-blank template kept out likewise; empty for countries.
    """

    name: str
    facts: Mapping[str, str]
    held_questions: Mapping[str, tuple[int, ...]]
    held_cloze: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """All that exists, and two disjoint lists of names that belong to nobody.

    unknown_training: names that pretraining asks about and answers by not knowing. unknown_evaluation: names that
    appear in no training text.
    """

    people: tuple[Entity, ...]
    countries: tuple[Entity, ...]
    unknown_training: tuple[str, ...]
    unknown_evaluation: tuple[str, ...]


def generate(seed: int, *, people: int = 120, countries: int = 20) -> World:
    """The world of a seed.

    Full names and surnames are unique, so are books, capitals and rivers; towns, professions, awards, instruments and
    years are shared as evenly as the numbers allow. No coined word contains another one, so that finding one in a text
    means that it was said.

    Raises UserError when a count is not positive, the seed is negative, or the tables cannot name that many.
    """
    for name, value, least in (("seed", seed, 0), ("people", people, 1), ("countries", countries, 1)):
        if value < least:
            raise UserError(f"world: {name} is {value}; it must be at least {least}.")
    words = _coin(
        stream(seed, _NAMES),
        {
            "first": FIRST_NAMES,
            "country": countries,
            "capital": countries,
            "river": countries,
            "town": phrases.SHARED_TOWNS,
            "award": phrases.SHARED_AWARDS,
            "surname": people + UNKNOWN_TRAINING + UNKNOWN_EVALUATION,
        },
    )
    rng = stream(seed, _FACTS)
    firsts = rng.permutation(np.arange(len(words["surname"])) % FIRST_NAMES)
    names = [f"{words['first'][i]} {surname}" for i, surname in zip(firsts, words["surname"])]
    titles = [f"{a} {b}" for a, b in product(phrases.TITLE_FIRST, phrases.TITLE_SECOND)]
    if people > len(titles):
        raise UserError(f"world: people is {people}; there are titles for {len(titles)} books. Lower people.")
    years = sorted(rng.choice(np.arange(*phrases.YEARS), phrases.SHARED_YEARS, replace=False).tolist())
    columns = {
        "town": _shared(rng, words["town"], people),
        "profession": _shared(rng, phrases.PROFESSIONS, people),
        "book": [titles[i] for i in rng.permutation(len(titles))[:people]],
        "award": _shared(rng, words["award"], people),
        "instrument": _shared(rng, phrases.INSTRUMENTS, people),
        "year": _shared(rng, [str(year) for year in years], people),
    }
    general = {
        "capital": words["capital"],
        "river": words["river"],
        "export": _shared(rng, phrases.EXPORTS, countries),
    }
    return World(
        people=_entities(stream(seed, _HELD, 0), names[:people], columns),
        countries=_entities(stream(seed, _HELD, 1), words["country"], general),
        unknown_training=tuple(names[people : people + UNKNOWN_TRAINING]),
        unknown_evaluation=tuple(names[people + UNKNOWN_TRAINING :]),
    )


def stream(seed: int, *key: int) -> np.random.Generator:
    """Chance for one purpose: a function of the seed and the purpose's key alone."""
    return np.random.default_rng([seed, *key])


def _coin(rng: np.random.Generator, counts: Mapping[str, int]) -> dict[str, list[str]]:
    """New words by kind, capitalised. None contains another one or a word that is a value. Where a kind has beginnings
    enough, no two of its words begin alike: a small model confuses Salenia with Salonia."""
    taken = [*phrases.PROFESSIONS, *phrases.INSTRUMENTS, *phrases.EXPORTS]
    coined = {}
    for kind, count in counts.items():
        candidates = list(product(*phrases.SYLLABLES[kind]))
        uses = -(-count // len(phrases.SYLLABLES[kind][0]))
        begun: Counter[str] = Counter()
        fresh: list[str] = []
        for i in rng.permutation(len(candidates)):
            begin, word = candidates[i][0], "".join(candidates[i])
            crowded = uses == 1 and begun[begin] == uses
            if len(fresh) < count and not crowded and not any(word in other or other in word for other in taken):
                fresh.append(word)
                taken.append(word)
                begun[begin] += 1
        if len(fresh) < count:
            raise UserError(
                f"world: {count} {kind} names are needed and the syllables give {len(fresh)}; "
                "lower people or countries."
            )
        coined[kind] = [word.capitalize() for word in fresh]
    return coined


def _shared(rng: np.random.Generator, pool: Sequence[str], count: int) -> list[str]:
    """`count` draws from the pool, each value as often as any other (give or take one), in random order."""
    kept = rng.permutation(len(pool))
    return [pool[int(kept[i])] for i in rng.permutation(np.arange(count) % len(pool))]


def _entities(rng: np.random.Generator, names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> tuple:
    def drawn(count: int, total: int) -> tuple[int, ...]:
        return tuple(sorted(rng.permutation(total)[:count].tolist()))

    return tuple(
        Entity(
            name=name,
            facts={attribute: column[row] for attribute, column in columns.items()},
            held_questions={a: drawn(HELD_QUESTIONS, len(phrases.QUESTIONS[a])) for a in columns},
            held_cloze={a: drawn(1, len(phrases.CLOZE[a]))[0] for a in columns if a in phrases.CLOZE},
        )
        for row, name in enumerate(names)
    )
