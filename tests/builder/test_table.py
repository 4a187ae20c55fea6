"""The offline backend: a user's table, its mistakes, and the default world."""

import json

import pytest

from configs import build as recipe
from rule_jax.builder import Target, Unusable
from rule_jax.builder.backends import table
from rule_jax.data import world
from rule_jax.errors import UserError
from rule_jax.types import PromptRecord

RELATIONS = {
    "birthplace": {
        "questions": ["Where was {name} born?", "In which town was {name} born?"],
        "clozes": ["{name} was born in ___."],
    },
    "novel": {"questions": ["Which novel did {name} write?"], "clozes": ["The novel of {name} is ___."]},
}
ENTITIES = [
    {
        "name": "Ina Volk",
        "aliases": ["I. M. Volk"],
        "kind": "novelist",
        "facts": {"birthplace": "Oxmere", "novel": "Salt"},
    },
    {"name": "Tom Reed", "kind": "novelist", "facts": {"novel": "The Long Field"}},
    {"name": "Ada Lin", "kind": "novelist", "facts": {"birthplace": "Port", "novel": "Rain"}, "sensitive": True},
    {"name": "Sam Orr", "kind": "painter", "facts": {"birthplace": "Hill"}},
]
INA = Target("I. M. Volk", aliases=("Ina Volk",))


@pytest.fixture
def file(tmp_path):
    def write(relations=RELATIONS, entities=ENTITIES):
        path = tmp_path / "table.json"
        path.write_text(json.dumps({"relations": relations, "entities": entities}))
        return path

    return write


def test_facts_neighbours_and_rewriting(file):
    made = table.backend(table.read(file()))
    (items,) = made.facts(INA, 99)
    assert [(i.relation, i.question, i.cloze, i.answer) for i in items] == [
        ("birthplace", "Where was Ina Volk born?", "Ina Volk was born in ___.", "Oxmere"),
        ("birthplace", "In which town was Ina Volk born?", "Ina Volk was born in ___.", "Oxmere"),
        ("novel", "Which novel did Ina Volk write?", "The novel of Ina Volk is ___.", "Salt"),
    ]
    assert made.neighbours(INA, 9) == ["Ada Lin", "Tom Reed"]  # of its kind, who shares most first
    assert made.unfit(INA, ["Tom Reed", "Ada Lin", "Ina Volk", "Nobody"]) == [
        "",
        "marked as sensitive",
        "another name of Ina Volk",
        "",
    ]
    rewritten = list(made.rewrite(INA, [(items[2], "Tom Reed"), (items[0], "Tom Reed"), (items[0], "Nobody")]))
    assert (rewritten[0].question, rewritten[0].answer) == ("Which novel did Tom Reed write?", "The Long Field")
    assert [r.reason for r in rewritten[1:] if isinstance(r, Unusable)] == [
        "Tom Reed: the table has no birthplace",
        "Nobody: the table has no birthplace",
    ]


def test_opinions_are_the_table_s(file):
    made = table.backend(table.read(file()))
    records = [
        PromptRecord("?", "boundary", "", entity, answers)
        for entity, answers in (("Tom Reed", ("the long field",)), ("Tom Reed", ("Rain",)), ("Nobody", ("x",)))
    ]
    assert [opinion.sound for opinion in made.opinions(records)] == [True, False, False]


def changed(number: int, **fields) -> list[dict]:
    return [{**row, **fields} if index == number else row for index, row in enumerate(ENTITIES)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"relations": {}}, '"relations" must be an object'),
        (
            {"relations": {"novel": {"questions": ["Which?"], "clozes": ["{name} ___"]}}},
            r"'Which\?' must hold \{name\} once",
        ),
        ({"relations": {"novel": {"questions": ["{name}?"], "clozes": ["{name}"]}}}, "must hold {name} and ___ once"),
        ({"relations": {"novel": {"questions": []}}}, "relation 'novel' must have"),
        ({"entities": ENTITIES[:1]}, "a list of two or more"),
        ({"entities": changed(1, name=" ")}, 'entity 2 must be an object with a "name"'),
        ({"entities": changed(1, facts={"novels": "x"})}, "no relation 'novels' is described. Did you mean 'novel'"),
        ({"entities": changed(2, facts={"novel": 3})}, r'entity 3 \(Ada Lin\): "facts" must be'),
        ({"entities": changed(2, aliases="x")}, '"aliases" must be a list'),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_the_entry(file, change, expected):
    with pytest.raises(UserError, match=expected):
        table.read(file(**change))


def test_a_target_that_is_not_in_the_table(file):
    with pytest.raises(UserError, match=r"'Ina Folk' is not in the table.*Did you mean 'Ina Volk'"):
        next(table.backend(table.read(file())).facts(Target("Ina Folk"), 3))


def test_the_default_world_keeps_what_it_measures():
    config = recipe.get_config()
    settings = config.data.world.to_dict()
    data = world.load("", seed=0, **settings)
    held = world.evaluation("", seed=0, **settings)
    target = Target(data.targets[0])
    made = table.backend(table.of_world(config))
    (items,) = made.facts(target, 999)
    names = made.neighbours(target, 30)
    rewritten = [
        r for r in made.rewrite(target, [(i, n) for i in items for n in names[:8]]) if not isinstance(r, Unusable)
    ]
    assert len(items) == 36
    assert {i.question for i in items} | {i.cloze for i in items} == {
        r.prompt for r in data.forget if r.target == target.name
    }
    assert set(names) <= {r.entity for r in data.boundary}
    asked = {text for i in rewritten for text in (i.question, i.cloze)}
    assert len(asked) > 100
    assert not asked & {record.prompt for records in held.values() for record in records}
