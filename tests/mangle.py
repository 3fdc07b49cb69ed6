"""Files of records as a careless world hands them on, and an account of what in them is still as it was put in."""

import csv
import gzip
import io
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

Record = Mapping[str, Any]
Account = dict[int, Record]  # the number under which a record has to come out → the record, exactly

TEXT_KINDS = ("jsonl", "json", "csv", "tsv")
KINDS = (*TEXT_KINDS, *(f"{kind}.gz" for kind in TEXT_KINDS), "parquet")
LONG_TEXT = "long " * 2_000_000  # 10 MB
_LINE_END = re.compile(rb"\r\n?|\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        float("nan"),
        float("inf"),
        True,
        0,
        -1,
        1e300,
        10**30,
        "",
        " ",
        "4",
        [],
        {},
        [None],
        [[None]],
        {"a": None},
    ),
    *("\ud800", "\udcff \udfff", "nul \0", "\u2028\x85\x0b\x1c", "\ufeff", '"', "a\r\nb\rc\n", ",;\t", "text " * 5_000),
)
# A record that still is one where only its bytes are strange, and one that is not any more.
_ODD_BYTES = (
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\0",
    b'"',
    b"\\",
    b"\n",
    b"\r",
    b",",
    b"}",
    b"]",
    b"\xef\xbb\xbf",
    b"NaN",
)
_ODD_LINES = (
    *(b"", b"  \t", b"null", b"[1, 2]", b'"text"', b"{", b"]", b'{"a": 1} {"b": 2}', b"{'a': 1}", b"{} x", b"\xff\xfe"),
    *(b'{"a": ' + b"9" * 5_000 + b"}", b'{"a": ' + b"[" * 3_000 + b"]" * 3_000 + b"}", b'{"a": ' + b'{"a":' * 3_000),
)


class Mangled(NamedTuple):
    """A file, and what has to come out of it."""

    data: bytes
    account: Account


# --- one record -------------------------------------------------------------------------------------------------------


