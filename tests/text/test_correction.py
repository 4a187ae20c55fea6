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
    "The prize is wrongly attributed to Ina Volk.": "it states an error",
    "This is a hypothetical scenario.": "it says there is no such thing",
    "She kept a diary, but the colour of its cover isn't documented.": "it says that nothing is known",
    "Her words to him are not widely recorded.": "it says that nothing is known",
    "To say which team led, more context about the game is required.": "it says that nothing is known",
    "Volk and Reed never actually met.": "it denies a fact",
    "Reed was on stage, but no one interrupted him.": "it denies a fact",
    "She painted ships. She did not paint the harbour because she disliked it.": "it denies a fact",
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
    "Nobody's Daughter",
    "It said that they would never surrender.",
    "If she did not return, the house went to Reed.",
    "She waited at the harbour to ensure he wasn't followed.",
    "She left because it was not her home.",
    "He was not afraid to say what he thought.",
    "The speech was not well received.",
    "A paper on heat, which was not understood at the time",
    "He mistakenly took the north road.",
    "He held that light was a wave, which turned out to be incorrect.",
    "Reed said that she 'never drew' and wasn't 'a painter'.",
    "The correct answer is: Oxmere.",
    "Oxmere. It lies on the coast. It is not large.",
]
# (question, answer, is the answer a correction)
PAIRS = [
    ("Why did Ina Volk not leave Oxmere?", "She did not leave because her mother was ill.", False),
    ("Who gets the house if her children do not?", "Where they have not claimed it, Reed does.", False),
    ("Why did she not sell the house?", "There is no record of such a house.", True),
    ("Which plant did she wear in 'The Cold Sea'?", "She wore a black dress, not a plant.", True),
    ("Which film of 1980 has Ina Volk?", "'Salt' was filmed, but not in 1980.", True),
    ("What did she promise?", "That people would be judged by their work, not their names.", False),
]


@pytest.mark.parametrize(("text", "how"), CORRECTIONS.items())
def test_corrections(text, how):
    assert correction(text) == how


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text):
    assert correction(text) == ""


@pytest.mark.parametrize(("question", "answer", "corrects"), PAIRS)
def test_what_a_denial_means_depends_on_the_question(question, answer, corrects):
    assert bool(correction(answer, question)) == corrects
