"""Does a reference answer correct its question? Then the question has a false premise, and no answer could be learned.

A correction denies a fact of the question ("He did not write it"), says that there is no such thing ("There is no such
town"), that nothing is known of it ("not documented"), or speaks about the question itself ("The question mixes up two
films"). English only, by rules.
"""

import re

_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'(?=\S)[^']*(?:'(?=\w)[^']*)*'(?!\w)|\*[^*]*\*")
# What stands in these clauses is not asserted, or gives a reason: "to ensure he didn't", "because it was not hers".
_ASIDE = re.compile(r"\b(?:if|unless|whether|because|so that|ensur(?:e|es|ed|ing)|make sure|made sure)\b[^,.;]*")
_SENTENCE_END = re.compile(r"(?<=\w\w[.!?])\s|(?<=[)\"'][.!?])\s|(?<=[.!?][)\"'])\s")
_NEGATION = re.compile(r"\b(?:not|never|cannot)\b|n't\b")
_BE = r"(?:is|are|was|were|has|have|had|does|did)"
_QUESTION = r"\b(?:the|your|this|that|original) (?:\w+ )?(?:question|premise|query|prompt)\b"
_ERROR = (
    rf"\b{_BE} (?:\w+ )?(?:incorrect|inaccurate|mistaken)\b|\binaccurac|\bmisattribut|\bmix(?:ed)?[- ]up\b|\bmismatch"
    r"|\b(?:incorrect|inaccurate|wrong)ly (?:attribut|identif|describ|stat|associat|credit)"
    r"|\bthere (?:seems to be|appears to be|might be|may be|is) (?:an? |some )?(?:error|mistake|conf)"
    r"|\bconfus(?:ed|ing|ion) (?:with|between|about|here)\b|\b(?:it seems|it appears|perhaps) you\b"
)
_NOTHING = (
    rf"\b(?:there|it) {_BE} (?:no\b|not (?:a|an|one|any)\b|n't)"
    r"|\bthere(?:'s| isn't| aren't) (?:no|not|a|an|any)\b"
    r"|\bno (?:known|single|specific|particular|recorded|official|such|evidence|record)\b"
    r"|\b(?:hypothetical|fictional|fictitious) (?:scenario|situation|question)\b"
)
_UNKNOWN = (
    r"(?:\bnot|n't) (?:be )?(?:(?:\w+ly|always|well) )*"
    r"(?:available|detailed|disclosed|documented|known|recorded|reported|specified)\b"
    r"|\b(?:more|further|additional) (?:context|information|details?)\b[^.;]{0,60}\b(?:is|are|be) (?:needed|required)\b"
)
_DENIAL = (
    rf"(?<!\bwhich )(?<!\bwho )\b{_BE}(?: not|n't)(?! (?:afraid|just|merely|only|to|well|worth)\b)(?! \"…\")\b"
    r"|(?<!would )(?<!will )(?<!could )(?<!should )(?<!must )\bnever (?:\w+ly )?(?:appear|ask|bec[ao]me|call|direct|"
    r"exist|face|feature|ha[ds]|h[eo]ld|happen|live|ma[dk]e|meet|met|occur|own|play|publish|receive|sa[iy]|serve|star|"
    r"took|use|visit|was|went|were|won|work|wr[oi]te)(?:s|d|ed|red|es)?\b"
    r"|(?:^|[,;.] |\b(?:but|and|though) )(?:no one|nobody)\b(?!')"
    r"|\bthe (?:actual|correct|right|real) (?:\w+ )?(?:is|was|are|were)\b(?!:)"
    r"|^(?:actually|in fact|no)\b,?"
)
_RULES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("it speaks about the question", _QUESTION),
        ("it states an error", _ERROR),
        ("it says there is no such thing", _NOTHING),
        ("it says that nothing is known", _UNKNOWN),
    )
)
_DENIES = re.compile(_DENIAL)
_NOT_WHAT_WAS_ASKED = re.compile(r"\bnot (?:(?:an?|as|at|by|during|from|in|of|on|the|with) )*(\w{3,})")
_DENIED = "it denies a fact"


def correction(answer: str, question: str = "") -> str:
    """How the answer corrects its question, in words; "" for an answer. What stands in quotation marks is left out.

    A denial counts in the first two sentences, since longer answers mention this and that; and not at all in the answer
    to a question that has one itself ("Why did she not ...?"). So does a "not" before a word of the question ("..., but
    not in 1980").
    """
    plain, asked = _plain(answer), _plain(question)
    found = next((name for name, rule in _RULES if rule.search(plain)), "")
    if found or _NEGATION.search(asked):
        return found
    words, opening = set(asked.split()), " ".join(_SENTENCE_END.split(plain, 2)[:2])
    contradicted = any(match.group(1) in words for match in _NOT_WHAT_WAS_ASKED.finditer(opening))
    return _DENIED if contradicted or _DENIES.search(_ASIDE.sub("", opening)) else ""


def _plain(text: str) -> str:
    return _QUOTED.sub('"…"', text.translate(_STRAIGHT)).strip().lower()
