"""Files: each record once, under the line an editor shows; what is wrong with one costs none of the others."""

import codecs
import csv
import gzip
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.files import json_lists, lines, rows
from steerx_cli.tools.import_.files.rows import SUFFIXES, How, columns_of, is_readable, read_rows
from steerx_cli.tools.import_.records import Bad

Read = Callable[..., list[tuple[int, Any]]]
QUOTES = "quotes that are not closed, or not doubled"
NOT_UTF8 = "bytes that are not utf-8"
LIST_ENDS = "no JSON from here to the end of the file"
OTHER = "other columns than the header"
GZ_ENDS = "the gz file is damaged from here on"
A, B = {"a": 1}, {"b": 2}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read bytes as a file of some name: its lines, each with its values or with what is wrong with it."""

    def rows_of(name: str, data: bytes | str, how: How | None = None, within: str | None = None) -> list[Any]:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        found = read_rows(path, how or How(), within)
        return [(row.line, row.values.reason if isinstance(row.values, Bad) else row.values) for row in found]

    return rows_of


@pytest.fixture
def refused(read: Read, tmp_path: Path) -> Callable[..., str]:
    """What is said of a file that cannot be read at all, without its name."""

    def sentence(name: str, data: bytes | str, how: How | None = None, within: str | None = None) -> str:
        with pytest.raises(SteerxError) as error:
            read(name, data, how, within)
        return str(error.value).replace(f"{tmp_path / name} ", "")

    return sentence


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records may be 50 characters long, and little is read at once."""
    monkeypatch.setattr(lines, "LIMIT", 50)
    monkeypatch.setattr(lines, "_SKIPPED_AT_ONCE", 4)
    monkeypatch.setattr(json_lists, "_AT_ONCE", 1)
    monkeypatch.setattr("io.DEFAULT_BUFFER_SIZE", 1)


# --- JSON lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "A.JSONL", "a.b.JsonL"])
def test_a_json_object_a_line(read: Read, name: str) -> None:
    assert read(name, '{"a": 1}\n{"b": 2}\n') == [(1, A), (2, B)]


@pytest.mark.parametrize(
    "text", ['{"a": 1}\r\n\r\n{"b": 2}', '{"a": 1}\r\r{"b": 2}\r', '\ufeff{"a": 1}\n \t\n{"b": 2}\n\n']
)
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(read: Read, text: str) -> None:
    assert read("a.jsonl", text) == [(1, A), (3, B)]


def test_signs_that_only_some_programs_take_for_the_end_of_a_line_are_part_of_it(read: Read) -> None:
    signs = "\u2028\u2029\x85\x7f"
    assert read("a.jsonl", f'{{"a": "{signs}"}}\n{{"b": 2}}') == [(1, {"a": signs}), (2, B)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "no JSON"),
        (b'{"a": 1} x', "no JSON"),
        (b'{"a": 1}{"a": 1}', "no JSON"),
        (b'{"a": "\t"}', "no JSON"),
        (b"text", "no JSON"),
        (b"[1]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"a": %s}' % (b"[" * 100_000), "nested too deeply"),
        (b'{"a": %s}' % (b"9" * 5_000), "a number with too many digits"),
        (b'{"a": "\xff"}', NOT_UTF8),
        (b'{"a": "\xc3"}', NOT_UTF8),
        (b'{"a": "\xed\xa0\x80"}', NOT_UTF8),
        (b"\xff", NOT_UTF8),
    ],
)
def test_a_line_that_is_no_record_costs_no_other(read: Read, line: bytes, reason: str) -> None:
    assert read("a.jsonl", b'{"a": 1}\n\n' + line + b'\n{"b": 2}') == [(1, A), (3, reason), (4, B)]


def test_what_json_says_is_left_as_it_is(read: Read) -> None:
    ((_, values),) = read("a.jsonl", r'{"a": 1, "half": "\ud800", "nul": "\u0000", "none": null, "a": 2, "is": NaN}')
    assert values.pop("is") != 0
    assert values == {"a": 2, "half": "\ud800", "nul": "\0", "none": None}


