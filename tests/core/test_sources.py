"""An input in one file or in many: the same rows, and never the shards of two runs."""

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import steerx_cli.stages.retrieve as stage
import support
from steerx_cli.core.artifacts import artifact_of
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED, Artifact
from steerx_cli.core.sources import Source, find_files
from steerx_cli.stages.retrieve import Settings

SMALL = dataclasses.replace(RETRIEVED, rows_per_group=3)


@pytest.fixture
def whole(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty rows of twenty users, three to a row group; so are all that the test retrieves."""
    monkeypatch.setattr(stage, "RETRIEVED", SMALL)
    support.retrieve(data, tmp_path / "whole.parquet")
    return tmp_path / "whole.parquet"


@pytest.fixture
def shards(data: Path, tmp_path: Path, whole: Path) -> list[Path]:
    """The same in seven files."""
    return support.shards(data, tmp_path / "shards", 7)


def rewritten(path: Path, artifact: Artifact, rows_per_group: int) -> Path:
    """The rows of a file, grouped otherwise."""
    source, target = Source(artifact, path), path.with_name(f"{rows_per_group}.parquet")
    output = Output(target, dataclasses.replace(artifact, rows_per_group=rows_per_group))
    write_whole(output, source.footer.record, source.batches(), source.footer.users)
    return target


@pytest.mark.parametrize("rows_per_group", [1, 3, 7, 99, 100, 8192])
def test_a_range_is_a_slice_of_the_whole_across_row_groups(data: Path, tmp_path: Path, rows_per_group: int) -> None:
    shutil.copy(data / "histories.parquet", tmp_path)
    path = rewritten(tmp_path / "histories.parquet", HISTORIES, rows_per_group)
    assert pq.read_metadata(path).num_row_groups == -(-100 // rows_per_group)
    table = pq.read_table(path).replace_schema_metadata(None)
    source, draw = Source(HISTORIES, path), random.Random(1)
    ranges = [(0, 100), (0, 0), (100, 100), (99, 100), (0, 1), (6, 7), (7, 7), (7, 8), (5, 22)]
    ranges += [(start, draw.randint(start, 100)) for start in draw.choices(range(101), k=50)]
    for start, stop in ranges:  # forwards and backwards: the row group read last is kept
        found = source.read(start, stop)
        assert found.schema == HISTORIES.columns
        assert found.equals(table.slice(start, stop - start)), f"rows {start} to {stop}"


def test_every_range_is_a_slice_of_the_whole_across_shards(whole: Path, shards: list[Path]) -> None:
    table = pq.read_table(whole).replace_schema_metadata(None)
    source = Source(RETRIEVED, whole.parent / "shards")
    assert min(pq.read_metadata(path).num_row_groups for path in shards) > 1
    for start in range(41):
        for stop in range(start, 41):
            assert source.read(start, stop).equals(table.slice(start, stop - start)), f"rows {start} to {stop}"


def test_all_rows_come_in_batches_no_larger_than_a_row_group(whole: Path, shards: list[Path]) -> None:
    for place in (whole, shards[0].parent):
        batches = list(Source(SMALL, place).batches())
        assert [len(batch) for batch in batches] == [3] * 13 + [1]
        assert [row for batch in batches for row in batch.to_pylist()] == pq.read_table(whole).to_pylist()


def test_users_and_their_rows_are_found_across_row_groups_and_shards(
    whole: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [(user, 2) for user in sorted((f"person-{number:06d}" for number in range(20)), key=user_order)]
    for at_once in (1, 3, 65_536):
        monkeypatch.setattr("steerx_cli.core.artifacts._USER_IDS_AT_ONCE", at_once)
        assert list(Source(RETRIEVED, whole).users()) == expected
        assert list(Source(RETRIEVED, shards[0].parent).users()) == expected


@pytest.mark.parametrize(
    "name",
    [
        lambda folder: [folder],
        lambda folder: [folder / "*.parquet"],
        lambda folder: [folder / "retrieved-0000[1-7]-of-?????.parquet"],
        lambda folder: [folder.parent / "sh*" / "*-of-00007.parquet"],
        lambda folder: sorted(folder.iterdir()),
        lambda folder: sorted(folder.iterdir(), reverse=True),
        lambda folder: [folder / "*[4-7]-of-*", *sorted(folder.glob("*[1-3]-of-*"))],
    ],
)
def test_shards_are_found_by_folder_pattern_and_name(
    whole: Path, shards: list[Path], name: Callable[[Path], list[Path]]
) -> None:
    source, one = Source(RETRIEVED, *name(shards[0].parent)), Source(RETRIEVED, whole)
    assert source.paths == shards
    assert source.footer == one.footer
    assert [footer.rows for footer in source.shards] == [4, 6, 6, 6, 6, 6, 6]
    assert source.read(0, 40).equals(one.read(0, 40))


def test_one_file_is_found_by_its_folder_and_by_a_pattern(data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "queries.parquet", tmp_path)
    for place in (tmp_path, tmp_path / "quer*", tmp_path / "queries.parquet"):
        assert Source(QUERIES, place).paths == [tmp_path / "queries.parquet"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(data: Path, tmp_path: Path) -> None:
    odd = tmp_path / "q[1]*.parquet"
    shutil.copy(data / "queries.parquet", odd)
    shutil.copy(data / "queries.parquet", tmp_path / "q1.parquet")
    assert find_files(odd) == [odd]


def test_a_folder_s_other_files_and_unfinished_parts_are_passed_over(whole: Path, shards: list[Path]) -> None:
    folder = shards[0].parent
    (folder / "retrieved.parquet.parts" / "0123").mkdir(parents=True)
    (folder / "retrieved.parquet.parts" / "0123" / "000000.parquet").write_bytes(b"")
    (folder / ".retrieved.parquet.tmp").write_bytes(b"")
    (folder / "job.log").write_text("a log")
    assert Source(RETRIEVED, folder).paths == shards


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusal(*places: Path, artifact: Artifact = RETRIEVED) -> str:
    with pytest.raises(SteerxError) as refused:
        Source(artifact, *places)
    return str(refused.value)


@pytest.mark.parametrize("pattern", ["", "*.parquet", "none-*"])
def test_a_place_without_files_names_who_writes_them(tmp_path: Path, pattern: str) -> None:
    assert refusal(tmp_path / pattern) == (
        f"{tmp_path / pattern} has no Parquet file in it: `steerx retrieve` writes retrieved"
    )


def test_a_missing_shard_is_named(shards: list[Path]) -> None:
    shards[0].unlink()
    assert refusal(shards[0].parent) == f"shard 1/7 is missing beside {shards[1]}: run or name it too"
    shards[4].unlink()
    assert refusal(*shards[1:4], *shards[5:]) == f"shard 1/7 is missing beside {shards[1]}: run or name it too"
    assert refusal(shards[5]) == f"shard 1/7 is missing beside {shards[5]}: run or name it too"


def test_the_last_shard_is_missed_too(shards: list[Path]) -> None:
    assert refusal(*shards[:-1]) == f"shard 7/7 is missing beside {shards[0]}: run or name it too"


def test_a_shard_that_is_there_twice_is_refused(shards: list[Path]) -> None:
    shutil.copy(shards[2], shards[2].with_name("copy.parquet"))
    first = shards[2].with_name("copy.parquet")
    assert refusal(shards[0].parent) == f"a shard is there twice beside {first}: keep one of each"
    assert refusal(*shards, shards[6]) == f"a shard is there twice beside {shards[0]}: keep one of each"


@pytest.mark.parametrize("settings", [Settings("recency", 3, 0), Settings("random", 2, 0)])
def test_shards_of_different_runs_are_refused(data: Path, shards: list[Path], settings: Settings) -> None:
    other = shards[3].with_name("retrieved-00008.parquet")
    support.retrieve(data, other, settings, shard=Shard(4, 7))
    said = f"{other} and {shards[0]} are shards of different runs: name the shards of one"
    assert refusal(*shards[:3], other, *shards[4:]) == said
    assert refusal(shards[0].parent) == said


def test_shards_of_other_data_are_refused(data: Path, few: Path, tmp_path: Path, shards: list[Path]) -> None:
    other = tmp_path / "other.parquet"
    support.retrieve(few, other, shard=Shard(2, 7))
    assert refusal(shards[0], other, *shards[2:]) == (
        f"{other} and {shards[0]} are shards of different runs: name the shards of one"
    )


def test_a_whole_file_stands_for_its_shards(whole: Path, shards: list[Path]) -> None:
    assert Source(RETRIEVED, whole, *shards).paths == [whole]
    assert Source(RETRIEVED, shards[0], whole).paths == [whole]


def test_a_whole_file_of_another_run_among_shards_is_refused(data: Path, whole: Path, shards: list[Path]) -> None:
    other = whole.with_name("other.parquet")
    support.retrieve(data, other, Settings("recency", 3, 0))
    said = f"{other} is a whole file, not a shard: name it alone, or name the shards alone"
    assert refusal(other, *shards) == said
    assert refusal(*shards, other) == said
    assert refusal(whole, whole) == f"{whole} is a whole file, not a shard: name it alone, or name the shards alone"


def test_shards_that_were_cut_differently_are_refused(data: Path, tmp_path: Path, shards: list[Path]) -> None:
    support.shards(data, tmp_path / "shards", 3)
    assert refusal(shards[0].parent) == "these shards were cut differently, into 3 and 7: name one set"
    support.shards(data, tmp_path / "shards", 11)
    assert refusal(shards[0].parent) == "these shards were cut differently, into 3 and 7 and 11: name one set"


def test_another_artifact_among_shards_is_refused(data: Path, shards: list[Path]) -> None:
    other = shards[0].with_name("z.parquet")
    shutil.copy(data / "queries.parquet", other)
    assert refusal(shards[0].parent) == f"{other} holds queries, not retrieved: `steerx retrieve` writes retrieved"


def test_shards_say_which_artifact_they_are(shards: list[Path]) -> None:
    assert [artifact_of(path).name for path in shards] == ["retrieved"] * 7


def test_shards_that_were_joined_in_another_order_by_hand_are_refused(data: Path, tmp_path: Path) -> None:
    source = Source(QUERIES, data / "queries.parquet")
    output = Output(tmp_path / "queries.parquet", QUERIES)
    write_whole(output, source.footer.record, [source.read(10, 20), source.read(0, 10)], users=20)
    with pytest.raises(SteerxError) as refused:
        list(Source(QUERIES, output.path).users())
    assert str(refused.value) == (
        f"{output.path} is not in steerx's order of users: make it again, do not sort or join it"
    )
