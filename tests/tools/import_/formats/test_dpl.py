"""`--format dpl`: people with a profile and one review to be written."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from anything import check_any, check_text, rendered, spoilt
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.import_.formats.dpl import FORMAT
from steerx_cli.tools.import_.formats.format import Reading
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Item, Split, Text

FIRST: Mapping[str, Any] = {
    "asin": "B1",
    "rating": 4.0,
    "text": "A slow film.",
    "timestamp": 1335830400123,
    "title": "Slow",
}
ASKED: Mapping[str, Any] = {**FIRST, "asin": "B2", "rating": 5.0, "text": "A fast film.", "title": "Fast"}
ROW: Mapping[str, Any] = {"user_id": "A10", "profile": [FIRST, {**FIRST, "asin": "B3"}], "data": ASKED}
HISTORY = Text(
    user_id="A10",
    text_id="B1",
    response="A slow film.",
    fields={"headline": "Slow", "rating": "4"},
    rating=4.0,
    time=1_335_830_400_123,
    about="B1",
)
QUERY = replace(
    HISTORY,
    text_id="B2",
    response="A fast film.",
    fields={"headline": "Fast", "rating": "5"},
    rating=5.0,
    split="test",
    about="B2",
)


def read(row: Mapping[str, Any], split: Split = "test") -> list[Text | Bad]:
    made = list(FORMAT.reader(Reading())(row, split))
    for text in made:
        if isinstance(text, Text):
            check_text(text)
    return made


def test_a_profile_is_histories_and_the_rest_a_query() -> None:
    assert read(ROW) == [HISTORY, replace(HISTORY, text_id="B3", about="B3"), QUERY]
    assert read({**ROW, "profile": []}, "development") == [replace(QUERY, split="development")]


def test_the_metadata_are_amazons() -> None:
    assert FORMAT.item is not None
    made = FORMAT.item({"asin": "B1", "title": "A Film", "description": "Of people."})
    assert made == Item("B1", {"title": "A Film", "description": "Of people."})
    assert FORMAT.input_from == tuple(made.fields)


def test_histories_and_queries_fit_the_review_task() -> None:
    task = load_task("review")
    assert rendered(task, HISTORY) == "Rating: 4\nHeadline: Slow"
    item = {"title": "A Film", "description": "Of people."}  # the review's own title does not hide the item's
    whole = replace(QUERY, fields={**QUERY.fields, **item})
    assert rendered(task, whole) == "Title: A Film\nDescription: Of people.\nRating: 5\nHeadline: Fast"


def test_a_bad_entry_does_not_cost_the_others() -> None:
    made = read({**ROW, "profile": [{**FIRST, "text": None}, "junk", FIRST, {**FIRST, "timestamp": "soon"}]})
    assert [text for text in made if isinstance(text, Text)] == [HISTORY, QUERY]
    assert [(text.reason, text.entry) for text in made if isinstance(text, Bad)] == [
        ("text is missing", 1),
        ("an entry is no object", 2),
        ("timestamp is no time", 4),
    ]


def test_a_reference_may_be_unknown() -> None:
    assert read({**ROW, "data": {**ASKED, "text": None}})[-1] == replace(QUERY, response=None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "user_id is missing"),
        ({"profile": None}, "profile is missing"),
        ({"profile": {"0": FIRST}}, "profile is no list"),
        ({"data": None}, "data is no object"),
        ({"data": [ASKED]}, "data is no object"),
        ({"data": {**ASKED, "asin": ""}}, "asin is blank"),
    ],
)
def test_a_bad_row_gives_nothing(change: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(Bad, match=f"^{reason}$"):
        next(FORMAT.reader(Reading())({**ROW, **change}, "test"))


@given(spoilt(ROW))
def test_any_row_gives_texts_or_a_reason(row: dict[Any, Any]) -> None:
    check_any(FORMAT.reader(Reading()), row)
