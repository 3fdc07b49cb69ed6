"""A text of a user's and an item of the metadata, as every format gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["development", "test"]
DEVELOPMENT = frozenset({"dev", "val", "valid", "validation", "development"})  # what sources call it


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
    is_uncut: bool = False  # its instruction is worded in a way that is not known: all of it is taken
    is_label: bool = False  # one of a few answers (a tag, a score): equal ones are not the same text


@dataclass(frozen=True)
class Item:
    """What metadata says of an item."""

    item_id: str
    fields: Mapping[str, str]
    is_flawed: bool = False  # a title that is none was left out
