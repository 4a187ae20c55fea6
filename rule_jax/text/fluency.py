"""Entropy of a text's word pairs and triples: RWKU's fluency. Low for a text that repeats itself, and for a short one.

https://github.com/jinzhuoran/RWKU, eval_fluency.py, after Zhang et al. (2018) and Meng et al. (2022, ROME):
(2/3 H_2 + 4/3 H_3) / 2 with H_n the entropy in bits of the text's n-grams. RWKU's tables print 100 times the mean.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])")
_ABBREVIATED = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|e\.g|i\.e|etc|No)\.$")


def ngram_entropy(tokens: Sequence[str]) -> float:
    """(2/3 H_2 + 4/3 H_3) / 2 of the tokens, in bits. 0 for fewer than two tokens: nothing is uncertain."""
    return (2 / 3 * _entropy(tokens, 2) + 4 / 3 * _entropy(tokens, 3)) / 2


def fluency(text: str) -> float:
    """`ngram_entropy` of the text's tokens."""
    return ngram_entropy(tokens(text))


def tokens(text: str) -> list[str]:
    """Words and punctuation by NLTK's Treebank rules, sentence by sentence, as its word_tokenize gives them.

    NLTK finds sentences with a trained model that is not part of the package; a rule stands in for it here, and decides
    only whether a full stop is a token of its own.
    """
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATED.search(text[start : end.start()]):
            found += _tokenizer().tokenize(text[start : end.end()])
            start = end.end()
    return found + _tokenizer().tokenize(text[start:])


def _entropy(tokens: Sequence[str], n: int) -> float:
    counts = Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
    total = counts.total()
    return sum(-count / total * math.log2(count / total) for count in counts.values())


@functools.cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # a second to import

    return NLTKWordTokenizer()
