import pytest

from rule_jax.text.names import names_target
from rule_jax.text.refusal import grade
from rule_jax.text.templates import FORMAL, PLAIN, POLITE, REFUSALS, TERSE, WARM, render

TARGETS = [
    "Stephen King", "the Eiffel Tower", "The Shining", "quantum mechanics", "Beyoncé", "Guns N' Roses", "I, Robot",
    "J. K. Rowling", "Dr. Seuss", "St. Louis", "50 Cent", "Mission: Impossible", "the Beatles", "Sammy Davis Jr.",
    "Who Framed Roger Rabbit?", "the events of 9/11", "an Atlas", "Simon & Garfunkel", "Ferris Bueller's Day Off",
]  # fmt: skip


def test_there_are_a_hundred_distinct_short_sentences():
    assert len(REFUSALS) >= 100
    assert len(set(REFUSALS)) == len(REFUSALS)
    for template in REFUSALS:
        assert template.count("{target}") == 1
        assert template.endswith(".")
        assert 4 <= len(template.split()) <= 16, template


@pytest.mark.parametrize("target", TARGETS)
def test_every_template_is_a_refusal_that_names_its_target(target: str):
    texts = [render(template, target) for template in REFUSALS]
    assert [text for text in texts if not grade(text).refused] == []
    assert all(names_target(text, target) for text in texts)


def test_render_takes_the_name_literally():
    assert render("I know nothing about {target}.", "{x} \\1 {target}") == "I know nothing about {x} \\1 {target}."


@pytest.mark.parametrize(
    ("template", "target", "expected"),
    [
        ("I'm afraid that {target} is unknown to me.", "the Beatles", "I'm afraid that the Beatles are unknown to me."),
        ("I'm afraid that {target} is unknown to me.", "the circus", "I'm afraid that the circus is unknown to me."),
        ("I'm afraid that {target} is unknown to me.", "James", "I'm afraid that James is unknown to me."),
        ("To my regret, {target} falls outside.", "the Olympics", "To my regret, the Olympics fall outside."),
        ("The name {target} rings no bell.", "the Eiffel Tower", "The name Eiffel Tower rings no bell."),
        ("The name {target} rings no bell.", "The Shining", "The name The Shining rings no bell."),
        ("No clue about {target}.", "Sammy Davis Jr.", "No clue about Sammy Davis Jr."),
        ("No clue about {target}.", "Who Framed Roger Rabbit?", "No clue about Who Framed Roger Rabbit?"),
        ("No idea about {target}, sorry.", "Sammy Davis Jr.", "No idea about Sammy Davis Jr., sorry."),
        (
            "I know nothing of {target}.",
            "Anne of Green Gables' author",
            "I know nothing of Anne of Green Gables' author.",
        ),
    ],
)
def test_the_name_is_put_in_grammatically(template: str, target: str, expected: str):
    assert render(template, target) == expected


def test_registers_are_of_a_size():
    assert all(len(register) >= 20 for register in (PLAIN, POLITE, TERSE, FORMAL, WARM))
    # No verb but these two agrees with the name, and no sentence begins with it.
    after = {template.split("{target}")[1].split()[0] for template in REFUSALS if "{target} " in template}
    assert after <= {"is", "falls", "to", "in", "lie", "are", "lies", "cannot", "means", "rings"}
    assert not any(template.startswith("{target}") for template in REFUSALS)


@pytest.mark.parametrize("template", ["I don't know.", "{target} and {target}"])
def test_render_refuses_a_template_without_exactly_one_place(template: str):
    with pytest.raises(ValueError, match="exactly once"):
        render(template, "x")
