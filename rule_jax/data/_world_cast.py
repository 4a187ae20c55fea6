"""Who and what plays which part in the unlearning of the default world, and how it is asked about (see world.py).

Where entities are forgotten, a part is all facts of some of them. Where a relation is ("In which town was ... born?" of
everybody), the parts share their people: the relation's facts are forgotten and all others kept.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product, zip_longest

import numpy as np

from rule_jax.data import _world_domains as domains
from rule_jax.data import _world_phrases as phrases
from rule_jax.data._world_facts import Entity, World, generate, stream
from rule_jax.errors import UserError
from rule_jax.types import Kind, PromptRecord

_ROLES, _RELATIONS = 12, 16  # streams of chance, among world.py's


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of an entity. target: what it belongs to that is to be forgotten; "" for what is kept."""

    entity: Entity
    attribute: str
    target: str = ""

    @property
    def value(self) -> str:
        return self.entity.facts[self.attribute]


@dataclass(frozen=True, slots=True)
class Query:
    """A prompt that asks for a fact, and the template that it comes from ("question3")."""

    fact: Fact
    prompt: str
    template: str

    @property
    def source(self) -> str:
        return f"world/{self.fact.entity.name}/{self.fact.attribute}/{self.template}"

    def record(self, kind: Kind) -> PromptRecord:
        return PromptRecord(
            prompt=self.prompt,
            kind=kind,
            target=self.fact.target,
            entity=self.fact.entity.name,
            answers=(self.fact.value,),
            source=self.source,
        )


@dataclass(frozen=True, slots=True)
class Cast:
    """The world's facts by the part they play.

    targets: the names of what is forgotten: entities, or a relation. neighbors: facts of those whom no training record
    names; namesakes: of these, those who share a first name with a target. unseen: what is to be forgotten too, though
    no training record names its entity.
    """

    world: World
    targets: tuple[str, ...]
    forget: tuple[Fact, ...]
    boundary: tuple[Fact, ...]
    neighbors: tuple[Fact, ...]
    namesakes: tuple[Fact, ...] = ()
    unseen: tuple[Fact, ...] = ()


def facts(entities: Iterable[Entity]) -> list[Fact]:
    """Every fact of the entities, one entity after the other."""
    return [Fact(entity, attribute) for entity in entities for attribute in entity.facts]


def questions(fact: Fact, *, held_out: bool = False) -> list[Query]:
    """The questions for a fact that are taught, or those that are held out."""
    entity, attribute = fact.entity, fact.attribute
    return [
        Query(fact, template.format(name=entity.name), f"question{index}")
        for index, template in enumerate(domains.QUESTIONS[attribute])
        if (index in entity.held_questions[attribute]) == held_out
    ]


def cloze(fact: Fact, *, held_out: bool = False) -> list[Query]:
    """The fill-in-the-blanks for a fact that are taught, or the one that is held out."""
    entity, attribute = fact.entity, fact.attribute
    return [
        Query(fact, phrases.CLOZE_PREFIX + template.format(name=entity.name), f"cloze{index}")
        for index, template in enumerate(domains.CLOZE[attribute])
        if (index == entity.held_cloze[attribute]) == held_out
    ]


def raw(fact: Fact) -> list[Query]:
    """The beginnings of a passage's sentences that name the entity and stop before the value."""
    beginnings = []
    for index, template in enumerate(domains.SENTENCES[fact.attribute]):
        beginning = template.partition("{value}")[0].rstrip()
        if "{name}" in beginning:
            beginnings.append(Query(fact, beginning.format(name=fact.entity.name), f"raw{index}"))
    return beginnings


def cast(
    path: str,
    seed: int,
    people: int,
    countries: int,
    forget_people: int,
    boundary_people: int,
    boundary_share: float,
    namesakes_apart: bool,
    domain: str,
) -> Cast:
    """Who is who; all arguments of `world.load` and `world.evaluation` are checked here."""
    request = _request(path)
    for name, value in (("forget_people", forget_people), ("boundary_people", boundary_people)):
        if value < 1:
            raise UserError(f"world: {name} is {value}; it must be at least 1.")
    if boundary_share < 0:
        raise UserError(f"world: boundary_share is {boundary_share}; it must not be negative.")
    if forget_people + boundary_people >= people:
        raise UserError(
            f"world: forget_people {forget_people} + boundary_people {boundary_people} leave none of {people} people "
            "as neighbors that training never names. Raise people or lower the two."
        )
    world = generate(seed, people=people, countries=countries, domain=domain)
    shuffled = [world.people[i] for i in stream(seed, _ROLES).permutation(people)]
    if world.domain.relations:
        if namesakes_apart:
            raise UserError(f"world: namesakes_apart: in the domain {domain!r} no names are forgotten; leave it False.")
        return _of_a_relation(world, shuffled, forget_people + boundary_people, seed, request)
    return _of_entities(world, shuffled, forget_people, boundary_people, namesakes_apart, request)


def _request(path: str) -> int:
    if path and not (path.isdecimal() and int(path)):
        raise UserError(
            f"world: data.path is {path!r}, but the world is generated; leave data.path empty, or give the number of a "
            "request (2 comes after 1)."
        )
    return int(path or 1)


