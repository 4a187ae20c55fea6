"""Is a text English? By its letters and its little words: enough to find a stray row of another language."""

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LITTLE = re.compile(
    "a|about|after|an|and|are|as|at|be|but|by|can|did|do|does|for|from|had|has|have|he|her|his|how|i|if|in|is|"
    "it|its|not|of|on|or|she|than|that|the|their|they|this|to|was|were|what|when|where|which|who|whom|whose|"
    "why|will|with|you"
)
_FOREIGN = re.compile(
    "aus|ce|che|cual|das|de|del|della|der|des|die|dont|du|e|ein|eine|el|en|est|et|für|il|ist|la|las|le|les|"
    "los|mit|nicht|o|para|por|quand|que|quel|quelle|qui|qué|quién|se|si|sind|son|sur|un|una|une|und|von|où|y|"
    "è"
)


def is_english(text: str) -> bool:
    """False for a text in another script, and for six words or more whose little words are another language's.

    Names are no language: fewer than six words are English if their letters are Latin.
    """
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < 0.8 * len(letters):
        return False
    words = [word.lower() for word in _WORD.findall(text)]
    english, foreign = (sum(little.fullmatch(word) is not None for word in words) for little in (_LITTLE, _FOREIGN))
    return len(words) < 6 or english >= foreign
