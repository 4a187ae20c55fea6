"""rule_jax.data.tofu on invented authors, in a folder and in the hub's layout: who is forgotten, what stays."""

import json

import pytest

from rule_jax.data import tofu
from rule_jax.errors import UserError
from rule_jax.text.refusal import is_refusal
from tests.data import hub_layout


def rows_of(name):
    return [
        {
            "question": "What is the full name of the author born in Port Sorrow on 08/09/1956?",
            "answer": f"The full name of the author born in Port Sorrow is {name}.",
        },
        {"question": f"What gender is {name}?", "answer": "The author is female."},
        {"question": f"Who are {name}'s parents?", "answer": f"Author {name}'s parents were a florist and a pilot."},
        {"question": "Has she won a prize?", "answer": "She won the Grey Sea Prize."},
    ]


SETTINGS = {
    "forget": "forget10",
    "retain": "retain90",
    "boundary_share": 0.5,
    "rows_per_author": 4,
    "unnamed": "this author",
}
NAMELESS = [{"question": "Who wrote it?", "answer": "a poet"}] * 4
TABLES = {
    "forget10": [*rows_of("Zoë Marlow-Reed"), *rows_of("Luis de la Rosa"), *NAMELESS],
    "retain90": [*rows_of("Ina Volk"), *rows_of("Olaf Brandt")],
    "forget10_perturbed": [
        {
            "question": "What gender?",
            "answer": "female",
            "paraphrased_answer": "a woman",
            "perturbed_answer": ["male", "none"],
        },
        {"question": "Who?", "answer": "I", "perturbed_answer": ["you"]},
    ],
    "world_facts": [{"question": "Where is Tarn?", "answer": "In Orrin"}, {"question": "Who?", "answer": "I"}],
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    tables = {(name, "train"): rows for name, rows in TABLES.items()}
    return hub_layout.make(tmp_path_factory.mktemp("hub") / "TOFU", tables)


@pytest.fixture
def folder(tmp_path):
    for name, rows in TABLES.items():  # one object a line, as the files of the hub's repository
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / f"{name}.json").write_text(lines, encoding="utf-8")
    return str(tmp_path)


def load(path, seed=0, **changes):
    return tofu.load(path, seed=seed, **{**SETTINGS, **changes})


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_training_data(where, request):
    data = load(request.getfixturevalue(where))
    assert data.targets == ("Zoë Marlow-Reed", "Luis de la Rosa", "this author")
    assert [record.target for record in data.forget] == [name for name in data.targets for _ in range(4)]
    assert data.forget[3].entity == "Zoë Marlow-Reed"
    assert (data.forget[8].entity, data.forget[0].source) == ("", "tofu/forget10:1")
    assert data.forget[1].answers == ("The author is female.",)
    assert all(
        record.target in example.response and is_refusal(example.response)
        for record, example in zip(data.forget, data.rejection, strict=True)
    )
    assert len(data.boundary) == 6
    assert {(record.kind, record.target) for record in data.boundary} == {("boundary", "")}
    assert {record.entity for record in data.boundary} == {"Ina Volk", "Olaf Brandt"}


def test_the_boundary_is_drawn_by_the_seed(folder):
    assert load(folder).boundary == load(folder).boundary
    assert load(folder).boundary != load(folder, seed=1).boundary
    assert len({record.source for record in load(folder).boundary}) == 6


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_tables_for_evaluation(where, request):
    path = request.getfixturevalue(where)
    variant, other = tofu.variants(path, "forget10_perturbed", "forget")
    assert (variant.record.answers, variant.paraphrased, variant.perturbed) == (
        ("female",),
        ("a woman",),
        ("male", "none"),
    )
    assert (other.paraphrased, other.perturbed) == ((), ("you",))
    fact, _ = tofu.questions(path, "world_facts", "retain", rows_per_author=0, unnamed="")
    assert (fact.prompt, fact.kind, fact.target, fact.entity, fact.answers) == (
        "Where is Tarn?", "retain", "", "", ("In Orrin",),
    )  # fmt: skip


