"""ROUGE-1 and ROUGE-L (Lin 2004) as rouge_score has them: the F1 of common words, of the longest common subsequence.

Words are runs of a-z and 0-9 in lower case, without a stemmer; nothing else of a text is seen.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

Words: TypeAlias = tuple[str, ...]
Places: TypeAlias = Mapping[str, int]  # of each word, a bit for each of its places

LIKE = "rouge_score0.1.2|f1|stem:no"  # whose values these are

_WORD = re.compile(r"[a-z0-9]+")


@lru_cache(1 << 8)  # a text is asked for by both, a reference once a system
def words_of(text: str) -> Words:
    """What ROUGE sees of a text."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(1 << 8)  # likewise
def _places_of(reference: str) -> Places:
    return _places(words_of(reference))


def rouge1(answer: str, reference: str) -> float:
    """The F1 of the words that both have."""
    said, places = words_of(answer), _places_of(reference)
    common = sum(min(count, places[word].bit_count()) for word, count in Counter(said).items() if word in places)
    return _f1(common, len(said), len(words_of(reference)))


def rouge_l(answer: str, reference: str) -> float:
    """The F1 of the longest sequence of words that both have in this order."""
    said, wanted = words_of(answer), words_of(reference)
    return _f1(_longest(_places_of(reference), len(wanted), said), len(said), len(wanted))


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    return _longest(_places(one), len(one), other)


def _places(words: Sequence[str]) -> Places:
    places: dict[str, int] = {}
    bit = 1
    for word in words:
        places[word] = places.get(word, 0) | bit
        bit <<= 1
    return places


def _longest(places: Places, length: int, other: Sequence[str]) -> int:
    """A whole row of the usual table in the bits of one number.

    After each word of `other`, bit i is 0 where the row of the table grows at word i of the first text (Hyyrö 2004);
    words that it does not have change nothing, and what is carried past its end is cut off at the end.
    """
    full = (1 << length) - 1
    row = full
    for bits in map(places.get, other):
        if bits:
            met = row & bits
            row = (row + met) | (row - met)
    return length - (row & full).bit_count()


def _f1(common: int, said: int, wanted: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / said, common / wanted
    return 2 * precision * recall / (precision + recall)
