"""What a format is, and what the formats share."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.formats.values import is_missing, written
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import Item, Split, Text


@dataclass(frozen=True)
class Reading:
    """What a person says of the files, and what a format has to know before it reads the first row."""

    task: str | None = None  # the name of a task in tasks/, for formats that hold several
    columns: Mapping[str, str] = field(default_factory=dict)  # our name → the file's
    answers: Mapping[str, str] = field(default_factory=dict)  # query → reference, where they are in files of their own


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
