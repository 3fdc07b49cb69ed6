"""`steerx merge`: the shards of a run make the file that the run would have written whole, to the byte."""

import dataclasses
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import steerx_cli.stages.retrieve as stage
import support
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import ARTIFACTS, RETRIEVED
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.stages.retrieve import Settings
from steerx_cli.tools.merge import run


def merge(*places: Path, output: Path | None = None, overwrite: bool = False, dry_run: bool = False) -> Summary:
    return run(places, output, overwrite, dry_run, Silent())


def refusal(*places: Path, output: Path | None = None, overwrite: bool = False, dry_run: bool = False) -> str:
    with pytest.raises(SteerxError) as refused:
        merge(*places, output=output, overwrite=overwrite, dry_run=dry_run)
    return str(refused.value)


@pytest.fixture
def whole(data: Path, tmp_path: Path) -> Path:
    """Twenty chunks of one user, never cut into shards."""
    support.retrieve(data, tmp_path / "whole.parquet")
    return tmp_path / "whole.parquet"


@pytest.fixture
def shards(data: Path, tmp_path: Path) -> list[Path]:
    return support.shards(data, tmp_path / "shards", 3)


@pytest.mark.parametrize("rows_per_group", [3, 8192])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 25])
def test_merged_shards_equal_the_whole_byte_for_byte(
    data: Path, tmp_path: Path, count: int, rows_per_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped = dataclasses.replace(RETRIEVED, rows_per_group=rows_per_group)
    monkeypatch.setattr(stage, "RETRIEVED", grouped)
    monkeypatch.setitem(ARTIFACTS, "retrieved", grouped)
    support.retrieve(data, tmp_path / "whole.parquet")
    shards = support.shards(data, tmp_path / "shards", count)
    assert (min(read_footer(path, grouped).rows for path in shards) == 0) == (count == 25)
    merge(tmp_path / "shards", output=tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("limit", [1, 7])
def test_merged_shards_of_the_first_users_equal_the_whole_of_them(data: Path, tmp_path: Path, limit: int) -> None:
    scope: dict[str, Any] = {"limit": limit, "chunk_users": 2}
    support.retrieve(data, tmp_path / "whole.parquet", **scope)
    for index in (1, 2, 3):
        support.retrieve(data, tmp_path / "shards" / f"{index}.parquet", shard=Shard(index, 3), **scope)
    merge(tmp_path / "shards", output=tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_the_order_in_which_shards_are_named_does_not_matter(data: Path, tmp_path: Path, whole: Path) -> None:
    shards = support.shards(data, tmp_path / "shards", 7)
    names = [path.rename(path.with_name(f"{name}.parquet")) for name, path in zip("gbfdace", shards, strict=True)]
    output, draw = tmp_path / "merged.parquet", random.Random(1)
    for _ in range(5):
        merge(*draw.sample(names, 7), output=output)
        assert output.read_bytes() == whole.read_bytes()
        output.unlink()
    merge(tmp_path / "shards" / "[a-c].parquet", *names[:1], *names[2:4], names[6], output=output)
    assert output.read_bytes() == whole.read_bytes()


def test_the_merged_file_is_named_as_the_shards_are_without_their_numbers(whole: Path, shards: list[Path]) -> None:
    summary = merge(*reversed(shards))
    merged = shards[0].with_name("retrieved.parquet")
    assert summary.output == str(merged)
    assert merged.read_bytes() == whole.read_bytes()
    assert sorted(merged.parent.iterdir()) == [*shards, merged]


def test_the_summary_tells_what_was_merged(tmp_path: Path, shards: list[Path]) -> None:
    summary = merge(tmp_path / "shards", output=tmp_path / "merged.parquet")
    assert (summary.command, summary.status, summary.rows) == ("merge", "finished", 40)
    assert (summary.users, summary.users_now) == (20, 20)
    assert summary.inputs == {"shards": ", ".join(map(str, shards))}


def test_counts_of_all_shards_are_told(data: Path, tmp_path: Path) -> None:
    for index in (1, 2):
        support.retrieve(data, tmp_path / f"{index}.parquet", Settings("recency", 9, 0), shard=Shard(index, 2))
    summary = merge(tmp_path / "?.parquet", output=tmp_path / "merged.parquet")
    assert summary.counts == {"queries with fewer histories than top-k": 20}


def test_readers_cannot_tell_a_folder_of_shards_from_the_merged_file(tmp_path: Path, shards: list[Path]) -> None:
    apart = Source(RETRIEVED, tmp_path / "shards")
    merge(*shards, output=tmp_path / "merged.parquet")
    together = Source(RETRIEVED, tmp_path / "merged.parquet")
    assert apart.footer.fingerprint == together.footer.fingerprint
    assert apart.footer == together.footer
    assert list(apart.users()) == list(together.users())
    assert apart.read(0, 40).equals(together.read(0, 40))


def test_a_second_merge_does_nothing(shards: list[Path]) -> None:
    merge(*shards)
    merged = shards[0].with_name("retrieved.parquet")
    before = merged.stat().st_ino
    summary = merge(*shards)
    assert (summary.status, summary.users, summary.users_now) == ("up to date", 20, 0)
    assert merge(*shards, overwrite=True).status == "up to date"
    assert merged.stat().st_ino == before, "it was written again"


def test_a_whole_that_a_run_wrote_is_the_merged_file_already(whole: Path, shards: list[Path]) -> None:
    assert merge(*shards, output=whole).status == "up to date"


def test_a_dry_run_writes_nothing(tmp_path: Path, shards: list[Path]) -> None:
    summary = merge(*shards, output=tmp_path / "new" / "merged.parquet", dry_run=True)
    assert (summary.status, summary.rows, summary.users_now) == ("would run", 40, 0)
    assert not (tmp_path / "new").exists()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_another_file_in_the_way_is_replaced_only_when_asked(data: Path, whole: Path, shards: list[Path]) -> None:
    other = whole.with_name("other.parquet")
    support.retrieve(data, other, Settings("recency", 3, 0))
    before = other.read_bytes()
    said = f"{other} was made otherwise (top-k 3 → 2): name another --output, or replace it with --overwrite"
    assert refusal(*shards, output=other) == said
    assert refusal(*shards, output=other, dry_run=True) == said
    assert other.read_bytes() == before
    assert merge(*shards, output=other, overwrite=True).status == "finished"
    assert other.read_bytes() == whole.read_bytes()


def test_a_merge_of_other_data_in_the_way_is_replaced_only_when_asked(
    few: Path, tmp_path: Path, shards: list[Path]
) -> None:
    other = tmp_path / "other.parquet"
    support.retrieve(few, other)
    assert refusal(*shards, output=other) == (
        f"{other} was made otherwise (other histories, other queries): "
        "name another --output, or replace it with --overwrite"
    )


def test_somebody_s_own_file_in_the_way_is_replaced_only_when_asked(whole: Path, shards: list[Path]) -> None:
    own = shards[0].with_name("retrieved.parquet")
    pq.write_table(pa.table({"mine": [1]}), own)
    before = own.read_bytes()
    assert refusal(*shards) == (
        f"{own} was not written by steerx: `steerx retrieve` writes retrieved; or replace it with --overwrite"
    )
    assert own.read_bytes() == before
    merge(*shards, overwrite=True)
    assert own.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_shard_is_never_replaced_by_the_whole(shards: list[Path], overwrite: bool) -> None:
    before = shards[1].read_bytes()
    said = f"{shards[1]} is read and would be written: name another --output"
    assert refusal(*shards, output=shards[1], overwrite=overwrite) == said
    assert shards[1].read_bytes() == before


def test_a_whole_file_is_nothing_to_merge(whole: Path) -> None:
    assert refusal(whole) == f"{whole} is a whole file already: there is nothing to merge"


def test_a_whole_among_its_shards_leaves_nothing_to_merge(whole: Path, shards: list[Path]) -> None:
    said = f"{whole} is a whole file already: there is nothing to merge"
    assert refusal(*shards, whole) == said
    assert refusal(whole, *shards) == said


def test_a_missing_shard_is_named(tmp_path: Path, shards: list[Path]) -> None:
    output = tmp_path / "merged.parquet"
    assert (
        refusal(shards[0], shards[2], output=output) == f"shard 2/3 is missing beside {shards[0]}: run or name it too"
    )
    assert not output.exists()


def test_shards_of_two_runs_are_refused(data: Path, shards: list[Path]) -> None:
    other = shards[2].with_name("other.parquet")
    support.retrieve(data, other, Settings("recency", 3, 0), shard=Shard(3, 3))
    assert (
        refusal(*shards[:2], other) == f"{other} and {shards[0]} are shards of different runs: name the shards of one"
    )


def test_places_without_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    places = tmp_path / "empty", tmp_path / "none-*.parquet"
    assert refusal(*places) == f"{places[0]}, {places[1]} has no Parquet file in it: name the shards to merge"


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"x": [1]}), foreign)
    assert refusal(foreign) == f"{foreign} was not written by steerx: name an artifact"


