"""rule_jax.text.exact_match: exact match and F1 as released, the answer at the end of a reasoning."""

import pytest

from rule_jax.text import exact_match as em


def test_exact_match_ignores_case_punctuation_and_articles():
    assert em.exact_match("The Well-Known!", ["x", "wellknown"])
    assert not em.exact_match("well known", ["well-known"])
    assert not em.exact_match("an estimate, yes", ["Estimate"])
    assert not em.exact_match("x", [])


def test_f1_counts_words_with_their_number():
    assert em.word_f1("red red blue", ["red blue green"]) == pytest.approx(2 * 2 / 6)
    assert em.word_f1("estimate yes", ["x", "an Estimate"]) == pytest.approx(2 / 3)
    assert em.word_f1("the", ["a"]) == 1
    assert em.word_f1("", ["x"]) == em.word_f1("x", []) == 0


def test_bbh_as_released_compares_with_characters():
    assert em.exact_match_compat("5", "5")
    assert em.exact_match_compat("b", "(B)")
    assert em.exact_match_compat("the", "(B)")  # nothing equals nothing
    assert not em.exact_match_compat("False", "False")
    assert not em.exact_match_compat("x", "")


@pytest.mark.parametrize(
    ("prediction", "answer", "found"),
    [
        ("(A)", "(A)", True),
        ("A", "(A)", False),
        ("the", "(A)", False),  # the SQuAD form of both is empty
        ("False.", "false", True),
        (") )", ") )", True),
        ("}", ") )", False),
        ("83", "-83", False),
        ("-83", "-83", True),
        ("no", "No", True),
        ("valid", "invalid", False),
    ],
)
def test_option_match(prediction, answer, found):
    assert em.option_match(prediction, answer) is found


@pytest.mark.parametrize(
    ("output", "answer", "compat"),
    [
        ("Let us see. So the answer is False. Done", "False", "False"),
        ("The answer is 3.14.", "3.14", "3"),
        ("So the answer is (B)", "(B)", "So the answer is (B)"),
        ("I thought the answer is no. But it rains, so the answer is yes.\nQ: next", "yes", "no"),
        (" no marker ", "no marker", "no marker"),
        ("", "", "NOANSWER"),
    ],
)
def test_the_answer_at_the_end(output, answer, compat):
    assert em.final_answer(output) == answer
    assert em.final_answer_compat(output) == compat
