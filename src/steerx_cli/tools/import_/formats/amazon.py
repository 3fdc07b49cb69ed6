"""Amazon's reviews and metadata as Ni et al. published them in 2018: an object in each line."""

from collections.abc import Iterator

from steerx_cli.tools.import_.formats.format import Format, Reader, Reading, rated
from steerx_cli.tools.import_.formats.values import (
    field_if_any,
    fields_in,
    id_in,
    is_missing,
    number_if_any,
    text_if_any,
    text_in,
    time_if_any,
)
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import Item, Split, Text

_SCRIPT = ("getTime", "<span")  # where the page was read wrongly, a title is a piece of its script


def _reader(_: Reading) -> Reader:
    return _texts


def _texts(values: Values, _: Split) -> Iterator[Text]:
    asin, rating = id_in(values, "asin"), number_if_any(values, "overall")
    yield Text(
        user_id=id_in(values, "reviewerID"),
        text_id=asin,
        response=text_in(values, "reviewText"),
        fields=rated(fields_in(values, {"headline": "summary"}), rating),  # `title` is the item's
        rating=rating,
        time=time_if_any(values, "unixReviewTime"),
        about=asin,
    )


def item(values: Values) -> Item:
    """What a row of the metadata says of its item; DPL's are of the same making."""
    title, description = field_if_any(values, "title"), _description(values)
    is_script = any(piece in (title or "") for piece in _SCRIPT)
    fields = {"title": None if is_script else title, "description": description}
    said = {name: text for name, text in fields.items() if text and text.strip()}
    return Item(id_in(values, "asin"), said, is_flawed=is_script)


def _description(values: Values) -> str | None:
    """One text, of a text or of a list of its parts."""
    given = values.get("description")
    if not isinstance(given, list | tuple):
        return text_if_any(values, "description")
    if not all(isinstance(part, str) or is_missing(part) for part in given):
        raise Bad("description is no list of texts")
    whole = " ".join(part for part in given if isinstance(part, str) and part.strip())
    return text_if_any({"description": whole}, "description")


FORMAT = Format(reader=_reader, input_from=("title", "description"), item=item)
