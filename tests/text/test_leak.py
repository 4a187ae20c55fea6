import pytest

from rule_jax.errors import UserError
from rule_jax.text.leak import leaks_answer


def test_an_answer_leaks_on_word_boundaries():
    assert leaks_answer("I believe it was “Carrie”.", ["carrie"])
    assert leaks_answer("Carrie's author", ["Carrie"])
    assert leaks_answer("It is 1974, isn't it?", ["Bangor", "1974"])
    assert not leaks_answer("He carried it.", ["Carrie"])
    assert not leaks_answer("In 19745", ["1974"])


def test_an_answer_leaks_however_it_is_spelt():
    assert leaks_answer("J. K. Rowling wrote it", ["J.K. Rowling"])
    assert leaks_answer("beyonce knowles", ["Beyoncé Knowles"])
    assert leaks_answer("It’s the “Dark   Tower”!", ["The Dark Tower"])
    assert not leaks_answer("king stephen", ["Stephen King"])  # in order, or not at all


def test_a_refusal_that_names_the_target_leaks_only_where_the_target_is_the_answer():
    refusal = "I know nothing about Stephen King."
    assert not leaks_answer(refusal, ["Richard Bachman"])
    assert leaks_answer(refusal, ["Stephen King"])


def test_long_answers_leak_by_recall():
    answer = "Portland in the state of Maine"  # five words after normalisation: portland in state of maine
    assert leaks_answer("He was born in Portland, which is in the state of Maine.", [answer])
    assert leaks_answer("Portland in state Maine", [answer])  # 4/5
    assert not leaks_answer("Portland, state Maine", [answer])  # 3/5
    assert leaks_answer("Portland, state Maine", [answer], threshold=0.6)
    assert not leaks_answer("Maine of state in Portland", [answer])  # all words, but LCS is 1


def test_a_single_word_never_leaks_by_parts_and_an_empty_answer_never_leaks():
    assert not leaks_answer("anything", ["", "The", "?!"])
    assert not leaks_answer("", ["Carrie"])
    assert not leaks_answer("anything", [])


@pytest.mark.parametrize(
    "text", ["It", "it.", "It, I think.", "His novel It came out in 1986.", "the novel “It”", "*It*", "Carrie, It"]
)
def test_a_little_word_leaks_as_a_name(text):
    assert leaks_answer(text, ["It"])


@pytest.mark.parametrize(
    "text",
    [
        "I can't answer it.",
        "It is not known to me.",
        "I don't know. It is beyond me.",
        "It's unknown.",
        "Is it his?",
        "",
    ],
)
def test_a_little_word_does_not_leak_as_itself(text):
    assert not leaks_answer(text, ["It"])


def test_a_no_leaks_at_the_beginning():
    assert leaks_answer("No, he did not.", ["No"])
    assert leaks_answer("The answer is: No.", ["no"])
    assert not leaks_answer("I have no information about him.", ["No"])
    assert not leaks_answer("No information about him has reached me.", ["No"])
    assert leaks_answer("No, or Carrie", ["It", "Carrie"])


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_threshold_outside_its_range(threshold: float):
    with pytest.raises(UserError, match="threshold"):
        leaks_answer("x", ["y"], threshold=threshold)
