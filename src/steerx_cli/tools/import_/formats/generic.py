"""Any file with a text in each row: a person says which columns hold what."""

from collections.abc import Iterator, Mapping
from functools import partial

from steerx_cli.tools.import_.formats.format import Format, Reader, Reading, rated
from steerx_cli.tools.import_.formats.values import (
    fields_in,
    filled_if_any,
    id_if_any,
    id_in,
    number_if_any,
    text_in,
    time_if_any,
)
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import DEVELOPMENT, Split, Text

_OURS = ("user_id", "item_id", "input", "response", "rating", "time", "split")
_SPLITS: Mapping[str, Split | None] = {
    **dict.fromkeys(("train", "history", "histories"), None),
    **dict.fromkeys(DEVELOPMENT, "development"),
    "test": "test",
}


def _reader(reading: Reading) -> Reader:
    columns = {name: reading.columns.get(name, name) for name in _OURS}
    named = {name: column for name, column in reading.columns.items() if name not in _OURS}
    return partial(_texts, columns, named)


def _texts(columns: Mapping[str, str], named: Mapping[str, str], values: Values, _: Split) -> Iterator[Text]:
    """The row's one text: its own column, not its file, says whether it is a query."""
    split = _split(values, columns["split"])
    rating = number_if_any(values, columns["rating"])
    yield Text(
        user_id=id_in(values, columns["user_id"]),
        text_id=id_if_any(values, columns["item_id"]),
        response=(filled_if_any if split else text_in)(values, columns["response"]),
        fields=rated(fields_in(values, named), rating),
        input=filled_if_any(values, columns["input"]),
        rating=rating,
        time=time_if_any(values, columns["time"]),
        split=split,
    )


def _split(values: Values, column: str) -> Split | None:
    named = filled_if_any(values, column)
    if named is None:
        return None
    try:
        return _SPLITS[named.strip().lower()]
    except KeyError:
        raise Bad(f"{column} is neither train, development nor test") from None


FORMAT = Format(reader=_reader, has_columns=True, input_from=("title", "description"))