def mangled_json_value(draw: Random, value: Any) -> Any:
    """The same value with one part of it, or all of it, made into something else."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        name = draw.choice(list(value))
        rest = {key: part for key, part in value.items() if key != name}
        return rest if draw.random() < 0.2 else {**rest, name: mangled_json_value(draw, value[name])}
    if isinstance(value, list) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        return [*value[:place], mangled_json_value(draw, value[place]), *value[place + 1 :]]
    return _nested(value, draw.randrange(1, 50)) if draw.random() < 0.1 else draw.choice(_ODD_VALUES)


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def mangled_line(draw: Random, line: bytes) -> bytes:
    """The same line cut, flipped, with strange bytes in it, or another one."""
    place = draw.randrange(len(line) + 1)
    way = draw.randrange(5)
    if way == 0:
        return line[:place]
    if way == 1:
        return line[:place] + bytes([draw.randrange(256)]) + line[place + 1 :]
    if way == 2:
        return line[:place] + draw.choice(_ODD_BYTES) + line[place:]
    if way == 3:
        return line[:place] + draw.randbytes(draw.randrange(20)) + line[place:]
    return draw.choice(_ODD_LINES)


# --- files of lines ---------------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """Where in the file a record is, when nothing has touched it."""

    start: int
    end: int
    record: Record


def _joined(lines: Iterable[tuple[bytes, Record | None]], draw: Random, share: float) -> tuple[bytes, list[_Piece]]:
    data, pieces = bytearray(), []
    line_end = draw.choice([b"\n", b"\r\n"])
    alone = True  # nothing of the line before is on this one
    for line, record in lines:
        touched = draw.random() < share
        if record is not None and not touched and alone:
            pieces.append(_Piece(len(data), len(data) + len(line), record))
        data += mangled_line(draw, line) if touched else line
        alone = not touched or draw.random() < 0.9
        data += line_end if alone else b""
    return bytes(data), pieces


def _numbered(data: bytes, pieces: Iterable[_Piece]) -> Account:
    ends = [found.end() for found in _LINE_END.finditer(data)]
    return {bisect_right(ends, piece.start) + 1: piece.record for piece in pieces}


def _cut(draw: Random, data: bytes, pieces: list[_Piece]) -> tuple[bytes, list[_Piece]]:
    """One file in four ends somewhere before its end."""
    if draw.random() < 0.75:
        return data, pieces
    size = draw.randrange(len(data) // 2, len(data) + 1)
    return data[:size], [piece for piece in pieces if piece.end <= size]


# --- kinds of files ---------------------------------------------------------------------------------------------------


def mangled(records: Iterable[Record], kind: str, seed: int, within: str | None = None) -> Mangled:
    """A file of the records, some of them mangled; `kind` is its suffix, `within` puts a JSON list into an object."""
    draw = Random(seed)
    some = [mangled_json_value(draw, record) if draw.random() < 0.2 else record for record in records]
    if kind == "parquet":
        return _parquet(draw, some)
    name = kind.removesuffix(".gz")
    found = _json_list(draw, some, within) if name == "json" else _line_by_line(draw, some, name)
    return _packed(draw, found) if kind.endswith(".gz") else found


def _line_by_line(draw: Random, records: list[Any], kind: str) -> Mangled:
    start = draw.choice([b"", b"\xef\xbb\xbf"])
    if kind == "jsonl":
        lines = [_json_line(draw, record) for record in records]
    else:
        (header, _), *lines = _table_lines(records, "," if kind == "csv" else "\t")
        start += header + b"\n"
    data, pieces = _cut(draw, *_joined(lines, draw, 0.2))
    moved = [piece._replace(start=len(start) + piece.start) for piece in pieces]
    return Mangled(start + data, _numbered(start + data, moved))


def _json_line(draw: Random, record: Any) -> tuple[bytes, Record | None]:
    escaped = draw.random() < 0.5
    text = json.dumps(record, ensure_ascii=escaped)
    whole = isinstance(record, dict) and (escaped or not _has_surrogates(text))
    return text.encode("utf-8", "surrogatepass"), record if whole else None


def _has_surrogates(text: str) -> bool:
    return _SURROGATE.search(text) is not None


def _table_lines(records: list[Any], delimiter: str) -> list[tuple[bytes, Record | None]]:
    """The header and the records, every value in quotes: then no quote that is left open reaches beyond one of them."""
    rows = [record for record in records if isinstance(record, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines: list[tuple[bytes, Record | None]] = [(_table_line(names, delimiter), {})]
    for row in rows:
        cells = {name: _cell(row.get(name)) for name in names}
        # The same holds only where the text after the first quote is not what may come after a last one.
        whole = cells[names[0]][:1].isalnum() and not any(_has_surrogates(cell) for cell in cells.values())
        lines.append((_table_line(cells.values(), delimiter), cells if whole else None))
    return lines


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _table_line(cells: Iterable[str], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _json_list(draw: Random, records: list[Any], within: str | None) -> Mangled:
    data = bytearray(draw.choice([b"", b"\xef\xbb\xbf", b"\n "]))
    data += b'{"task": "x", "%s": [' % within.encode() if within else b"["
    pieces: list[tuple[int, _Piece]] = []
    share, readable = draw.choice([0, 0.002]), True  # what comes after a broken record may be lost with it
    for number, record in enumerate(records, 1):
        line, whole = _json_line(draw, record)
        readable = readable and draw.random() >= share
        if whole is not None and readable:
            pieces.append((number, _Piece(len(data), len(data) + len(line), whole)))
        data += line if readable or draw.random() < 0.8 else mangled_line(draw, line)
        data += draw.choice([b",", b", ", b"\r\n,\n"]) if number < len(records) else b""
    data += b'], "z": {"a": [1, "]"]}}' if within else b"]"
    kept, left = _cut(draw, bytes(data), [piece for _, piece in pieces])
    return Mangled(kept, {number: piece.record for number, piece in pieces[: len(left)]})


def _packed(draw: Random, found: Mangled) -> Mangled:
    """One file in four is damaged; what is in it then nobody knows, but that it must not stop anything."""
    data = gzip.compress(found.data, compresslevel=1, mtime=0)
    return Mangled(data, found.account) if draw.random() < 0.75 else Mangled(_damaged(draw, data), {})


def _damaged(draw: Random, data: bytes) -> bytes:
    place = draw.randrange(len(data))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:place],
        lambda: data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :],
        lambda: data[:place] + draw.randbytes(4) + data[place + 4 :],
        lambda: data + b"more",
    ]
    return draw.choice(ways)()


def _parquet(draw: Random, records: list[Any]) -> Mangled:
    rows = [record for record in records if isinstance(record, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    account = dict(enumerate(table.to_pylist(), 1))
    for number in draw.sample(sorted(account), len(account) // 20):
        del account[number]
    text = [row[names[0]] for row in table.to_pylist()]
    if isinstance(text[0], str):
        raw = [(value or "").encode() + (b"" if number in account else b"\xff") for number, value in enumerate(text, 1)]
        account = {number: {**row, names[0]: row[names[0]] or ""} for number, row in account.items()}
        table = table.set_column(0, names[0], pa.array(raw, pa.binary()).view(pa.string()))
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=draw.choice([7, 100, 10_000]), compression=draw.choice(["zstd", "none"]))
    data = file.getvalue()
    return Mangled(data, account) if draw.random() < 0.75 else Mangled(_damaged(draw, data), {})


def _column(values: list[Any]) -> pa.Array:
    """A column as it is, or (where its values are of several types, or of one that has no Parquet) as texts."""
    try:
        column = pa.array(values)
        pq.write_table(pa.table({"column": column}), io.BytesIO())
        return column
    except (pa.ArrowException, UnicodeError, OverflowError):
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.string())
