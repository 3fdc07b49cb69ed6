"""Reading and writing: any rows that fit come back equal, and whatever does not fit is refused in a sentence."""

import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from people import write_people
from steerx_cli.core.artifacts import File, conform, foreign_columns, foreign_rows, read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import ARTIFACTS, HISTORIES, QUERIES, Artifact

# Every type that an artifact of the pipeline has, beside the artifacts themselves.
ALL_TYPES = Artifact(
    name="all types",
    version=1,
    written_by="steerx test",
    columns=pa.schema(
        [
            pa.field("user_id", pa.string(), nullable=False),
            pa.field("flag", pa.bool_()),
            pa.field("count", pa.int64()),
            pa.field("token_ids", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
            pa.field("effects", pa.list_(pa.float32())),
            pa.field("spans", pa.list_(pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32())]))),
            pa.field("vector", pa.list_(pa.float32(), 3), nullable=False),
        ]
    ),
    key=("user_id",),
    rows_per_group=5,
)
EVERY = [*ARTIFACTS.values(), ALL_TYPES]
LONG_AGO, FAR_AWAY = datetime(1700, 1, 1), datetime(2300, 1, 1)


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Anything that a column of this type can hold."""
    if pa.types.is_fixed_size_list(kind):
        return st.lists(st.floats(width=32), min_size=kind.list_size, max_size=kind.list_size)
    if pa.types.is_list(kind):
        return st.lists(cells(kind.value_field), max_size=4)
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({kind.field(i).name: cells(kind.field(i)) for i in range(kind.num_fields)})
    if pa.types.is_timestamp(kind):
        times = st.datetimes(LONG_AGO, FAR_AWAY, timezones=st.just(UTC))
        return times.map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))
    return {
        pa.string(): st.text(),
        pa.bool_(): st.booleans(),
        pa.int32(): st.integers(-(2**31), 2**31 - 1),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float32(): st.floats(width=32),
        pa.float64(): st.floats(),
    }[kind]


def cells(column: pa.Field) -> st.SearchStrategy[Any]:
    return st.none() | values(column.type) if column.nullable else values(column.type)


def rows_of(artifact: Artifact) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.fixed_dictionaries({column.name: cells(column) for column in artifact.columns})
    return st.lists(row, max_size=12, unique_by=lambda row: tuple(row[name] for name in artifact.key))


def same(left: Any, right: Any) -> bool:
    """Equal to the bit that matters: NaN is NaN, and −0 is not 0."""
    if isinstance(left, float) and isinstance(right, float):
        return repr(left) == repr(right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def write(path: Path, artifact: Artifact, *batches: pa.Table) -> Path:
    made_by = Record(artifact.name, artifact.version, stage="test", version="0", parameters={})
    write_whole(Output(path, artifact, overwrite=True), made_by, batches, users=0)
    return path


@pytest.mark.parametrize("artifact", EVERY, ids=lambda artifact: artifact.name)
def test_any_rows_that_fit_come_back_equal(artifact: Artifact, tmp_path: Path) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rows_of(artifact))
    def check(rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=artifact.columns)
        file = File(write(tmp_path / "file.parquet", artifact, table), artifact)
        found = file.read(0, len(rows))
        assert found.schema == artifact.columns
        assert same(found.to_pylist(), table.to_pylist())

    check()


def test_the_bytes_do_not_depend_on_how_the_rows_arrived(tmp_path: Path) -> None:
    rows = [
        {"user_id": f"{i:03}", "flag": None, "count": i, "token_ids": [i] * i, "effects": [0.5, None], "spans": [],
         "vector": [1.0, 2.0, float(i)]}
        for i in range(23)
    ]  # fmt: skip
    whole = pa.Table.from_pylist(rows, schema=ALL_TYPES.columns)
    one = write(tmp_path / "one.parquet", ALL_TYPES, whole).read_bytes()
    for step in (1, 2, 5, 7, 22):
        pieces = [whole.slice(start, step) for start in range(0, 23, step)]
        assert write(tmp_path / "many.parquet", ALL_TYPES, *pieces).read_bytes() == one
    assert pq.read_metadata(tmp_path / "one.parquet").num_row_groups == 5


ROW: dict[str, Any] = {"user_id": "u", "query_id": "q", "split": "test", "input": "x", "reference": None, "fields": []}


def test_wider_types_are_taken_where_no_value_is_lost() -> None:
    given = pa.Table.from_pylist([{**ROW, "fields": [{"name": "n", "value": "v"}]}])
    wider = given.set_column(0, "user_id", given["user_id"].cast(pa.large_string()))
    assert conform(wider, QUERIES).schema == QUERIES.columns


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{**ROW, "extra": 1}], "rows of queries lack the columns [] and have ['extra'] beside their own"),
        ([{"user_id": "u"}], "rows of queries lack the columns ['fields', 'input', 'query_id', 'reference', 'split'] "
         "and have [] beside their own"),
        ([{**ROW, "input": None}], "column input of queries has empty values, and may have none"),
        ([ROW, ROW], "two rows of queries have the same user_id, query_id"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(SteerxError) as refused:
        conform(pa.Table.from_pylist(rows), QUERIES)
    assert str(refused.value) == sentence


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    write_people(tmp_path, count=3, each=2, seed=0)
    return tmp_path / "histories.parquet"


def refusal(path: Path, artifact: Artifact = HISTORIES) -> str:
    with pytest.raises(SteerxError) as refused:
        read_footer(path, artifact)
    return str(refused.value)


def test_a_file_that_is_not_there_names_who_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "histories.parquet"
    assert refusal(path) == f"{path} does not exist: `steerx import` writes histories"


@pytest.mark.parametrize("keep", [0, 3, 11, 500, -1, -9])
def test_a_truncated_file_is_refused(histories: Path, keep: int) -> None:
    histories.write_bytes(histories.read_bytes()[:keep])
    assert refusal(histories).startswith(f"{histories} is damaged or no Parquet file (")
    assert refusal(histories).endswith("): make it again with `steerx import`")


def test_another_program_s_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"user_id": ["u"]}), path)
    assert refusal(path) == f"{path} was not written by steerx: `steerx import` writes histories"


def test_another_artifact_is_refused(histories: Path) -> None:
    path = histories.with_name("queries.parquet")
    assert refusal(path) == f"{path} holds queries, not histories: `steerx import` writes histories"


def test_an_older_or_newer_schema_is_refused(histories: Path) -> None:
    later = dataclasses.replace(HISTORIES, version=2)
    assert refusal(histories, later) == (
        f"{histories} has histories of version 1, and this steerx reads version 2: make it again with `steerx import`"
    )
    earlier = dataclasses.replace(HISTORIES, version=0)
    assert refusal(histories, earlier).startswith(f"{histories} comes from a newer steerx (")


def test_other_columns_under_the_same_version_are_refused(histories: Path) -> None:
    other = dataclasses.replace(HISTORIES, columns=HISTORIES.columns.remove(3))
    assert refusal(histories, other) == (
        f"{histories} has other columns than histories version 1: make it again with `steerx import`"
    )


def test_a_file_changed_by_hand_is_refused(histories: Path) -> None:
    footer = (pq.read_metadata(histories).metadata or {})[b"steerx"]
    shorter = File(histories, HISTORIES).read(0, 4)
    pq.write_table(shorter.replace_schema_metadata({"steerx": footer}), histories)
    assert refusal(histories) == f"{histories} was changed after steerx wrote it (4 rows, not 6)"


def test_a_provenance_from_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "future.parquet"
    schema = HISTORIES.columns.with_metadata({"steerx": json.dumps({"record": {"who": "knows"}})})
    pq.write_table(schema.empty_table(), path)
    assert refusal(path) == f"{path} has a provenance that this steerx cannot read: update steerx"


def test_no_flipped_bit_changes_what_is_read(histories: Path) -> None:
    as_written = histories.read_bytes()
    rows = File(histories, HISTORIES).read(0, 6)
    refused = 0
    for place in range(len(as_written)):
        damaged = bytearray(as_written)
        damaged[place] ^= 1 << place % 8
        histories.write_bytes(damaged)
        try:
            assert File(histories, HISTORIES).read(0, 6).equals(rows), f"byte {place}"
        except SteerxError:
            refused += 1
    assert refused > len(as_written) / 2


# --- people's own files -----------------------------------------------------------------------------------------------


def test_foreign_rows_are_python_s_own(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    rows = [
        {"user": "a", "when": datetime(2020, 1, 1, tzinfo=UTC), "profile": [{"text": "x", "stars": 1.5}, None]},
        {"user": None, "when": None, "profile": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows * 3_000), path, row_group_size=2_500)
    assert foreign_columns(path) == ["user", "when", "profile"]
    assert list(foreign_rows(path)) == rows * 3_000


def test_foreign_rows_that_python_cannot_hold_are_none(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    columns = {
        "text": pa.array([b"one", b"\xff", b"three"], pa.binary()).view(pa.string()),
        "when": pa.array([0, 0, 2**62], pa.int64()).view(pa.timestamp("ms")),
    }
    pq.write_table(pa.table(columns), path)
    assert list(foreign_rows(path)) == [{"text": "one", "when": datetime(1970, 1, 1)}, None, None]


def test_few_foreign_rows_are_held_where_they_are_long(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"text": ["word " * 200_000] * 100}), path, use_dictionary=False, write_batch_size=1)
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in foreign_rows(path))
    assert most < 50_000_000  # of 100 MB


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"secret text" * 10])
def test_what_is_no_parquet_is_refused_without_a_word_of_it(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "foreign.parquet"
    path.write_bytes(damage)
    with pytest.raises(SteerxError) as error:
        list(foreign_rows(path))
    assert str(error.value) == f"{path} is damaged or no Parquet file: get it again"


def test_a_foreign_file_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    with pytest.raises(SteerxError, match="has two columns of one name: rename one"):
        next(foreign_rows(path))


def test_no_flipped_bit_of_a_foreign_file_is_more_than_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    rows = [{"user": f"u{number}", "profile": [{"text": "word", "stars": number}]} for number in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    as_written, refused = path.read_bytes(), 0
    for place in range(len(as_written)):
        damaged = bytearray(as_written)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            list(foreign_rows(path))
        except SteerxError:
            refused += 1
    assert refused > len(as_written) / 20
