"""`--format generic`: a person's own columns."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anything import check_any, check_text, rendered, spoilt
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.import_.formats.format import Reading
from steerx_cli.tools.import_.formats.generic import FORMAT
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Text

ROW: Mapping[str, Any] = {
    "user_id": "ann",
    "item_id": "b1",
    "input": "Say hello.",
    "response": "Hullo!",
    "rating": 4,
    "time": "2012-05-01",
    "split": None,
}
COLUMNS = {"user_id": "who", "response": "body", "rating": "stars", "title": "product", "headline": "subject"}
MAPPED: Mapping[str, Any] = {
    "who": 7,
    "body": " Good. ",
    "stars": "5",
    "product": "Kettle",
    "subject": " ",
    "item_id": "k",
}


def read(row: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Text:
    [text] = FORMAT.reader(Reading(columns=columns or {}))(row, "development")
    assert isinstance(text, Text)
    check_text(text)
    return text


def test_a_row_under_our_own_names() -> None:
    assert read(ROW) == Text(
        user_id="ann",
        text_id="b1",
        response="Hullo!",
        fields={"rating": "4"},
        input="Say hello.",
        rating=4.0,
        time=1_335_830_400_000,
    )


def test_a_row_under_names_of_its_own_and_named_fields() -> None:
    text = read(MAPPED, COLUMNS)
    assert text == Text("7", "k", " Good. ", {"title": "Kettle", "rating": "5"}, rating=5.0)
    assert rendered(load_task("review"), text) == "Title: Kettle\nRating: 5"


@pytest.mark.parametrize("name", ["item_id", "input", "rating", "time"])
@pytest.mark.parametrize("value", [None, "", " ", float("nan")])
def test_what_a_row_can_do_without(name: str, value: Any) -> None:
    for row in ({**ROW, name: value}, {key: value for key, value in ROW.items() if key != name}):
        text = read(row)
        assert (text.text_id, text.input, text.rating, text.time) == (
            "" if name == "item_id" else "b1",
            None if name == "input" else "Say hello.",
            None if name == "rating" else 4.0,
            None if name == "time" else 1_335_830_400_000,
        )


@pytest.mark.parametrize("name", ["user_id", "response"])
@pytest.mark.parametrize(("value", "reason"), [(None, "missing"), (" ", "blank"), ([1], "no text")])
def test_what_a_row_has_to_have(name: str, value: Any, reason: str) -> None:
    with pytest.raises(Bad, match=f"^{name} is {reason}$"):
        read({**ROW, name: value})


@pytest.mark.parametrize(
    ("value", "split"),
    [
        *((value, None) for value in (None, "", " ", float("nan"), "train", "History", "histories")),
        *((value, "development") for value in ("development", "dev", "val", "VALID", " validation ")),
        ("test", "test"),
        ("Test", "test"),
    ],
)
def test_the_split_is_the_rows_own_not_its_files(value: Any, split: str | None) -> None:
    assert read({**ROW, "split": value}).split == split


@pytest.mark.parametrize("value", ["tset", 1, True, ["test"]])
def test_another_split_is_bad(value: Any) -> None:
    with pytest.raises(Bad, match=r"^split is (neither train, development nor test|no text)$"):
        read({**ROW, "split": value})


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_querys_reference_may_be_unknown(value: Any) -> None:
    text = read({**ROW, "split": "test", "response": value})
    assert (text.response, text.split) == (None, "test")
    assert rendered(load_task("generic"), text) == "Request: Say hello."


def test_a_history_fits_the_generic_task() -> None:
    assert rendered(load_task("generic"), read(ROW)) == "Request: Say hello."


@pytest.mark.parametrize(("name", "reason"), [("rating", "no number"), ("time", "no time")])
def test_a_value_that_cannot_be_read_is_bad(name: str, reason: str) -> None:
    with pytest.raises(Bad, match=f"^{name} is {reason}$"):
        read({**ROW, name: "soon"})


@given(spoilt(ROW), spoilt(MAPPED), st.sampled_from([{}, COLUMNS]))
def test_any_row_gives_texts_or_a_reason(row: dict[Any, Any], other: dict[Any, Any], columns: dict[str, str]) -> None:
    for one in (row, other):
        check_any(FORMAT.reader(Reading(columns=columns)), one)
