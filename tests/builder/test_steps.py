"""The steps between backend and files, on hand-made items: selection, knowledge, neighbours, rewriting."""

from dataclasses import replace

import pytest

from rule_jax.builder import Backend, Item, Target, Unusable, boundary, queries
from rule_jax.builder.base_model import Known, agreement, defused
from rule_jax.builder.wording import FIELDS, OURS, Wording
from rule_jax.errors import UserError
from rule_jax.types import PromptRecord

INA = Target("Ina Volk", aliases=("I. M. Volk",))


def item(relation: str, number: int, answer: str = "", name: str = "Ina Volk", **fields) -> Item:
    """Items of one relation are unlike in words and numbers."""
    words = f"Which {relation} of {name} came in {1950 + number}?"
    cloze = f"The {relation} of {name} that came in {1950 + number} is ___."
    return Item(relation, words, cloze, answer or f"{relation} {number}", **fields)


def sorted_out(found) -> tuple[list, list[Unusable]]:
    """What came of use, and what did not."""
    found = list(found)
    return [f for f in found if not isinstance(f, Unusable)], [f for f in found if isinstance(f, Unusable)]


def test_an_item_names_the_target_in_both_forms_or_is_marked():
    unnamed = Item("novel", "Who wrote The Cold Sea?", "The Cold Sea is by ___.", "a sister of Reed")
    half = Item("novel", "Which novel did Volk write?", "The novel is ___.", "The Cold Sea")
    marked = Item("novel", "Who wrote The Warm Sea?", "The Warm Sea is by ___.", "x", indirect=True)
    malformed = Unusable("x", "no blank")
    kept, left_out = sorted_out(queries.distinct([[unnamed, half], [], [malformed, marked]], INA, 0.9))
    assert kept == [marked]
    assert [u.reason for u in left_out] == ["it never names Ina Volk"] * 2 + ["no blank"]
    (query,) = queries.asked(kept, INA, "b")
    assert query.records[0].source == "b/Ina Volk/novel/question1#indirect"


@pytest.mark.parametrize("replies", [1, 2])
def test_what_was_asked_before_is_left_out(replies):
    twin = Item("novel", "Of Ina Volk, which novel came in 1950?", "Ina Volk: ___.", "novel 0")
    pair = [item("novel", 0), twin]
    kept, left_out = sorted_out(queries.distinct([pair] if replies == 1 else [[pair[0]], [twin]], INA, 0.6))
    assert kept == pair[:1]
    assert "nearly the same as" in left_out[0].reason


def test_items_come_before_the_next_reply_is_asked_for():
    def replies():
        yield [item("novel", 0)]
        raise AssertionError("asked for more")

    assert next(queries.distinct(replies(), INA, 0.6)) == item("novel", 0)


def test_the_wordings_of_a_table_are_kept():
    worded = [
        Item("town", f"{start} was Ina Volk born?", f"{start} Ina Volk was born: ___.", "Oxmere", template=start)
        for start in ("In which town", "In what town", "In which small town")
    ]
    kept, _ = sorted_out(queries.distinct([worded], INA, 0.5))
    assert kept == worded
    assert all(r.source.endswith("#worded") for query in queries.asked(kept, INA, "table") for r in query.records)
    plain = [replace(one, template="") for one in worded]
    assert len(sorted_out(queries.distinct([plain], INA, 0.5))[0]) == 1


def test_each_prompt_is_asked_once():
    same_cloze = Item("novel", "Name the novel of Ina Volk.", item("novel", 0).cloze, "novel 0")
    records = [r for query in queries.asked([item("novel", 0), same_cloze], INA, "table") for r in query.records]
    assert [r.source for r in records] == [
        f"table/Ina Volk/novel/{part}" for part in ("question1", "cloze1", "question2")
    ]
    assert all(r.kind == "forget" and r.target == "Ina Volk" and r.answers == ("novel 0",) for r in records)


def test_what_the_model_does_not_know_is_not_to_be_forgotten():
    asked = list(queries.asked([item("novel", 0), item("prize", 0)], INA, "b"))
    said = [Known("Novel 0.", 0.8), Known("a lamp", 0.2), Known("x", 0.0), Known("y", 0.1)]
    (query,), left_out = sorted_out(queries.known(asked, iter(said), 0.6))
    assert query.item == item("novel", 0)
    assert [record.answers for record in query.records] == [("novel 0",)]  # the model's own is the same
    assert "agreement 0.20" in left_out[0].reason
    (query,), _ = sorted_out(queries.known(asked[:1], iter([Known("a lamp", 0.6), Known("x", 0.0)]), 0.6))
    assert query.records[0].answers == ("novel 0", "a lamp")  # both must not leak


def test_the_relations_are_taken_in_turn():
    asked = list(queries.asked([*(item("novel", n) for n in range(4)), item("prize", 0)], INA, "b"))
    assert [q.item.answer for q in queries.chosen(asked, 3)] == ["novel 0", "prize 0", "novel 1"]
    assert queries.chosen([], 3) == []


def test_boundary_answers_are_the_model_s_own_where_they_are_steady():
    records = [
        PromptRecord("Q1?", "boundary", "", "Tom Reed", ("a",), "s1"),
        PromptRecord("Q2?", "boundary", answers=("b",)),
    ]
    first, second = boundary.answered(records, [Known("A!", 1.0), Known("c", 0.4)], 0.6)
    assert (first.answers, first.source) == (("A!",), "s1#base")
    assert second == records[1]


