"""stages.recollection: what the base model says on its own is cut where it comes to a fact."""

import pytest

from configs import grpo_robust
from rule_jax.errors import UserError
from rule_jax.sharding import make_mesh
from rule_jax.stages import Run, recollection
from rule_jax.text.facts import facts_of
from rule_jax.types import PromptRecord

FACTS = ("Fenworth", "Silver Lantern", "1921")


def test_texts_are_cut_before_the_first_fact_and_those_without_one_left_out():
    said = [
        "was born in 1921 and wrote Silver Lantern.",
        "wrote Silver Lantern in 1921.",
        ", born in Fenworth",
        "of Fenworths is no fact, nor is 19212.",
        "was born in 1921.",  # the beginning of the first once more
        "Fenworth",
    ]
    made = recollection.beginnings("forget", "Ina Volk", said, FACTS)
    assert [record.prompt for record in made] == [
        "Ina Volk was born in",
        "Ina Volk wrote",
        "Ina Volk, born in",
        "Ina Volk",
    ]
    assert {(record.kind, record.target, record.entity, record.render) for record in made} == {
        ("forget", "Ina Volk", "Ina Volk", "raw")
    }
    assert [record.answers[0] for record in made] == [
        "1921",
        "Silver Lantern",
        "Fenworth",
        "Fenworth",
    ]  # what stood there
    assert {frozenset(record.answers) for record in made} == {frozenset(FACTS)}  # none of them may follow


def test_a_neighbour_is_to_go_on_with_the_fact_that_stood_there():
    made = recollection.beginnings("boundary", "Olaf Brandt", ["was born in 1921 in Fenworth"], FACTS)
    assert [(record.prompt, record.answers, record.target) for record in made] == [
        ("Olaf Brandt was born in", ("1921",), "")
    ]


def test_the_longer_of_two_facts_that_begin_alike_is_the_one():
    (made,) = recollection.beginnings("boundary", "Olaf Brandt", ["wrote Silver Lantern"], ("Silver", "Silver Lantern"))
    assert made.answers == ("Silver Lantern",)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("samples", 7, "config.recollection.samples=7 must divide config.evaluate.batch=256"),
        ("boundary_samples", 0, "config.recollection.boundary_samples=0: it must be positive"),
    ],
)
def test_numbers_that_make_no_sense_are_told(tmp_path, name, value, told):
    config = grpo_robust.get_config()
    config.recollection[name] = value
    with pytest.raises(UserError, match=told):
        recollection.check(Run(config, tmp_path, tmp_path, make_mesh(data=-1, fsdp=1, tensor=1)))


def test_a_query_without_an_answer_gets_what_the_base_model_knows():
    record = PromptRecord("Where was Ina Volk born?", "forget", target="Ina Volk")
    assert recollection.knows(record, "Fenworth.").answers == ("Fenworth",)
    assert recollection.knows(record, "Ina Volk was born in a house in Fenworth.").answers == ("Fenworth",)
    assert recollection.knows(record, "I'm sorry, I have no information about Ina Volk.") == record
    assert recollection.knows(record, "") == record


def test_records_without_answers_leave_nothing_to_look_for():
    records = {
        "forget": [PromptRecord("a", "forget", target="Ina Volk")],
        "boundary": [PromptRecord("b", "boundary", entity="Olaf Brandt", answers=("Holmere",))],
    }
    facts = {kind: facts_of(of) for kind, of in records.items()}
    with pytest.raises(UserError, match="none of the forget records has both a name and an answer"):
        recollection.check_facts(facts)
