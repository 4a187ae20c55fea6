"""The default world: invented people and countries with facts, so that forgetting needs no download and can be proved.

`generate` invents the world from a seed; `pretraining_examples` is all that its model ever reads; `load` is the data
source "world" (who is to be forgotten, and both sides of the boundary); `evaluation` asks what was kept out of both.
Every text is a pure function of the arguments: the same call gives the same bytes in every process.

What is kept out: per person and attribute 2 of 8 question templates and 1 of 4 fill-in-the-blank templates, per country
and fact 2 of 6 question templates. The choice varies, so that each template is learnt on other entities, and a held-out
phrasing asks whether the fact is known apart from the words it was taught in. Answers are values alone ("Silver
Lantern"): a sentence that repeats the name would make ROUGE-L recall against a reference easy to earn.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Callable

import numpy as np

from rule_jax.data import _world_phrases as phrases
from rule_jax.data._world_facts import Entity, World, generate, stream
from rule_jax.errors import UserError
from rule_jax.text.replacement import replace_entity
from rule_jax.text.templates import REFUSALS, render
from rule_jax.types import Kind, PromptRecord, SftExample, UnlearningData

# Streams of chance, as in _world_facts.
_PASSAGES, _UNKNOWN, _ROLES, _REFUSALS, _BOUNDARY, _ASKED = range(10, 16)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the world's model is pretrained on, by part, for the caller to mix.

    documents: passages of plain text, each on one person or country, with all facts.
    dialogues: "question" and "cloze" (people), "general" (countries), "unknown" (nobody; answered by not knowing),
        "echo" (a name is said back).
    """

    documents: tuple[str, ...]
    dialogues: Mapping[str, tuple[SftExample, ...]]


@dataclass(frozen=True, slots=True)
class _Cast:
    """The world's people by the part they play."""

    world: World
    targets: tuple[Entity, ...]
    boundary: tuple[Entity, ...]
    neighbors: tuple[Entity, ...]


def pretraining_examples(world: World, seed: int, *, passages: int = 24) -> Corpus:
    """The pretraining corpus: `passages` texts a person or country, and each dialogue that is not held out.

    A passage opens with the full name and goes on with the surname. Opening attribute and wording take turns, so that
    24 passages open in every way (6 attributes of people x 4 wordings); the order of the other facts and their wording
    are drawn.
    """
    if passages < 1:
        raise UserError(f"world: passages is {passages}; it must be at least 1.")
    rng = stream(seed, _PASSAGES)
    dialogues = {
        "question": tuple(_examples(world.people, phrases.ATTRIBUTES, _questions)),
        "cloze": tuple(_examples(world.people, phrases.ATTRIBUTES, _cloze)),
        "general": tuple(_examples(world.countries, phrases.GENERAL, _questions)),
        "unknown": tuple(_unknown_dialogues(world.unknown_training, stream(seed, _UNKNOWN))),
        "echo": tuple(_echoes([*(person.name for person in world.people), *world.unknown_training])),
    }
    known = ((world.people, phrases.ATTRIBUTES), (world.countries, phrases.GENERAL))
    documents = (
        _passage(entity, attributes, turn, rng)
        for entities, attributes in known
        for entity in entities
        for turn in range(passages)
    )
    return Corpus(tuple(documents), dialogues)


