"""Overlap of two texts: ROUGE-L as the `rouge-score` library computes it, and the normal form that answers share."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

_CURLY = str.maketrans({"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"'})
_POSSESSIVE = re.compile(r"(?<=\w)'s\b")
_INITIALS = re.compile(r"\b([^\W\d_])(?:\.(?=[^\W\d_]\b)|\.\s(?=[^\W\d_]\.))")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_ACCENTS = dict.fromkeys(range(0x300, 0x370))  # combining marks of Latin, Greek and Cyrillic letters


class RougeL(NamedTuple):
    """Shares in [0, 1]: LCS length over the prediction's words, over the reference's words, and their harmonic mean.

    For ROUGE-1 the number of shared words stands in the place of the LCS length.
    """

    precision: float
    recall: float
    f1: float


def rouge_l(prediction: str, reference: str, *, stem: bool = False) -> RougeL:
    """ROUGE-L of Lin (2004) by https://pypi.org/project/rouge-score. stem: compare Porter stems, as TOFU does.

    Words are runs of a-z and 0-9 of the lower-cased text, so punctuation never counts and an accented letter splits
    its word; fold accents first (`normalize`) where that matters, and expect 0 in scripts other than Latin. Text
    without a word, on either side, scores 0. This is not the `rouge` package that RWKU's published tables use.
    """
    return _rouge("rougeL", prediction, reference, stem)


def rouge_1(prediction: str, reference: str, *, stem: bool = False) -> RougeL:
    """ROUGE-1, the overlap of single words with their counts, otherwise as `rouge_l`."""
    return _rouge("rouge1", prediction, reference, stem)


def rouge_l_recall(prediction: str, references: Sequence[str]) -> float:
    """The best ROUGE-L recall over the references: the share of a reference's words found in order; 0 for none."""
    return max((rouge_l(prediction, reference).recall for reference in references), default=0.0)


def normalize(text: str) -> str:
    """The form in which two spellings of one answer are equal.

    Case folded, curly quotes made straight, accents folded, 's dropped (possessive or "is"), initials joined ("J. K."
    and "J.K." are "jk"), all other punctuation and symbols made blanks but apostrophes dropped, English articles
    dropped, blanks collapsed. Scripts whose vowels are combining marks keep them. May be empty ("The", "?!").
    """
    text = text.translate(_CURLY)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).translate(_ACCENTS))
    text = _INITIALS.sub(r"\1", _POSSESSIVE.sub("", text.casefold())).replace("'", "")
    text = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return " ".join(_ARTICLE.sub(" ", text).split())


def _rouge(kind: str, prediction: str, reference: str, stem: bool) -> RougeL:
    score = _scorer(kind, stem).score(reference, prediction)[kind]
    return RougeL(float(score.precision), float(score.recall), float(score.fmeasure))


@functools.cache
def _scorer(kind: str, stem: bool) -> Any:
    from rouge_score import rouge_scorer  # imports nltk and scipy: 1 to 2.5 s

    return rouge_scorer.RougeScorer([kind], use_stemmer=stem)
