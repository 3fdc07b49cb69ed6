"""Make the table of synonyms from WordNet 3.0's own files, which Debian's `wordnet-base` has in /usr/share/wordnet."""

import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from steerx_cli.core.files import replacing
from steerx_cli.metrics.wordnet import PARTS, TABLE

_MARKER = re.compile(r"\(\w+\)$")  # where an adjective may stand: "(p)", "(a)", "(ip)"


def synset_words(line: str) -> list[str]:
    """The words of a synset's line in a data file: offset, file, kind, how many in hexadecimal, word and number, …"""
    fields = line.split(" ")
    return [_MARKER.sub("", word) for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]


def says_something(words: list[str]) -> bool:
    """Whether a synset gives a token something to match: METEOR's tokens are in lower case, and no two words."""
    return any("_" not in word and word == word.lower() for word in words)


def lines_of(folder: Path) -> Iterator[str]:
    """The lines of the table, sorted within each part of speech."""
    for part, name in PARTS.items():
        data = (folder / f"data.{name}").read_text("ascii").splitlines()
        synsets = (synset_words(line) for line in data if not line.startswith(" "))
        yield from sorted({" ".join((part, *words)) for words in synsets if says_something(words)})
        irregular = (line.split() for line in (folder / f"{name}.exc").read_text("ascii").splitlines())
        bases = {form: base for form, *base in irregular}  # of a form that is there twice, the last counts
        yield from sorted(" ".join((f"{part}!", form, *base)) for form, base in bases.items())


def build(folder: Path, table: Path = TABLE) -> None:
    """Write the table, the same bytes each time."""
    text = "".join(f"{line}\n" for line in lines_of(folder))
    with replacing(table) as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
