import pytest

from rule_jax.text.correction import correction

CORRECTIONS = {
    "Ina Volk did not write a novel about the sea.": "it denies a fact",
    "The town isn't in Norway, but many of her stories are.": "it denies a fact",
    "She was not the mayor of Oxmere; her brother was.": "it denies a fact",
    "He never directed a film.": "it denies a fact",
    "The actual author is Tom Reed.": "it denies a fact",
    "No, the lighthouse stands elsewhere.": "it denies a fact",
    "Actually, the first edition came out later.": "it denies a fact",
    "There is no such village in her books.": "it says there is no such thing",
    "There isn't a sequel.": "it says there is no such thing",
    "There’s no prize of that name.": "it says there is no such thing",
    "No single teacher can be named.": "it says there is no such thing",
    "It is not a river but a canal.": "it says there is no such thing",
    "That is a mix-up of two films.": "it states an error",
    "The year is incorrect.": "it states an error",
    "There seems to be an error: the book is by Reed.": "it states an error",
    "It seems you mean the play.": "it states an error",
    "The details in the original question do not match.": "it speaks about the question",
    "This premise is from another novel.": "it speaks about the question",
}
ANSWERS = [
    "The Salt Road",
    "Oxmere, a town in Norway",
    "Non-violence",
    "Do not do to others what you would not have done to you.",
    "The right not to be questioned",
    "'It Is Not Over' was her first song.",
    "Never Let Me Go",
    "“There Is No Tomorrow”",
    "She not only wrote the book but drew its pictures.",
    "He was not only a painter but a poet.",
    "Nowhere Boy",
    "The real name of the hero is a secret.",
    "Northern Ireland",
    "The book is *There Is No Such Town*.",
    "A life that is not worth living",
    "A knot",
]


@pytest.mark.parametrize(("text", "how"), CORRECTIONS.items())
def test_corrections(text, how):
    assert correction(text) == how


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text):
    assert correction(text) == ""
