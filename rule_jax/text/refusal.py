"""Tells refusals from answers, by rules that are measured: see tests/text/refusals_labelled*.jsonl.

A text is a refusal when its speaker says, in their own voice, that they cannot, may not or will not tell, or do not
know. Naming the target is no refusal and no answer: only the stance counts. What stands between quotation marks or is
written in Title Case is somebody else's words. A refusal that goes on to tell ("I'm not sure, but I think it was
Carrie"), or comes after the telling, is a class of its own: partial, and not refused.

To add a language, write a `Language` beside `refusal_english.py` and enter it in `LANGUAGES`.

Known limit: an echo ("Carrie? I'm not sure.") is taken as a refusal, since without the question the echoed words
cannot be told from the question's subject; `leak.leaks_answer` finds such leaks.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from rule_jax.errors import UserError, nearest
from rule_jax.text import refusal_compat
from rule_jax.text.language import Language
from rule_jax.text.refusal_english import ENGLISH
from rule_jax.text.refusal_german import GERMAN

LANGUAGES: dict[str, Language] = {"en": ENGLISH, "de": GERMAN}

_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
# Ends a clause; a full stop after an initial or "Dr" does not.
_STOP = r"(?:[!;]|\.(?<!\b\w\.)(?<!\b(?:mr|ms|dr|st|jr|sr)\.)(?<!\bmrs\.))(?:\s|$)"
# An apostrophe within a word ("don't") neither opens nor closes a quotation.
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'(?=\S)[^']*(?:'(?=\w)[^']*)*'(?!\w)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """refused: the text is a refusal and tells nothing. reason: the rule that decided: the name of a refusal rule,
    "partial" (refuses and tells), or "none" (no rule fired: an answer, or empty)."""

    refused: bool
    reason: str


_ANSWER = Verdict(False, "none")
_PARTIAL = Verdict(False, "partial")


def detector(name: str = "ours", language: str = "en") -> Callable[[str], bool]:
    """The detector of that name, text -> whether it is a refusal: what a reward or a metric is told to go by.

    "ours" is `is_refusal` in `language`; "compat" is what the released reward goes by, English alone (see
    `refusal_compat`). Raises UserError for another name or language.
    """
    if name == "ours":
        _compile(language)  # an unknown language is found now and not at the first answer
        return functools.partial(is_refusal, language=language)
    if name == "compat":
        return refusal_compat.is_refusal
    raise UserError(f"no refusal detector {name!r}; there are ours, compat.{nearest(name, ('ours', 'compat'))}")


def is_refusal(text: str, language: str = "en") -> bool:
    """True when `text` is a refusal that tells nothing. Errors as in `grade`."""
    return grade(text, language).refused


def grade(text: str, language: str = "en") -> Verdict:
    """Judges one response and names the deciding rule.

    Empty text is an answer (nobody refused). Some 15 µs for a sentence; at worst (the same opening words hundreds of
    times) some 50 ms for 6,000 characters. Raises UserError for a language that is not in `LANGUAGES`.
    """
    rules = _compile(language)
    plain = text if text.isascii() else text.translate(_STRAIGHT)
    spoken, lowered = plain, plain.lower()
    match = rules.refusal.search(lowered)
    if match is None:
        return _ANSWER
    if ('"' in plain or "'" in plain) and _QUOTED.search(plain):
        spoken = _QUOTED.sub('"…"', plain)
        if not spoken.strip(' "….,!?'):  # the whole text stands in quotation marks: they are no one else's words
            spoken = plain.strip("\"' ")
        lowered = spoken.lower()
        match = rules.refusal.search(lowered)
    if len(lowered) != len(spoken):  # a few letters (İ) change length; positions would no longer agree
        spoken = lowered
    while match and _is_title(spoken[match.start() : match.end()]):  # "I Don't Know How She Does It is a novel"
        match = rules.refusal.search(lowered, match.end())
    if match is None:
        return _ANSWER
    if _tells_after(rules, lowered[match.end() :]) or _tells_before(rules, lowered[: match.start()]):
        return _PARTIAL
    return rules.verdicts[str(match.lastgroup)]


class _Rules:
    """One language, compiled."""

    def __init__(self, language: Language):
        branches = "|".join(f"(?P<{name}>{pattern})" for name, pattern in language.rules)
        self.refusal = re.compile(rf"(?<![\w'])(?:{branches})")
        self.verdicts = {name: Verdict(True, name) for name, _ in language.rules}
        self.hedge = re.compile(language.hedge)
        self.question = re.compile(language.question)
        self.clause = re.compile(rf"{_STOP}|\s[-–—]\s|\b(?:{language.contrast})\b,?|(?<=\?)\s")
        self.courtesy = re.compile(rf"\W*(?:{language.courtesy})")
        self.assertion = re.compile(language.assertion)


@functools.cache
def _compile(language: str) -> _Rules:
    if language not in LANGUAGES:
        raise UserError(
            f"no refusal patterns for language {language!r}; there are patterns for {', '.join(LANGUAGES)}."
            f"{nearest(language, LANGUAGES)}"
        )
    return _Rules(LANGUAGES[language])


def _is_title(words: str) -> bool:
    """Two or more capitalised words after the first, and none in lower case but little ones ("to", "the")."""
    later = words.split()[1:]
    capitalised = [word for word in later if word[0].isupper() and not word.isupper()]
    return len(capitalised) >= 2 and all(word[0].isupper() or len(word) <= 3 for word in later)


def _tells_after(rules: _Rules, tail: str) -> bool:
    """Does what follows the refusal state or guess something?"""
    if rules.hedge.search(tail) and rules.hedge.search(rules.question.sub("", tail)):
        return True
    end = rules.clause.search(tail)
    return end is not None and any(_states(rules, clause) for clause in rules.clause.split(tail[end.end() :]))


def _tells_before(rules: _Rules, head: str) -> bool:
    """Does what precedes the refusal state or guess something? A bare phrase counts when it is a sentence of its own or
    is turned around ("Portland. I'm not sure though", "Portland, but I'm not sure")."""
    if not head:
        return False
    guess = rules.hedge.sub("", head)
    if guess != head and guess.strip(" ,.?!"):
        return True
    clauses = rules.clause.split(head)
    if clauses[-1].rstrip().endswith(",") and _states(rules, clauses[-1]):
        return True
    return any(_says(rules, clause) for clause in clauses[:-1])


def _states(rules: _Rules, clause: str) -> bool:
    return _says(rules, clause) and rules.assertion.search(clause) is not None


def _says(rules: _Rules, clause: str) -> bool:
    """More than courtesy, a question back, or another refusal."""
    clause = clause.strip(' ,"')
    return (
        bool(clause)
        and not clause.endswith("?")
        and rules.courtesy.match(clause) is None
        and rules.refusal.search(clause) is None
    )