def test_an_empty_file_has_no_records(read: Read) -> None:
    for name in ("a.jsonl", "a.json", "a.jsonl.gz"):
        for text in ("", "\ufeff", " \n\n"):
            assert read(name, text if name != "a.jsonl.gz" else gzip.compress(text.encode())) == []


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_line_that_is_too_long_is_passed_over(read: Read, line_end: str) -> None:
    for size in range(60, 70):
        found = read("a.jsonl", line_end.join(['{"a": 1}', "x" * size, '{"b": 2}', "y" * size]))
        assert found == [(1, A), (2, "longer than 64 MiB"), (3, B), (4, "longer than 64 MiB")]


# --- JSON lists -------------------------------------------------------------------------------------------------------


def test_a_json_list(read: Read) -> None:
    assert read("a.json", '\ufeff \n[{"a": 1},\n {"b": 2}\n]\n') == [(1, A), (2, B)]
    assert read("a.json", "[]") == []


def test_a_list_in_an_object_is_read_where_its_name_is_known(read: Read) -> None:
    text = '{"task": "LaMP_1", "other": [1, {"golds": []}], "golds": [{"a": 1}, {"b": 2}], "z": "]"}'
    assert read("a.json", text, None, "golds") == [(1, A), (2, B)]
    assert read("a.json", text) == [(1, json.loads(text))]
    assert read("a.json", '[{"a": 1}]', None, "golds") == [(1, A)]
    assert read("a.jsonl", '{"a": 1}\n{"b": 2}', None, "golds") == [(1, A), (2, B)]


@pytest.mark.parametrize("text", ["{}", '{"a": [1]}', '{"golds": 3}', '{"golds": {"a": []}}', '{"a": {"golds": []}}'])
def test_an_object_without_the_list_is_another_file(refused: Callable[..., str], text: str) -> None:
    assert refused("a.json", text, None, "golds") == "has no list under golds: name a file of this format"


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_an_element_that_is_no_record_costs_no_other(read: Read, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(json_lists, "_AT_ONCE", at_once)
    monkeypatch.setattr("io.DEFAULT_BUFFER_SIZE", min(at_once, 8192))
    bad = [
        (b"12", "no JSON object"),
        (b"-1.5e3", "no JSON object"),
        (b'"]},{["', "no JSON object"),
        (b"[[{}]]", "no JSON object"),
        (b'{"b" 2}', "no JSON"),
        (b"", "no JSON"),
        (b"text", "no JSON"),
        (b'{"a": \xff}', NOT_UTF8),
        (b'{"a": "\xff"}', NOT_UTF8),
        (b'{"a": "\xff\\"]}"}', NOT_UTF8),
        (b"[" * 3_000 + b"]" * 3_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "a number with too many digits"),
    ]
    good = b'{"a": "\\\\", "\\"": "]},"}'
    data = b"[" + b" , ".join(good + b"," + element for element, _ in bad) + b"]"
    expected = [value for _, reason in bad for value in (json.loads(good), reason)]
    assert read("a.json", data) == list(enumerate(expected, 1))


@pytest.mark.parametrize(
    "rest", ["", ",", ', {"b": 2', ', {"b": 2}', ', {"b": "', ' {"b": 2}]', "] x", "]]", ":1]", "}"]
)
def test_where_a_list_breaks_its_end_is_one_line(read: Read, rest: str) -> None:
    found = read("a.json", f'[{{"a": 1}}{rest}')
    assert found == [(1, A), *([(2, B)] if rest == ', {"b": 2}' else []), (len(found), LIST_ENDS)]
    assert len(found) >= 2


@pytest.mark.parametrize("rest", ["", "]", "]]", '], "b"', '], "b": 1', '], "b": 1,', '], "b": 1} x', '], 5: "}'])
def test_where_the_object_around_a_list_breaks_its_end_is_one_line(read: Read, rest: str) -> None:
    assert read("a.json", f'{{"golds": [{{"a": 1}}{rest}', None, "golds") == [(1, A), (2, LIST_ENDS)]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("element", ['"%s"', '{"a": "%s"}', "[%s]", '{"\\\\\\"": ["%s"]}', "%s"])
def test_an_element_that_is_too_long_is_passed_over(read: Read, element: str) -> None:
    for size in (60, 200, 201):
        found = read("a.json", f'[{{"a": 1}}, {element % ("1" * size)}, {{"b": 2}}]')
        assert found == [(1, A), (2, "longer than 64 MiB"), (3, B)]


def test_a_list_is_not_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "_AT_ONCE", 10_000)
    path = tmp_path / "a.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("[" + ",".join(json.dumps({"text": "word " * 200}) for _ in range(10_000)) + "]")
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path, How())) == 10_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000  # of 10 MB


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_table(read: Read) -> None:
    expected = [
        (2, {"user": "ü", "text": "a,b"}),
        (3, {"user": "v", "text": 'say "x"\r\n\ttwice'}),
        (6, {"user": "w", "text": ""}),
    ]
    assert read("a.csv", '\ufeff"user",text\r\nü,"a,b"\r\nv,"say ""x""\r\n\ttwice"\r\n\r\nw,') == expected
    assert read("a.tsv", 'user\t text \nü\ta,b\nv\t"say ""x""\r\n\ttwice"\n\nw\t""\n') == expected
    assert read("a.csv", 'user;text\nü;a,b\nv;"say ""x""\r\n\ttwice"\n\nw;', How(delimiter=";")) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", OTHER),
        (b"1,2,3", OTHER),
        (b"1,2,", OTHER),
        (b'1,"2"x', QUOTES),
        (b'1,"2', QUOTES),
        (b'"', QUOTES),
        (b"1,\xff", NOT_UTF8),
        (b'1,"\xc3"', NOT_UTF8),
    ],
)
def test_a_row_that_does_not_fit_costs_no_other(read: Read, line: bytes, reason: str) -> None:
    good = {"a": "3", "b": "4\n5"}
    expected = [(2, good), (4, reason), (5, good), (7, {"a": "", "b": ""})]
    assert read("a.csv", b'a,b\n3,"4\n5"\n' + line + b'\n3,"4\n5"\n,') == expected


