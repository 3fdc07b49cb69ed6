"""The table of synonyms, against WordNet's lemmas from another source, and how it is made."""

import gzip
import random
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from steerx_cli.metrics import wordnet
from steerx_cli.metrics.wordnet import PARTS, TABLE, load, synonyms
from steerx_cli.metrics.wordnet.build import build, lines_of, says_something, synset_words

DEBIAN = Path("/usr/share/wordnet")


def by_twos(file: Path) -> dict[str, list[str]]:
    """A lemma in one line, and in the next what belongs to it."""
    lines = file.read_text("utf-8").splitlines()
    return {lemma: words.split() for lemma, words in zip(lines[::2], lines[1::2], strict=True)}


def synsets_of_table() -> set[wordnet.Synset]:
    return {synset for part in load().values() for synsets in part.synsets.values() for synset in synsets}


# --- the shipped table ------------------------------------------------------------------------------------------------


@lru_cache(1)
def groups(material: Path) -> tuple[dict[str, list[str]], defaultdict[str, set[str]]]:
    """Each lemma's offsets, and each offset's lemmas."""
    offsets = by_twos(material / "wordnet30" / "english.synsets")
    found: defaultdict[str, set[str]] = defaultdict(set)
    for lemma, places in offsets.items():
        for place in places:
            found[place].add(lemma)
    return offsets, found


def test_words_are_synonyms_just_where_they_share_one_of_wordnets_offsets(material: Path) -> None:
    offsets, lemmas = groups(material)
    words = {word for synset in synsets_of_table() for word in synset if says_something([word])}
    assert (len(offsets), len(words)) == (147_306, 68_815)
    more = 0
    for word in random.Random(4).sample(sorted(words), 4000):
        synsets = [synset for part in load().values() for synset in part.synsets.get(word, ()) if word in synset]
        ours = {name for synset in synsets for name in synset} & words
        theirs = {name for offset in offsets[word] for name in lemmas[offset]} & words
        assert ours <= theirs, word
        more += ours < theirs
    # A lemma there has no capitals, and an offset is a place in any of four files: some words meet by chance.
    assert more <= 80


def test_each_synset_is_one_of_wordnets(material: Path) -> None:
    offsets, lemmas = groups(material)
    ours = {frozenset(word.lower() for word in synset) for synset in synsets_of_table()}
    others = ours - set(map(frozenset, lemmas.values()))
    assert (len(ours), len(others)) == (64_058, 346)
    for synset in others:  # its place is also one in the file of another part of speech
        assert any(synset < lemmas[offset] for offset in offsets[next(iter(synset))])


def test_irregular_forms_are_wordnets(material: Path) -> None:
    theirs = by_twos(material / "wordnet30" / "english.exceptions")
    pairs = {(base, form) for base, forms in theirs.items() for form in forms}
    ours = {(base, form) for part in load().values() for form, bases in part.irregular.items() for base in bases}
    assert ours <= pairs
    # These forms have two lines in WordNet's files, of which NLTK keeps the last.
    assert pairs - ours == {("eyir", "aurar"), ("involucre", "involucra"), ("off", "offer")}


@pytest.mark.parametrize(
    ("word", "some"),
    [
        ("car", {"car", "auto", "automobile", "machine", "motorcar", "railcar", "gondola"}),
        ("cars", {"car", "auto"}),
        ("geese", {"goose"}),
        ("quickly", {"quickly", "rapidly", "speedily"}),
        ("glasses", {"glasses", "glass", "specs"}),
        ("better", {"better", "good", "well", "break"}),
        ("biggest", {"big", "large"}),
        ("nicer", {"nice"}),
        ("men", {"man"}),
        ("flies", {"fly"}),
        ("wives", {"wife"}),
        ("churches", {"church"}),
        ("boxes", {"box"}),
        ("running", {"run"}),
        ("hoping", {"hope"}),
        ("tried", {"try"}),
    ],
)
def test_words_that_anyone_can_check(word: str, some: set[str]) -> None:
    assert some <= synonyms(word)


@pytest.mark.parametrize("word", ["", " ", "quickli", "movi", "xyzzy", "é", "ing", "😀", "Car"])
def test_what_wordnet_does_not_know_has_no_synonyms(word: str) -> None:
    assert synonyms(word) == frozenset()


def test_several_words_are_no_synonym_but_can_be_looked_up() -> None:
    assert synonyms("hot_dog") >= {"frankfurter", "wiener"}
    assert not any("_" in name for name in synonyms("frankfurter") | synonyms("hot_dog"))
    assert "hot_dog" in load()["n"].synsets["frankfurter"][0]


def test_endings_are_those_that_nltk_cuts() -> None:
    theirs = WordNetCorpusReader.MORPHOLOGICAL_SUBSTITUTIONS
    assert {part: list(endings) for part, endings in wordnet._ENDINGS.items()} == {part: theirs[part] for part in PARTS}
    assert list(wordnet._base_forms("chieves", "n", {})) == ["chieve", "chief"]
    assert list(wordnet._base_forms("chieves", "r", {})) == []


