"""rule_jax.text.fluency: entropies that a hand can check, and NLTK's tokens without NLTK's data."""

import math

import pytest

from rule_jax.text import fluency


def test_entropy_by_hand():
    assert fluency.ngram_entropy("abcde") == pytest.approx((2 / 3 * 2 + 4 / 3 * math.log2(3)) / 2)
    assert fluency.ngram_entropy("aaaa") == 0
    # pairs ab ba ab ba ab: shares 3/5 and 2/5; triples aba bab aba bab: halves
    pairs = -(0.6 * math.log2(0.6) + 0.4 * math.log2(0.4))
    assert fluency.ngram_entropy("ababab") == pytest.approx((2 / 3 * pairs + 4 / 3) / 2)


def test_a_text_that_repeats_itself_is_less_fluent():
    assert fluency.fluency("No idea. " * 6) < fluency.fluency(
        "I have no idea what you are asking me about today, sorry."
    )


@pytest.mark.parametrize("text", ["", "word", "?"])
def test_nothing_to_be_uncertain_of(text):
    assert fluency.fluency(text) == 0


def test_sentences_give_their_full_stops():
    assert fluency.tokens('He said "no." Mr. King left (at 3.14). I don\'t.') == [
        *("He", "said", "``", "no", ".", "''"),
        *("Mr.", "King", "left", "(", "at", "3.14", ")", "."),
        *("I", "do", "n't", "."),
    ]  # fmt: skip
