"""`--format amazon`: reviews and metadata of 2018."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anything import ANYTHING, check_any, check_item, check_reason, check_text, rendered, spoilt
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.import_.formats.amazon import FORMAT
from steerx_cli.tools.import_.formats.format import Reading
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Item, Text

ROW: Mapping[str, Any] = {
    "overall": 5.0,
    "vote": "1,234",
    "verified": True,
    "reviewTime": "05 1, 2012",
    "reviewerID": "A10",
    "asin": "B00K",
    "style": {"Format:": " DVD"},
    "reviewerName": "Ann",
    "reviewText": "Boils fast.\n\nStill boils.",
    "summary": "Fast",
    "unixReviewTime": 1335830400,
    "image": ["https://example.org/1.jpg"],
}
META: Mapping[str, Any] = {
    "asin": "B00K",
    "title": "Kettle",
    "description": ["A kettle.", "", "It's red."],
    "price": "$12.99",
}


def read(row: Mapping[str, Any]) -> Text:
    [text] = FORMAT.reader(Reading())(row, "test")
    assert isinstance(text, Text)
    check_text(text)
    return text


def item(row: Mapping[str, Any]) -> Item:
    assert FORMAT.item is not None
    made = FORMAT.item(row)
    check_item(made)
    return made


def test_a_review_is_a_history_whatever_its_file() -> None:
    assert read(ROW) == Text(
        user_id="A10",
        text_id="B00K",
        response="Boils fast.\n\nStill boils.",
        fields={"headline": "Fast", "rating": "5"},
        rating=5.0,
        time=1_335_830_400_000,
        about="B00K",
    )
    assert not FORMAT.own_queries


def test_a_review_with_its_item_fits_the_review_task_in_both_places() -> None:
    text, task = read(ROW), load_task("review")
    values = {**text.fields, **item(META).fields}
    assert set(values) == {*task.required, *task.optional}
    assert not {*FORMAT.input_from} - set(values)
    wanted = "Title: Kettle\nDescription: A kettle. It's red.\nRating: 5\nHeadline: Fast"
    assert task.fill_input(values) == task.fill_item(values) == wanted
    assert rendered(task, text) == "Rating: 5\nHeadline: Fast"


@pytest.mark.parametrize("name", ["reviewerID", "asin", "reviewText"])
@pytest.mark.parametrize(("value", "reason"), [(None, "missing"), ("\n", "blank"), ({}, "no text")])
def test_what_a_review_has_to_have(name: str, value: Any, reason: str) -> None:
    with pytest.raises(Bad, match=f"^{name} is {reason}$"):
        read({**ROW, name: value})


def test_what_a_review_can_do_without() -> None:
    bare = {name: ROW[name] for name in ("reviewerID", "asin", "reviewText")}
    assert read(bare) == Text("A10", "B00K", bare["reviewText"], about="B00K")
    assert read({**ROW, "summary": ""}).fields == {"rating": "5"}


def test_metadata_name_the_item() -> None:
    assert item(META) == Item("B00K", {"title": "Kettle", "description": "A kettle. It's red."})


@pytest.mark.parametrize(
    "title", ["var aPageStart = (new Date()).getTime();", '<span class="a">Kettle</span>', "", None]
)
def test_a_title_that_is_none_is_left_out(title: Any) -> None:
    assert item({**META, "title": title}).fields == {"description": "A kettle. It's red."}


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("One text.", "One text."),
        (["One", None, float("nan"), "two"], "One two"),
        ([], None),
        ([" "], None),
        (None, None),
    ],
)
def test_a_description_in_all_its_forms(description: Any, text: str | None) -> None:
    assert item({**META, "description": description}).fields.get("description") == text


@pytest.mark.parametrize("description", [["a", 1], ["\ud800"], {"a": "b"}, 3])
def test_a_description_that_is_none_is_bad(description: Any) -> None:
    with pytest.raises(Bad, match=r"^description "):
        item({**META, "description": description})


@given(spoilt(ROW))
def test_any_row_gives_texts_or_a_reason(row: dict[Any, Any]) -> None:
    check_any(FORMAT.reader(Reading()), row)


@given(spoilt(META) | st.builds(lambda parts: {**META, "description": parts}, st.lists(ANYTHING)))
def test_any_metadata_give_an_item_or_a_reason(row: dict[Any, Any]) -> None:
    try:
        item(row)
    except Bad as bad:
        check_reason(bad)