def test_endings_are_cut_once_and_not_from_irregular_forms() -> None:
    assert "goose" in synonyms("geese")
    assert "goose" not in synonyms("geeses")
    assert synonyms("axes") >= {"ax", "axis"}
    assert "axe" not in load()["n"].irregular["axes"]


def test_words_keep_their_capitals_and_are_found_without() -> None:
    assert "I" in synonyms("iodine")
    assert "iodine" in synonyms("i")


# --- how it is made ---------------------------------------------------------------------------------------------------

LICENCE = "  1 This software and database is being provided to you\n  2 under the following license.\n"
DATA = {
    "noun": (
        "00001740 05 n 02 goose 0 wild_goose 0 001 @ 00002137 n 0000 | a bird\n"
        "00001930 05 n 01 Paris 0 000 | a town\n"
        "00002137 05 n 02 hot_dog 0 Red_Hot 0 000 | two words each\n"
        "00002300 05 n 0b a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 K 0 000 | eleven, in hexadecimal\n"
        "00002400 05 n 02 goose 0 wild_goose 0 000 | the same words again\n"
        "00002500 05 n 02 Bird 0 bird 1 000 | one of them in lower case\n"
    ),
    "verb": "00001740 29 v 01 go 0 000 01 + 02 00 | move\n",
    "adj": (
        "00001740 00 a 02 awake(p) 0 in_bed(ip) 0 000 | not asleep\n"
        "00002098 00 s 01 former(a) 1 000 | (no marker) in the words that explain\n"
    ),
    "adv": "00001740 02 r 01 well 0 000 | in a good way\n",
}
IRREGULAR = {
    "noun": "geese goose\naxes ax axis\n",
    "verb": "went go\ngone go\n",
    "adj": "better good  well\n",
    "adv": "",
}
LINES = [
    *("n Bird bird", "n a b c d e f g h i j K", "n goose wild_goose", "n! axes ax axis", "n! geese goose"),
    *("v go", "v! gone go", "v! went go", "a awake in_bed", "a former", "a! better good well", "r well"),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """WordNet's files, of a few words."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    for name in PARTS.values():
        (folder / f"data.{name}").write_text(LICENCE + DATA[name], "ascii")
        (folder / f"{name}.exc").write_text(IRREGULAR[name], "ascii")
    return folder


def test_the_table_of_a_few_words(database: Path) -> None:
    assert list(lines_of(database)) == LINES


def test_the_table_has_the_same_bytes_each_time_whatever_the_order(database: Path, tmp_path: Path) -> None:
    build(database, tmp_path / "one")
    for file in [database / f"data.{name}" for name in PARTS.values()] + [database / "noun.exc"]:
        file.write_text("".join(sorted(file.read_text("ascii").splitlines(keepends=True), reverse=True)), "ascii")
    build(database, tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "one").read_bytes()[4:8] == bytes(4), "no time"
    assert gzip.decompress((tmp_path / "one").read_bytes()).decode() == "".join(f"{line}\n" for line in LINES)


def test_a_table_that_was_made_can_be_loaded(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(database, tmp_path / "table")
    monkeypatch.setattr(wordnet, "TABLE", tmp_path / "table")
    found = load.__wrapped__()
    assert found["n"].synsets["wild_goose"] == [("goose", "wild_goose")]
    assert found["n"].synsets["bird"] == [("Bird", "bird")], "once, though it is there in two spellings"
    assert found["n"].synsets["k"] == found["n"].synsets["a"]
    assert found["n"].irregular == {"geese": ["goose"], "axes": ["ax", "axis"]}
    assert found["r"] == ({"well": [("well",)]}, {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("00001740 00 a 01 awake(p) 0 000 | (p)", ["awake"]),
        ("00001740 03 n 02 smile:) 0 d(a)d 1 000 | :)", ["smile:)", "d(a)d"]),
        ("00001740 03 n 10 " + "x 0 " * 16 + "000 | sixteen", ["x"] * 16),
    ],
)
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert synset_words(line) == words


def test_what_says_something() -> None:
    assert [says_something(words) for words in (["a"], ["A"], ["a_b"], ["A", "b_c"], ["A", "b"], ["3-d"], [])] == [
        True, False, False, False, True, True, False,
    ]  # fmt: skip


def test_the_shipped_table_is_made_of_debians_files(tmp_path: Path) -> None:
    if not DEBIAN.is_dir():
        pytest.skip(f"{DEBIAN} is not there: Debian's wordnet-base has it")
    build(DEBIAN, tmp_path / "table")
    assert (tmp_path / "table").read_bytes() == TABLE.read_bytes()
