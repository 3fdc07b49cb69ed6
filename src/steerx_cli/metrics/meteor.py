"""METEOR (Lavie and Agarwal 2007) as NLTK 3.9 computes it, to the last bit, quirks and all.

Words are matched as they are, then by their Porter stems, then (stems still) by WordNet's synonyms, each time from the
end of both texts, and not to make few chunks. All matches weigh the same.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics import punkt, treebank, wordnet

if TYPE_CHECKING:
    from nltk.stem.porter import PorterStemmer

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
SPLITS = ("punkt", "simple")

Words: TypeAlias = tuple[str, ...]
Placed: TypeAlias = tuple[int, str]  # a word, and where in its text it stands
Match: TypeAlias = tuple[int, int]  # the places of two words, of the answer and of the reference


class Meteor:
    """METEOR with one way of splitting sentences."""

    def __init__(self, split: str, download: bool = False) -> None:
        if split not in SPLITS:
            raise SteerxError(f"METEOR splits sentences by {' or '.join(SPLITS)}, not by {split!r}")
        self._split = punkt.punkt(download) if split == "punkt" else punkt.simple
        self._words: Callable[[str], Words] = lru_cache(1 << 12)(
            self._words_of
        )  # a reference is asked for once a system

    def score(self, answer: str, reference: str) -> float:
        """The METEOR of one answer."""
        return score(self._words(answer), self._words(reference))

    def _words_of(self, text: str) -> Words:
        return tuple(word.lower() for sentence in self._split(text) for word in treebank.words_of(sentence))


def signature(split: str) -> str:
    """Which METEOR it is."""
    return f"nltk3.9|{punkt.name() if split == 'punkt' else split}+ptb|{wordnet.VERSION}"


def score(answer: Sequence[str], reference: Sequence[str]) -> float:
    """The METEOR of words in lower case."""
    matches = align(answer, reference)
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(answer), len(matches) / len(reference)
    mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    penalty: float = GAMMA * (chunks(matches) / len(matches)) ** BETA
    return (1 - penalty) * mean


def chunks(matches: Sequence[Match]) -> int:
    """How many runs of words follow one another in both texts."""
    return 1 + sum(after != (one + 1, other + 1) for (one, other), after in pairwise(matches))


def align(answer: Sequence[str], reference: Sequence[str]) -> list[Match]:
    """The matches, in the order of the answer."""
    said, wanted = list(enumerate(answer)), list(enumerate(reference))
    exact = list(_same(said, wanted))
    said, wanted = _stems(said), _stems(wanted)
    stemmed = list(_same(said, wanted))
    return sorted([*exact, *stemmed, *_synonymous(said, wanted)], key=itemgetter(0))


def _places(words: Sequence[Placed]) -> dict[str, list[int]]:
    """Where each word stands, the last place at the end."""
    found: dict[str, list[int]] = {}
    for at, word in words:
        found.setdefault(word, []).append(at)
    return found


def _same(said: list[Placed], wanted: list[Placed]) -> Iterator[Match]:
    """Match equal words, the last of them first, and take them out."""
    places = _places(wanted)
    left, met = [], set()
    for at, word in reversed(said):
        if places.get(word):
            place = places[word].pop()
            met.add(place)
            yield at, place
        else:
            left.append((at, word))
    said[:] = reversed(left)
    wanted[:] = [(at, word) for at, word in wanted if at not in met]


def _synonymous(said: list[Placed], wanted: list[Placed]) -> Iterator[Match]:
    """Match words with their synonyms, the last first: whichever of them stands last."""
    places = _places(wanted)
    for at, word in reversed(said):
        if alike := places.keys() & wordnet.synonyms(word):
            last = max(alike, key=lambda other: places[other][-1])
            yield at, places[last].pop()
            if not places[last]:
                del places[last]


def _stems(words: list[Placed]) -> list[Placed]:
    return [(at, stem(word)) for at, word in words]


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """Porter's stem, with NLTK's exceptions."""
    found: str = _stemmer().stem(word)
    return found


@lru_cache(1)
def _stemmer() -> "PorterStemmer":
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()
