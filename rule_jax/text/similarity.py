"""Which texts say nearly the same? By the edits between them, through the `rapidfuzz` library."""

import re
from collections.abc import Sequence

import numpy as np
from rapidfuzz import fuzz, process

from rule_jax.text.overlap import normalize

_NUMBER = re.compile(r"\d+")
_CHUNK = 512  # rows compared at once: 512 x 10,000 scores are 5 MB


def earlier_twins(texts: Sequence[str], threshold: float) -> list[int | None]:
    """For each text the index of the first earlier one that says nearly the same; None where there is none.

    Two texts do when the similarity of their sorted words (in the form of `overlap.normalize`) is at least `threshold`
    in [0, 1] and they hold the same numbers: "published in 1974" and "published in 1977" are questions apart. A twin is
    always a text that has none itself. Takes some 0.1 s for 1,000 questions; the time grows with the square.
    """
    held = [" ".join(sorted(normalize(text).split())) for text in texts]
    numbers = [tuple(sorted(_NUMBER.findall(text))) for text in texts]
    twins: list[int | None] = []
    for start in range(0, len(held), _CHUNK):
        rows = held[start : start + _CHUNK]
        scores = process.cdist(
            rows, held[: start + len(rows)], scorer=fuzz.ratio, score_cutoff=100 * threshold, dtype=np.uint8
        )
        for row, likeness in enumerate(scores, start=start):
            near = np.flatnonzero(likeness[:row])
            twin = next((int(i) for i in near if twins[i] is None and numbers[i] == numbers[row]), None)
            twins.append(twin)
    return twins
