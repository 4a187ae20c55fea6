"""Does a reference answer correct its question? Then the question has a false premise, and no answer could be learned.

A correction denies a fact of the question ("He did not write it"), says that there is no such thing ("There is no such
town"), or speaks about the question itself ("The question mixes up two films"). English only, by rules.
"""

import re

_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'(?=\S)[^']*(?:'(?=\w)[^']*)*'(?!\w)|\*[^*]*\*")
_BE = r"(?:is|are|was|were|has|have|had|does|did)"
_QUESTION = r"\b(?:the|your|this|that|original) (?:\w+ )?(?:question|premise|query|prompt)\b"
_ERROR = (
    r"\b(?:incorrect\w*|inaccura\w+|mistaken\w*|misattribut\w+|mix(?:ed)?[- ]up|mismatch\w*)\b"
    r"|\bthere (?:seems to be|appears to be|might be|may be|is) (?:an? |some )?(?:error|mistake|conf)"
    r"|\bconfus(?:ed|ing|ion) (?:with|between|about|here)\b|\b(?:it seems|it appears|perhaps) you\b"
)
_NOTHING = (
    rf"\b(?:there|it) {_BE} (?:no\b|not (?:a|an|one|any)\b|n't)"
    r"|\bthere(?:'s| isn't| aren't) (?:no|a|an|any)\b"
    r"|\bno (?:known|single|specific|particular|recorded|official|such|evidence|record)\b"
)
_DENIAL = (
    rf"\b{_BE}(?: not|n't)(?! (?:only|just|merely|to|worth)\b)\b"
    r"|\bnever (?:wrote|had|has|was|were|made|won|worked|lived|went|became|directed|published|said)\b"
    r"|\bthe (?:actual|correct|right|real) (?:\w+ )?(?:is|was|are|were)\b"
    r"|^(?:actually|in fact|no)\b,?"
)
_RULES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("it speaks about the question", _QUESTION),
        ("it states an error", _ERROR),
        ("it says there is no such thing", _NOTHING),
        ("it denies a fact", _DENIAL),
    )
)


def correction(text: str) -> str:
    """How the answer corrects its question, in words; "" for an answer. What stands in quotation marks is left out."""
    plain = _QUOTED.sub('"…"', text.translate(_STRAIGHT)).strip().lower()
    return next((name for name, rule in _RULES if rule.search(plain)), "")