def test_shards_of_other_names_need_an_output(tmp_path: Path, whole: Path, shards: list[Path]) -> None:
    names = [path.rename(path.with_name(f"part {index}.parquet")) for index, path in enumerate(shards)]
    assert refusal(*names) == (
        f"{names[0]} is not named like a shard, so the whole has no name of its own: give --output"
    )
    merge(*names, output=tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == whole.read_bytes()


def test_a_damaged_shard_leaves_no_half_of_a_file(tmp_path: Path, shards: list[Path]) -> None:
    content = shards[2].read_bytes()
    shards[2].write_bytes(content[:100] + bytes(200) + content[300:])
    output = tmp_path / "merged.parquet"
    said = refusal(*shards, output=output)
    assert said.startswith(f"{shards[2]} is damaged or no Parquet file (")
    assert said.endswith("): make it again with `steerx retrieve`")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]


def test_two_merges_on_one_output_the_second_stops(tmp_path: Path, shards: list[Path]) -> None:
    output = tmp_path / "merged.parquet"
    with Output(output, RETRIEVED).locked():
        assert refusal(*shards, output=output) == (
            f"another steerx is writing {output}: wait for it, or name another --output"
        )
    assert merge(*shards, output=output).status == "finished"


def test_a_file_is_needed_where_a_folder_stands(tmp_path: Path, shards: list[Path]) -> None:
    assert refusal(*shards, output=tmp_path) == (
        f"cannot write {tmp_path}: a folder stands where the file should be: name another place"
    )


def test_a_folder_is_merged_once_and_read_as_the_whole_from_then_on(shards: list[Path], whole: Path) -> None:
    folder = shards[0].parent
    place = folder / "retrieved.parquet"
    assert merge(folder).status == "finished"
    os.utime(place, (0, 0))
    assert merge(folder, dry_run=True).status == "up to date"
    assert place.stat().st_mtime == 0
    assert merge(folder).status == "up to date"
    assert place.stat().st_mtime > 0
    assert Source(RETRIEVED, folder).footer == Source(RETRIEVED, whole).footer