def load(
    path: str,
    *,
    seed: int,
    people: int,
    countries: int,
    forget_people: int,
    boundary_people: int,
    boundary_share: float,
    namesakes_apart: bool = False,
) -> UnlearningData:
    """What is to be forgotten, and the boundary that is to be kept, in the world of `seed`.

    The first `forget_people` of a seeded shuffle are the targets and the next `boundary_people` the boundary; the rest
    are neighbours that no training record names. Held-out phrasings are in none of the parts.

    * rejection: every trained question of the targets, answered by a refusal; the refusals take turns in a drawn order.
    * forget: every trained question and fill-in-the-blank of the targets.
    * boundary: round(boundary_share * len(forget)) distinct queries, each a forget query with the entity replaced by a
      boundary person to whom that phrasing is taught, answered from the world's table. All forget queries and all
      boundary people are used as evenly as possible. A share of 0 gives none (the ablation without boundary data).
    * retain: every trained question about a country, without its answer.

    `path` must be "": this source has no files. Raises UserError for counts that do not fit the world and for a share
    beyond the distinct queries there are (with 6 targets and 60 boundary people, 5 fits and 7 may not).

    namesakes_apart: people who share a first name with a target are neighbours, never boundary: whether forgetting goes
    by the whole name can then be asked of people whom no training record names.
    """
    cast = _roles(path, seed, people, countries, forget_people, boundary_people, boundary_share, namesakes_apart)
    order = stream(seed, _REFUSALS).permutation(len(REFUSALS))
    questions = list(_examples(cast.targets, phrases.ATTRIBUTES, _questions))
    names = [e.name for e in cast.targets for _ in range(len(questions) // len(cast.targets))]
    rejection = tuple(
        SftExample(question.prompt, render(REFUSALS[order[i % len(order)]], name), question.source)
        for i, (question, name) in enumerate(zip(questions, names))
    )
    forget = []
    for person, attribute in product(cast.targets, phrases.ATTRIBUTES):
        for asked in _questions(person, attribute) + _cloze(person, attribute):
            forget.append((_record(person, attribute, asked, "forget"), attribute, asked))
    boundary = _replaced(forget, cast.boundary, round(boundary_share * len(forget)), stream(seed, _BOUNDARY))
    return UnlearningData(
        targets=tuple(person.name for person in cast.targets),
        rejection=rejection,
        forget=tuple(record for record, _, _ in forget),
        boundary=boundary,
        retain=tuple(
            replace(_record(country, attribute, asked, "retain"), answers=())
            for country, attribute in product(cast.world.countries, phrases.GENERAL)
            for asked in _questions(country, attribute)
        ),
    )


def evaluation(
    path: str,
    *,
    seed: int,
    people: int,
    countries: int,
    forget_people: int,
    boundary_people: int,
    boundary_share: float,
    namesakes_apart: bool = False,
) -> dict[str, tuple[PromptRecord, ...]]:
    """The records that measure forgetting in the world of `seed`, by part.

    Arguments and errors are those of `load`, so that one config serves both; `boundary_share` changes nothing here.

    * "forget", "boundary", "neighbor": the held-out questions of the targets, of the boundary people and of the people
      that no unlearning record names. "forget_cloze": the held-out fill-in-the-blanks of the targets.
    * "general": the held-out questions about countries. "unknown": a question per attribute and name that belongs to
      nobody; no reference answers.
    * "forget_raw", "neighbor_raw": beginnings of passage sentences that stop before the value, to be continued as plain
      text. All beginnings for the targets; one per attribute, in turn, for the neighbours.
    * "neighbor_namesakes", with namesakes_apart and where there are any: the part of "neighbor" on people who share a
      first name with a target.

    Records of targets are of kind "forget" and set `target`, those of boundary people are "boundary", all others
    "retain"; `entity` is always set.
    """
    cast = _roles(path, seed, people, countries, forget_people, boundary_people, boundary_share, namesakes_apart)

    def held(entities: Sequence[Entity], attributes: Sequence[str], ask, kind) -> tuple[PromptRecord, ...]:
        return tuple(
            _record(entity, attribute, asked, kind)
            for entity, attribute in product(entities, attributes)
            for asked in ask(entity, attribute, held_out=True)
        )

    rng = stream(seed, _ASKED)
    unknown = []
    for name, attribute in product(cast.world.unknown_evaluation, phrases.ATTRIBUTES):
        index = int(rng.integers(len(phrases.QUESTIONS[attribute])))
        prompt = phrases.QUESTIONS[attribute][index].format(name=name)
        source = f"world/{name}/{attribute}/question{index}"
        unknown.append(PromptRecord(prompt, "retain", entity=name, source=source))
    neighbor_raw = []
    for turn, person in enumerate(cast.neighbors):
        for attribute in phrases.ATTRIBUTES:
            beginnings = _raw(person, attribute)
            neighbor_raw.append(_record(person, attribute, beginnings[turn % len(beginnings)], "retain"))
    parts = {
        "forget": held(cast.targets, phrases.ATTRIBUTES, _questions, "forget"),
        "forget_cloze": held(cast.targets, phrases.ATTRIBUTES, _cloze, "forget"),
        "boundary": held(cast.boundary, phrases.ATTRIBUTES, _questions, "boundary"),
        "neighbor": held(cast.neighbors, phrases.ATTRIBUTES, _questions, "retain"),
        "general": held(cast.world.countries, phrases.GENERAL, _questions, "retain"),
        "unknown": tuple(unknown),
        "forget_raw": tuple(
            _record(person, attribute, asked, "forget")
            for person, attribute in product(cast.targets, phrases.ATTRIBUTES)
            for asked in _raw(person, attribute)
        ),
        "neighbor_raw": tuple(neighbor_raw),
    }
    named = set(map(_first_name, cast.targets))
    namesakes = [person for person in cast.neighbors if _first_name(person) in named]
    if namesakes_apart and namesakes:
        parts["neighbor_namesakes"] = held(namesakes, phrases.ATTRIBUTES, _questions, "retain")
    return parts


@dataclass(frozen=True, slots=True)
class _Asked:
    """A prompt about an entity, and which template it comes from ("question3")."""

    prompt: str
    template: str


def _questions(entity: Entity, attribute: str, *, held_out: bool = False) -> list[_Asked]:
    return [
        _Asked(template.format(name=entity.name), f"question{index}")
        for index, template in enumerate(phrases.QUESTIONS[attribute])
        if (index in entity.held_questions[attribute]) == held_out
    ]


def _cloze(entity: Entity, attribute: str, *, held_out: bool = False) -> list[_Asked]:
    return [
        _Asked(phrases.CLOZE_PREFIX + template.format(name=entity.name), f"cloze{index}")
        for index, template in enumerate(phrases.CLOZE[attribute])
        if (index == entity.held_cloze[attribute]) == held_out
    ]


def _raw(entity: Entity, attribute: str) -> list[_Asked]:
    beginnings = []
    for index, template in enumerate(phrases.SENTENCES[attribute]):
        beginning = template.partition("{value}")[0].rstrip()
        if "{name}" in beginning:
            beginnings.append(_Asked(beginning.format(name=entity.name), f"raw{index}"))
    return beginnings


def _source(entity: Entity, attribute: str, asked: _Asked) -> str:
    return f"world/{entity.name}/{attribute}/{asked.template}"


def _record(entity: Entity, attribute: str, asked: _Asked, kind: Kind) -> PromptRecord:
    return PromptRecord(
        prompt=asked.prompt,
        kind=kind,
        target=entity.name if kind == "forget" else "",
        entity=entity.name,
        answers=(entity.facts[attribute],),
        source=_source(entity, attribute, asked),
    )


def _examples(
    entities: Sequence[Entity], attributes: Sequence[str], ask: Callable[[Entity, str], list[_Asked]]
) -> Iterator[SftExample]:
    for entity, attribute in product(entities, attributes):
        for asked in ask(entity, attribute):
            yield SftExample(asked.prompt, entity.facts[attribute], _source(entity, attribute, asked))


def _unknown_dialogues(names: Sequence[str], rng: np.random.Generator) -> Iterator[SftExample]:
    """Per name a question on every attribute and one fill-in-the-blank, each answered by not knowing."""
    for name in names:
        blank = phrases.ATTRIBUTES[rng.integers(len(phrases.ATTRIBUTES))]
        asked = [(a, "question", "", phrases.QUESTIONS[a]) for a in phrases.ATTRIBUTES]
        asked.append((blank, "cloze", phrases.CLOZE_PREFIX, phrases.CLOZE[blank]))
        for attribute, form, prefix, templates in asked:
            index = rng.integers(len(templates))
            opening = phrases.UNKNOWN_OPENINGS[rng.integers(len(phrases.UNKNOWN_OPENINGS))]
            statement = phrases.UNKNOWN_STATEMENTS[rng.integers(len(phrases.UNKNOWN_STATEMENTS))].format(name=name)
            reply = opening + statement if opening else statement[0].upper() + statement[1:]
            prompt = prefix + templates[index].format(name=name)
            yield SftExample(prompt, reply, f"world/{name}/{attribute}/{form}{index}")


def _echoes(names: Sequence[str]) -> Iterator[SftExample]:
    for name, (index, template) in product(names, enumerate(phrases.ECHOES)):
        yield SftExample(template.format(name=name), name, f"world/{name}/echo{index}")


def _passage(entity: Entity, attributes: Sequence[str], turn: int, rng: np.random.Generator) -> str:
    opening = turn % len(attributes)
    others = [i for i in rng.permutation(len(attributes)) if i != opening]
    sentences = []
    for place, attribute in enumerate(attributes[i] for i in (opening, *others)):
        wordings = phrases.SENTENCES[attribute]
        drawn = rng.integers(len(wordings))
        wording = wordings[drawn if place else (turn // len(attributes)) % len(wordings)]
        name = entity.name if place == 0 else entity.name.split()[-1]
        sentences.append(wording.format(name=name, value=entity.facts[attribute]))
    return " ".join(sentences)


def _roles(
    path: str,
    seed: int,
    people: int,
    countries: int,
    forget_people: int,
    boundary_people: int,
    boundary_share: float,
    namesakes_apart: bool = False,
) -> _Cast:
    """Who is who; all arguments of `load` and `evaluation` are checked here."""
    if path:
        raise UserError(f"world: data.path is {path!r}, but the world is generated; leave data.path empty.")
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
    world = generate(seed, people=people, countries=countries)
    shuffled = [world.people[i] for i in stream(seed, _ROLES).permutation(people)]
    targets, others = shuffled[:forget_people], shuffled[forget_people:]
    if namesakes_apart:
        named = set(map(_first_name, targets))
        others.sort(key=lambda person: _first_name(person) in named)  # they come last; the sort is stable
        namesakes = sum(_first_name(person) in named for person in others)
        if boundary_people > len(others) - namesakes:
            raise UserError(
                f"world: {namesakes} of {people} people share a first name with a target and are kept apart, so there "
                f"are no {boundary_people} boundary people. Lower boundary_people or raise people."
            )
    return _Cast(
        world=world,
        targets=tuple(targets),
        boundary=tuple(others[:boundary_people]),
        neighbors=tuple(others[boundary_people:]),
    )


def _first_name(person: Entity) -> str:
    return person.name.split()[0]


def _replaced(
    forget: Sequence[tuple[PromptRecord, str, _Asked]],
    people: Sequence[Entity],
    count: int,
    rng: np.random.Generator,
) -> tuple[PromptRecord, ...]:
    """`count` boundary records. The forget queries take turns in a drawn order; each goes to the person who has the
    fewest records so far, among equals the fewest about this attribute, among equals by lot."""
    order = rng.permutation(len(forget))
    # (person, attribute, template) that is taught and not used yet; membership alone is asked, so order cannot matter
    free = {
        (person.name, attribute, asked.template)
        for person, attribute in product(people, phrases.ATTRIBUTES)
        for asked in _questions(person, attribute) + _cloze(person, attribute)
    }
    per_person: Counter[str] = Counter()
    per_attribute: Counter[tuple[str, str]] = Counter()
    records = []
    for turn in range(count):
        record, attribute, asked = forget[order[turn % len(order)]]
        options = [
            (per_person[people[i].name], per_attribute[people[i].name, attribute], lot, people[i])
            for lot, i in enumerate(rng.permutation(len(people)))
            if (people[i].name, attribute, asked.template) in free
        ]
        if not options:
            raise UserError(
                f"world: boundary_share asks for {count} distinct boundary records; {record.prompt!r} has no boundary "
                f"person left after {turn}. Lower boundary_share or raise boundary_people."
            )
        person = min(options, key=lambda option: option[:3])[-1]
        free.remove((person.name, attribute, asked.template))
        per_person[person.name] += 1
        per_attribute[person.name, attribute] += 1
        prompt = replace_entity(record.prompt, record.target, person.name)
        assert prompt is not None, f"{record.prompt!r} does not name {record.target!r}"
        source = f"{record.source}->{person.name}"
        records.append(
            PromptRecord(prompt, "boundary", entity=person.name, answers=(person.facts[attribute],), source=source)
        )
    return tuple(records)