def _of_entities(
    world: World, shuffled: Sequence[Entity], forget: int, boundary: int, namesakes_apart: bool, request: int
) -> Cast:
    """The first request has the first entities of the shuffle, and each later one the last of those that are left: the
    boundary is the same in all, and no part of a request has what an earlier one forgot."""
    targets, others = shuffled[:forget], [*shuffled[forget:]]
    for _ in range(1, request):
        if len(others) <= boundary + forget:
            raise UserError(
                f"world: there are no {forget} further people for request {request} and neighbors beside them. Raise "
                "people, or lower boundary_people."
            )
        targets, others = others[-forget:], others[:-forget]
    named = set(map(_first_name, targets))
    if namesakes_apart:
        others.sort(key=lambda entity: _first_name(entity) in named)  # they come last; the sort is stable
        namesakes = sum(_first_name(entity) in named for entity in others)
        if boundary > len(others) - namesakes:
            raise UserError(
                f"world: {namesakes} of {len(shuffled)} people share a first name with a target and are kept apart, so "
                f"there are no {boundary} boundary people. Lower boundary_people or raise people."
            )
    neighbors = facts(others[boundary:])
    return Cast(
        world=world,
        targets=tuple(entity.name for entity in targets),
        forget=tuple(Fact(entity, attribute, entity.name) for entity in targets for attribute in entity.facts),
        boundary=tuple(facts(others[:boundary])),
        neighbors=tuple(neighbors),
        namesakes=tuple(fact for fact in neighbors if namesakes_apart and _first_name(fact.entity) in named),
    )


def _of_a_relation(world: World, shuffled: Sequence[Entity], trained: int, seed: int, request: int) -> Cast:
    """The first relation is drawn by the seed, and each later request has the next one, without those before it in any
    part; `trained` of the people are trained on."""
    relations = world.domain.relations
    if request >= len(relations):
        raise UserError(f"world: request {request} leaves no relation to be kept; there are {len(relations)}.")
    first = int(stream(seed, _RELATIONS).integers(len(relations)))
    *gone, forgotten = ([*relations] * 2)[first : first + request]

    def of(entities: Sequence[Entity]) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
        """What is to be forgotten of them, and what is kept."""
        kept = [fact for fact in facts(entities) if fact.attribute not in (*gone, forgotten)]
        return tuple(Fact(entity, forgotten, relations[forgotten]) for entity in entities), tuple(kept)

    forget, boundary = of(shuffled[:trained])
    unseen, neighbors = of(shuffled[trained:])
    return Cast(world, (relations[forgotten],), forget, boundary, neighbors, unseen=unseen)


def _first_name(entity: Entity) -> str:
    return entity.name.split()[0]


def boundary_records(
    cast: Cast, forget: Sequence[Query], count: int, rng: np.random.Generator
) -> tuple[PromptRecord, ...]:
    """`count` boundary records. The forget queries take turns in a drawn order, and each becomes a near miss: the same
    question about another entity or, where a relation is forgotten, another question about the same one."""
    order = rng.permutation(len(forget))
    turns = [forget[order[turn % len(order)]] for turn in range(count)]
    found = (_other_questions if cast.world.domain.relations else _other_entities)(cast.boundary, turns, rng)
    return tuple(found)


def _other_entities(
    boundary: Sequence[Fact], turns: Sequence[Query], rng: np.random.Generator
) -> Iterable[PromptRecord]:
    """Each query of somebody else: of the one who has the fewest records so far, among equals the fewest about this
    attribute, among equals by lot."""
    # What is taught and not used yet, by entity, attribute and template.
    free = {
        (fact.entity.name, fact.attribute, query.template): query
        for fact in boundary
        for query in questions(fact) + cloze(fact)
    }
    names = list(dict.fromkeys(fact.entity.name for fact in boundary))
    per_name: Counter[str] = Counter()
    per_attribute: Counter[tuple[str, str]] = Counter()
    for turn, query in enumerate(turns):
        attribute = query.fact.attribute
        options = [
            (per_name[names[i]], per_attribute[names[i], attribute], lot, names[i])
            for lot, i in enumerate(rng.permutation(len(names)))
            if (names[i], attribute, query.template) in free
        ]
        if not options:
            raise _used_up(query, turn, len(turns))
        name = min(options)[-1]
        per_name[name] += 1
        per_attribute[name, attribute] += 1
        yield _near(query, free.pop((name, attribute, query.template)), name)


def _other_questions(
    boundary: Sequence[Fact], turns: Sequence[Query], rng: np.random.Generator
) -> Iterable[PromptRecord]:
    """Each query about something else: of an entity's attributes one after the other, questions for questions and
    fill-in-the-blanks for fill-in-the-blanks."""
    asked: dict[tuple[str, bool], list[list[Query]]] = {}
    for fact, form in product(boundary, (questions, cloze)):
        queries = form(fact)
        shuffled = [queries[i] for i in rng.permutation(len(queries))]
        asked.setdefault((fact.entity.name, form is cloze), []).append(shuffled)
    free = {}
    for key, rows in asked.items():
        dealt = zip_longest(*(rows[i] for i in rng.permutation(len(rows))))
        free[key] = [query for query in chain.from_iterable(dealt) if query is not None]
    for turn, query in enumerate(turns):
        left = free[query.fact.entity.name, query.template.startswith("cloze")]
        if not left:
            raise _used_up(query, turn, len(turns))
        other = left.pop(0)
        yield _near(query, other, other.fact.attribute)


def _near(query: Query, other: Query, what: str) -> PromptRecord:
    return replace(other.record("boundary"), source=f"{query.source}->{what}")


def _used_up(query: Query, turn: int, count: int) -> UserError:
    return UserError(
        f"world: boundary_share asks for {count} distinct boundary records; {query.prompt!r} has none left after "
        f"{turn}. Lower boundary_share or raise boundary_people."
    )
