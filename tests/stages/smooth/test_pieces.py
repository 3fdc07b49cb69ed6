"""What descriptions are made from: which pieces of which texts, in which order."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scorers import NASTY, REVIEW, SHORT, measure, rows_of, save_model, world, write
from smoothers import ANCHORS, CAFÉ, JOIN, LLM, NIGHT, NOTHING, PIECES, RAW, Row, scored
from steerx_cli.core.scope import Scope
from steerx_cli.stages.score_tokens import Wanted as Cutting
from steerx_cli.stages.score_tokens.cut import Cut
from steerx_cli.stages.smooth.pieces import pieces_of, wanted_of
from steerx_cli.stages.smooth.settings import Settings

TOKEN, WORD = replace(JOIN, unit="token"), replace(JOIN, unit="word")


def placed(text: str, *anchors: str | tuple[int, int], spans: Sequence[tuple[int, int]] | None = None) -> Row:
    """A text and the places of its anchors: given as they are, or each as the next such piece of the text."""
    places: list[tuple[int, int]] = []
    for anchor in anchors:
        if isinstance(anchor, str):
            start = text.index(anchor, places[-1][1] if places else 0)
            anchor = start, start + len(anchor)
        places.append(anchor)
    starts, ends = [start for start, _ in places], [end for _, end in places]
    joined = [{"start": start, "end": end} for start, end in (places if spans is None else spans)]
    return {"response": text, "starts": starts, "ends": ends, "anchors": [True] * len(places), "spans": joined}


# --- of one text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["span", "token", "word"])
def test_pieces_are_those_that_a_person_would_find(unit: str) -> None:
    """Among them words with apostrophes and hyphens, and white space on both sides of an anchor."""
    for (text, asked), pieces in PIECES.items():
        row = scored("a", asked, "1", 1, text, ANCHORS[text, asked])
        assert pieces_of(row, replace(JOIN, unit=unit)) == tuple(pieces[unit])
        assert pieces_of(row, replace(LLM, unit=unit)) == tuple(pieces[unit])


@pytest.mark.parametrize(
    ("text", "anchors", "pieces"),
    [
        ("don’t re‑do it", ["’", "‑d"], ["don’t", "re‑do"]),
        ("rock-'n'-roll", ["'n"], ["'", "n"]),  # two joints in a row are none
        ("'quoted' words", ["'q"], ["'", "quoted"]),
        ("a café, e\u0301te\u0301!", ["caf", "t"], ["café", "e\u0301te\u0301"]),
        ("Мне нравится", ["рав"], ["нравится"]),
        ("मुझे हिन्दी पसंद", ["न्द"], ["हिन्दी"]),
        ("東京へ行く", ["京へ"], ["京", "へ"]),  # no white space between words: each character is one
        ("so 👩‍👩‍👧🏽 nice 🇨🇭", ["👩‍👩", "🇨"], ["👩‍👩‍👧🏽", "🇨🇭"]),
        ("one two", ["e t"], ["one", "two"]),
        ("one  two", [(3, 5)], []),
        ("go on.", ["on", "."], ["on", "."]),
        ("Mid and middle", ["Mid", "mid"], ["Mid", "middle"]),
        ("x_1 2nd", ["1", "n"], ["x_1", "2nd"]),
    ],
)
def test_words_are_whole_in_any_script(text: str, anchors: list[Any], pieces: list[str]) -> None:
    assert pieces_of(placed(text, *anchors), WORD) == tuple(pieces)


def test_a_word_that_two_anchors_share_is_one_piece() -> None:
    assert pieces_of(placed("unbelievable", "un", "liev", "le"), WORD) == ("unbelievable",)
    assert pieces_of(placed("unbelievable", "un", "liev", "le"), TOKEN) == ("un", "liev", "le")


@pytest.mark.parametrize(
    ("places", "pieces"),
    [
        ([(4, 5), (4, 5), (4, 5)], ["🙂"]),  # each of three tokens stands for the whole
        ([(3, 5), (4, 5), (4, 5)], ["🙂"]),  # and the first has the space before it, too
        ([(3, 5), (4, 5), (5, 6)], ["🙂", "!"]),
        ([(4, 5), (4, 6)], ["🙂!"]),  # the last has what follows, too
        ([(0, 3), (3, 5), (4, 5)], ["so,", "🙂"]),
    ],
)
def test_the_tokens_of_one_emoji_are_one_piece(places: list[tuple[int, int]], pieces: list[str]) -> None:
    assert pieces_of(placed("so, 🙂!", *places), TOKEN) == tuple(pieces)


def test_the_same_token_at_two_places_is_two_pieces() -> None:
    assert pieces_of(placed("no, no", "no", "no"), TOKEN) == ("no", "no")
    assert pieces_of(placed("no, no", "no", "no"), WORD) == ("no", "no")
    assert pieces_of(placed("no, no", "no", "no"), JOIN) == ("no", "no")


def test_a_token_that_is_no_anchor_is_no_piece() -> None:
    row = placed("one two", "one", "two")
    assert pieces_of(row | {"anchors": [False, True]}, TOKEN) == ("two",)
    assert pieces_of(row | {"anchors": [False, False]}, TOKEN) == ()


@pytest.mark.parametrize("how", [JOIN, TOKEN, WORD], ids=lambda how: how.unit)
def test_blank_anchors_are_no_pieces(how: Settings) -> None:
    assert pieces_of(placed("a \n b\u2003", (1, 4), (5, 6)), how) == ()
    assert pieces_of(placed("a b", " b"), how) == ("b",)
    assert pieces_of(placed("", spans=[]), how) == ()


@pytest.mark.parametrize("how", [RAW, replace(RAW, unit="word"), replace(LLM, of="texts")])
def test_a_whole_text_is_one_piece_to_the_letter_whatever_its_anchors(how: Settings) -> None:
    assert pieces_of(placed(" A\ttext.\n", "text"), how) == (" A\ttext.\n",)
    assert pieces_of(placed(" A\ttext.\n"), how) == (" A\ttext.\n",)
    assert pieces_of(placed(" \n"), how) == pieces_of(placed(""), how) == ()


def test_only_a_model_is_given_whole_texts_by_that_setting() -> None:
    assert pieces_of(placed("one two", "two"), replace(JOIN, of="texts")) == ("two",)


# --- of what is measured ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["span", "token", "word"])
def test_if_all_tokens_are_anchors_nothing_of_a_text_is_lost_or_doubled(unit: str, tmp_path: Path) -> None:
    """With a real tokenizer, whose tokens are bytes, on texts of every kind."""
    more = ["a 🙂 b  🙂🙂", "mixed 東京 and 🇨🇭, e\u0301!"]
    data, model = write(tmp_path, world({"a": [*SHORT, *NASTY, *more]}, 1, 99)), save_model(tmp_path / "tiny")
    cutting = Cutting(Cut("all", None, None), Scope(tmp_path / "scores.parquet"))
    measure(data, model, tmp_path / "effects.parquet", REVIEW, [cutting])
    rows = rows_of(tmp_path / "scores.parquet")
    assert any(len({*row["starts"]}) < len(row["starts"]) for row in rows), "an emoji is several tokens"
    for row in rows:
        pieces = pieces_of(row, replace(JOIN, unit=unit))
        assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", row["response"])
        assert unit != "span" or len(pieces) == bool(row["response"].strip())
        assert unit != "word" or "café" not in row["response"] or "café" in pieces


# --- of several -------------------------------------------------------------------------------------------------------

ROWS = [
    scored("b", "y", "2", 1, NIGHT, {2}),
    scored("b", "y", "1", 2, NOTHING),
    scored("b", "y", "3", 3, CAFÉ, {0, 4}),
    scored("b", "x", "3", 1, CAFÉ, {3}),
    scored("a", "y", "2", 1, CAFÉ, {1}),
]
EACH = [("b", "y", "2"), ("b", "y", "1"), ("b", "y", "3"), ("b", "x", "3"), ("a", "y", "2")]
TOGETHER = [("b", "y", None), ("b", "x", None), ("a", "y", None)]


def wanted(how: Settings) -> dict[tuple[str, str, str | None], tuple[Any, Any]]:
    """Of whom a description is wanted, and from what."""
    found = {
        (each.user_id, each.query_id, each.item_id): (each.histories, each.pieces)
        for each in wanted_of(pl.DataFrame(ROWS), how)
    }
    assert len(found) == len([*wanted_of(pl.DataFrame(ROWS), how)])
    return found


def test_each_history_is_described_by_its_own_and_a_query_by_all_that_have_any() -> None:
    assert wanted(JOIN) == {
        ("b", "y", "2"): (("2",), (("🙂",),)),
        ("b", "y", "1"): ((), ()),
        ("b", "y", "3"): (("3",), (("Well", "café"),)),
        ("b", "y", None): (("2", "3"), (("🙂",), ("Well", "café"))),
        ("b", "x", "3"): (("3",), (("quiet",),)),
        ("b", "x", None): (("3",), (("quiet",),)),
        ("a", "y", "2"): (("2",), ((",",),)),
        ("a", "y", None): (("2",), ((",",),)),
    }


def test_they_come_by_rank_and_a_query_s_own_behind_them() -> None:
    assert [*wanted(JOIN)] == [*EACH[:3], TOGETHER[0], EACH[3], TOGETHER[1], EACH[4], TOGETHER[2]]
    assert [*wanted(replace(JOIN, describe="history"))] == EACH
    assert [*wanted(replace(JOIN, describe="query"))] == TOGETHER


def test_whole_texts_are_of_all_histories_that_are_not_blank() -> None:
    rows = [*ROWS, scored("a", "y", "3", 2, " \n")]
    found = [
        (each.histories, each.all_pieces) for each in wanted_of(pl.DataFrame(rows), replace(RAW, describe="query"))
    ]
    assert found == [
        (("2", "1", "3"), [NIGHT, NOTHING, CAFÉ]),
        (("3",), [CAFÉ]),
        (("2",), [CAFÉ]),
    ]
