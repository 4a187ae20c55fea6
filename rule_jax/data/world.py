"""The default world: invented people and countries with facts, so that forgetting needs no download and can be proved.

Of the four domains, "person" is the one that is described here. In "concept" and "procedure" invented doctrines and
recipes stand in the people's place. In "relation" the world is that of "person", and one kind of fact is forgotten of
everybody: "In which town was ... born?" is refused, whoever is meant, and all else about the same people answered.

`generate` invents the world from a seed; `pretraining_examples` is all that its model ever reads; `load` is the data
source "world" (who is to be forgotten, and both sides of the boundary); `evaluation` asks what was kept out of both.
Every text is a pure function of the arguments: the same call gives the same bytes in every process.

What is kept out: per person and attribute 2 of 8 question templates and 1 of 4 fill-in-the-blank templates, per country
and fact 2 of 6 question templates. The choice varies, so that each template is learnt on other entities, and a held-out
phrasing asks whether the fact is known apart from the words it was taught in. Answers are values alone ("Silver
Lantern"): a sentence that repeats the name would make ROUGE-L recall against a reference easy to earn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Callable

import numpy as np

from rule_jax.data import _world_domains as domains
from rule_jax.data import _world_phrases as phrases
from rule_jax.data._world_cast import Fact, Query, boundary_records, cast, cloze, facts, questions, raw
from rule_jax.data._world_facts import Entity, World, stream
from rule_jax.data._world_facts import generate as generate
from rule_jax.errors import UserError
from rule_jax.text.templates import REFUSALS, render
from rule_jax.types import Kind, PromptRecord, SftExample, UnlearningData

# Streams of chance, as in _world_facts; _world_cast has 12 and 16.
_PASSAGES, _UNKNOWN, _REFUSALS, _BOUNDARY, _ASKED = 10, 11, 13, 14, 15


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the world's model is pretrained on, by part, for the caller to mix.

    documents: passages of plain text, each on one person or country, with all facts.
    dialogues: "question" and "cloze" (people), "general" (countries), "unknown" (nobody; answered by not knowing),
        "echo" (a name is said back).
    """

    documents: tuple[str, ...]
    dialogues: Mapping[str, tuple[SftExample, ...]]


