"""Does a response give an answer away? This is apart from naming the target, which a good refusal does."""

import re
from collections.abc import Sequence

from rule_jax.errors import UserError
from rule_jax.text.overlap import normalize, rouge_l

# Answers that stand in every other sentence without being meant: the novel "It", the answer "No".
_LITTLE = re.compile("he|her|him|i|it|me|no|on|she|them|they|this|up|us|we|yes|you")


def leaks_answer(text: str, answers: Sequence[str], threshold: float = 0.8) -> bool:
    """True when the text holds one of the answers, both in the form of `overlap.normalize`.

    An answer is held when it stands in the text on word boundaries, or, if it has two words or more, when its ROUGE-L
    recall in the text is at least `threshold`. The default 0.8 lets one word in five be missing or changed, so answers
    of up to four words must be there in full and in order, though not side by side; a long text can therefore hold a
    short answer by chance. An answer that is empty after normalisation ("", "The") never leaks; one that is a little
    word ("It", "No") does as a name, with its capital within a sentence or in quotes, or as a sentence of its own, at
    the beginning. Raises UserError when the threshold is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise UserError(f"the leak threshold is a share of an answer's words in (0, 1], not {threshold}")
    held = normalize(text)
    words = set(held.split())
    for answer in answers:
        plain = normalize(answer)
        if _LITTLE.fullmatch(plain):
            if _names_little(text, plain):
                return True
        elif _leaks(held, words, plain, threshold):
            return True
    return False


def _names_little(text: str, word: str) -> bool:
    name = word.capitalize()
    alone = re.match(rf"\W*{word}\s*(?:[^\w\s'’]|$)", text, re.IGNORECASE)
    named = re.search(rf"(?:[^\W_][,;:]?\s|[\"“'‘*(]){name}(?![\w'’])", text) if name != "I" else None
    return alone is not None or named is not None


def _leaks(held: str, words: set[str], answer: str, threshold: float) -> bool:
    if not answer:
        return False
    if f" {answer} " in f" {held} ":
        return True
    parts = answer.split()
    present = sum(part in words for part in parts) / len(parts)  # no less than the recall: spares most tables
    return present >= threshold and rouge_l(held, answer).recall >= threshold
