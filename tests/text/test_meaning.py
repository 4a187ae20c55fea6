"""rule_jax.text.meaning: vectors in which words of one meaning lie near each other, without a network or a log line."""

import subprocess
import sys

import numpy as np

from rule_jax.text import meaning


def test_words_of_one_meaning_are_near_and_others_are_not():
    wife, married, born = meaning.vectors(["Who is his wife?", "To whom is he married?", "In which town was he born?"])
    assert wife @ married > wife @ born + 0.1
    np.testing.assert_allclose([wife @ wife, married @ married], 1, rtol=1e-5)


def test_a_blank_text_is_like_nothing():
    made = meaning.vectors(["", "Who is his wife?", "  "])
    assert made.shape == (3, 256)
    assert (np.abs(made).sum(axis=1) > 0).tolist() == [False, True, False]
    assert meaning.vectors([]).shape == (0, 256)


def test_the_library_sets_up_no_logging():
    code = (
        "import logging; from rule_jax.text import meaning; meaning.vectors(['a']); "
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"[] {30}"
