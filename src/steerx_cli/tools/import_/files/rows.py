"""People's own files: each record once, as a mapping or as what is wrong with it, in memory that does not grow."""

import csv
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeAlias

from steerx_cli.core.artifacts import foreign_columns, foreign_rows
from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.files import json_lists, lines
from steerx_cli.tools.import_.records import Bad, Row, Values

_TABLES = (".csv", ".tsv")
_TEXTS = (".jsonl", ".ndjson", ".json", *_TABLES)
SUFFIXES = (*_TEXTS, *(f"{suffix}.gz" for suffix in _TEXTS), ".parquet")

_Numbered: TypeAlias = tuple[int, Values | Bad]


@dataclass(frozen=True)
class How:
    """What a file does not say of itself."""

    encoding: str = "utf-8"
    delimiter: str = ","  # of .csv


def read_rows(path: Path, how: How, within: str | None = None) -> Iterator[Row]:
    """Every record of a file; `within` names the list in an object that is the whole of a .json file."""
    for number, values in _numbered(path, how, within):
        yield Row(path, number, values)


def check_readable(path: Path, how: How) -> None:
    """Refuse what could not be read whatever is in it."""
    if _kind(path) != ".parquet":
        lines.check_encoding(how.encoding)


def columns_of(path: Path, how: How) -> list[str] | None:
    """The names of a table's columns; None for JSON, where each record has its own."""
    kind = _kind(path)
    if kind == ".parquet":
        return foreign_columns(path)
    if kind not in _TABLES:
        return None
    with lines.reading(path, how.encoding) as text:
        return [name for name in _header(path, _table(lines.lines(text), _delimiter(kind, how)), how.encoding) if name]


def is_readable(path: Path) -> bool:
    """Whether a file's name says that it can be read here."""
    return path.name.lower().endswith(SUFFIXES)


def _kind(path: Path) -> str:
    if is_readable(path):
        return f".{path.name.lower().removesuffix('.gz').rpartition('.')[2]}"
    known = f"{', '.join(_TEXTS)} (each also with .gz after it) and .parquet"
    raise SteerxError(f"{path} has none of the suffixes {known}: give it the one of what it holds")


def _numbered(path: Path, how: How, within: str | None) -> Iterator[_Numbered]:
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path)
        return
    first = _first_sign(path, how.encoding) if kind == ".json" else ""
    with lines.reading(path, how.encoding) as text:
        if kind in _TABLES:
            yield from _table_rows(path, _table(lines.lines(text), _delimiter(kind, how)), how.encoding)
        elif first == "[" or (first == "{" and within is not None):
            yield from _json_list(path, text, how.encoding, within if first == "{" else None)
        else:
            yield from _json_lines(lines.lines(text), how.encoding)


def _parquet(path: Path) -> Iterator[_Numbered]:
    for number, values in enumerate(foreign_rows(path), 1):
        yield number, Bad("values that cannot be read") if values is None else values


# --- JSON -------------------------------------------------------------------------------------------------------------


def _first_sign(path: Path, encoding: str) -> str:
    """What a .json file starts with: the suffix does not say whether it is one value or one a line."""
    with lines.reading(path, encoding) as text:
        try:
            return next((piece.lstrip()[0] for piece in lines.pieces(text) if piece.strip()), "")
        except lines.DAMAGED:
            return ""


def _json_lines(found: Iterator[lines.Line], encoding: str) -> Iterator[_Numbered]:
    for number, text in found:
        if isinstance(text, Bad):
            yield number, text
        elif lines.MARK in text:
            yield number, lines.not_in(encoding)
        elif text.strip():
            yield number, json_lists.object_from(text)


def _json_list(path: Path, text: TextIO, encoding: str, within: str | None) -> Iterator[_Numbered]:
    try:
        yield from enumerate(json_lists.records(text, encoding, within), 1)
    except json_lists.NoList:
        raise SteerxError(f"{path} has no list under {within}: name a file of this format") from None


