"""What files may hold that no format expects, and what is asked of a format whatever it is given."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date, datetime
from typing import Any

from hypothesis import strategies as st

from steerx_cli.core.text import is_utf8
from steerx_cli.lm.templates import Task
from steerx_cli.tools.import_.formats.format import Reader
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Item, Text

_TRAPS: list[Any] = [
    *("", " ", "\ud800", "\0", "nan", "inf", "-1e999", "9" * 5000, "2014", "0000", "9999-12-31T23:59:59-14:00"),
    *(10**400, -(10**4000), 10**11, -1, 0, 1e308, -0.0, float("nan"), float("inf"), True),
    *(b"bytes", date(1, 1, 1), datetime(9999, 12, 31, 23, 59), (), {}, [], [[[]]], {1: {None: []}}, [None]),
]
_LEAVES = st.sampled_from(_TRAPS) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_LEAVES.filter(lambda key: not isinstance(key, dict | list)), inner, max_size=4)
    ),
)
OBJECTS = st.dictionaries(st.text(max_size=8) | st.integers(), ANYTHING, max_size=5)


def spoilt(row: Mapping[str, Any]) -> st.SearchStrategy[dict[Any, Any]]:
    """The row with anything in any of its places, or anything at all."""
    places = list(_places(row))
    one = st.builds(_put, st.just(row), st.sampled_from(places), ANYTHING)
    return one | OBJECTS | st.fixed_dictionaries({}, optional=dict.fromkeys(row, ANYTHING))


def check_any(reader: Reader, row: Mapping[Any, Any]) -> None:
    """Texts that can be stored, or a reason: never anything else."""
    try:
        made = list(reader(row, "test"))
    except Bad as bad:
        check_reason(bad)
        return
    for text in made:
        if isinstance(text, Bad):
            check_reason(text)
            assert text.entry is not None
        else:
            check_text(text)


def check_text(text: Text) -> None:
    """What the types say, held while running."""
    assert text.user_id.strip()
    assert text.split is not None or (text.response and text.response.strip())
    assert text.time is None or isinstance(text.time, int)
    assert text.rating is None or isinstance(text.rating, float)
    words = [text.user_id, text.text_id, text.response, text.input, text.about, *text.fields, *text.fields.values()]
    assert all(isinstance(word, str) and is_utf8(word) for word in words if word is not None)


def check_item(item: Item) -> None:
    """The same, for an item."""
    words = [item.item_id, *item.fields, *item.fields.values()]
    assert all(isinstance(word, str) and is_utf8(word) for word in words)


def check_reason(bad: Bad) -> None:
    """Reasons are counted, so there are only a few of them."""
    assert bad.reason == str(bad)
    assert any(bad.reason.endswith(words) for words in _REASONS), bad.reason


def rendered(task: Task, text: Text) -> str:
    """A text in its task's template."""
    values = {**text.fields, "input": text.input or ""}
    return task.fill_input(values) if text.split else task.fill_item(values)


_REASONS = (
    *(" is missing", " is blank", " is no text", " is no list", " is no object", " is no number", " is no time"),
    *(" has characters that cannot be stored", " is neither train, development nor test"),
    "description is no list of texts",
)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*above, key)
        yield from _places(part, (*above, key))


def _put(row: Mapping[str, Any], place: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    copy: Any = deepcopy(dict(row))
    inside = copy
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return dict(copy)
