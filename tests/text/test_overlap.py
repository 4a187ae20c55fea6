import subprocess
import sys

import pytest

from rule_jax.text.overlap import normalize, rouge_l, rouge_l_recall


def test_rouge_l_by_hand():
    # prediction: the cat sat on a mat (6 words); reference: the black cat sat down (5); common: the cat sat (3)
    score = rouge_l("The cat sat on a mat.", "The black cat sat down")
    assert score.precision == pytest.approx(3 / 6)
    assert score.recall == pytest.approx(3 / 5)
    assert score.f1 == pytest.approx(6 / 11)


def test_rouge_l_respects_order_and_does_not_stem():
    assert rouge_l("King Stephen", "Stephen King").recall == 0.5
    assert rouge_l("novels", "novel").recall == 0.0


def test_rouge_l_counts_repetitions_once_each():
    assert rouge_l("no no no no", "no no").precision == 0.5
    assert rouge_l("no no no no", "no no").recall == 1.0


@pytest.mark.parametrize(("prediction", "reference"), [("", "Carrie"), ("Carrie", ""), ("", ""), ("?!", "Carrie")])
def test_text_without_words_scores_zero(prediction: str, reference: str):
    assert rouge_l(prediction, reference) == (0.0, 0.0, 0.0)


def test_recall_is_the_best_over_references():
    assert rouge_l_recall("It is Portland", ["Bangor", "Portland, Maine"]) == 0.5
    assert rouge_l_recall("anything", []) == 0.0


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The  “Dark” Half!", "dark half"),
        ("Beyoncé’s ÉCLAIR", "beyonce eclair"),
        ("J.K. Rowling", "jk rowling"),
        ("J. K. Rowling", "jk rowling"),
        ("James' book, isn't it?", "james book isnt it"),
        ("3.14 and U.S.A.", "3 14 and usa"),
        ("Plan B. Then", "plan b then"),
        ("STRASSE straße", "strasse strasse"),
        ("हिन्दी", "हिन्दी"),
        ("The", ""),
        ("?!", ""),
    ],
)
def test_normalize(text: str, form: str):
    assert normalize(text) == form
    assert normalize(form) == form


def test_importing_the_room_is_light():
    code = (
        "import sys, rule_jax.text.leak, rule_jax.text.replacement; print({'nltk', 'jax', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
