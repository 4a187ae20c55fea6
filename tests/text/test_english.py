import pytest

from rule_jax.text.english import is_english


@pytest.mark.parametrize(
    "text",
    [
        "Who wrote The Salt Road?",
        "Beyoncé Giselle Knowles-Carter",
        "",
        "42",
        "Las Vegas",
        "Which of the songs by La Oreja de Van Gogh is about the sea?",
        "Ina Volk's first novel, published in 1974, is titled ___.",
        "Tell me the title of La vida es sueño, in English.",
    ],
)
def test_english(text):
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "¿En qué año se publicó la primera novela de Ina Volk?",
        "Quel est le titre du premier roman de Ina Volk ?",
        "Wie heißt die Stadt, in der Ina Volk und ihre Schwester aufgewachsen sind?",
        "Где родилась Ина Волк?",
        "孔子是谁？",
        "Qual è il titolo del primo romanzo che Ina Volk ha scritto?",
    ],
)
def test_other_languages(text):
    assert not is_english(text)