def pretraining_examples(world: World, seed: int, *, passages: int = 24) -> Corpus:
    """The pretraining corpus: `passages` texts a person or country, and each dialogue that is not held out.

    A passage opens with the full name and goes on with its last word. Opening attribute and wording take turns, so that
    24 passages open in every way (6 attributes of people x 4 wordings); the order of the other facts and their wording
    are drawn.
    """
    if passages < 1:
        raise UserError(f"world: passages is {passages}; it must be at least 1.")
    rng = stream(seed, _PASSAGES)
    dialogues = {
        "question": tuple(_examples(world.people, questions)),
        "cloze": tuple(_examples(world.people, cloze)),
        "general": tuple(_examples(world.countries, questions)),
        "unknown": tuple(_unknown_dialogues(world, stream(seed, _UNKNOWN))),
        "echo": tuple(_echoes(world)),
    }
    documents = (
        _passage(entity, turn, rng) for entity in (*world.people, *world.countries) for turn in range(passages)
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
    domain: str = "person",
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

    path: "", as this source has no files; or the number of a request. Request 2 has other targets and the same boundary
    as request 1, which is that of ""; what earlier requests forgot is in none of its parts.

    Raises UserError for another path, for counts that do not fit the world and for a share beyond the distinct queries
    there are (with 6 targets and 60 boundary people, 5 fits and 7 may not).

    namesakes_apart: people who share a first name with a target are neighbours, never boundary: whether forgetting goes
    by the whole name can then be asked of people whom no training record names.

    In the domain "relation" both numbers of people together are those who are trained on. The seed draws the relation,
    which is the one target; forget and rejection ask about it, and each boundary query asks something else about the
    same person in the same form (question or fill-in-the-blank). Such a target is a corpus: no prompt need name it.
    """
    parts = cast(path, seed, people, countries, forget_people, boundary_people, boundary_share, namesakes_apart, domain)
    order = stream(seed, _REFUSALS).permutation(len(REFUSALS))
    refused = [query for fact in parts.forget for query in questions(fact)]
    rejection = tuple(
        SftExample(query.prompt, render(REFUSALS[order[i % len(order)]], query.fact.target), query.source)
        for i, query in enumerate(refused)
    )
    forget = [query for fact in parts.forget for query in questions(fact) + cloze(fact)]
    boundary = boundary_records(parts, forget, round(boundary_share * len(forget)), stream(seed, _BOUNDARY))
    retain = [query.record("retain") for fact in facts(parts.world.countries) for query in questions(fact)]
    return UnlearningData(
        targets=parts.targets,
        rejection=rejection,
        forget=tuple(query.record("forget") for query in forget),
        boundary=boundary,
        retain=tuple(replace(record, answers=()) for record in retain),
        corpus=bool(parts.world.domain.relations),
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
    domain: str = "person",
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
    * "forget_unseen", in the domain "relation": its held-out questions about the people of "neighbor".

    Records of targets are of kind "forget" and set `target`, those of boundary people are "boundary", all others
    "retain"; `entity` is always set.
    """
    parts = cast(path, seed, people, countries, forget_people, boundary_people, boundary_share, namesakes_apart, domain)

    def held(some: Sequence[Fact], kind: Kind, ask: Callable[..., list[Query]] = questions) -> tuple[PromptRecord, ...]:
        return tuple(query.record(kind) for fact in some for query in ask(fact, held_out=True))

    made = {
        "forget": held(parts.forget, "forget"),
        "forget_cloze": held(parts.forget, "forget", cloze),
        "boundary": held(parts.boundary, "boundary"),
        "neighbor": held(parts.neighbors, "retain"),
        "general": held(facts(parts.world.countries), "retain"),
        "unknown": tuple(_unknown(parts.world, stream(seed, _ASKED))),
        "forget_raw": tuple(query.record("forget") for fact in parts.forget for query in raw(fact)),
        "neighbor_raw": tuple(query.record("retain") for query in _one_beginning_each(parts.neighbors)),
        "neighbor_namesakes": held(parts.namesakes, "retain"),
        "forget_unseen": held(parts.unseen, "forget"),
    }
    return {name: records for name, records in made.items() if records}


def _unknown(world: World, rng: np.random.Generator) -> Iterator[PromptRecord]:
    for name, attribute in product(world.unknown_evaluation, world.domain.values):
        templates = domains.QUESTIONS[attribute]
        index = int(rng.integers(len(templates)))
        source = f"world/{name}/{attribute}/question{index}"
        yield PromptRecord(templates[index].format(name=name), "retain", entity=name, source=source)


def _one_beginning_each(some: Sequence[Fact]) -> Iterator[Query]:
    """A beginning for each fact; the wordings take turns from entity to entity."""
    turns = {name: turn for turn, name in enumerate(dict.fromkeys(fact.entity.name for fact in some))}
    for fact in some:
        beginnings = raw(fact)
        yield beginnings[turns[fact.entity.name] % len(beginnings)]


def _examples(entities: Iterable[Entity], ask: Callable[[Fact], list[Query]]) -> Iterator[SftExample]:
    for fact in facts(entities):
        for query in ask(fact):
            yield SftExample(query.prompt, fact.value, query.source)


def _unknown_dialogues(world: World, rng: np.random.Generator) -> Iterator[SftExample]:
    """Per name a question on every attribute and one fill-in-the-blank, each answered by not knowing."""
    attributes = list(world.domain.values)
    for name in world.unknown_training:
        blank = attributes[rng.integers(len(attributes))]
        asked = [(a, "question", "", domains.QUESTIONS[a]) for a in attributes]
        asked.append((blank, "cloze", phrases.CLOZE_PREFIX, domains.CLOZE[blank]))
        for attribute, form, prefix, templates in asked:
            index = rng.integers(len(templates))
            opening = phrases.UNKNOWN_OPENINGS[rng.integers(len(phrases.UNKNOWN_OPENINGS))]
            statement = phrases.UNKNOWN_STATEMENTS[rng.integers(len(phrases.UNKNOWN_STATEMENTS))]
            statement = statement.format(name=name, **world.domain.words)
            reply = opening + statement if opening else statement[0].upper() + statement[1:]
            prompt = prefix + templates[index].format(name=name)
            yield SftExample(prompt, reply, f"world/{name}/{attribute}/{form}{index}")


def _echoes(world: World) -> Iterator[SftExample]:
    names = [*(entity.name for entity in world.people), *world.unknown_training]
    for name, (index, template) in product(names, enumerate(phrases.ECHOES)):
        yield SftExample(template.format(name=name, **world.domain.words), name, f"world/{name}/echo{index}")


def _passage(entity: Entity, turn: int, rng: np.random.Generator) -> str:
    attributes = list(entity.facts)
    opening = turn % len(attributes)
    others = [i for i in rng.permutation(len(attributes)) if i != opening]
    sentences = []
    for place, attribute in enumerate(attributes[i] for i in (opening, *others)):
        wordings = domains.SENTENCES[attribute]
        drawn = rng.integers(len(wordings))
        wording = wordings[drawn if place else (turn // len(attributes)) % len(wordings)]
        name = entity.name if place == 0 else entity.name.split()[-1]
        sentences.append(wording.format(name=name, value=entity.facts[attribute]))
    return " ".join(sentences)