# --- tables -----------------------------------------------------------------------------------------------------------


class _Unreadable(Exception):
    """A line that csv must not see, or one too many for a record."""


class _Feed:
    """What csv reads: the lines of a file, and after a record that fails its lines once more, but for the first.

    A quote that nothing closes would otherwise take every line up to the next quote, or to the end, into its record.
    """

    def __init__(self, found: Iterator[lines.Line]) -> None:
        self._lines = found
        self._again: deque[lines.Line] = deque()
        self._read = self._read_again = 0  # characters, the second once more each time
        self._size = 0
        self.record: list[lines.Line] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        again = bool(self._again)
        line = self._again.popleft() if again else next(self._lines)
        self.record.append(line)
        if isinstance(line.text, Bad):
            raise _Unreadable
        self._read += 0 if again else len(line.text)
        self._size += len(line.text)
        if self._size > lines.LIMIT:
            raise _Unreadable
        return line.text

    def start(self) -> None:
        """Begin a record."""
        self.record, self._size = [], 0

    def give_up(self) -> Bad:
        """Say what is wrong with the record, and have the lines after its first read again."""
        first = self.record[0].text
        reason = lines.TOO_LONG if self._size > lines.LIMIT else "quotes that are not closed, or not doubled"
        # Where quotes are so odd that each line swallows all the others, the file would be read as often as it has
        # lines; with a quote too many here and there no line is read more than twice.
        if self._read_again <= 4 * self._read:
            self._again.extendleft(reversed(self.record[1:]))
            self._read_again += self._size
        elif isinstance(self.record[-1].text, Bad):
            self._again.appendleft(self.record[-1])
        return first if isinstance(first, Bad) else Bad(reason)


_Table: TypeAlias = Iterator[tuple[list[lines.Line], list[str] | Bad]]


def _delimiter(kind: str, how: How) -> str:
    delimiter = "\t" if kind == ".tsv" else how.delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise SteerxError("a delimiter is one character, and neither a quote nor the end of a line: name another")
    return delimiter


def _table(found: Iterator[lines.Line], delimiter: str) -> _Table:
    """Each record's lines and its values, from the header on."""
    csv.field_size_limit(lines.LIMIT)
    feed = _Feed(found)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.start()
        try:
            values = next(reader)
        except StopIteration:
            return
        except (csv.Error, _Unreadable):
            yield feed.record, feed.give_up()
            continue
        if values and not (len(values) == 1 and values[0].isspace()):  # a blank line is no record
            yield feed.record, values


def _header(path: Path, table: _Table, encoding: str) -> list[str]:
    found, values = next(table, ([], []))
    if isinstance(values, Bad) or _is_marked(found):
        raise SteerxError(f"{path} has a first line that cannot be read as the columns' names in {encoding}: mend it")
    names = [name.strip() for name in values]
    if not any(names):
        raise SteerxError(f"{path} has no header: its first line must be the columns' names")
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise SteerxError(f"{path} has two columns of one name (number {names.index(twice[0]) + 1}): rename one")
    return names


def _is_marked(found: list[lines.Line]) -> bool:
    return any(lines.MARK in line.text for line in found if isinstance(line.text, str))


def _table_rows(path: Path, table: _Table, encoding: str) -> Iterator[_Numbered]:
    names = _header(path, table, encoding)
    for found, values in table:
        yield found[0].number, values if isinstance(values, Bad) else _named(names, found, values, encoding)


def _named(names: list[str], found: list[lines.Line], values: list[str], encoding: str) -> Values | Bad:
    """A record by its columns' names; a column without one (the numbers that pandas writes) cannot be asked for."""
    if _is_marked(found):
        return lines.not_in(encoding)
    if len(values) != len(names):
        return Bad("other columns than the header")
    return {name: value for name, value in zip(names, values, strict=True) if name}
