"""Which questions ask nearly the same? By what their words mean, and by the letters that they share."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from rule_jax.text import meaning
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

    Two questions are twins whose words are the same, in any order. Else they are none if they hold other numbers, no
    name in common, or have other answers; one answer may have a few words more ("Portland", "Portland, Maine"). Where
    both answers are known, likeness is the cosine of what the questions mean (`meaning.vectors`) without the names that
    both hold, and must be at least `threshold`. Where one is not known (""), words of like meaning are no sign of one
    fact ("Where was ... born?", "When was ... born?"): likeness is then the cosine of the questions' character n-grams
    (3 to 5 within words, by TF-IDF over all the questions), and must be half as far from 1.

    Of the labelled pairs in tests/text/twins_labelled.jsonl, by which the threshold was set, 0.5 finds 27 of 30
    paraphrases ("Who is his wife?", "To whom is he married?") and takes none of 32 near misses for one. Of the harder
    ones in twins_heldout.jsonl, whose near misses all have the same answer, it finds 13 of 25 and takes 6 of 25;
    n-grams alone, at 0.6, found 16 and 0 of them, and 0 and 3. "Who directed it?" and "By whom was it made?" are not
    seen through.

    A twin is a question that has none itself. subjects: whom each question is about ("" for not known, () for all);
    questions about two are no twins. distinct: so many at the beginning are known to have no twin.
    """
    asked = [_Question.of(*texts) for texts in zip(questions, answers, subjects or [""] * len(questions))]
    found: list[int | None] = [None] * min(distinct, len(asked))
    if distinct >= len(asked):
        return found
    letters = _alike_in_letters([question.text for question in asked], (1 + threshold) / 2, distinct)
    facts = _sharing_an_answer(asked, distinct) if threshold < 1 else [set()] * len(letters)
    meanings = _Meanings()
    for row, near, same in zip(range(distinct, len(asked)), letters, facts):
        twins = (
            other
            for other in sorted(near | same)
            if found[other] is None
            and asked[row].may_be(asked[other])
            and (
                asked[row].words == asked[other].words
                or (other in near and not (asked[row].answer and asked[other].answer))
                or (other in same and meanings.likeness(asked[row], asked[other]) >= threshold)
            )
        )
        found.append(next(twins, None))
    return found


@dataclass(frozen=True, slots=True)
class _Question:
    said: str
    text: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    names: frozenset[str]
    capitals: frozenset[str]
    answer: frozenset[str]
    subject: str

    @classmethod
    def of(cls, question: str, answer: str, subject: str) -> "_Question":
        text = normalize(question)
        words, numbers = tuple(sorted(text.split())), tuple(sorted(_NUMBER.findall(question)))
        answered = frozenset(normalize(answer).split())
        capitals = frozenset(key for word in question.split() if word[0].isupper() for key in normalize(word).split())
        return cls(question, text, words, numbers, _names(question), capitals, answered, normalize(subject))

    def may_be(self, other: "_Question") -> bool:
        """Whether nothing speaks against the two being one: numbers, names, or whom they are about."""
        if self.subject and other.subject and self.subject != other.subject:
            return False
        if self.words == other.words:
            return True
        return self.numbers == other.numbers and not (self.names and other.names and not self.names & other.names)

    def without(self, names: frozenset[str]) -> str:
        """The question without capitalised words of those names."""
        return " ".join(word for word in self.said.split() if word.islower() or not names & {*normalize(word).split()})


class _Meanings:
    """How alike two questions are in what they mean, without the names that both hold: those say nothing."""

    def __init__(self) -> None:
        self._known: dict[str, np.ndarray] = {}

    def likeness(self, one: _Question, other: _Question) -> float:
        shared = one.capitals & other.capitals & (one.names | other.names)
        return float(self._vector(one.without(shared)) @ self._vector(other.without(shared)))

    def _vector(self, text: str) -> np.ndarray:
        if text not in self._known:
            (self._known[text],) = meaning.vectors([text])
        return self._known[text]


def _sharing_an_answer(asked: Sequence[_Question], distinct: int) -> list[set[int]]:
    """For each question from `distinct` on the earlier ones that have the same answer, or one with a few words more."""
    by_word: dict[str, list[int]] = defaultdict(list)
    found: list[set[int]] = []
    for row, question in enumerate(asked):
        if row >= distinct:
            rows = {other for word in question.answer for other in by_word[word]}
            found.append({other for other in rows if _same(question.answer, asked[other].answer)})
        for word in question.answer:
            by_word[word].append(row)
    return found


def _same(answer: frozenset[str], other: frozenset[str]) -> bool:
    few, many = sorted((answer, other), key=len)
    return few <= many and len(many) - len(few) <= _LONGER


def _alike_in_letters(texts: Sequence[str], threshold: float, distinct: int) -> list[set[int]]:
    """For each text from `distinct` on the earlier ones whose n-grams are that much alike."""
    grams = _grams(texts)
    found: list[set[int]] = []
    for start in range(distinct, len(texts), _CHUNK):
        stop = min(start + _CHUNK, len(texts))
        likeness = (grams[start:stop] @ grams[:stop].T).toarray()
        for row in range(start, stop):
            found.append(set(np.flatnonzero(likeness[row - start, :row] >= threshold - 1e-6).tolist()))
    return found


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
