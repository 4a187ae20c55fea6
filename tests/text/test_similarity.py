import pytest

from rule_jax.text.similarity import earlier_twins

TEXTS = [
    "Which novel did Ina Volk publish in 1974?",
    "In 1974, which novel did Ina Volk publish?",
    "Which novel did Ina Volk publish in 1977?",
    "Who is the sister of Ina Volk?",
    "Which novel did Ina Volk publish in 1974?!",
    "What novel was published by Ina Volk in 1974?",
]


def test_twins_point_to_the_first_of_their_kind():
    assert earlier_twins(TEXTS, [""] * 6, 0.9) == [None, 0, None, None, 0, None]


def test_the_threshold_decides():
    assert earlier_twins(TEXTS, [""] * 6, 0.7)[5] == 0
    assert earlier_twins(TEXTS, [""] * 6, 1.0) == [None, 0, None, None, 0, None]  # sorted words and the normal form


def test_another_number_is_another_question():
    assert earlier_twins(["a b c d e f g h 1", "a b c d e f g h 2"], ["", ""], 0.5) == [None, None]


@pytest.mark.parametrize("count", [0, 1, 1100])
def test_sizes_around_a_chunk(count):
    texts = [f"question number {index % 600} of them" for index in range(count)]
    assert earlier_twins(texts, [""] * count, 0.8) == [None if index < 600 else index - 600 for index in range(count)]


def test_another_answer_is_another_fact_unless_the_words_are_the_same():
    asked = [
        "When was Ina Volk born?",
        "Where was Ina Volk born?",
        "Where, Ina Volk, was born?",
        "When was Ina Volk born",
    ]
    assert earlier_twins(asked, ["1950", "Oxmere", "the Oxmere", "1951"], 0.8) == [None, None, 1, 0]
    assert earlier_twins(asked, ["", "", "", ""], 0.8) == [None, 0, 0, 0]
