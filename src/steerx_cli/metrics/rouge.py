"""ROUGE-1 and ROUGE-L (Lin 2004) as rouge_score has them: the F1 of common words, of the longest common subsequence.

Words are runs of a-z and 0-9 in lower case, without a stemmer; nothing else of a text is seen.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

Words: TypeAlias = tuple[str, ...]

LIKE = "rouge_score0.1.2|f1|stem:no"  # whose values these are

_WORD = re.compile(r"[a-z0-9]+")


@lru_cache(1 << 8)  # a text is asked for by both, a reference once a system
def words_of(text: str) -> Words:
    """What ROUGE sees of a text."""
    return tuple(_WORD.findall(text.lower()))


def rouge1(answer: str, reference: str) -> float:
    """The F1 of the words that both have."""
    said, wanted = words_of(answer), words_of(reference)
    return _f1((Counter(said) & Counter(wanted)).total(), said, wanted)


def rouge_l(answer: str, reference: str) -> float:
    """The F1 of the longest sequence of words that both have in this order."""
    said, wanted = words_of(answer), words_of(reference)
    return _f1(longest_common(said, wanted), said, wanted)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, a whole row of the usual table in the bits of one number.

    After each word of `other`, bit i is 0 where the row of the table grows at word i of `one` (Hyyrö 2004).
    """
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & full
    return len(one) - row.bit_count()


def _f1(common: int, said: Words, wanted: Words) -> float:
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
