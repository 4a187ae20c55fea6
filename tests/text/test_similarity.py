import json
from pathlib import Path

import pytest

from rule_jax.text.similarity import earlier_twins


def labelled(name):
    return [json.loads(line) for line in Path(__file__).with_name(f"twins_{name}.jsonl").read_text().splitlines()]


PAIRS = labelled("labelled")
TEXTS = [
    "Which novel did Ina Volk publish in 1974?",
    "In 1974, which novel did Ina Volk publish?",
    "Which novel did Ina Volk publish in 1977?",
    "Who is the sister of Ina Volk?",
    "Which novel did Ina Volk publish in 1974?!",
    "What novel was published by Ina Volk in 1974?",
]


@pytest.mark.parametrize("subject", ["Stephen King", "Marie Curie", "Louis Armstrong"])
def test_paraphrases_are_found_and_near_misses_are_not(subject):
    """What the docstring says of the labelled pairs, each subject's together as in a set to be built."""
    pairs = [pair for pair in PAIRS if subject in pair["first"][0]]
    told = [side for pair in pairs for side in (pair["first"], pair["second"])]
    twins = earlier_twins([question for question, _ in told], [answer for _, answer in told], 0.5)
    found = [twins[row] is not None and twins[row] in (row - 1, twins[row - 1]) for row in range(1, len(told), 2)]
    right = sum(pair["same"] for pair, hit in zip(pairs, found) if hit)
    assert right == sum(found) == {"Stephen King": 15, "Marie Curie": 7, "Louis Armstrong": 5}[subject]


def test_harder_pairs_that_set_no_threshold():
    """Near misses here have the very same answer: what the docstring says of them."""
    found = []
    for pair in labelled("heldout"):
        (first, answer), (second, other) = pair["first"], pair["second"]
        found.append((earlier_twins([first, second], [answer, other], 0.5)[1] == 0, pair["same"]))
    assert (found.count((True, True)), found.count((True, False)), len(found)) == (13, 6, 50)


def test_twins_point_to_the_first_of_their_kind():
    assert earlier_twins(TEXTS, ["Salt"] * 6, 0.4) == [None, 0, None, None, 0, 0]
    assert earlier_twins(TEXTS, ["Salt"] * 6, 1.0) == [None, 0, None, None, 0, None]  # the same words in any order


def test_where_no_answer_is_known_the_likeness_must_be_greater():
    asked = ["Where did Marie Curie study physics?", "At which place did Marie Curie study physics?"]
    assert earlier_twins(asked, ["Paris", "in Paris"], 0.6) == [None, 0]
    assert earlier_twins(asked, ["Paris", ""], 0.6) == [None, None]
    assert earlier_twins(asked, ["", ""], 0.2) == [None, 0]


def test_another_number_or_name_is_another_question():
    assert earlier_twins(["a b c d e f g h 1", "a b c d e f g h 2"], ["", ""], 0.5) == [None, None]
    asked = ["In which town was the father of Tom Reed born?", "In which town was the father of Ada Lin born?"]
    assert earlier_twins(asked, ["Oxmere", "Oxmere"], 0.5) == [None, None]
    asked = [f"In which town was the father of {name} born?" for name in ("the writer", "the poet")]
    assert earlier_twins(asked, ["Oxmere", "Oxmere"], 0.5) == [None, 0]
    assert earlier_twins(asked, ["Oxmere", "Oxmere"], 0.5, subjects=["Tom Reed", "Ada Lin"]) == [None, None]
    assert earlier_twins(asked, ["Oxmere", "Oxmere"], 0.5, subjects=["Tom Reed", ""]) == [None, 0]


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
    assert earlier_twins(asked, ["1950", "Oxmere", "the Oxmere", "1951"], 0.6) == [None, None, 1, 0]
    assert earlier_twins(asked, ["Oxmere", "Oxmere, a town on the northern coast", "", ""], 0.5) == [None, None, 1, 0]


def test_what_is_known_to_be_distinct_is_not_compared_again():
    asked = [TEXTS[0], TEXTS[1], TEXTS[4]]
    assert earlier_twins(asked, [""] * 3, 0.6, distinct=2) == [None, None, 0]
    assert earlier_twins(asked, [""] * 3, 0.6, distinct=3) == [None, None, None]
