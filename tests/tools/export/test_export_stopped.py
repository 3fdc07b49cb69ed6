"""Disks, signals and others: what `steerx export` leaves is whole, and the same command goes on from there."""

import errno
import io
import os
from functools import partial
from pathlib import Path

import pytest

import steerx_cli.tools.export as tool
import support
from exports import FORMATS, PEOPLE, export, files, names, refusal, row, rows_by_user, write
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.outputs import Output
from steerx_cli.core.progress import Silent
from steerx_cli.core.schemas import VECTORS
from steerx_cli.tools.export import run
from steerx_cli.tools.export.names import file_name
from steerx_cli.tools.export.vectors import Format, Wanted

NAMES = [file_name(user, None, "gguf") for user in PEOPLE]  # as they are written


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_user())


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_file_or_a_folder_in_the_way_is_said_in_a_sentence(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert refusal(vectors, to=tmp_path / "file") == (
        f"cannot write {tmp_path / 'file' / NAMES[0]}: a file stands where a folder is needed: name another place"
    )
    (tmp_path / "out" / "ann.gguf").mkdir(parents=True)
    assert refusal(vectors, to=tmp_path / "out") == (
        f"cannot write {tmp_path / 'out' / 'ann.gguf'}: a folder stands where the file should be: name another place"
    )


def test_a_folder_that_may_not_be_written_to_is_said_in_a_sentence(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refusal(vectors, to=tmp_path / "out", users=["ann"]) == (
        f"cannot write {tmp_path / 'out' / 'ann.gguf'}: this user may not write there: "
        "name another place or change the permissions"
    )


def test_a_full_disk_keeps_what_is_whole(tmp_path: Path, small_disk: Path) -> None:
    path = write(tmp_path / "vectors.parquet", [row(user, vector=[1.0] * 25_000) for user in PEOPLE])  # 100 kB each
    with pytest.raises(SteerxError) as refused:
        export(path, to=small_disk)
    assert str(refused.value) == (
        f"cannot write {small_disk / NAMES[2]}: the disk is full: free some space; "
        "files written: 2; the same command writes the others"
    )
    export(path, to=tmp_path / "whole")
    assert files(small_disk) == {name: (tmp_path / "whole" / name).read_bytes() for name in NAMES[:2]}


def test_a_write_that_the_system_refuses_is_said_in_a_sentence(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> io.BytesIO:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(tool, "replacing", fails)
    with pytest.raises(SteerxError, match=r"the file system is read-only: name another place$"):
        export(vectors, to=tmp_path / "out")
    assert names(tmp_path / "out") == []


# --- others, and signals ----------------------------------------------------------------------------------------------


def test_two_exports_of_one_file_the_second_stops(vectors: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "ann.gguf"
    with Output(place, VECTORS).locked(), pytest.raises(SteerxError) as refused:
        export(vectors, to=tmp_path / "out", users=["ann"])
    assert str(refused.value) == f"another steerx is writing {place}: wait for it, or name another --output"
    assert export(vectors, to=tmp_path / "out").users_now == 3


class Stopping(Silent):
    """Ctrl-C after so many files."""

    def __init__(self, after: int) -> None:
        self._left = after

    def advance(self, amount: int) -> None:
        self._left -= amount
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("after", "said", "written"),
    [
        (2, "nothing was finished; the same command starts over", 0),
        (4, "files written: 1; the same command writes the others", 1),
        (5, "files written: 2; the same command writes the others", 2),
    ],
)
def test_a_run_that_is_stopped_is_continued(vectors: Path, tmp_path: Path, after: int, said: str, written: int) -> None:
    with pytest.raises(Interrupted) as stopped:
        run([vectors], Wanted("gguf"), tmp_path / "out", False, False, Stopping(after))
    assert str(stopped.value) == said
    assert written == (len(names(tmp_path / "out")) if written else 0)
    assert export(vectors, to=tmp_path / "out").users_now == 3 - written
    export(vectors, to=tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_run_that_is_killed_anywhere_leaves_whole_files_only(vectors: Path, tmp_path: Path, kind: Format) -> None:
    export(vectors, to=tmp_path / "whole", kind=kind)
    expected = files(tmp_path / "whole")
    killed, seen = tmp_path / "killed", set()
    killed.mkdir()
    work = partial(export, vectors, to=killed / "new", kind=kind)
    for line in support.killed_before_lines(killed, work):
        left = {path.name: path.read_bytes() for path in (killed / "new").glob("[!.]*")}
        assert left.items() <= expected.items(), f"killed before line {line}"
        seen.add(len(left))
        assert work().users_now == 3 - len(left), f"killed before line {line}"
        assert {name: data for name, data in files(killed / "new").items() if not name.endswith(".lock")} == expected
    assert seen == {0, 1, 2, 3}
