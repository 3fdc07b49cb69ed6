"""What a reader of steered text asks first: how long an answer is, and whether it goes round in circles."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from steerx_cli.core.words import words


@lru_cache(1 << 8)  # a reference is asked for once a system
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, punctuation left out, in any script."""
    return tuple(word.lower() for match in words(text) if (word := match[0])[0].isalnum())


def repeated(found: Sequence[str], length: int = 4) -> float:
    """The share of the runs of so many words that are in the same text before; 0 where it has no such run."""
    runs = _runs(found, length)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def distinct(found: Sequence[str], length: int = 2) -> float | None:
    """The share of different runs among the runs of so many words; nothing where there is none."""
    runs = _runs(found, length)
    return len(set(runs)) / len(runs) if runs else None


def _runs(found: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return list(zip(*(islice(found, start, None) for start in range(length)), strict=False))


def is_foreign(text: str) -> bool:
    """Whether ROUGE and BLEU's 13a see little of a text: more than half of it, white space apart, is outside ASCII."""
    signs = "".join(text.split())
    return 2 * sum(not sign.isascii() for sign in signs) > len(signs)
