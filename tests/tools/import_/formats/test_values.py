"""What is made of a value, whatever stands there."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anything import ANYTHING, OBJECTS, check_reason
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.text import is_utf8
from steerx_cli.tools.import_.formats import FORMATS
from steerx_cli.tools.import_.formats.format import Reading, each_text, list_in, parts, rated, the_task
from steerx_cli.tools.import_.formats.values import (
    date_if_any,
    field_if_any,
    fields_in,
    filled_if_any,
    first_there,
    id_if_any,
    id_in,
    number_if_any,
    text_if_any,
    text_in,
    time_if_any,
    written,
)
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Text

NAN = float("nan")
ENDLESS = pytest.param(10**5000, id="endless")  # more digits than Python writes
MAY_2012 = 1_335_830_400_000  # 2012-05-01T00:00Z in milliseconds


def test_a_text_is_kept_exactly_as_it_is() -> None:
    assert text_in({"x": " a\r\nb\0 "}, "x") == " a\r\nb\0 "
    assert [text_if_any({"x": value}, "x") for value in ("", None, NAN)] == ["", None, None]
    assert [filled_if_any({"x": value}, "x") for value in (" a", "", " \n", None)] == [" a", None, None, None]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "x is missing"),
        (NAN, "x is missing"),
        (" \n", "x is blank"),
        (7, "x is no text"),
        (["a"], "x is no text"),
        ("a\ud800", "x has characters that cannot be stored"),
    ],
)
def test_a_text_that_has_to_be_there(value: Any, reason: str) -> None:
    with pytest.raises(Bad, match=f"^{reason}$"):
        text_in({"x": value}, "x")


@pytest.mark.parametrize(
    ("value", "text"), [("B00", "B00"), (7, "7"), (7.0, "7"), (2**70, str(2**70)), ("007", "007"), (0, "0")]
)
def test_an_id_is_a_text_or_a_whole_number(value: Any, text: str) -> None:
    assert id_in({"x": value}, "x") == id_if_any({"x": value}, "x") == text


@pytest.mark.parametrize("value", [True, 7.5, math.inf, [7], ENDLESS, "\ud800"])
def test_nothing_else_is_an_id(value: Any) -> None:
    for function in (id_in, id_if_any):
        with pytest.raises(Bad):
            function({"x": value}, "x")


def test_an_id_that_may_be_absent() -> None:
    assert [id_if_any({"x": value}, "x") for value in (None, NAN, "", " ")] == [""] * 4
    assert id_if_any({}, "x") == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [("a ", "a "), (5.0, "5"), (4.5, "4.5"), (12345678901234567, "12345678901234567"), (True, "true"), (NAN, None)],
)
def test_a_field_is_written_as_a_person_writes_it(value: Any, text: str | None) -> None:
    assert field_if_any({"x": value}, "x") == text


@pytest.mark.parametrize("value", [math.inf, ENDLESS, {}, "\ud800"])
def test_what_cannot_be_a_field(value: Any) -> None:
    with pytest.raises(Bad):
        field_if_any({"x": value}, "x")


def test_fields_are_those_that_say_something() -> None:
    row = {"a": "one", "b": " ", "c": None, "d": 2.0}
    assert fields_in(row, {"A": "a", "B": "b", "C": "c", "D": "d", "E": "e"}) == {"A": "one", "D": "2"}
    assert rated({"A": "one"}, 5.0) == {"A": "one", "rating": "5"}
    assert rated({"A": "one"}, None) == {"A": "one"}
    assert [written(number) for number in (5.0, 4.5, 0.1, -3.0)] == ["5", "4.5", "0.1", "-3"]


def test_numbers() -> None:
    good = [5, 5.0, "5.0", " 5 "]
    assert [number_if_any({"x": value}, "x") for value in good] == [5.0] * 4
    assert [number_if_any({"x": value}, "x") for value in (None, "", " ", NAN, "nan")] == [None] * 5
    for value in ("five", True, math.inf, "1e999", 10**400, [5]):
        with pytest.raises(Bad, match=r"^x is no number$"):
            number_if_any({"x": value}, "x")


@pytest.mark.parametrize(
    "value",
    [
        1_335_830_400,
        1_335_830_400_000,
        1_335_830_400.0,
        "1335830400",
        "1335830400000",
        "2012-05-01",
        " 2012-05-01 ",
        "2012-05-01T00:00:00Z",
        "2012-05-01T02:00:00+02:00",
        date(2012, 5, 1),
        datetime(2012, 5, 1),  # without a zone: UTC
        datetime(2012, 4, 30, 22, tzinfo=timezone(timedelta(hours=-2))),
    ],
)
def test_one_moment_in_all_its_forms(value: Any) -> None:
    assert time_if_any({"x": value}, "x") == date_if_any({"x": value}, "x") == MAY_2012


@pytest.mark.parametrize(
    "value", ["yesterday", "nan", "inf", True, 10**30, 10**400, -(10**15), "0001-01-01", [2012], datetime.max, math.inf]
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(Bad, match=r"^x is no time$"):
        time_if_any({"x": value}, "x")
    assert date_if_any({"x": value}, "x") is None


def test_milliseconds_are_kept_and_no_time_is_none() -> None:
    assert time_if_any({"x": 1_335_830_400_123}, "x") == MAY_2012 + 123
    assert [time_if_any({"x": value}, "x") for value in (None, NAN, "", " ")] == [None] * 4


def test_a_year_or_a_day_in_digits_is_its_first_moment() -> None:
    first = datetime(2014, 1, 1, tzinfo=UTC).timestamp() * 1000
    years, days = [2014, 2014.0, "2014", " 2014 ", Decimal(2014)], [20140101, "20140101", "2014-01-01", 20140101.0]
    assert [time_if_any({"x": value}, "x") for value in [*years, *days]] == [first] * 9
    assert time_if_any({"x": 20141301}, "x") == 20141301000  # no such month: seconds
    assert time_if_any({"x": 2014.5}, "x") == 2014500
    assert [date_if_any({"x": value}, "x") for value in ("20 14", "soon", True)] == [None] * 3


def test_what_tables_make_of_texts_and_numbers() -> None:
    row: dict[str, Any] = {
        "id": Decimal(12),
        "name": "Zoë".encode(),
        "price": Decimal("9.90"),
        "day": date(2014, 1, 31),
        "tags": ["a", None, "b"],
        "raw": b"\xff",
        "odd": Decimal("NaN"),
    }
    assert (id_in(row, "id"), text_in(row, "name"), number_if_any(row, "price")) == ("12", "Zoë", 9.9)
    assert fields_in(row, {name: name for name in row if name != "raw"}) == {
        **{"id": "12", "name": "Zoë", "price": "9.9", "day": "2014-01-31", "tags": "a, b"}
    }
    for read in (text_in, id_in, field_if_any):
        with pytest.raises(Bad, match=r"^raw is no text$"):
            read(row, "raw")
    assert number_if_any(row, "odd") is None


def test_the_first_name_that_is_there() -> None:
    assert first_there({"b": 1, "c": 2}, "a", "b", "c") == "b"
    assert first_there({"a": NAN, "c": ""}, "a", "c") == "c"
    assert first_there({}, "a", "b") == "a"


@pytest.mark.parametrize(("value", "reason"), [(None, "missing"), ("ab", "no list"), ({"0": {}}, "no list")])
def test_a_list_has_to_be_there(value: Any, reason: str) -> None:
    with pytest.raises(Bad, match=f"^x is {reason}$"):
        list_in({"x": value}, "x")


def test_a_bad_entry_is_told_and_the_others_go_on() -> None:
    entries = [{"text": "one"}, None, {"text": ""}, {"text": "two"}]
    made = list(each_text(entries, lambda entry: Text("u", "", text_in(entry, "text"))))
    assert [text.response for text in made if isinstance(text, Text)] == ["one", "two"]
    bad = [(text.reason, text.entry) for text in made if isinstance(text, Bad)]
    assert bad == [("an entry is no object", 2), ("text is blank", 3)]


def test_parts_are_found_by_the_first_wording_that_fits() -> None:
    wordings = ("say (?P<a>.*) to (?P<b>.*)", "say (?P<a>.*)")
    assert parts(" say x\ny to \n", ("say (?P<a>.*) to(?P<b>.*)",)) == {"a": "x\ny"}  # a blank part is none
    assert parts("say x to y", wordings) == {"a": "x", "b": "y"}
    assert parts("say x", wordings) == {"a": "x"}
    assert parts("sing", wordings) == {}


@pytest.mark.parametrize(
    ("task", "said"), [(None, "and none is named"), ("poem", "and 'poem' is none of them"), ("", "and '' is none")]
)
def test_a_task_that_a_format_does_not_hold(task: str | None, said: str) -> None:
    assert the_task(Reading(task="b"), {"a": 1, "b": 2}, "lamp") == 2
    with pytest.raises(
        SteerxError, match=f"^the format lamp holds several tasks, {said}.*: name one of a, b with --task$"
    ):
        the_task(Reading(task=task), {"a": 1, "b": 2}, "lamp")


def test_a_format_whose_rows_hold_queries_says_so() -> None:
    assert {name for name, format in FORMATS.items() if format.own_queries} == {"dpl", "longlamp", "lamp"}


@given(ANYTHING)
@example("9999-12-31T23:59:59.999999-23:59")
@example("0001-01-01T00:00:00+23:59")
def test_any_value_is_a_value_or_bad(value: Any) -> None:
    functions = (id_in, id_if_any, text_in, text_if_any, filled_if_any, field_if_any)
    numbers = (number_if_any, time_if_any, date_if_any)
    for function in (*functions, *numbers):
        try:
            made = function({"x": value}, "x")
        except Bad as bad:
            check_reason(bad)
            continue
        assert not isinstance(made, str) or is_utf8(made)
        assert not isinstance(made, float) or math.isfinite(made)


@given(OBJECTS, st.lists(ANYTHING, max_size=4))
def test_any_list_is_read_to_its_end(row: dict[Any, Any], entries: list[Any]) -> None:
    made = list(each_text([row, *entries], lambda entry: Text(id_in(entry, "u"), "", None)))
    assert len(made) == 1 + len(entries)
