"""ROUGE-L as RWKU's published tables have it: that of the package `rouge` 1.0.1, which RWKU's released evaluation uses.

https://github.com/pltrdy/rouge; what it does differently from Lin (2004) and from `overlap.rouge_l`:

* A text is cut at every "." into sentences, so "J.R.R. Tolkien" has four; words are cut at blanks, and keep their case
  and punctuation ("Maine," is not "Maine").
* Words are counted once: the score is |union over sentence pairs of the words of their LCS| over |words of the
  reference| (recall) or of the prediction (precision), all as sets.
* Text without anything beside dots raises; a blank between two dots is a sentence with one empty word.
"""

from collections.abc import Sequence

from rule_jax.text.overlap import RougeL

NO_ANSWER = "NOANSWER"  # what RWKU's evaluation puts in the place of a blank answer


def rouge_l(prediction: str, reference: str) -> RougeL:
    """ROUGE-L as above; F1 has 1e-8 added to its denominator, as there. Raises ValueError for text without a word."""
    said, wanted = _sentences(prediction), _sentences(reference)
    if not said:
        raise ValueError("Hypothesis is empty.")
    if not wanted:
        raise ValueError("Reference is empty.")
    shared: set[str] = set()
    for sentence in wanted:
        for other in said:
            shared |= _lcs_words(sentence, other)
    precision = len(shared) / len({word for sentence in said for word in sentence})
    recall = len(shared) / len({word for sentence in wanted for word in sentence})
    return RougeL(precision, recall, 2 * precision * recall / (precision + recall + 1e-8))


def rouge_l_recall(prediction: str, references: Sequence[str]) -> float:
    """The best recall over the references, blank predictions read as "NOANSWER"; 0 where the package would raise."""
    text = prediction.strip() or NO_ANSWER
    return max((_recall(text, reference) for reference in references), default=0.0)


def _recall(prediction: str, reference: str) -> float:
    return rouge_l(prediction, reference).recall if _sentences(prediction) and _sentences(reference) else 0.0


def _sentences(text: str) -> list[list[str]]:
    """The words of each sentence. Of a blank one the only word is the empty text."""
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _lcs_words(reference: Sequence[str], prediction: Sequence[str]) -> set[str]:
    """The words of one longest common subsequence: read from the end, the prediction steps back where both ways tie."""
    rows = [[0] * (len(prediction) + 1)]
    for word in reference:
        above, row = rows[-1], [0]
        for at, other in enumerate(prediction):
            row.append(above[at] + 1 if word == other else max(above[at + 1], row[at]))
        rows.append(row)
    words, i, j = set(), len(reference), len(prediction)
    while i and j:
        if reference[i - 1] == prediction[j - 1]:
            words.add(reference[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words
