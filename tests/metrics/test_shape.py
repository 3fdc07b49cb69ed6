"""Lengths and repetitions, of texts that can be counted by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passages import BLANK, numbered
from steerx_cli.metrics.shape import distinct, is_foreign, repeated, words_of

WORDS = st.lists(st.sampled_from("abc"), max_size=20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's a well-known FILM, isn't it?", ["it's", "a", "well-known", "film", "isn't", "it"]),
        ("10 of 10!", ["10", "of", "10"]),
        ("我喜欢。", ["我", "喜", "欢"]),
        ("naïve Café", ["naïve", "café"]),
        ("😀 -- … 'ok'", ["ok"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_are_counted_in_any_script_without_punctuation(text: str, words: list[str]) -> None:
    assert words_of(text) == tuple(words)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a b c d a b c d", 1 / 5),
        ("a a a a a a", 2 / 3),
        ("a b c d e", 0.0),
        ("a a a a", 0.0),
        ("a a a", 0.0),
        ("", 0.0),
    ],
)
def test_the_share_of_runs_of_four_that_were_there_before(text: str, share: float) -> None:
    assert repeated(text.split()) == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "share"), [("a b a b", 2 / 3), ("a b c", 1.0), ("a a a a a", 0.25), ("a", None), ("", None)]
)
def test_the_share_of_different_pairs(text: str, share: float | None) -> None:
    assert distinct(text.split()) == share


def by_loop(found: list[str], length: int) -> tuple[int, int]:
    """How many runs there are, and how many of them were there before."""
    seen: list[list[str]] = []
    again = 0
    for start in range(len(found) - length + 1):
        run = found[start : start + length]
        again += run in seen
        seen.append(run)
    return len(seen), again


@settings(deadline=None)
@given(WORDS, st.integers(1, 5))
def test_runs_are_counted_as_a_loop_counts_them(found: list[str], length: int) -> None:
    runs, again = by_loop(found, length)
    assert repeated(found, length) == pytest.approx(again / runs if runs else 0.0, abs=1e-12)
    assert distinct(found, length) == ((runs - again) / runs if runs else None)


def test_long_texts() -> None:
    assert len(words_of(numbered(2200))) == 2200
    assert repeated(words_of(numbered(2200))) == 0.0
    assert repeated(words_of(f"{numbered(1000)} {numbered(1000)}")) == pytest.approx(997 / 1997)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("a quiet film", False),
        ("naïve café", False),
        ("我喜欢这部电影", True),
        ("我喜欢 films", False),
        ("éa", False),
        ("éaé", True),
        ("éa   b", False),
        ("é    ", True),
        ("😀", True),
        ("", False),
        *((text, False) for pair in BLANK.values() for text in pair),
    ],
)
def test_a_text_is_foreign_where_more_than_half_of_it_is_outside_ascii(text: str, foreign: bool) -> None:
    assert is_foreign(text) is foreign
