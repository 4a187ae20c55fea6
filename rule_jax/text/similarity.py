"""Which questions ask nearly the same? By the character n-grams that they share, through scikit-learn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from rule_jax.text.overlap import normalize

_NUMBER = re.compile(r"\d+")
_CHUNK = 512  # rows compared at once: 512 x 10,000 scores are 40 MB
_LONGER = 3  # words that one answer may have more than another, to be the same


def earlier_twins(
    questions: Sequence[str],
    answers: Sequence[str],
    threshold: float,
    *,
    subjects: Sequence[str] = (),
    distinct: int = 0,
) -> list[int | None]:
    """For each question the index of the first earlier one that asks nearly the same; None where there is none.

    Likeness is the cosine, in [0, 1], of the questions' n-grams of 3 to 5 characters within words (of the form that
    `overlap.normalize` gives), weighted by TF-IDF over all the questions: what most of them hold, such as a subject's
    name, says little. Two questions are twins whose words are the same, in any order, or whose likeness is at least
    `threshold`, unless they hold other numbers or no name in common, or have other answers. One answer may have a few
    words more ("Portland", "Portland, Maine"); where an answer is not known (""), likeness must be half as far from 1.

    So "published in 1974" and "in 1977", "When was" and "Where was" are two questions each. Words that mean the same
    and share no letters ("wife", "married to") are not seen through. Of the labelled pairs in
    tests/text/twins_labelled.jsonl a threshold of 0.6 finds 16 of 30 paraphrases and takes none of 32 near misses for
    one; the edit similarity of sorted words does so for 7 at most.

    A twin is a question that has none itself. subjects: whom each question is about ("" for not known, () for all);
    questions about two are no twins. distinct: so many at the beginning are known to have no twin.
    300 questions took 0.3 s; the time grows with the square.
    """
    asked = [_Question.of(*texts) for texts in zip(questions, answers, subjects or [""] * len(questions))]
    found: list[int | None] = [None] * min(distinct, len(asked))
    if distinct >= len(asked):
        return found
    grams = _grams([question.text for question in asked])
    for start in range(distinct, len(asked), _CHUNK):
        stop = min(start + _CHUNK, len(asked))
        likeness = (grams[start:stop] @ grams[:stop].T).toarray()
        for row in range(start, stop):
            scores = likeness[row - start, :row]
            near = (int(i) for i in np.flatnonzero(scores >= threshold - 1e-6) if found[i] is None)
            found.append(next((i for i in near if asked[row].is_twin(asked[i], scores[i], threshold)), None))
    return found


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    names: frozenset[str]
    answer: frozenset[str]
    subject: str

    @classmethod
    def of(cls, question: str, answer: str, subject: str) -> "_Question":
        text = normalize(question)
        words, numbers = tuple(sorted(text.split())), tuple(sorted(_NUMBER.findall(question)))
        return cls(text, words, numbers, _names(question), frozenset(normalize(answer).split()), normalize(subject))

    def is_twin(self, other: "_Question", likeness: float, threshold: float) -> bool:
        if self.subject and other.subject and self.subject != other.subject:
            return False
        if self.words == other.words:
            return True
        if self.numbers != other.numbers or (self.names and other.names and not self.names & other.names):
            return False
        if not self.answer or not other.answer:
            return likeness >= (1 + threshold) / 2
        few, many = sorted((self.answer, other.answer), key=len)
        return likeness >= threshold and few <= many and len(many) - len(few) <= _LONGER


def _names(question: str) -> frozenset[str]:
    """The words that are capitalised though they open no sentence, and an opening one with an apostrophe."""
    words = question.split()
    openings = (not before or before[-1] in ".?!" for before in ["", *words])
    named = (w for w, opens in zip(words, openings) if w[0].isupper() and (not opens or re.search(r"\w['’]", w)))
    return frozenset(key for word in named for key in normalize(word).split())


def _grams(texts: Sequence[str]) -> Any:
    """A sparse matrix, a row a text: its n-grams by TF-IDF, of length 1."""
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), norm=None, alternate_sign=False)  # type: ignore[arg-type]
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts.transform(texts))
