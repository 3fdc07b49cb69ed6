"""A text of a user's, as every format gives it; what a format is; and the values in a row that texts are made from."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.text import is_utf8

Split: TypeAlias = Literal["development", "test"]

_FIRST_MS = 10**11  # numbers from here on are milliseconds since 1970; as seconds it would be the year 5138
_YEAR = re.compile(r"[0-9]{4}")
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class Bad(Exception):  # of a row, not of the program, so no SteerxError
    """Why a row, or one entry of it, cannot be used: a few words without anything of the person's in them."""

    def __init__(self, reason: str, entry: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.entry = entry  # of the row's own list (its profile), counted from 1


@dataclass(frozen=True)
class Row:
    """One record of a file: an object of a JSON file, a line of a CSV file, a row of a Parquet file."""

    file: Path
    line: int  # from 1: where the record starts; in a JSON list or a Parquet file, the number of the record
    values: Mapping[str, Any] | Bad


@dataclass(frozen=True)
class Text:
    """What a user wrote, or (with a split) is asked to write: then `response` is the reference, if it is known."""

    user_id: str
    text_id: str  # "": to be numbered by the caller
    response: str | None
    fields: Mapping[str, str] = field(default_factory=dict)
    input: str | None = None  # None: made from the fields
    rating: float | None = None
    time: int | None = None  # milliseconds since 1970, UTC
    split: Split | None = None
    about: str | None = None  # the item in the metadata that has more fields for it
    is_label: bool = False  # one of a few answers (a tag, a score): equal ones are not the same text


@dataclass(frozen=True)
class Item:
    """What metadata says of an item."""

    item_id: str
    fields: Mapping[str, str]


# --- formats ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What a person says of the files, and what a format has to know before it reads the first row."""

    task: str | None = None  # the name of a task in tasks/, for formats that hold several
    columns: Mapping[str, str] = field(default_factory=dict)  # our name → the file's
    answers: Mapping[str, str] = field(default_factory=dict)  # query → reference, where they are in files of their own


Values: TypeAlias = Mapping[str, Any]
# The texts of a row, and what is wrong with those entries of it that are none; a row that is no good at all raises Bad.
# The split is that of the row's file: it is for the row's own queries, if it has any.
Reader: TypeAlias = Callable[[Values, Split], Iterator[Text | Bad]]


@dataclass(frozen=True)
class Format:
    """How one kind of source is read."""

    reader: Callable[[Reading], Reader]  # refuses a Reading that it cannot use
    has_columns: bool = False  # whether a person says which columns hold what
    has_tasks: bool = False  # whether a person says which task it is
    own_queries: bool = False  # whether its rows say which texts are to be written
    input_from: tuple[str, ...] = ()  # the fields that make an input where a text has none
    item: Callable[[Values], Item] | None = None  # of a row of metadata
    answer: Callable[[Values], tuple[str, str]] | None = None  # of a row of a file of answers
    is_answers: Callable[[Path], bool] = lambda _: False  # whether a file holds them


_T = TypeVar("_T")


def the_task(reading: Reading, tasks: Mapping[str, _T], name: str) -> _T:
    """What a format that holds several tasks knows of the one that is read."""
    if reading.task is not None and reading.task in tasks:
        return tasks[reading.task]
    said = "and none is named" if reading.task is None else f"and {reading.task!r} is none of them"
    raise SteerxError(f"the format {name} holds several tasks, {said}: name one of {', '.join(tasks)} with --task")


# --- rows -------------------------------------------------------------------------------------------------------------


def list_in(values: Values, name: str) -> Sequence[Any]:
    """A row's list, such as a profile."""
    value = values.get(name)
    if is_missing(value):
        raise Bad(f"{name} is missing")
    if not isinstance(value, list | tuple):
        raise Bad(f"{name} is no list")
    return value


def each_text(entries: Sequence[Any], text: Callable[[Values], Text]) -> Iterator[Text | Bad]:
    """The texts of a row's list: a bad one does not keep the others from being read."""
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, Mapping):
                raise Bad("an entry is no object")
            result: Text | Bad = text(entry)
        except Bad as bad:
            result = Bad(bad.reason, number)
        yield result


