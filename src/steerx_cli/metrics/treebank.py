"""Words as NLTK 3.9's `word_tokenize` makes them of one sentence: the Penn Treebank's rules with NLTK's additions.

They are written down here because NLTK changes them (3.10.2 did), and a METEOR must not change with what is installed.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple


class Rule(NamedTuple):
    """Whatever matches is replaced; mostly by itself with spaces around it, at which the words are cut in the end."""

    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]
    signs: frozenset[str]  # without any of them there is nothing to match; none: that is not known


def _rule(signs: str, pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> Rule:
    return Rule(re.compile(pattern), replacement, frozenset(signs))


_ALONE = r" \g<0> "
_BEFORE = (
    # Quotes that open. A straight one becomes two back-quotes, as in the Treebank.
    _rule("«“‘„`", r"[«“‘„]|`+", _ALONE),
    _rule('"', r'^"', "``"),
    _rule("`", r"``", _ALONE),
    _rule("\"'", r"""([ (\[{<])("|'{2})""", r"\1 `` "),
    # An apostrophe before a word that is no clitic. The case of the clitic does not matter, nor does what follows it.
    _rule("'", r"(?i)'(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"' \1"),
    # Punctuation. A full stop counts at the end only; what may stand behind it is taken apart from it.
    _rule(".", r"""([^.])(\.)([\])}>"'»”’ ]*)\s*$""", r"\1 \2 \3 "),
    _rule(":,", r"([:,])([^\d])", r" \1 \2"),
    _rule(":,", r"[:,]$", _ALONE),
    _rule(".", r"\.{2,}", _ALONE),
    _rule(";@#$%&", r"[;@#$%&]", _ALONE),
    _rule("\u2012\u2013\u2014\u2015", r"[\u2012-\u2015]", _ALONE),
    _rule(".", r"""([^.])(\.)([\])}>"']*)\s*$""", r"\1 \2\3 "),
    _rule("?!", r"[?!]", _ALONE),
    _rule("'", r"([^'])' ", r"\1 ' "),
    _rule("*", r"[*]", _ALONE),
    _rule("[](){}<>", r"[\]\[(){}<>]", _ALONE),
    _rule("-", r"--", _ALONE),
)
_AFTER = (
    # Quotes that close, clitics, and words that are two.
    _rule("»”’", r"[»”’]", _ALONE),
    _rule("'", r"''", _ALONE),
    _rule('"', r'"', " '' "),
    _rule("'", r"\s+", " "),  # for the rules on clitics alone: words are cut at any white space
    _rule("'", r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
    _rule("'", r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    _rule(
        "",
        r"(?i)\b(?:cannot|gimme|gonna|gotta|lemme)\b|\bwanna(?=\s)",
        lambda match: f" {match[0][:3]} {match[0][3:]} ",
    ),
    _rule("'", r"(?i)\b(d)('ye)\b", r" \1 \2 "),
    _rule("'", r"(?i)\b(more)('n)\b", r" \1 \2 "),
    _rule("'", r"(?i) ('t)(is)\b", r" \1 \2 "),
    _rule("'", r"(?i) ('t)(was)\b", r" \1 \2 "),
)


@lru_cache(1 << 14)  # sentences that many answers share
def words_of(sentence: str) -> tuple[str, ...]:
    """The words of one sentence, punctuation among them."""
    present = {*sentence, *("`'" if '"' in sentence else "")}  # a straight quote becomes others on the way
    sentence = f" {_applied(_BEFORE, sentence, present)} "
    return tuple(_applied(_AFTER, sentence, present).split())


def _applied(rules: tuple[Rule, ...], sentence: str, present: set[str]) -> str:
    for pattern, replacement, signs in rules:
        if not signs or not present.isdisjoint(signs):
            sentence = pattern.sub(replacement, sentence)
    return sentence