def test_a_quote_that_is_not_closed_takes_no_row_with_it_but_its_own(read: Read) -> None:
    some = [(line, {"a": str(line), "b": ""}) for line in range(3, 1000)]
    text = "a,b\n1," + '"open\n' + "".join(f"{line},\n" for line, _ in some)
    assert read("a.csv", text) == [(2, QUOTES), *some]


def test_odd_quotes_do_not_make_a_file_be_read_over_and_over(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    once = rows._Feed.__next__

    def counted(feed: rows._Feed) -> str:
        given.append(once(feed))
        return given[-1]

    monkeypatch.setattr(rows._Feed, "__next__", counted)
    found = read("a.csv", 'a,b\n1,"2\n' + '3","4\n' * 1_000)
    assert {reason for _, reason in found} == {QUOTES}
    assert len(given) < 10_000


def test_what_is_strange_and_yet_a_value(read: Read) -> None:
    assert read("a.csv", "a,b\nx\0y,'\n \t, x\n") == [(2, {"a": "x\0y", "b": "'"}), (3, {"a": " \t", "b": " x"})]
    assert read("a.csv", 'a\n\n""\n  \nb\n') == [(3, {"a": ""}), (5, {"a": "b"})]


def test_a_column_without_a_name_is_left_out(read: Read, tmp_path: Path) -> None:
    assert read("a.csv", ",a, \n0,x,\n") == [(2, {"a": "x"})]
    assert columns_of(tmp_path / "a.csv", How()) == ["a"]


@pytest.mark.usefixtures("short")
def test_a_record_of_a_table_may_not_be_too_long_either(read: Read) -> None:
    too_long, good = "longer than 64 MiB", {"a": "1", "b": "2"}
    assert read("a.csv", f"a,b\n1,{'x' * 60}\n1,2\n") == [(2, too_long), (3, good)]
    assert read("a.csv", '\n\na,b\n1,"' + "\n1,2" * 20) == [(4, too_long), *((line, good) for line in range(5, 25))]
    assert read("a.csv", f'a,b\n1,"x\n{"x" * 60}\n1,2') == [(2, QUOTES), (3, too_long), (4, good)]


def test_a_field_may_be_longer_than_csv_takes_by_itself(read: Read) -> None:
    csv.field_size_limit(131_072)
    assert read("a.csv", f"a\n{'x' * 200_000}") == [(2, {"a": "x" * 200_000})]


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"", "has no header: its first line must be the columns' names"),
        (b"\n \n", "has no header: its first line must be the columns' names"),
        (b",,\n1,2,3", "has no header: its first line must be the columns' names"),
        (b"b,a,c, a\n", "has two columns of one name (number 2): rename one"),
        (b"a,\xff\n", "has a first line that cannot be read as the columns' names in utf-8: mend it"),
        (b'a,"b', "has a first line that cannot be read as the columns' names in utf-8: mend it"),
    ],
)
def test_a_header_that_is_none_is_refused(
    refused: Callable[..., str], tmp_path: Path, header: bytes, sentence: str
) -> None:
    assert refused("a.csv", header) == sentence
    with pytest.raises(SteerxError, match=r"a\.csv has "):
        columns_of(tmp_path / "a.csv", How())


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_that_is_none_is_refused(refused: Callable[..., str], delimiter: str) -> None:
    sentence = "a delimiter is one character, and neither a quote nor the end of a line: name another"
    assert refused("a.csv", "a", How(delimiter=delimiter)) == sentence


