"""Which texts say nearly the same? By the edits between them, through the `rapidfuzz` library."""

import re
from collections.abc import Sequence

import numpy as np
from rapidfuzz import fuzz, process

from rule_jax.text.overlap import normalize

_NUMBER = re.compile(r"\d+")
_CHUNK = 512  # rows compared at once: 512 x 10,000 scores are 5 MB


def earlier_twins(questions: Sequence[str], answers: Sequence[str], threshold: float) -> list[int | None]:
    """For each question the index of the first earlier one that asks nearly the same; None where there is none.

    Two do when the similarity of their sorted words (in the form of `overlap.normalize`) is at least `threshold` in
    [0, 1], unless they hold other numbers ("published in 1974", "published in 1977") or have other answers ("When was",
    "Where was"; "" is not known, and may be any). The same words are always twins. A twin is a question that has none
    itself. Takes some 0.3 s for 1,000 questions; the time grows with the square.
    """
    held = [" ".join(sorted(normalize(question).split())) for question in questions]
    numbers = [tuple(sorted(_NUMBER.findall(question))) for question in questions]
    said = [normalize(answer) for answer in answers]

    def one_fact(i: int, row: int) -> bool:
        same_answer = said[i] == said[row] or not said[i] or not said[row]
        return held[i] == held[row] or (numbers[i] == numbers[row] and same_answer)

    twins: list[int | None] = []
    for start in range(0, len(held), _CHUNK):
        rows = held[start : start + _CHUNK]
        scores = process.cdist(
            rows, held[: start + len(rows)], scorer=fuzz.ratio, score_cutoff=100 * threshold, dtype=np.uint8
        )
        for row, likeness in enumerate(scores, start=start):
            near = np.flatnonzero(likeness[:row])
            twin = next((int(i) for i in near if twins[i] is None and one_fact(int(i), row)), None)
            twins.append(twin)
    return twins
