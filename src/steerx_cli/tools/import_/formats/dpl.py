"""DPL's people: in each row a user's earlier reviews (`profile`) and the one that is asked for (`data`)."""

from collections.abc import Iterator, Mapping
from functools import partial

from steerx_cli.tools.import_.formats.amazon import item
from steerx_cli.tools.import_.formats.format import Format, Reader, Reading, each_text, list_in, rated
from steerx_cli.tools.import_.formats.values import fields_in, filled_if_any, id_in, number_if_any, text_in, time_if_any
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import Split, Text


def _reader(_: Reading) -> Reader:
    return _texts


def _texts(values: Values, split: Split) -> Iterator[Text | Bad]:
    user_id, asked = id_in(values, "user_id"), values.get("data")
    if not isinstance(asked, Mapping):
        raise Bad("data is no object")
    query = _text(user_id, split, asked)
    yield from each_text(list_in(values, "profile"), partial(_text, user_id, None))
    yield query


def _text(user_id: str, split: Split | None, values: Values) -> Text:
    """A review; of one that is asked for, the text may be unknown."""
    asin, rating = id_in(values, "asin"), number_if_any(values, "rating")
    return Text(
        user_id=user_id,
        text_id=asin,
        response=(filled_if_any if split else text_in)(values, "text"),
        fields=rated(fields_in(values, {"headline": "title"}), rating),  # the review's own title, not the item's
        rating=rating,
        time=time_if_any(values, "timestamp"),
        split=split,
        about=asin,
    )


FORMAT = Format(reader=_reader, own_queries=True, input_from=("title", "description"), item=item)