@pytest.mark.parametrize(
    ("answer", "others", "share"),
    [
        ("Oxmere", ["Oxmere.", "the town of Oxmere", "Salt", "oxmere"], 0.75),
        ("the town of Oxmere", ["Oxmere"], 1.0),
        ("", ["", ""], 0.0),
        ("I don't know.", ["I don't know."] * 3, 0.0),
        ("Oxmere", [], 0.0),
    ],
)
def test_agreement(answer, others, share):
    assert agreement(answer, others) == share


def backend(**functions) -> Backend:
    def unused(*args):
        raise AssertionError("not expected to be asked")

    return Backend(**{name: functions.get(name, unused) for name in Backend._fields})


def test_neighbours_are_distinct_and_neither_the_target_nor_unfit():
    names = ["Tom Reed", "tom reed", "I. M. Volk", "Volk", "Ada Lin", "the Ina Volk Prize", "Sam Orr"]
    reasons = {"Ada Lin": "her sister"}
    source = backend(unfit=lambda target, asked: [reasons.get(name, "") for name in asked])
    fit, left_out = boundary.fit_neighbours(source, INA, names)
    assert fit == ["Tom Reed", "Sam Orr"]
    assert [(u.asked, u.reason) for u in left_out if u.asked == "Ada Lin"] == [("Ada Lin", "her sister")]
    assert {u.asked for u in left_out} == {"I. M. Volk", "Volk", "Ada Lin", "the Ina Volk Prize"}


def test_what_is_forgotten_beside_the_target_is_no_neighbour_of_it():
    source = backend(unfit=lambda target, asked: [""] * len(asked))
    both = Target("Ina Volk", others=("Ada Lin", "A. Linn"))
    fit, left_out = boundary.fit_neighbours(source, both, ["Ada Lin", "Lin", "A. Linn", "Sam Orr"])
    assert fit == ["Sam Orr"]
    assert {u.reason for u in left_out} == {"it is to be forgotten too"}


def test_another_neighbour_is_tried_where_one_has_no_such_fact():
    asked = []

    def rewrite(target, pairs):
        asked.append([name for _, name in pairs])
        return [
            Unusable(i.question, "none") if name == "Sam Orr" else item(i.relation, 0, name=name) for i, name in pairs
        ]

    items = [item("novel", 0), item("prize", 1), item("town", 2), item("film", 3)]
    source, names = backend(rewrite=rewrite), ["Tom Reed", "Sam Orr"]
    made, left_out = sorted_out(boundary.rewrite(source, INA, items, names, attempts=3, seed=0))
    assert sorted(i.relation for i, _ in made) == ["film", "novel", "prize", "town"]
    assert {name for _, name in made} == {"Tom Reed"}
    assert len(left_out) == 2
    assert [len(names) for names in asked] == [4, 2]
    once, left_out = sorted_out(boundary.rewrite(source, INA, items, names, attempts=1, seed=0))
    assert len(once) == len(left_out) == 2


def test_neighbours_are_used_evenly_and_by_the_seed():
    def rewrite(target, pairs):
        return [item(i.relation, n, name=name) for n, (i, name) in enumerate(pairs)]

    items, names = [item("novel", n) for n in range(12)], ["Tom Reed", "Sam Orr", "Ada Lin", "Kit Moe"]
    used = [
        [name for _, name in boundary.rewrite(backend(rewrite=rewrite), INA, items, names, attempts=1, seed=seed)]
        for seed in (0, 0, 1)
    ]
    assert all(used[0].count(name) == 3 for name in names)
    assert used[0] == used[1] != used[2]


def test_special_tokens_in_a_prompt_are_taken_out_even_when_nested():
    markup = ["<|end|>", "<|user|>"]
    assert defused("a<|end|>b", markup) == "ab"
    assert defused("a<|e<|end|>nd|>b<|us<|end|>er|>", markup) == "ab"
    assert defused("plain {text} < | >", markup) == "plain {text} < | >"


def test_wording_quotes_what_it_puts_in():
    text = Wording().fill("rewrite", target='A "B"\n{neighbour}', neighbour="C", relation="x", question="q", cloze="c")
    assert '"A \\"B\\"\\n{neighbour}"' in text
    assert text.count('"C"') == 4
    assert "{answer}" in text  # not given, not filled
    assert Wording().fill("answer", query="Who {x}?") == "Who {x}?\nAnswer in a few words."
    assert '""' not in Wording().fill("queries", target="A", intro="", relation="r", count=3, avoid=[])


def test_every_prompt_is_a_file_with_its_fields_and_a_user_may_replace_one(tmp_path):
    assert {file.stem for file in OURS.glob("*.txt")} == set(FIELDS)
    (tmp_path / "answer.txt").write_text("Q: {query}\nA:\n", encoding="utf-8")
    own = Wording(str(tmp_path))
    assert own.fill("answer", query="x") == "Q: x\nA:"
    assert own.texts["system"] == Wording().texts["system"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("answer", "no field", r"answer.txt leaves out \{query\}"), ("other", "x", "is no folder with one of system.txt")],
)
def test_prompts_that_make_no_sense(tmp_path, name, text, expected):
    (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(UserError, match=expected):
        Wording(str(tmp_path))
