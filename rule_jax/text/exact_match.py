"""Is a short answer the reference, word for word? Exact match, F1 of words, and the answer at the end of a reasoning.

The normal form is that of SQuAD (https://arxiv.org/abs/1606.05250), as RWKU's released evaluation uses it for TriviaQA
and BBH (https://github.com/jinzhuoran/RWKU, eval_triviaqa.py and eval_bbh.py): lower case, ASCII punctuation dropped
and not replaced ("well-known" is one word), the articles a, an, the dropped, blanks collapsed.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_MARKER = re.compile(r"[t|T]he answer is (.*?)\.")  # "|" is a slip of the released pattern, kept
_MARKED_SENTENCE = re.compile(r"\bthe answer is:?\s*(.+?)\s*(?:\.(?!\w)|$)", re.IGNORECASE | re.MULTILINE)


def words(text: str) -> list[str]:
    """The words of the normal form. "A" has none: it is taken for an article."""
    return _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact_match(prediction: str, answers: Sequence[str]) -> bool:
    """True when the prediction has the words of one of the answers, in order. False for no answers."""
    said = words(prediction)
    return any(said == words(answer) for answer in answers)


def word_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the answers, of words with their counts. Two texts without words agree. 0 for no answers."""
    return max((_word_f1(words(prediction), words(answer)) for answer in answers), default=0.0)


def _word_f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


def final_answer(output: str) -> str:
    """What follows "the answer is", up to the end of its sentence or line; else the whole output. The last one counts,
    since reasoning may mention an answer before it settles on one. A dot inside a number or a word ends nothing."""
    found = _MARKED_SENTENCE.findall(output)
    return (found[-1] if found else output).strip()


def final_answer_compat(output: str) -> str:
    """As the released BBH evaluation cuts it: from the first "the answer is " to the next ".", so 3.14 becomes 3."""
    found = _MARKER.search(output)
    return (found.group(1) if found else output).strip() or "NOANSWER"


def option_match(prediction: str, answer: str) -> bool:
    """Exact match that keeps what the normal form loses: "(A)", which it takes for an article, ") )", and "-83".

    The texts are equal but for case, blanks and one full stop at the end, or have the same words and signs of numbers
    in the normal form, provided that the answer has any words there.
    """
    if _bare(prediction) == _bare(answer):
        return True
    return bool(words(answer)) and words(prediction) == words(answer) and _negative(prediction) == _negative(answer)


def exact_match_compat(prediction: str, answer: str) -> bool:
    """BBH's exact match as released: the prediction is compared with each *character* of the answer, since the code
    takes the answer for a list. Only answers of one character can be met, or of none after normalisation: "the" equals
    the bracket of "(B)"."""
    return exact_match(prediction, tuple(answer))


def _bare(text: str) -> str:
    return " ".join(text.strip().removesuffix(".").lower().split())


def _negative(text: str) -> bool:
    return re.match(r"\W*-\d", text) is not None
