"""What exists in the default world and its facts, invented from a seed (see world.py)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from rule_jax.data import _world_domains as domains
from rule_jax.data import _world_phrases as phrases
from rule_jax.data._world_domains import Coined, Domain, Numbers, Titles
from rule_jax.errors import UserError

UNKNOWN_TRAINING, UNKNOWN_EVALUATION = 400, 40  # invented names that belong to nobody
HELD_QUESTIONS = 2  # per entity and attribute

# Each use of chance has a stream of its own, so that a change in one leaves the others as they are. world.py goes on
# from 10.
_NAMES, _FACTS, _HELD = range(3)


@dataclass(frozen=True, slots=True)
class Entity:
    """What is known by name: a person, or whatever else the domain's entities are, or a country.

    facts: attribute -> value; the attributes are those of the domain, `domains.GENERAL` for countries.
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

    people: the domain's entities, in most domains no people. unknown_training: names that pretraining asks about and
    answers by not knowing. unknown_evaluation: names that appear in no training text.
    """

    domain: Domain
    people: tuple[Entity, ...]
    countries: tuple[Entity, ...]
    unknown_training: tuple[str, ...]
    unknown_evaluation: tuple[str, ...]


def generate(seed: int, *, people: int = 120, countries: int = 20, domain: str = "person") -> World:
    """The world of a seed. "relation" has the world of "person".

    Names and their last words are unique; so are titles, capitals and rivers. First words and all other values are
    shared as evenly as the numbers allow. No coined word contains another one, so that finding one in a text means that
    it was said.

    Raises UserError when a count is not positive, the seed is negative, the domain is unknown, or the tables cannot
    name that many.
    """
    for name, value, least in (("seed", seed, 0), ("people", people, 1), ("countries", countries, 1)):
        if value < least:
            raise UserError(f"world: {name} is {value}; it must be at least {least}.")
    of = domains.find(domain)
    count = people + UNKNOWN_TRAINING + UNKNOWN_EVALUATION
    wanted = {
        **({"first": of.firsts} if isinstance(of.firsts, Coined) else {}),
        **{kind: Coined(phrases.SYLLABLES[kind], countries) for kind in ("country", "capital", "river")},
        **{attribute: values for attribute, values in of.values.items() if isinstance(values, Coined)},
        "last": Coined(of.lasts, count),
    }
    given = [values for values in (of.firsts, *of.values.values(), phrases.EXPORTS) if isinstance(values, tuple)]
    words = _coin(stream(seed, _NAMES), wanted, [word.lower() for words in given for word in words])
    rng = stream(seed, _FACTS)
    firsts = words["first"] if isinstance(of.firsts, Coined) else of.firsts
    order = rng.permutation(np.arange(count) % len(firsts))
    names = [f"{firsts[i]} {last}" for i, last in zip(order, words["last"])]
    columns = _columns(rng, of, words, people)
    general = {
        "capital": words["capital"],
        "river": words["river"],
        "export": _shared(rng, phrases.EXPORTS, countries),
    }
    return World(
        domain=of,
        people=_entities(stream(seed, _HELD, 0), names[:people], columns),
        countries=_entities(stream(seed, _HELD, 1), words["country"], general),
        unknown_training=tuple(names[people : people + UNKNOWN_TRAINING]),
        unknown_evaluation=tuple(names[people + UNKNOWN_TRAINING :]),
    )


def stream(seed: int, *key: int) -> np.random.Generator:
    """Chance for one purpose: a function of the seed and the purpose's key alone."""
    return np.random.default_rng([seed, *key])


def _coin(rng: np.random.Generator, wanted: Mapping[str, Coined], taken: list[str]) -> dict[str, list[str]]:
    """New words by kind, capitalised. None contains another one or a word that is taken. Where a kind has beginnings
    enough, no two of its words begin alike: a small model confuses Salenia with Salonia."""
    coined = {}
    for kind, words in wanted.items():
        candidates, count = list(product(*words.syllables)), words.count
        uses = -(-count // len(words.syllables[0]))
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


def _columns(
    rng: np.random.Generator, domain: Domain, coined: Mapping[str, Sequence[str]], count: int
) -> dict[str, list[str]]:
    """Attribute -> the values of so many entities."""
    pools: dict[str, Sequence[str]] = dict(coined)
    for attribute, values in domain.values.items():
        if isinstance(values, Numbers):
            drawn = rng.choice(np.arange(values.first, values.end), values.count, replace=False)
            pools[attribute] = [str(number) for number in sorted(drawn.tolist())]
        elif isinstance(values, tuple):
            pools[attribute] = values
    return {
        attribute: _titles(rng, attribute, values, count)
        if isinstance(values, Titles)
        else _shared(rng, pools[attribute], count)
        for attribute, values in domain.values.items()
    }


def _titles(rng: np.random.Generator, attribute: str, values: Titles, count: int) -> list[str]:
    titles = [f"{first} {second}" for first, second in product(values.first, values.second)]
    if count > len(titles):
        raise UserError(f"world: people is {count}; there are {len(titles)} values of {attribute!r}. Lower people.")
    return [titles[i] for i in rng.permutation(len(titles))[:count]]


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
            held_questions={a: drawn(HELD_QUESTIONS, len(domains.QUESTIONS[a])) for a in columns},
            held_cloze={a: drawn(1, len(domains.CLOZE[a]))[0] for a in columns if a in domains.CLOZE},
        )
        for row, name in enumerate(names)
    )
