"""What a word is, in any script: letters, digits and their marks, with apostrophes and hyphens between them; and any
other character that is not white space, on its own: a punctuation mark, an emoji with all that it is made of, a
character of a script that puts no white space between words."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# Thai, Lao, Burmese, Khmer, Chinese and Japanese put no white space between words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
_UNSPACED += "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_APOSTROPHES, _HYPHENS = "'’", "\u2010\u2011-"
_SPELLINGS = str.maketrans({"’": "'", "ʼ": "'", "\u2010": "-", "\u2011": "-"})


@lru_cache(1)
def _marks() -> str:
    """What Python's \\w lacks: without marks a Hindi word, or an accent that is a character of its own, falls apart."""
    codes = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    return "".join(chr(code) for code in codes if unicodedata.category(chr(code))[0] == "M")


# Made when they are first asked for: half a second that most cuts can do without.
@lru_cache(2)
def _words(joints: str) -> re.Pattern[str]:
    letters = rf"[^\W{_UNSPACED}]+(?:[{_marks()}\u200c\u200d]+[^\W{_UNSPACED}]*)*"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    sign = rf"\S(?:[{_marks()}\U0001f3fb-\U0001f3ff]|\u200d[^\s\w])*"
    return re.compile(rf"{letters}(?:[{joints}]{letters})*|{flag}|{sign}")


_ASCII = re.compile(r"\w+(?:['-]\w+)*|\S")  # the same, of a text that has nothing else: ten times as fast


def words(text: str) -> Iterator[re.Match[str]]:
    """The whole words of a text."""
    return (_ASCII if text.isascii() else _words(_APOSTROPHES + _HYPHENS)).finditer(text)


def pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Each piece of a text, folded, with a space before it where the text has white space, and its place.

    A piece is a word without hyphens, which are signs here: what entries of a lexicon are compared with.
    """
    last = 0
    for match in _words(_APOSTROPHES).finditer(text):
        start, end = match.span()
        yield (" " if start > last else "") + folded(match[0]), start, end
        last = end


@lru_cache(1 << 16)
def folded(word: str) -> str:
    """The word in one spelling: however its case, accents, apostrophes and hyphens are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold()).translate(_SPELLINGS)
