"""METEOR, against NLTK's own, and against its published values."""

import json
import random
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.translate.meteor_score import align_words, single_meteor_score

from passages import ACCENTS, BLANK, CJK, EMOJI, ODD, ONE_EMOJI, ONE_WORD, OTHER_CJK, numbered, pairs
from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics import meteor, punkt, treebank, wordnet
from steerx_cli.metrics.meteor import Meteor, align, chunks, score, signature, stem
from synsets import Synset

WORDS = (
    "the of a cat cats dog dogs run runs running ran car automobile auto movie film picture quick fast quickly speedy",
    "big large small little good well better best geese goose children child kid vehicles buy purchase purchased big",
    "u.s. i ii it is was 's not n't , . -- `` '' generate generation general was were be like likes 1 one two 2",
)
RELATED = " ".join(WORDS).split()
SENTENCES = st.lists(st.sampled_from(RELATED), max_size=25)


class Reader(WordNetCorpusReader):  # type: ignore[misc]  # it has no types
    """NLTK's reader, with its way of finding base forms, over our table instead of WordNet's files."""

    def __init__(self) -> None:
        parts = wordnet.load()
        self._exception_map = {part: found.irregular for part, found in parts.items()}
        self._lemma_pos_offset_map: defaultdict[str, Any] = defaultdict(dict)
        for part, found in parts.items():
            for word, synsets in found.synsets.items():
                self._lemma_pos_offset_map[word][part] = synsets

    def synset_from_pos_and_offset(self, _: str, offset: tuple[str, ...]) -> Synset:
        return Synset(offset)


@lru_cache(1)
def reader() -> Reader:
    return Reader()


def by_peer(answer: list[str], reference: list[str]) -> float:
    found: float = single_meteor_score(reference, answer, wordnet=reader())
    return found


def tokens(text: str) -> list[str]:
    """Words in lower case, of a text without full stops inside."""
    return [word.lower() for word in treebank.words_of(text)]


@settings(deadline=None, max_examples=150)
@given(SENTENCES, SENTENCES)
def test_related_words_in_any_order_score_as_in_nltk(answer: list[str], reference: list[str]) -> None:
    assert score(answer, reference) == by_peer(answer, reference)


@settings(deadline=None, max_examples=80)
@given(SENTENCES, SENTENCES)
def test_the_matches_are_those_of_nltk(answer: list[str], reference: list[str]) -> None:
    assert align(answer, reference) == align_words(answer, reference, wordnet=reader())[0]


def test_the_matches_of_words_that_come_again_are_those_of_nltk() -> None:
    draw = random.Random(8)
    for _ in range(300):
        few = draw.sample(RELATED, 4) + draw.choice([["run", "runs", "running"], ["car", "cars", "auto", "motorcar"]])
        answer, reference = (draw.choices(few, k=draw.randint(1, 14)) for _ in range(2))
        assert align(answer, reference) == align_words(answer, reference, wordnet=reader())[0]
        assert score(answer, reference) == by_peer(answer, reference)


def test_words_of_the_whole_table_score_as_in_nltk() -> None:
    draw = random.Random(3)
    words = sorted({word for part in wordnet.load().values() for word in (*part.synsets, *part.irregular)})
    for _ in range(100):
        few = draw.sample(words, 30)
        answer, others = few[:15], few[15:22]
        for word in few[:12]:
            names = sorted(wordnet.synonyms(word)) or [word]
            others.append(draw.choice([*names, word + "s", word + "ing", word + "ed", word + "er"]))
        draw.shuffle(others)
        assert score(answer, others) == by_peer(answer, others)
        assert align(answer, others) == align_words(answer, others, wordnet=reader())[0]


def test_real_paragraphs_score_as_in_nltk(material: Path) -> None:
    ours = Meteor("simple")
    for answer, reference in pairs(material, 40):
        said, wanted = (
            [word.lower() for sentence in punkt.simple(text) for word in treebank.words_of(sentence)]
            for text in (answer, reference)
        )
        assert ours.score(answer, reference) == by_peer(said, wanted)


@pytest.mark.parametrize(("answer", "reference"), ODD)
def test_odd_text_scores_as_in_nltk(answer: str, reference: str) -> None:
    assert Meteor("simple").score(answer, reference) == by_peer(tokens(answer), tokens(reference))


def test_the_published_values(material: Path) -> None:
    published = json.loads((material / "metrics" / "meteor_nltk_expected.json").read_text("utf-8"))
    assert len(published["single"]) == 5
    for case in published["single"]:
        found = score(case["hyp"].lower().split(), case["ref"].lower().split())
        assert round(found, 4) == case["meteor"], case
    for case in published["multi"]:
        assert (
            round(max(score(case["hyp"].lower().split(), ref.lower().split()) for ref in case["refs"]), 4)
            == (case["meteor"])
        )
    assert published["defaults"] == {
        "alpha": meteor.ALPHA, "beta": meteor.BETA, "gamma": meteor.GAMMA, "stemmer": "PorterStemmer"
    }  # fmt: skip


