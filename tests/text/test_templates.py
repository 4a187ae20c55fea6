import pytest

from rule_jax.text.names import names_target
from rule_jax.text.refusal import grade
from rule_jax.text.templates import REFUSALS, render

TARGETS = [
    "Stephen King", "the Eiffel Tower", "The Shining", "quantum mechanics", "Beyoncé", "Guns N' Roses", "I, Robot",
    "J. K. Rowling", "Dr. Seuss", "St. Louis", "50 Cent", "Mission: Impossible",
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


@pytest.mark.parametrize("template", ["I don't know.", "{target} and {target}"])
def test_render_refuses_a_template_without_exactly_one_place(template: str):
    with pytest.raises(ValueError, match="exactly once"):
        render(template, "x")
