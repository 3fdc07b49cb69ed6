"""Words as NLTK 3.9's `word_tokenize` makes them of one sentence: the Penn Treebank's rules with NLTK's additions.

They are written down here because NLTK changes them (3.10.2 did), and a METEOR must not change with what is installed.
"""

import re
from functools import lru_cache
from typing import NamedTuple


class Rule(NamedTuple):
    """Whatever matches is replaced; mostly by itself with spaces around it, at which the words are cut in the end."""

    pattern: re.Pattern[str]
    replacement: str


def _rules(*rules: tuple[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(re.compile(pattern), replacement) for pattern, replacement in rules)


_ALONE = r" \g<0> "

_TWO_WORDS = ("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n")
_BEFORE = _rules(
    # Quotes that open. A straight one becomes two back-quotes, as in the Treebank.
    (r"[«“‘„]|`+", _ALONE),
    (r'^"', "``"),
    (r"``", _ALONE),
    (r"""([ (\[{<])("|'{2})""", r"\1 `` "),
    # An apostrophe before a word that is no clitic. The case of the clitic does not matter, nor does what follows it.
    (r"(?i)'(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"' \1"),
    # Punctuation. A full stop counts at the end only; what may stand behind it is taken apart from it.
    (r"""([^.])(\.)([\])}>"'»”’ ]*)\s*$""", r"\1 \2 \3 "),
    (r"([:,])([^\d])", r" \1 \2"),
    (r"[:,]$", _ALONE),
    (r"\.{2,}", _ALONE),
    (r"[;@#$%&]", _ALONE),
    (r"[\u2012-\u2015]", _ALONE),
    (r"""([^.])(\.)([\])}>"']*)\s*$""", r"\1 \2\3 "),
    (r"[?!]", _ALONE),
    (r"([^'])' ", r"\1 ' "),
    (r"[*]", _ALONE),
    (r"[\]\[(){}<>]", _ALONE),
    (r"--", _ALONE),
)
_AFTER = _rules(
    # Quotes that close, clitics, and words that are two.
    (r"[»”’]", _ALONE),
    (r"''", _ALONE),
    (r'"', " '' "),
    (r"\s+", " "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    *((rf"(?i)\b({one})({two})\b", r" \1 \2 ") for one, two in _TWO_WORDS),
    (r"(?i)\b(wan)(na)(?=\s)", r" \1 \2 "),
    (r"(?i) ('t)(is|was)\b", r" \1 \2 "),
)


@lru_cache(1 << 14)  # sentences that many answers share
def words_of(sentence: str) -> tuple[str, ...]:
    """The words of one sentence, punctuation among them."""
    for pattern, replacement in _BEFORE:
        sentence = pattern.sub(replacement, sentence)
    sentence = f" {sentence} "
    for pattern, replacement in _AFTER:
        sentence = pattern.sub(replacement, sentence)
    return tuple(sentence.split())