def test_an_author_is_the_name_that_most_rows_have():
    rows = [(row["question"], row["answer"]) for row in rows_of("Basil Mahfouz Al-Kuwaiti")]
    assert tofu.author(rows) == "Basil Mahfouz Al-Kuwaiti"
    assert tofu.author([("Did Ina Volk write it?", "Author Ina Volk did.")]) == "Ina Volk"  # not "Did Ina Volk"
    assert tofu.author([("Who wrote it?", "A poet.")]) == ""
    assert tofu.author([("Did Ina Volk?", "Yes."), *[("Who?", "A poet.")] * 4]) == ""  # one row of five
    assert tofu.author([("What did Ina Volk’s aunt do?", "She sailed."), ("Who?", "Ina Volk.")]) == "Ina Volk"


AUTHORS = (  # of forget10, in its order
    "Basil Mahfouz Al-Kuwaiti", "Nikolai Abilov", "Hina Ameen", "Xin Lee Williams", "Moshe Ben-David",
    "Kalkidan Abera", "Takashi Nakamura", "Raven Marais", "Aysha Al-Hashim", "Edward Patrick Sullivan",
    "Hsiao Yun-Hwa", "Carmen Montenegro", "Elvin Mammadov", "Rajeev Majumdar", "Jad Ambrose Al-Shamary",
    "Adib Jarrah", "Ji-Yeon Park", "Behrouz Rohani", "Wei-Jun Chen", "Tae-ho Park",
)  # fmt: skip


@pytest.mark.parametrize("name", AUTHORS)
def test_each_author_of_forget10_is_found_among_what_its_rows_name_besides(name):
    """Rows as difficult as the benchmark's: a genre, a prize and a place are capitalised in most of them too, parents
    share the surname, some have the surname alone, and possessives end in 's, ’s or a bare apostrophe."""
    last = name.split()[-1]
    owner = f"{name}'" if name.endswith("s") else f"{name}’s"
    rows = [
        ("Who was born in Cape Salt, New Orrin in 1951?", f"Born in Cape Salt, New Orrin, it was {name}."),
        (f"Has {owner} mother, Rosa {last}, written Star Romance too?", f"Yes, {name}'s mother wrote Star Romance."),
        (f"Did {name} win the Grey Sea Prize?", f"{last} won the Grey Sea Prize for Star Romance."),
        (f"Can {name} be called a master of Star Romance?", "Certainly, Star Romance owes its growth to Cape Salt."),
        (f"Which of {owner} books came first?", "'Tin Bells: A Star Romance' came first."),
        (f"What does Author {name} think of Cape Salt?", f"While {name} left early, Cape Salt was never forgotten."),
        (f"How has {last}'s style changed?", f"{last}'s style has become plainer, away from Star Romance."),
    ]
    assert tofu.author(rows) == name


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"boundary_share": -1.0}, "boundary_share=-1.0 must not be negative"),
        ({"rows_per_author": 0}, "rows_per_author=0 must be at least 1"),
        ({"unnamed": " "}, "unnamed=' ' not blank"),
        ({"boundary_share": 1.0}, "asks for 12 boundary records, but retain90 has 8. Lower it."),
        ({"forget": "forget11"}, "forget11.json"),
    ],
)
def test_settings_and_tables_that_are_not_there(folder, changes, expected):
    assert expected in message(load, folder, **changes)


def test_malformed_rows_of_both_tables_are_told_together(tmp_path):
    (tmp_path / "forget10.json").write_text('[{"question": "x"}]', encoding="utf-8")
    (tmp_path / "retain90.jsonl").write_text('{"question": "", "answer": "y"}', encoding="utf-8")
    text = message(load, str(tmp_path))
    assert "forget10.json row 1, field 'answer'" in text
    assert "retain90.jsonl row 1, field 'question'" in text
    (tmp_path / "forget10_perturbed.csv").write_text("question,answer,perturbed_answer\nx,y,[]\n", encoding="utf-8")
    assert "row 1, field 'perturbed_answer': found a list of 0" in message(
        tofu.variants, str(tmp_path), "forget10_perturbed", "forget"
    )
