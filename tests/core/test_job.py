"""The promise of every stage: stopped at any moment and in any way, it ends with the same bytes."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import steerx_cli.stages.retrieve as stage
import support
from people import write_people
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.job import Counts, Tables
from steerx_cli.core.outputs import Output
from steerx_cli.core.schemas import RETRIEVED
from steerx_cli.stages.retrieve import Ranking, Settings


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_leaves_one_file_and_nothing_else(data: Path, tmp_path: Path) -> None:
    support.retrieve(data, tmp_path / "retrieved.parquet")
    assert leftovers(tmp_path) == ["retrieved.parquet"]


def test_killed_two_hundred_times_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "killed" / "retrieved.parquet"
    write_people(data, count=6, each=5, seed=1)
    support.retrieve(data, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    support.child(print).join()  # the server of processes takes a second to start
    started = time.monotonic()
    support.child(support.retrieve, data, output).join()
    moment = support.moments(seed=7, longest=1.2 * (time.monotonic() - started))
    kills = resumed = finished = 0
    while kills < 200:
        process = support.child(support.retrieve, data, output)
        process.join(timeout=moment())
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            resumed += any(output.parent.glob("*.parts/*/*.part"))
        else:
            assert process.exitcode == 0
            assert output.read_bytes() == whole
            assert leftovers(output.parent) == ["retrieved.parquet"]
            finished += 1
            output.unlink()
    support.retrieve(data, output)
    assert output.read_bytes() == whole
    assert leftovers(output.parent) == ["retrieved.parquet"]
    assert resumed > 20, "too few kills fell between two chunks to show anything"


def test_killed_before_any_line_it_ends_with_the_same_bytes(few: Path, tmp_path: Path) -> None:
    support.retrieve(few, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    folder, line, untidy = tmp_path / "killed", 0, 0
    folder.mkdir()
    output = folder / "new" / "retrieved.parquet"
    for line in support.killed_before_lines(folder, support.retrieve, few, output, run=support.started):
        if output.exists() and leftovers(output.parent) != ["retrieved.parquet"]:
            assert output.stat().st_mtime == 0, f"killed before line {line}, make would leave the rest for ever"
            untidy += 1
        support.retrieve(few, output)
        assert output.read_bytes() == whole, f"killed before line {line}"
        assert leftovers(output.parent) == ["retrieved.parquet"], f"killed before line {line}"
        assert output.stat().st_mtime > 0
    assert line > 300, "the run was shorter than it can be"
    assert untidy > 1


def test_finished_chunks_are_not_computed_again(
    data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def stop_at_the_sixth(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
        computed.extend(tables["queries"]["user_id"])
        if len(computed) == 6:
            raise KeyboardInterrupt
        return real(tables, ranking, top_k)

    real = stage.retrieve
    monkeypatch.setattr(stage, "retrieve", stop_at_the_sixth)
    with pytest.raises(Interrupted) as stopped:
        support.retrieve(data, tmp_path / "retrieved.parquet")
    assert str(stopped.value) == "5 of 20 chunks are finished and kept; the same command continues"
    summary = support.retrieve(data, tmp_path / "retrieved.parquet")
    assert len(computed) == 6 + 15
    assert (summary.users, summary.users_now) == (20, 15)
    assert summary.notes == ("5 of 20 chunks were finished by an earlier run",)
    assert (tmp_path / "retrieved.parquet").read_bytes() == whole


def test_a_finished_run_is_not_done_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "retrieved.parquet"
    support.retrieve(data, output)
    os.utime(output, (0, 0))
    monkeypatch.setattr(stage, "retrieve", lambda *_, **__: pytest.fail("computed again"))
    assert support.retrieve(data, output).status == "up to date"
    assert support.retrieve(data, output, overwrite=True).status == "up to date"
    assert output.stat().st_mtime > 0, "make would run it again for ever"


def test_another_setting_never_replaces_a_finished_result_unasked(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "retrieved.parquet"
    support.retrieve(data, output)
    before = output.read_bytes()
    with pytest.raises(SteerxError) as refused:
        support.retrieve(data, output, Settings("recency", 3, 0))
    assert str(refused.value) == (
        f"{output} was made otherwise (top-k 2 → 3): name another --output or --run, or replace it with --overwrite"
    )
    assert output.read_bytes() == before
    assert support.retrieve(data, output, Settings("recency", 3, 0), overwrite=True).status == "finished"
    assert output.read_bytes() != before


def test_another_setting_never_mixes_with_unfinished_work(
    data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "retrieved.parquet"
    interrupted_after(9, monkeypatch, data, output)
    summary = support.retrieve(data, output, Settings("recency", 3, 0))
    assert summary.users_now == 20
    assert summary.notes == (f"unfinished runs with other settings are kept in {output}.parts (1)",)
    support.retrieve(data, tmp_path / "fresh.parquet", Settings("recency", 3, 0))
    assert output.read_bytes() == (tmp_path / "fresh.parquet").read_bytes()
    back = support.retrieve(data, output, overwrite=True)
    assert (back.users_now, output.read_bytes()) == (11, whole)
    assert leftovers(tmp_path) == ["fresh.parquet", "retrieved.parquet", "whole.parquet"]


def interrupted_after(
    chunks: int, monkeypatch: pytest.MonkeyPatch, data: Path, output: Path, settings: Settings = support.RECENT
) -> None:
    """Leave a run with that many finished chunks."""
    real, done = stage.retrieve, 0

    def stop(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
        nonlocal done
        if done == chunks:
            raise KeyboardInterrupt
        done += 1
        return real(tables, ranking, top_k)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "retrieve", stop)
        with pytest.raises(Interrupted):
            support.retrieve(data, output, settings)


def test_a_damaged_part_is_made_again(
    data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "retrieved.parquet"
    interrupted_after(8, monkeypatch, data, output)
    parts = sorted((tmp_path / "retrieved.parquet.parts").glob("*/*.part"))
    parts[1].write_bytes(parts[1].read_bytes()[:-50])
    parts[2].write_bytes(b"")
    flip_a_byte(parts[3])
    shutil.copy(parts[4], parts[5])
    summary = support.retrieve(data, output)
    assert output.read_bytes() == whole
    assert summary.users_now == 20 - 4
    assert "4 damaged chunks of an earlier run were made again" in summary.notes


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)


def test_two_on_one_output_the_second_stops(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "retrieved.parquet"
    with Output(output, RETRIEVED).locked(), pytest.raises(SteerxError) as refused:
        support.retrieve(data, output)
    assert str(refused.value) == f"another steerx is writing {output}: wait for it, or name another --output or --run"
    assert support.retrieve(data, output).status == "finished"


def test_many_at_once_make_one_whole_file(data: Path, tmp_path: Path, whole: bytes) -> None:
    output = tmp_path / "busy" / "retrieved.parquet"
    for _ in range(5):
        processes = [support.child(support.retrieve, data, output) for _ in range(6)]
        for process in processes:
            process.join()
        assert any(process.exitcode == 0 for process in processes)
        assert output.read_bytes() == whole
        assert leftovers(output.parent) == ["retrieved.parquet"]
        output.unlink()


# --- what others do meanwhile -----------------------------------------------------------------------------------------


def meanwhile(at: int, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen before a chunk is computed."""
    real, calls = stage.retrieve, 0

    def disturbed(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
        nonlocal calls
        calls += 1
        if calls == at:
            happens()
        return real(tables, ranking, top_k)

    monkeypatch.setattr(stage, "retrieve", disturbed)


def test_an_input_that_is_replaced_is_read_as_it_was(
    data: Path, few: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(data, mine)
    others = shutil.copytree(few, tmp_path / "others")
    meanwhile(3, monkeypatch, lambda: (others / "histories.parquet").replace(mine / "histories.parquet"))
    support.retrieve(mine, tmp_path / "retrieved.parquet")
    assert (tmp_path / "retrieved.parquet").read_bytes() == whole


def test_chunks_that_vanish_are_a_sentence_and_made_again(
    data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "retrieved.parquet"
    parts = tmp_path / "retrieved.parquet.parts"
    with monkeypatch.context() as patch:
        meanwhile(9, patch, lambda: next(parts.glob("*/000003.part")).unlink())
        with pytest.raises(SteerxError, match=r"chunks vanished from .*: the same command makes them again"):
            support.retrieve(data, output)
    with monkeypatch.context() as patch:
        meanwhile(1, patch, lambda: shutil.rmtree(parts))
        with pytest.raises(SteerxError, match="a folder went away meanwhile: run the same command again"):
            support.retrieve(data, output)
    support.retrieve(data, output)
    assert output.read_bytes() == whole


def test_an_input_is_never_the_output(data: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(data, tmp_path / "mine")
    for place in (mine / "queries.parquet", tmp_path / "mine" / ".." / "mine" / "histories.parquet"):
        before = place.read_bytes()
        with pytest.raises(SteerxError) as refused:
            support.retrieve(mine, place, overwrite=True)
        assert str(refused.value) == f"{place} is read and would be written: name another --output or --run"
        assert place.read_bytes() == before


def test_an_input_that_is_written_over_is_a_sentence(
    data: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(shutil.copytree(data, tmp_path / "mine"))
    histories = mine / "histories.parquet"
    meanwhile(3, monkeypatch, lambda: shutil.copyfile(few / "histories.parquet", histories))
    with pytest.raises(SteerxError) as refused:
        support.retrieve(mine, tmp_path / "retrieved.parquet")
    assert str(refused.value).startswith(str(histories))
    assert not (tmp_path / "retrieved.parquet").exists()


def test_no_flipped_bit_of_a_part_reaches_the_result(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support.retrieve(few, tmp_path / "whole.parquet")
    output = tmp_path / "retrieved.parquet"
    interrupted_after(1, monkeypatch, few, output)
    part = next((tmp_path / "retrieved.parquet.parts").glob("*/000000.part"))
    as_written = part.read_bytes()
    for place in range(0, len(as_written), 11):
        damaged = bytearray(as_written)
        damaged[place] ^= 1 << place % 8
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(damaged)
        summary = support.retrieve(few, output)
        assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes(), f"byte {place}"
        assert "1 damaged chunks of an earlier run were made again" in summary.notes, f"byte {place}"
        output.unlink()


def test_a_part_of_another_run_is_not_taken(
    data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, other = tmp_path / "retrieved.parquet", tmp_path / "other.parquet"
    interrupted_after(3, monkeypatch, data, output)
    interrupted_after(3, monkeypatch, data, other, Settings("recency", 1, 0))
    theirs, own = (next(tmp_path.glob(f"{name}.parquet.parts/*/000001.part")) for name in ("other", "retrieved"))
    shutil.copyfile(theirs, own)
    assert support.retrieve(data, output).users_now == 18
    assert output.read_bytes() == whole
