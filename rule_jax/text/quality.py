"""Is this what a person would write? The signs of a hacked reward, each a function of one text.

A reward that asks for "no refusal" is earned by "...", by noise and by one phrase without end. These functions find
such texts by their shape alone: no word list and no model, so invented names pass, and so does a salad of real words.
Measured on tests/text/quality_labelled.jsonl.
"""

import re
import unicodedata

MAX_PERIOD = 12  # words: the longest phrase whose repetition is looked for
# Shares of a text's words from which what is said about it calls it noise, or a loop. Of the labelled texts 2 of 128
# sound ones have so much gibberish, and 33 of 38 of noise.
GIBBERISH_FROM, REPETITION_FROM = 0.3, 0.5

_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
# Shapes that no word, name, acronym, number or code has. Matched on lower-cased words without accents.
_SHAPELESS = re.compile(
    r"([^\W\d_]{1,4}?)\1{3,}"  # lalalala, aaaa
    r"|[bcdfghjklmnpqrstvwxz]{8}"  # Hirschsprung has seven consonants in a row
    r"|[aeiou]{6}"  # queueing has five
    r"|(?:[a-z]\d|\d[a-z]).?(?:[a-z]\d|\d[a-z]).?(?:[a-z]\d|\d[a-z])"  # k3j9x2; H2O and R2D2 pass
    r"|[bcdfghjkmpqvxz][xq](?![uo])|x[jkqz]|q[bcdfghjklmnpqrstvwxyz]{2}|[vwzj]q|v[bcfghjmpwx]|j[bcdfgqvwxz]\b|z[fjvx]"
    r"|[^\W\d_]{31}"
)
_VOWELLESS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5,}")
_CLUSTERED = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}")  # in small letters: of common words only catchphrase and its like
_BROKEN = re.compile(r"[\ufffd\x00-\x08\x0e-\x1f]|[^\w\s.\-_=*…]{4,}|[@#$%^&*~|\\<>{}]{3,}")  # bytes, runs of symbols
_INSIDE = re.compile(r"(?<=\w)[%#@&*$^!?;~|<>{}`\\]+(?=\w)")  # AT&T has one such symbol, no word has two
_ADDRESS = re.compile(r"\W*(?:\w+://|www\.|[\w.+-]+@\w+\.\w)")
_CASES = re.compile(r"[a-z][A-Z]")


def is_empty(text: str) -> bool:
    """True when the text has no letter and no digit: "", "...", "?!"."""
    return not any(character.isalnum() for character in text)


def repetition(text: str) -> float:
    """The share of words in [0, 1] that only repeat the phrase right before them; 0 below four words.

    A phrase is 1 to 12 words, compared without case. "No idea. No idea. No idea." gives 4/6. Scripts written without
    blanks have too few words to be judged.
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    count = len(words)
    if count < 4 or len(set(words)) == count:
        return 0.0
    repeated = bytearray(count)
    for period in range(1, min(MAX_PERIOD, count // 2) + 1):
        run = 0
        for at in range(period, count):
            run = run + 1 if words[at] == words[at - period] else 0
            if run >= period:
                repeated[at - period + 1 : at + 1] = b"\x01" * period
    return sum(repeated) / count


def gibberish(text: str) -> float:
    """The share of words in [0, 1] that have no word's shape; a run of symbols counts as such a word.

    The rules are for Latin letters, accents folded; words in other scripts pass, words that mix scripts do not. 0 for
    text without words or symbols.
    """
    odd = count = 0
    for token in text.split():
        words = _WORD.findall(token)
        if _BROKEN.search(token) or (len(_INSIDE.findall(token)) > 1 and not _ADDRESS.match(token)):
            odd, count = odd + max(len(words), 1), count + max(len(words), 1)
        else:
            odd, count = odd + sum(map(_is_odd, words)), count + len(words)
    return odd / max(count, 1)


def _is_odd(word: str) -> bool:
    if not word.isascii():
        if len({unicodedata.name(c, "?").partition(" ")[0] for c in word if c.isalpha()} & _SCRIPTS) > 1:
            return True
        word = unicodedata.normalize("NFKD", word).translate(_ACCENTS)
    plain = word.lower()
    if _SHAPELESS.search(plain) or (word.islower() and _CLUSTERED.search(word)):
        return True
    if _VOWELLESS.fullmatch(plain) and not word.isupper():
        return True
    return len(_CASES.findall(word)) > 2


_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "HANGUL", "THAI", "CJK"}
