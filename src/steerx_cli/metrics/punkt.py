"""Sentences: as NLTK's English Punkt model splits them, where that model is at hand, or at end marks alone."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from zipfile import BadZipFile

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktParameters

Split: TypeAlias = Callable[[str], Iterable[str]]

_MODEL = Path("tokenizers", "punkt_tab", "english")  # in a folder of NLTK's data
_PARTS = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")
_PUBLISHED = "f30f19ba6822ae7eeb480272f13a3b79e2a5c5e80baa67e5ad64b4189c6fcba4"
_AFTER_AN_END = re.compile(r"(?<=[.!?])\s+")


def simple(text: str) -> list[str]:
    """Cut wherever white space follows a full stop, an exclamation mark or a question mark."""
    return _AFTER_AN_END.split(text)


def punkt(download: bool = False) -> Split:
    """Punkt's splitter; its model may be fetched from NLTK only if that is allowed."""
    folder = find_model()
    if folder is None and download:
        _download()
        folder = find_model()
    if folder is None:
        raise SteerxError(
            "METEOR splits sentences with NLTK's Punkt model, and NLTK's data has no punkt_tab here: fetch it with "
            "--download-punkt, name the folder that has it in NLTK_DATA, take --meteor-split simple (a METEOR of its "
            "own, under its own name), or leave METEOR out with --metric"
        )
    return _splitter(folder)


def name() -> str:
    """`punkt` for the model that NLTK publishes, or none that is there yet; with its fingerprint for any other."""
    folder = find_model()
    if folder is None:
        return "punkt"
    with _whole(folder):
        found = fingerprint([(folder / part).read_text("utf-8").splitlines() for part in _PARTS])
    return "punkt" if found == _PUBLISHED else f"punkt:{found[:8]}"


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Say of a model that cannot be read what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SteerxError(
            f"{folder} is no whole Punkt model ({error}): fetch NLTK's punkt_tab again, or take --meteor-split simple"
        ) from error


def find_model() -> Path | None:
    """Where NLTK keeps its data, the model's folder there."""
    return next((folder for root in _roots() if (folder := root / _MODEL).is_dir()), None)


def _roots() -> Iterator[Path]:
    import nltk.data

    named = os.environ.get("NLTK_DATA", "").split(os.pathsep)
    yield from (Path(root) for root in [*named, *map(str, nltk.data.path)] if root)


def _download() -> None:
    from nltk.downloader import Downloader

    fetcher = Downloader()
    try:
        fetcher.download("punkt_tab", quiet=True, raise_on_error=True, print_error_to=StringIO())
    except (
        OSError,
        ValueError,
        SyntaxError,
        BadZipFile,
    ) as error:  # a page that is no list of packages is a SyntaxError
        raise SteerxError(
            f"NLTK's punkt_tab cannot be fetched ({error}): copy it to a folder of NLTK_DATA, or take "
            "--meteor-split simple"
        ) from error


@lru_cache(1)
def _splitter(folder: Path) -> Split:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    with _whole(folder):
        model = _parameters(folder)
    split: Split = PunktSentenceTokenizer(model).tokenize
    return split


def _parameters(folder: Path) -> "PunktParameters":
    """Read the model's four lists. NLTK's own reader refuses folders that it does not trust, in some versions."""
    from nltk.tokenize.punkt import PunktParameters

    def lines(name: str) -> list[str]:
        return (folder / name).read_text("utf-8").splitlines()

    def pairs(name: str) -> Iterator[tuple[str, str]]:
        for line in lines(name):
            one, other = line.split("\t")
            yield one, other

    model = PunktParameters()
    model.abbrev_types = set(lines("abbrev_types.txt"))
    model.sent_starters = set(lines("sent_starters.txt"))
    model.collocations = set(pairs("collocations.tab"))
    model.ortho_context = defaultdict(int, {word: int(flags) for word, flags in pairs("ortho_context.tab")})
    return model
