"""The values in a record that texts are made from: each as it is, or a reason why it cannot be used."""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from steerx_cli.core.text import is_utf8
from steerx_cli.tools.import_.records import Bad, Values

_FIRST_MS = 10**11  # numbers from here on are milliseconds since 1970; as seconds it would be the year 5138
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def is_missing(value: Any) -> bool:
    """Whether there is nothing there, in any of the ways in which files say so."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def value_in(values: Values, name: str) -> Any:
    """What is there, as JSON would have it: a table may have exact decimals, and texts that are bytes."""
    value = values.get(name)
    if isinstance(value, str):  # nearly always
        return value
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
    return value


def text_in(values: Values, name: str) -> str:
    """A text that has to be there and to say something."""
    text = text_if_any(values, name)
    if text is None:
        raise Bad(f"{name} is missing")
    if not text.strip():
        raise Bad(f"{name} is blank")
    return text


def text_if_any(values: Values, name: str) -> str | None:
    """A text exactly as it is, or None."""
    value = value_in(values, name)
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise Bad(f"{name} is no text")
    if not is_utf8(value):
        raise Bad(f"{name} has characters that cannot be stored")
    return value


def filled_if_any(values: Values, name: str) -> str | None:
    """A text that says something, or None."""
    text = text_if_any(values, name)
    return text if text and text.strip() else None


def id_in(values: Values, name: str) -> str:
    """An id: a text, or a whole number."""
    value = value_in(values, name)
    if isinstance(value, int) and not isinstance(value, bool):
        return _digits(value, name)
    if isinstance(value, float) and value.is_integer():  # what a table with gaps makes of whole numbers
        return str(int(value))
    return text_in(values, name)


def id_if_any(values: Values, name: str) -> str:
    """An id, or "" where there is none."""
    value = values.get(name)
    blank = is_missing(value) or (isinstance(value, str) and not value.strip())
    return "" if blank else id_in(values, name)


def first_there(values: Values, *names: str) -> str:
    """The first of some names that has a value; the first of all where none has."""
    return next((name for name in names if not is_missing(values.get(name))), names[0])


def fields_in(values: Values, names: Mapping[str, str]) -> dict[str, str]:
    """The named fields that say something, from our name → the file's."""
    found = {name: field_if_any(values, theirs) for name, theirs in names.items()}
    return {name: text for name, text in found.items() if text and text.strip()}


def field_if_any(values: Values, name: str) -> str | None:
    """A named field for the templates: a text as it is, a number or a day as a person writes it, a list of texts."""
    value = value_in(values, name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return _digits(value, name)
    if isinstance(value, float) and math.isfinite(value):
        return written(value)
    if isinstance(value, date):  # a moment is one too
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(text_in({name: part}, name) for part in value if not is_missing(part))
    return text_if_any(values, name)


def _digits(number: int, name: str) -> str:
    try:
        return str(number)
    except ValueError:  # Python's guard against thousands of digits
        raise Bad(f"{name} is no number") from None


def written(number: float) -> str:
    """A number as a person writes it: 4, not 4.0."""
    return f"{number:.15g}"


def number_if_any(values: Values, name: str) -> float | None:
    """A number, or a text that is one."""
    value = value_in(values, name)
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


def time_if_any(values: Values, name: str) -> int | None:
    """A moment in milliseconds since 1970: from a date, ISO text, a year, or seconds or milliseconds since 1970."""
    value = value_in(values, name)
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    try:
        moment = _moment(value)
    except (TypeError, ValueError, OverflowError, OSError):
        moment = None
    if moment is None or not _EARLIEST <= moment <= _LATEST:
        raise Bad(f"{name} is no time")
    return round(moment.timestamp() * 1000)


def date_if_any(values: Values, name: str) -> int | None:
    """As `time_if_any`, but what cannot be read is no time."""
    try:
        return time_if_any(values, name)
    except Bad:
        return None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if _is_number(text) else datetime.fromisoformat(text)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _day(value) or datetime.fromtimestamp(value / 1000 if abs(value) >= _FIRST_MS else value, UTC)
    return None


def _day(number: float) -> datetime | None:
    """A year, or a day such as 20240131: as seconds since 1970 either would be a moment of its first years."""
    if number != int(number) or not (1000 <= number <= 2999 or 1900_00_00 < number < 2100_00_00):
        return None
    with suppress(ValueError):
        return datetime.strptime(f"{number:.0f}", "%Y" if number <= 2999 else "%Y%m%d").replace(tzinfo=UTC)
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
