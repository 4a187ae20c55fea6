"""What a short text means, as a vector: the static word embeddings that come with the library WordLlama."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def vectors(texts: Sequence[str]) -> np.ndarray:
    """[len(texts), 256]: unit vectors, the mean of a text's word vectors; 0 for a blank text. Their dot product is a
    likeness in [-1, 1] that sees through synonyms. 5,000 questions take 0.3 s; nothing is downloaded."""
    known = [place for place, text in enumerate(texts) if text.strip()]
    made = np.zeros((len(texts), 256), np.float32)
    if known:
        made[known] = _model().embed([texts[place] for place in known], norm=True)
    return made


@functools.cache
def _model() -> Any:
    """The model that lies in the library's own folder. Importing the library sets up logging for the whole program,
    unless somebody has: for that moment somebody has."""
    nobody = logging.NullHandler()
    logging.getLogger().addHandler(nobody)
    try:
        import wordllama
    finally:
        logging.getLogger().removeHandler(nobody)
    return wordllama.WordLlama.load(cache_dir=Path(str(wordllama.__file__)).parent, disable_download=True)