# --- Parquet ----------------------------------------------------------------------------------------------------------


def test_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.PARQUET"
    text = pa.array([b"one", b"\xff", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": text, "profile": [[{"a": 1}], None, []]}), path)
    assert columns_of(path, How()) == ["text", "profile"]
    found = [
        (row.line, row.values.reason if isinstance(row.values, Bad) else row.values) for row in read_rows(path, How())
    ]
    assert found == [
        (1, {"text": "one", "profile": [{"a": 1}]}),
        (2, "values that cannot be read"),
        (3, {"text": "three", "profile": []}),
    ]


# --- encodings, gz, and files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gbk", "gb18030", "utf-7"]
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.csv.gz"])
def test_any_encoding(read: Read, encoding: str, name: str) -> None:
    values = [{"text": "é字"}, {"text": "ü"}]
    text = "text\né字\nü\n" if "csv" in name else "\n".join(json.dumps(value, ensure_ascii=False) for value in values)
    data = text.encode(encoding)
    found = read(name, gzip.compress(data) if name.endswith("gz") else data, How(encoding))
    assert found == list(enumerate(values, 2 if "csv" in name else 1))


def test_a_byte_order_mark_is_taken_off_even_where_the_encoding_needs_none(read: Read) -> None:
    assert read("a.json", codecs.BOM_UTF16_BE + '[{"a": 1}]'.encode("utf-16-be"), How("utf-16-be")) == [(1, A)]


def test_bytes_of_another_encoding_are_told_by_the_line(read: Read) -> None:
    some = '{"a": 1}\n{"a": "é"}\n{"b": 2}\n'
    assert read("a.jsonl", some.encode("latin-1")) == [(1, A), (2, NOT_UTF8), (3, B)]
    assert read("a.jsonl", b'{"a": 1}\n{"a": "\x81"}\n{"b": 2}\n', How("cp1252")) == [
        (1, A),
        (2, "bytes that are not cp1252"),
        (3, B),
    ]
    half = some.encode("utf-16-le").replace("é".encode("utf-16-le"), b"\x00\xd8")
    assert read("a.jsonl", half, How("utf-16-le")) == [(1, A), (2, "bytes that are not utf-16-le"), (3, B)]


@pytest.mark.parametrize(
    "encoding", ["klingon", "", "base64", "zip", "rot13", "idna", "punycode", "undefined", "a\0b", "\udc80"]
)
def test_what_is_no_encoding_of_texts_is_refused(refused: Callable[..., str], encoding: str) -> None:
    sentence = f"{encoding!a} is no encoding of texts: name one such as utf-8, utf-16, cp1252 or gbk"
    for name in ("a.jsonl", "a.json", "a.csv"):
        assert refused(name, '{"a": 1}', How(encoding)) == sentence


def test_utf_16_has_to_say_its_byte_order(refused: Callable[..., str]) -> None:
    assert refused("a.jsonl", '{"a": 1}'.encode("utf-16-le"), How("utf-16")) == (
        "is not utf-16: name the encoding that it has (utf-16-le and utf-16-be need no byte order mark)"
    )


def packed(name: str, count: int) -> tuple[bytes, list[tuple[int, Any]]]:
    """A packed file that does not shrink much, and its records."""
    draw = random.Random(1)
    values = [{"a": draw.randbytes(30).hex()} for _ in range(count)]
    if "csv" in name:
        return gzip.compress("\n".join(["a", *(value["a"] for value in values)]).encode()), [*enumerate(values, 2)]
    text = json.dumps(values) if name == "a.json.gz" else "\n".join(map(json.dumps, values))
    return gzip.compress(text.encode()), [*enumerate(values, 1)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.GZ", "a.json.gz", "a.csv.gz"])
def test_a_damaged_gz_file_is_read_up_to_there(read: Read, refused: Callable[..., str], name: str) -> None:
    data, records = packed(name, 5_000)
    assert read(name, data) == records
    middle = len(data) // 2
    # What is wrong in the middle can look right for some records: only the checksum, which comes last, tells.
    assert read(name, data[:middle] + bytes(900) + data[middle + 900 :])[-1][1] == GZ_ENDS
    for damaged in (data[:middle], data[:-1], data[:-8] + bytes(8), data + b"more"):
        *found, last = read(name, damaged)
        assert last[1] == GZ_ENDS
        assert found == records[: len(found)]
        assert last[0] == records[0][0] + len(found)
        assert len(found) > 500
    for nothing in (data[:5], b"a", b"\x1f\x8b", data[10:]):
        assert refused(name, nothing) == "is no gz file, or a damaged one: get it again, or take .gz off its name"


def test_a_gz_file_of_several_is_one(read: Read) -> None:
    assert read("a.jsonl.gz", gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"b": 2}\n') + bytes(10)) == [
        (1, A),
        (2, B),
    ]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.json.zip", "a.parquet.gz", "a.gz", "jsonl"])
def test_a_suffix_that_says_nothing_is_refused(refused: Callable[..., str], name: str) -> None:
    assert refused(name, "") == (
        "has none of the suffixes .jsonl, .ndjson, .json, .csv, .tsv (each also with .gz after it) and .parquet: "
        "give it the one of what it holds"
    )
    assert not is_readable(Path(name))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_read_at_all_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(SteerxError, match=f"a{suffix} does not exist: name a file that is there"):
        list(read_rows(path, How()))
    path.mkdir()
    with pytest.raises(SteerxError, match=f"a{suffix} is a folder: name the files in it"):
        list(read_rows(path, How()))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz", ".parquet"])
def test_a_file_that_may_not_be_read_is_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> Iterator[Any]:
        raise PermissionError(13, "Permission denied")

    for place in ("pathlib.Path.open", "gzip.open", "pyarrow.OSFile"):
        monkeypatch.setattr(place, denied)
    with pytest.raises(SteerxError, match=f"a{suffix} may not be read by this user: change its permissions"):
        list(read_rows(tmp_path / f"a{suffix}", How()))


def test_the_columns_of_a_file(read: Read, tmp_path: Path) -> None:
    read("a.csv", "b, a ,\n")
    read("a.tsv", "b,\ta\n")
    read("a.jsonl", '{"a": 1}')
    assert columns_of(tmp_path / "a.csv", How()) == ["b", "a"]
    assert columns_of(tmp_path / "a.tsv", How()) == ["b,", "a"]
    assert columns_of(tmp_path / "a.jsonl", How()) is None