@pytest.mark.parametrize(("answer", "reference"), BLANK.values(), ids=BLANK)
def test_nothing_to_compare_scores_0(answer: str, reference: str) -> None:
    assert Meteor("simple").score(answer, reference) == 0.0


@pytest.mark.parametrize(
    ("pair", "found"),
    [
        (EMOJI, 0.9375),
        (ONE_EMOJI, 0.5),
        (CJK, 0.5),
        (OTHER_CJK, 0.0),
        (ACCENTS, 0.0),
        (ONE_WORD, 0.5),
        (("car", "auto"), 0.5),
        (("film", "movie"), 0.0),
        (("film", "dog"), 0.0),
    ],
)
def test_few_words(pair: tuple[str, str], found: float) -> None:
    assert Meteor("simple").score(*pair) == found


def test_long_texts() -> None:
    ours = Meteor("simple")
    assert ours.score(numbered(2200), numbered(2200)) == 1 - 0.5 * (1 / 2200) ** 3
    half = ours.score(numbered(2200), numbered(2200, 1100))
    assert half == pytest.approx(0.5 * (1 - 0.5 * (1 / 1100) ** 3), rel=1e-14)
    assert half == by_peer(numbered(2200).split(), numbered(2200, 1100).split())


def test_hand_counted() -> None:
    """Five of six words are met, in four runs: of two equal words the last is met."""
    answer, reference = ["the", "cat", "sat", "quietly", "on", "mats"], ["the", "cat", "sat", "on", "the", "mat"]
    matches = [(0, 4), (1, 1), (2, 2), (4, 3), (5, 5)]
    assert align(answer, reference) == matches
    assert chunks(matches) == 4
    assert score(answer, reference) == pytest.approx(5 / 6 * (1 - 0.5 * (4 / 5) ** 3))
    assert score(["a", "b", "c", "d"], ["a", "b"]) == pytest.approx(0.5 / (0.9 * 0.5 + 0.1) * (1 - 0.5 / 8))


def test_a_word_is_matched_as_it_is_before_its_stem_and_its_stem_before_its_synonyms() -> None:
    assert align(["running", "film"], ["film", "runs", "running"]) == [(0, 2), (1, 0)]
    assert align(["cars", "auto"], ["cars", "car"]) == [(0, 0), (1, 1)]
    assert align(["cars", "auto"], ["motorcar", "car"]) == [(0, 1), (1, 0)]


def test_the_last_of_equal_words_is_matched_first() -> None:
    assert align(["a"], ["a", "a"]) == [(0, 1)]
    assert align(["a", "a"], ["a"]) == [(1, 0)]
    assert align(["runs", "running"], ["run"]) == [(1, 0)]
    assert align(["run"], ["running", "runs"]) == [(0, 1)]
    assert align(["car"], ["auto", "motorcar"]) == [(0, 1)]
    assert align(["car", "car"], ["motorcar"]) == [(1, 0)]


def test_synonyms_are_asked_for_with_stems() -> None:
    """`movie` has become `movi`, of which WordNet knows nothing."""
    assert stem("movie") == "movi"
    assert "movie" in wordnet.synonyms("film")
    assert align(["film"], ["movie"]) == []
    assert align(["movies"], ["movie"]) == [(0, 0)]


def test_runs() -> None:
    assert [chunks([(0, 0)]), chunks([(0, 0), (1, 1), (2, 2)]), chunks([(0, 1), (1, 0)])] == [1, 1, 2]
    assert chunks([(0, 0), (2, 1)]) == chunks([(0, 0), (1, 2)]) == 2


def test_stems_are_porters_with_nltks_exceptions() -> None:
    assert [stem(word) for word in ("quickly", "skies", "dying", "generally", "news")] == [
        "quickli", "sky", "die", "gener", "news",
    ]  # fmt: skip


def test_case_does_not_matter() -> None:
    ours = Meteor("simple")
    assert ours.score("A QUIET Film.", "a quiet film.") == ours.score("a quiet film.", "a quiet film.") == 1 - 0.5 / 64


def test_the_split_is_the_one_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(download: bool) -> punkt.Split:
        assert download
        return str.splitlines

    monkeypatch.setattr(punkt, "punkt", split)
    by_lines = Meteor("punkt", download=True)
    answer, reference = "Mr. X left.\nHe did.", "mr . x left . he did ."
    assert by_lines.score(answer, reference) == score(["mr.", "x", "left", ".", "he", "did", "."], reference.split())
    assert Meteor("simple").score(answer, reference) == score(reference.split(), reference.split())


def test_without_punkt_there_is_no_meteor_of_punkt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.setattr("nltk.data.path", [])
    with pytest.raises(SteerxError, match="--meteor-split simple"):
        Meteor("punkt")


def test_signatures_tell_the_splits_apart() -> None:
    assert list(map(signature, meteor.SPLITS)) == ["nltk3.9|punkt+ptb|wn3.0", "nltk3.9|simple+ptb|wn3.0"]


def test_another_way_of_splitting_is_refused() -> None:
    with pytest.raises(SteerxError) as refused:
        Meteor("pnkt")
    assert str(refused.value) == "METEOR splits sentences by punkt or simple, not by 'pnkt'"
