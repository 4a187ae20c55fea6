"""rule_jax.text.overlap_compat: ROUGE-L with the peculiarities of the `rouge` package; expected values by hand."""

import pytest

from rule_jax.text import overlap_compat


@pytest.mark.parametrize(
    ("prediction", "reference", "precision", "recall"),
    [
        ("Stephen King wrote Misery", "Stephen King", 1 / 2, 1),
        ("stephen king", "Stephen King", 0, 0),  # case counts
        ("Portland Maine", "Portland, Maine", 1 / 2, 1 / 2),  # and punctuation
        ("Richard. Bachman", "Bachman. Richard", 1, 1),  # a dot ends a sentence: their order does not matter
        ("the cat the", "the cat sat the mat", 1, 1 / 2),  # words count once: {the, cat} of {the, cat, sat, mat}
        # "the cat" and "the the" are as long; the package takes the second: {the} of {the, cat}
        ("the the the cat", "the cat sat the mat", 1 / 2, 1 / 4),
        ("b a", "a b", 1 / 2, 1 / 2),  # but inside a sentence order does
        (". a", "a", 1, 1),  # nothing before the dot is no sentence
        ("a. ", "a", 1 / 2, 1),  # a blank after it is one, with the empty word
        (" ", "a", 0, 0),
    ],
)
def test_values_by_hand(prediction, reference, precision, recall):
    found = overlap_compat.rouge_l(prediction, reference)
    assert (found.precision, found.recall) == pytest.approx((precision, recall))
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall + 1e-8))


@pytest.mark.parametrize(("pair", "message"), [(("...", "a"), "Hypothesis"), (("a", ""), "Reference")])
def test_text_without_words_raises(pair, message):
    with pytest.raises(ValueError, match=f"{message} is empty"):
        overlap_compat.rouge_l(*pair)


def test_recall_is_the_best_and_never_raises():
    assert overlap_compat.rouge_l_recall("J.K. Rowling", ["Rowling", "J.K. Rowling"]) == 1
    for text in ("", "  ", "...", "?"):
        assert overlap_compat.rouge_l_recall(text, ["Carrie", "..."]) == 0
    assert overlap_compat.rouge_l_recall("", ["NOANSWER"]) == 1
    assert overlap_compat.rouge_l_recall("Carrie", []) == 0
