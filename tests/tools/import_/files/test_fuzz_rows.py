"""A hundred thousand mangled records of every kind: each file ends in rows or in a sentence, and none whole is lost."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mangle import KINDS, LONG_TEXT, TEXT_KINDS, Record, mangled
from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.files.rows import How, columns_of, read_rows
from steerx_cli.tools.import_.records import Bad, Row

FILES, RECORDS = 26, 430  # of each kind; 9 kinds make 100,000 records
GENTLE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def people(seed: int) -> Iterator[Record]:
    """Records such as the formats know: an id, a text of several lines, numbers, a list of objects."""
    draw = Random(seed)
    for number in range(RECORDS):
        text = "".join(
            draw.choice(["word ", "ü", "字", "🙂", '"', ",", "\t", "\n", "\r\n", "}", "]"]) for _ in range(20)
        )
        profile = [{"id": str(entry), "text": text[entry:]} for entry in range(draw.randrange(3))]
        user = f"u{draw.randrange(50)}"
        yield {"user": user, "id": number, "text": text, "rating": draw.random(), "time": None, "profile": profile}


def rows_of(path: Path, within: str | None = None) -> list[Row]:
    """What comes out of a file, if need be up to a sentence about the whole of it."""
    rows: list[Row] = []
    with suppress(SteerxError):
        rows.extend(read_rows(path, How(), within))
        columns_of(path, How())
    return rows


def exact(value: Any) -> str:
    """A record so that NaN equals NaN, and 1 neither 1.0 nor True."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happened_to_a_file_its_whole_records_come_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"mangled.{kind}"
    counted = 0
    for seed in range(FILES):
        within = "golds" if seed % 2 and kind in ("json", "json.gz") else None
        data, account = mangled(people(seed), kind, seed, within)
        path.write_bytes(data)
        rows = rows_of(path, within)
        found = {row.line: row.values for row in rows}
        assert len(found) == len(rows), f"seed {seed}: two rows of one number"
        assert [row.line for row in rows] == sorted(found)
        for number, record in account.items():
            values = found[number]
            assert not isinstance(values, Bad), f"seed {seed}, {number}: {values.reason}"
            assert exact(values) == exact(record), f"seed {seed}, {number}"
        counted += len(account)
    assert counted > FILES * RECORDS / 4


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_a_text_of_ten_megabytes_is_a_text(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"long.{kind}"
    if kind in ("csv", "tsv"):
        path.write_text(f'text\n"{LONG_TEXT}\n"\nnext\n')
    else:
        records = [{"text": f"{LONG_TEXT}\n"}, {"text": "next"}]
        path.write_text(json.dumps(records) if kind == "json" else "\n".join(map(json.dumps, records)))
    assert [row.values for row in rows_of(path)] == [{"text": f"{LONG_TEXT}\n"}, {"text": "next"}]


@pytest.mark.parametrize("kind", KINDS)
@GENTLE
@given(data=st.binary(max_size=200))
def test_any_bytes_are_rows_or_a_sentence(kind: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"any.{kind}"
    path.write_bytes(data)
    rows_of(path)
    rows_of(path, "golds")


JSON_LIKE = st.lists(
    st.sampled_from([*'[]{},:"\\ \n\r1-', "NaN", "true", '"golds"', "\\u12", '"a":', "\ud800", "\ufeff", "\0", "e9"]),
    max_size=30,
)


@GENTLE
@given(signs=JSON_LIKE, start=st.sampled_from(["", "[", '[{"a":', '{"golds": [', '{"a": ']))
def test_any_signs_of_json_are_rows_or_a_sentence(signs: list[str], start: str, tmp_path: Path) -> None:
    path = tmp_path / "signs.json"
    path.write_bytes((start + "".join(signs)).encode("utf-8", "surrogatepass"))
    rows_of(path)
    rows_of(path, "golds")


@GENTLE
@given(records=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=4), indent=st.sampled_from([None, 1]))
def test_any_records_come_back_from_json(records: list[Record], indent: int | None, tmp_path: Path) -> None:
    as_list, as_lines, inside = (tmp_path / name for name in ("list.json", "lines.json", "inside.json"))
    as_list.write_text(json.dumps(records, indent=indent))
    as_lines.write_text("\n\n".join(map(json.dumps, records)))
    inside.write_text(json.dumps({"task": records, "golds": records, "z": records}, indent=indent))
    for path, within in ((as_list, None), (as_lines, None), (inside, "golds")):
        assert exact([row.values for row in rows_of(path, within)]) == exact(records)
