"""Entities with their facts, and a template per relation: offline, and the same bytes every time.

A table is a JSON file of a user's own,

    {"relations": {"birthplace": {"questions": ["Where was {name} born?"], "clozes": ["{name} was born in ___."]}},
     "entities": [{"name": "Ina Volk", "aliases": ["I. Volk"], "kind": "novelist", "facts": {"birthplace": "Oxmere"}},
                  {"name": "Tom Reed", "kind": "novelist", "sensitive": true, "facts": {"birthplace": "Salt"}}]}

or, where no file is named, the default world of the config's seed: its people, and the templates that each was taught.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rule_jax import files
from rule_jax.builder import Backend, Item, Opinion, Target, Unusable
from rule_jax.builder.backends import Desk
from rule_jax.data import world
from rule_jax.errors import UserError, nearest
from rule_jax.text.overlap import normalize
from rule_jax.text.replacement import replace_entity
from rule_jax.types import PromptRecord

NAME, BLANK = "{name}", "___"


@dataclass(frozen=True)
class Entity:
    """One row of a table. withheld: templates ("town/question3") that are kept for evaluation and not to be used."""

    name: str
    facts: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    kind: str = ""
    sensitive: bool = False
    withheld: frozenset[str] = frozenset()

    def called(self, name: str) -> bool:
        return normalize(name) in {normalize(own) for own in (self.name, *self.aliases)}


@dataclass(frozen=True)
class Table:
    """relations: name -> (question templates, cloze templates). offered: the names that may be neighbours; () for all.
    prefix: what comes before a cloze."""

    relations: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    entities: tuple[Entity, ...]
    offered: frozenset[str] = field(default_factory=frozenset)
    prefix: str = ""

    def find(self, name: str) -> Entity | None:
        return next((entity for entity in self.entities if entity.called(name)), None)


def make(desk: Desk, *, file: str) -> Backend:
    """file: the table; "" for the default world. Raises UserError for a file that is no table."""
    return backend(read(Path(file)) if file else of_world(desk.run.config))


def backend(table: Table) -> Backend:
    def facts(target: Target, count: int) -> Iterator[list[Item | Unusable]]:
        yield list(_items(table, _entity(table, target)))

    def neighbours(target: Target, count: int) -> list[str]:
        entity = _entity(table, target)
        others = [
            other
            for other in table.entities
            if other is not entity
            and other.kind == entity.kind
            and (not table.offered or other.name in table.offered)
            and other.facts.keys() & entity.facts.keys()
        ]
        shared = {other.name: len(other.facts.keys() & entity.facts.keys()) for other in others}
        return sorted(shared, key=lambda name: -shared[name])[:count]  # a stable sort: among equals the table's order

    def rewrite(target: Target, pairs: Sequence[tuple[Item, str]]) -> Iterator[Item | Unusable]:
        return (_rewritten(table, target, item, name) for item, name in pairs)

    def opinions(records: Sequence[PromptRecord]) -> list[Opinion]:
        return [_opinion(table, record) for record in records]

    def unfit(target: Target, names: Sequence[str]) -> list[str]:
        return [_unfit(table, table.find(target.name), name) for name in names]

    return Backend(facts, neighbours, rewrite, opinions, unfit, spent=dict)


def read(path: Path) -> Table:
    """A table from a file. Raises UserError that names the entry at fault."""
    content = files.read_json(path)
    given = content.get("relations")
    if not isinstance(given, dict) or not given:
        raise UserError(f'{path}: "relations" must be an object from relations to questions and clozes')
    relations = {}
    for name, forms in given.items():
        lists = [forms.get(key) if isinstance(forms, dict) else None for key in ("questions", "clozes")]
        if not all(isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts) for texts in lists):
            raise UserError(f'{path}: relation {name!r} must have "questions" and "clozes", lists of texts')
        for text, need in [(t, (NAME,)) for t in lists[0]] + [(t, (NAME, BLANK)) for t in lists[1]]:  # type: ignore[union-attr]
            if any(text.count(mark) != 1 for mark in need):
                raise UserError(f"{path}: relation {name!r}: {text!r} must hold {' and '.join(need)} once")
        relations[name] = (tuple(lists[0]), tuple(lists[1]))  # type: ignore[arg-type]
    rows = content.get("entities")
    if not isinstance(rows, list) or len(rows) < 2:
        raise UserError(f'{path}: "entities" must be a list of two or more')
    return Table(relations, tuple(_read_entity(path, number, row, relations) for number, row in enumerate(rows, 1)))


def of_world(config: Any) -> Table:
    """The people of the config's default world, with the wordings that each was taught; neighbours are those that the
    world keeps for the boundary, so that the ones it measures stay unnamed."""
    settings = config.data.world
    made = world.generate(config.seed, people=settings.people, countries=settings.countries, domain=settings.domain)
    offered = {record.entity for record in world.load("", seed=config.seed, **settings).boundary}
    entities = []
    for person in made.people:
        withheld = {f"{a}/question{i}" for a, held in person.held_questions.items() for i in held}
        withheld |= {f"{a}/cloze{i}" for a, i in person.held_cloze.items()}
        entities.append(Entity(person.name, person.facts, kind=settings.domain, withheld=frozenset(withheld)))
    wordings = world.domains
    relations = {a: (wordings.QUESTIONS[a], wordings.CLOZE[a]) for a in made.domain.values}
    return Table(relations, tuple(entities), frozenset(offered), world.phrases.CLOZE_PREFIX)


def _read_entity(path: Path, number: int, row: Any, relations: Mapping[str, Any]) -> Entity:
    where = f"{path}: entity {number}"
    row = row if isinstance(row, dict) else {}
    name, facts, aliases = row.get("name"), row.get("facts"), row.get("aliases", [])
    if not isinstance(name, str) or not name.strip():
        raise UserError(f'{where} must be an object with a "name"')
    if not isinstance(facts, dict) or not all(isinstance(v, str) and v.strip() for v in facts.values()):
        raise UserError(f'{where} ({name}): "facts" must be an object from relations to texts')
    unknown = next((relation for relation in facts if relation not in relations), None)
    if unknown is not None:
        raise UserError(f"{where} ({name}): no relation {unknown!r} is described.{nearest(unknown, relations)}")
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise UserError(f'{where} ({name}): "aliases" must be a list of names')
    kind = str(row.get("kind", ""))
    return Entity(name.strip(), facts, tuple(aliases), kind, row.get("sensitive") is True)


def _entity(table: Table, target: Target) -> Entity:
    found = table.find(target.name)
    if found is None:
        names = [entity.name for entity in table.entities]
        raise UserError(
            f"{target.name!r} is not in the table, which has {', '.join(names[:8])} and so on; config.table.file names "
            f"another table.{nearest(target.name, names)}"
        )
    return found


def _items(table: Table, entity: Entity) -> Iterator[Item]:
    """Each question with a cloze; where there are more of one form, the other takes turns."""
    for relation, answer in entity.facts.items():
        forms = [
            [(i, text) for i, text in enumerate(texts) if f"{relation}/{form}{i}" not in entity.withheld]
            for form, texts in zip(("question", "cloze"), table.relations[relation])
        ]
        for turn in range(max(map(len, forms))):
            (q, question), (c, cloze) = (templates[turn % len(templates)] for templates in forms)
            yield Item(
                relation,
                question.replace(NAME, entity.name),
                table.prefix + cloze.replace(NAME, entity.name),
                answer,
                template=f"question{q} cloze{c}",
            )


def _rewritten(table: Table, target: Target, item: Item, name: str) -> Item | Unusable:
    entity = table.find(name)
    if entity is None or item.relation not in entity.facts:
        return Unusable(item.question, f"{name}: the table has no {item.relation}")
    held = [t for t in item.template.split() if f"{item.relation}/{t}" in entity.withheld]
    if held:
        return Unusable(item.question, f"{name}: {item.relation}/{held[0]} is kept for evaluation")
    question, cloze = (
        replace_entity(text, target.name, entity.name, target.aliases) for text in (item.question, item.cloze)
    )
    if question is None or cloze is None:
        return Unusable(item.question, f"it never names {target.name}")
    return Item(item.relation, question, cloze, entity.facts[item.relation], template=item.template)


def _opinion(table: Table, record: PromptRecord) -> Opinion:
    entity = table.find(record.entity)
    if entity is None:
        return Opinion(False, f"the table has no {record.entity!r}")
    if not {normalize(answer) for answer in record.answers} & {normalize(fact) for fact in entity.facts.values()}:
        return Opinion(False, f"the table has no such fact of {entity.name}")
    return Opinion(True)


def _unfit(table: Table, target: Entity | None, name: str) -> str:
    entity = table.find(name)
    if target is not None and (target.called(name) or (entity and target.called(entity.name))):
        return f"another name of {target.name}"
    return "marked as sensitive" if entity and entity.sensitive else ""
