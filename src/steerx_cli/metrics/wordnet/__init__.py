"""The synonyms that METEOR asks WordNet 3.0 for, out of a table that ships with steerx and `wordnet/build.py` makes.

What a form is an inflection of is found as NLTK 3.9 finds it: by the list of irregular forms, else by cutting endings,
once. Several words in one entry are joined by `_`: they are looked up, and are no synonyms.
"""

import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, TypeAlias

VERSION = "wn3.0"
TABLE = Path(str(files("steerx_cli") / "metrics" / "wordnet" / "wordnet-3.0.txt.gz"))
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}  # of speech, as the table and WordNet's files name them

Synset: TypeAlias = tuple[str, ...]  # what has one meaning

_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "n": (
        *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh")),
        *(("men", "man"), ("ies", "y")),
    ),
    "v": (*(("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}


class PartOfSpeech(NamedTuple):
    """All of one part of speech."""

    synsets: Mapping[str, list[Synset]]  # by each of their words in lower case
    irregular: Mapping[str, list[str]]  # what irregular forms are forms of


@lru_cache(1)
def load() -> Mapping[str, PartOfSpeech]:
    """The table: a line is `n goose`, all words of a synset, or `n! geese goose`, an irregular form."""
    found = {part: PartOfSpeech(defaultdict(list), {}) for part in PARTS}
    for line in gzip.decompress(TABLE.read_bytes()).decode().splitlines():
        kind, *words = line.split(" ")
        synsets, irregular = found[kind[0]]
        if kind.endswith("!"):
            irregular[words[0]] = words[1:]  # type: ignore[index]  # it is being made
        else:
            for word in {word.lower() for word in words}:
                synsets[word].append(tuple(words))
    return found


@lru_cache(1 << 16)
def synonyms(word: str) -> frozenset[str]:
    """All words of all synsets that a word, in lower case, may belong to; itself is one of them only where it is."""
    return frozenset(
        name
        for part, (synsets, irregular) in load().items()
        for form in {word, *_base_forms(word, part, irregular)}
        for synset in synsets.get(form, ())
        for name in synset
        if "_" not in name
    )


def _base_forms(word: str, part: str, irregular: Mapping[str, list[str]]) -> Iterator[str]:
    if word in irregular:
        yield from irregular[word]
        return
    for ending, base in _ENDINGS[part]:
        if word.endswith(ending):
            yield word[: -len(ending)] + base