def rated(fields: Mapping[str, str], rating: float | None) -> Mapping[str, str]:
    """The fields with the rating, which the templates read there."""
    return fields if rating is None else {**fields, "rating": written(rating)}


def parts(text: str, wordings: Sequence[str]) -> dict[str, str]:
    """The fields between the words of a benchmark's input, by the first wording that fits; none where none does."""
    found = (re.fullmatch(wording, text.strip(), re.DOTALL) for wording in wordings)
    match = next((match for match in found if match), None)
    groups = match.groupdict("").items() if match else ()
    return {name: part.strip() for name, part in groups if part.strip()}


# --- values -----------------------------------------------------------------------------------------------------------


def is_missing(value: Any) -> bool:
    """Whether there is nothing there, in any of the ways in which files say so."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_in(values: Mapping[str, Any], name: str) -> str:
    """A text that has to be there and to say something."""
    text = text_if_any(values, name)
    if text is None:
        raise Bad(f"{name} is missing")
    if not text.strip():
        raise Bad(f"{name} is blank")
    return text


def text_if_any(values: Mapping[str, Any], name: str) -> str | None:
    """A text exactly as it is, or None."""
    value = values.get(name)
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise Bad(f"{name} is no text")
    if not is_utf8(value):
        raise Bad(f"{name} has characters that cannot be stored")
    return value


def filled_if_any(values: Mapping[str, Any], name: str) -> str | None:
    """A text that says something, or None."""
    text = text_if_any(values, name)
    return text if text and text.strip() else None


def id_in(values: Mapping[str, Any], name: str) -> str:
    """An id: a text, or a whole number."""
    value = values.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return _digits(value, name)
    if isinstance(value, float) and value.is_integer():  # what a table with gaps makes of whole numbers
        return str(int(value))
    return text_in(values, name)


def id_if_any(values: Mapping[str, Any], name: str) -> str:
    """An id, or "" where there is none."""
    value = values.get(name)
    blank = is_missing(value) or (isinstance(value, str) and not value.strip())
    return "" if blank else id_in(values, name)


def first_there(values: Mapping[str, Any], *names: str) -> str:
    """The first of some names that has a value; the first of all where none has."""
    return next((name for name in names if not is_missing(values.get(name))), names[0])


def fields_in(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """The named fields that say something, from our name → the file's."""
    found = {name: field_if_any(values, theirs) for name, theirs in names.items()}
    return {name: text for name, text in found.items() if text and text.strip()}


def field_if_any(values: Mapping[str, Any], name: str) -> str | None:
    """A named field for the templates: a text as it is, a number as a person writes it."""
    value = values.get(name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return _digits(value, name)
    if isinstance(value, float) and math.isfinite(value):
        return written(value)
    return text_if_any(values, name)


def _digits(number: int, name: str) -> str:
    try:
        return str(number)
    except ValueError:  # Python's guard against thousands of digits
        raise Bad(f"{name} is no number") from None


def written(number: float) -> str:
    """A number as a person writes it: 4, not 4.0."""
    return f"{number:.15g}"


def number_if_any(values: Mapping[str, Any], name: str) -> float | None:
    """A number, or a text that is one."""
    value: Any = values.get(name)
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise Bad(f"{name} is no number")
    return number


def time_if_any(values: Mapping[str, Any], name: str) -> int | None:
    """A moment in milliseconds since 1970: from a date, ISO text, or seconds or milliseconds since 1970."""
    value = values.get(name)
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    try:
        moment = _moment(value)
    except (TypeError, ValueError, OverflowError, OSError):
        moment = None
    if moment is None or not _EARLIEST <= moment <= _LATEST:
        raise Bad(f"{name} is no time")
    return round(moment.timestamp() * 1000)


def date_if_any(values: Mapping[str, Any], name: str) -> int | None:
    """As `time_if_any`, but four digits are a year, which is its first moment, and what cannot be read is no time."""
    value = values.get(name)
    if isinstance(value, int | float) and 1000 <= value <= 9999:
        value = f"{value:.0f}"
    if isinstance(value, str) and _YEAR.fullmatch(value.strip()):
        value = f"{value.strip()}-01-01"
    try:
        return time_if_any({name: value}, name)
    except Bad:
        return None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip()) if not _is_number(value) else float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if abs(value) >= _FIRST_MS else value, UTC)
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
