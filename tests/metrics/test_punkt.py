"""Sentences, against NLTK's own Punkt, and what is said where its model is not at hand."""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import nltk.data
import nltk.downloader
import pytest
from nltk.tokenize import word_tokenize
from nltk.tokenize.punkt import PunktTokenizer

from passages import ODD, paragraphs
from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics import punkt, treebank

ENGLISH = Path("tokenizers", "punkt_tab", "english")
WORDS = (
    "Mr. Dr. U.S. e.g. i.e. Jan. No. 5 3.5 $3. The the He he end. end? end! end... (end.) \"End.\" 'end.' St. Ave.",
    "A. J. Smith vs. etc. etc., Inc. p.m. P.M. It's don't … 。 — ?! !! and . ? ! film movie 1945. II.",
)
PIECES = (*" ".join(WORDS).split(), "\n", "\n\n", "\t")


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """No splitter of another test's folder."""
    punkt._splitter.cache_clear()
    yield
    punkt._splitter.cache_clear()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NLTK's only folder of data, which is empty."""
    root = tmp_path / "nltk_data"
    root.mkdir()
    monkeypatch.setenv("NLTK_DATA", str(root))
    monkeypatch.setattr(nltk.data, "path", [])
    return root


def copied(material: Path, root: Path) -> Path:
    """The model's own files, which a test may change."""
    folder = root / ENGLISH
    shutil.copytree(material / "punkt_tab" / "english", folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture
def model(nowhere: Path, material: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real model, where NLTK and steerx both find it."""
    monkeypatch.setattr(nltk.data, "path", [str(nowhere)])
    return copied(material, nowhere)


def some_texts(count: int) -> list[str]:
    """Texts that are hard to split."""
    draw = random.Random(2)
    return [" ".join(draw.choices(PIECES, k=draw.randint(1, 25))) for _ in range(count)]


def test_sentences_are_those_of_nltk(model: Path, material: Path) -> None:
    split, peer = punkt.punkt(), PunktTokenizer("english")
    texts = [*some_texts(1000), *paragraphs(material)[:150], *(text for pair in ODD for text in pair)]
    more = 0
    for text in texts:
        found = list(split(text))
        assert found == peer.tokenize(text), repr(text)
        more += found != punkt.simple(text)
    assert more > 150, "the model matters"


def test_words_are_those_of_word_tokenize(model: Path, material: Path) -> None:
    split = punkt.punkt()
    for text in [*some_texts(500), *paragraphs(material)[:80]]:
        assert [word for sentence in split(text) for word in treebank.words_of(sentence)] == word_tokenize(text)


def test_the_model_is_read_whole(model: Path) -> None:
    ours, theirs = punkt._parameters(model), PunktTokenizer("english")._params
    for name in ("abbrev_types", "sent_starters", "collocations", "ortho_context"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert getattr(ours, name)
    assert ours.ortho_context["no such word"] == 0


def test_a_model_is_read_once(model: Path) -> None:
    assert punkt.punkt() is punkt.punkt()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", [""]),
        ("One", ["One"]),
        ("One. Two! Three?  Four\nfive.\n\nSix. ", ["One.", "Two!", "Three?", "Four\nfive.", "Six.", ""]),
        ("Mr. X left... Then 3.5 p.m.", ["Mr.", "X left...", "Then 3.5 p.m."]),
        ('"No." He left.', ['"No." He left.']),
        ("So: one; two, three… four - five", ["So: one; two, three… four - five"]),
    ],
)
def test_end_marks_alone(text: str, sentences: list[str]) -> None:
    assert punkt.simple(text) == sentences


def test_folders_of_nltk_data_are_searched_in_order(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'none'}:{first}::{second}")
    monkeypatch.setattr(nltk.data, "path", ["", str(third)])
    assert punkt.find_model() is None
    for root in (third, second, first):
        (root / ENGLISH).mkdir(parents=True)
        assert punkt.find_model() == root / ENGLISH


def test_a_file_of_the_models_name_is_no_model(nowhere: Path) -> None:
    (nowhere / ENGLISH).parent.mkdir(parents=True)
    (nowhere / ENGLISH).write_text("")
    assert punkt.find_model() is None


def test_a_model_in_the_working_folder_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NLTK_DATA", raising=False)
    monkeypatch.setattr(nltk.data, "path", [""])
    ENGLISH.mkdir(parents=True)
    assert punkt.find_model() is None


def test_without_the_model_one_is_told_what_to_do(nowhere: Path) -> None:
    with pytest.raises(SteerxError) as raised:
        punkt.punkt()
    said = str(raised.value)
    assert "\n" not in said
    for way in ("--download-punkt", "NLTK_DATA", "--meteor-split simple", "--metric"):
        assert way in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("collocations.tab", b"one\ttwo\tthree\n"),
        ("collocations.tab", b"alone\n"),
        ("ortho_context.tab", b"word\tmany\n"),
        ("abbrev_types.txt", b"\xff\xfe\x00"),
        ("sent_starters.txt", None),
    ],
)
def test_a_damaged_model_is_told_of(nowhere: Path, material: Path, name: str, content: bytes | None) -> None:
    file = copied(material, nowhere) / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SteerxError) as raised:
        punkt.punkt()
    said = str(raised.value)
    assert said.startswith(f"{nowhere / ENGLISH} is no whole Punkt model (")
    assert said.endswith("): fetch NLTK's punkt_tab again, or take --meteor-split simple")
    assert "\n" not in said


def test_a_model_is_fetched_only_where_that_is_allowed_and_none_is_there(
    nowhere: Path, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(self: object, what: str, **how: Any) -> bool:
        asked.append(what)
        how.pop("print_error_to").write("[nltk_data] nothing of this is shown")
        assert how == {"quiet": True, "raise_on_error": True}
        copied(material, nowhere)
        return True

    monkeypatch.setattr(nltk.downloader.Downloader, "download", download)
    with pytest.raises(SteerxError):
        punkt.punkt(download=False)
    assert asked == []
    for _ in range(2):
        assert list(punkt.punkt(download=True)("Mr. X left. He did.")) == ["Mr. X left.", "He did."]
    assert asked == ["punkt_tab"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("<urlopen error no route>"),
        OSError("disk full"),
        TimeoutError("late"),
        SyntaxError("no XML"),
        BadZipFile("no zip"),
    ],
)
def test_a_fetch_that_fails_is_told_of(nowhere: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def download(*_: object, **__: object) -> bool:
        raise error

    monkeypatch.setattr(nltk.downloader.Downloader, "download", download)
    with pytest.raises(SteerxError) as raised:
        punkt.punkt(download=True)
    assert str(raised.value) == (
        f"NLTK's punkt_tab cannot be fetched ({error}): copy it to a folder of NLTK_DATA, or take --meteor-split simple"
    )


def test_a_fetch_that_brings_nothing_is_told_of(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.downloader.Downloader, "download", lambda *_, **__: True)
    with pytest.raises(SteerxError, match="has no punkt_tab here"):
        punkt.punkt(download=True)


def test_another_model_has_its_fingerprint_in_its_name(
    nowhere: Path, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert punkt.name() == "punkt", "the one that would be fetched"
    copied(material, nowhere)
    assert punkt.name() == "punkt"
    file = nowhere / ENGLISH / "abbrev_types.txt"
    file.write_text(file.read_text() + "zzz\n")
    assert re.fullmatch(r"punkt:[0-9a-f]{8}", punkt.name())


def test_a_model_that_cannot_be_read_has_no_name(nowhere: Path, material: Path) -> None:
    copied(material, nowhere)
    (nowhere / ENGLISH / "abbrev_types.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SteerxError, match="is no whole Punkt model"):
        punkt.name()
    (nowhere / ENGLISH / "abbrev_types.txt").unlink()
    with pytest.raises(SteerxError, match="is no whole Punkt model"):
        punkt.name()
