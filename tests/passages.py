"""Texts that metrics are tried on: real ones, and those that leave a metric little to go by."""

import random
import re
import zipfile
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

BLANK = {
    "empty answer": ("", "A quiet film."),
    "empty reference": ("A quiet film.", ""),
    "both empty": ("", ""),
    "blank answer": (" \n\t ", "A quiet film."),
    "blank reference": ("A quiet film.", " \u3000\u00a0\n"),
    "both blank": (" ", "\t"),
}
EMOJI = "😀 😀", "😀 😀"
ONE_EMOJI = "😀😀", "😀😀"
CJK = "我喜欢这部电影", "我喜欢这部电影"
OTHER_CJK = "我喜欢这部电影。", "我很喜欢那部电影。"
ACCENTS = "naïve café", "naive cafe"
ONE_WORD = "Superb", "superb"
ODD = (*BLANK.values(), EMOJI, ONE_EMOJI, CJK, OTHER_CJK, ACCENTS, ONE_WORD)


@lru_cache(1)
def paragraphs(material: Path) -> list[str]:
    """Paragraphs of speeches, between 20 and 250 words long, in an order of their own."""
    found: list[str] = []
    with zipfile.ZipFile(material / "state_union" / "state_union.zip") as archive:
        for name in sorted(archive.namelist()):
            text = archive.read(name).decode("cp1252", "replace")
            found += (part.strip() for part in re.split(r"\n\s*\n", text) if 20 <= len(part.split()) <= 250)
    random.Random(0).shuffle(found)
    return found


def pairs(material: Path, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Paragraphs beside one another, every second time with a part of the second in the first."""
    draw, found = random.Random(seed), []
    for number, (one, other) in enumerate(pairwise(paragraphs(material)[: count + 1])):
        words = other.split()
        start, stop = sorted(draw.sample(range(len(words) + 1), 2))
        found.append((" ".join([*one.split()[:40], *words[start:stop]]) if number % 2 else one, other))
    return found


def numbered(count: int, start: int = 0) -> str:
    """A text of so many words, all different: `w0 w1 …`"""
    return " ".join(f"w{number}" for number in range(start, start + count))
