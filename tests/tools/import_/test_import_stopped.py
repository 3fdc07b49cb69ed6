"""Stopped at any moment and in any way, an import leaves whole files or none, and the same command ends as it would."""

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sources
import support
from sources import write_lines
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output, Whole
from steerx_cli.core.progress import Silent
from steerx_cli.core.schemas import QUERIES
from steerx_cli.tools.import_ import reading, spool, work
from steerx_cli.tools.import_.choose import Rules
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.spool import Spool
from steerx_cli.tools.import_.work import Import
from support import Ended, Steerx, contents

NAMES = {"histories.parquet", "queries.parquet", "import-rejects.jsonl"}
# Nothing else is left by a kill: what the next import writes over, and its locks.
HIDDEN = {f".{name}.tmp" for name in NAMES} | {f".{name}.lock" for name in NAMES}
WRITING = (*support.WRITING, "import_/work.py")  # the sorting and its rows have no file with a name
Bytes = dict[str, bytes]


def asking(source: Path) -> Request:
    return Request("amazon", (source,))


def do(request: Request, folder: Path) -> None:
    Import(request, folder, True).run(False, Silent())


def inside(folder: Path) -> Bytes:
    """What has a name for everybody to see."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def fill(path: Path, users: int, each: int, seed: int = 0) -> Path:
    """Reviews, and a row that cannot be used."""
    return write_lines(path, [*sources.amazon(users, each, seed), {"asin": "no review"}])


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return fill(tmp_path / "reviews.jsonl", 3, 3)


@pytest.fixture
def whole(reviews: Path, tmp_path: Path) -> Bytes:
    """What an import that nothing disturbed has written."""
    return whole_of(asking(reviews), tmp_path / "whole")


def whole_of(request: Request, folder: Path) -> Bytes:
    do(request, folder)
    written = inside(folder)
    assert set(written) == NAMES
    return written


def check_left(folder: Path, *allowed: Bytes) -> None:
    """Every file is one of those that it may be, and there are no others."""
    for path in folder.iterdir() if folder.exists() else ():
        assert path.name in NAMES | HIDDEN
        if path.name in NAMES:
            assert any(path.read_bytes() == some.get(path.name) for some in allowed), path.name


# --- killed -----------------------------------------------------------------------------------------------------------


def test_killed_before_any_line_that_writes_it_ends_with_the_same_bytes(
    reviews: Path, tmp_path: Path, whole: Bytes
) -> None:
    request, older = asking(reviews), replace(asking(reviews), rules=Rules(last=2))
    folder, line, states = tmp_path / "killed", 0, 0
    before = whole_of(older, folder)
    for line in support.killed_before_lines(folder, do, request, folder, modules=WRITING, run=support.started):
        check_left(folder, before, whole)
        do(request, folder)
        assert contents(folder) == {str(folder / name): data for name, data in whole.items()}, f"line {line}"
        states += 1
    assert line > 500, "the run was shorter than it can be"
    assert states > 5 + support.REALLY, states


def test_killed_sixty_times_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    request, folder = asking(fill(tmp_path / "many.jsonl", 150, 10)), tmp_path / "killed"
    whole = whole_of(request, tmp_path / "whole")
    support.child(print).join()  # the server of processes takes a second to start
    started = time.monotonic()
    support.child(do, request, folder).join()
    moment = support.moments(seed=7, longest=1.2 * (time.monotonic() - started))
    shutil.rmtree(folder)
    kills = begun = 0
    while kills < 60:
        process = support.child(do, request, folder)
        process.join(timeout=moment())
        if process.is_alive():
            process.kill()
            process.join()
            check_left(folder, whole)
            begun += folder.exists()
            kills += 1
        else:
            assert process.exitcode == 0
            assert inside(folder) == whole
            shutil.rmtree(folder)
    do(request, folder)
    assert contents(folder) == {str(folder / name): data for name, data in whole.items()}
    assert begun > 10, "too few kills fell into the work to show anything"


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (work, "read_all"),
        (work, "select"),
        (work, "write"),
        (Spool, "add"),
        (Spool, "_put_down"),
        (Spool, "sort"),
        (Spool, "choose"),
        (Spool, "item"),
        (Spool, "rejects"),
        (Whole, "write"),
        (Whole, "close"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_ctrl_c_is_one_sentence_and_leaves_what_was_there(
    where: object, name: str, is_there: bool, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(alone / "reviews.jsonl", 3, 3)
    write_lines(alone / "items.jsonl", sources.amazon_metadata(9))
    given = ["import", "amazon", "reviews.jsonl", "--metadata", "items.jsonl", "--data", "data", "--overwrite"]
    given += ["--development", "0.5"]  # so that users are chosen before any is written
    if is_there:
        assert steerx(*given, "--last", 2).code == 0
    before = contents(alone)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, stop)
        ended = steerx(*given)
    assert ended == Ended(130, "", "Stopped: nothing was finished; the same command starts over\n")
    after = contents(alone)
    for place in {*after} - {*before}:
        assert place in (str(alone / "data"), str(alone / "data" / "import-rejects.jsonl"))
    assert {place: after[place] for place in before} == before
    assert steerx(*given).code == 0


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_before_any_line_leaves_whole_files_or_none(
    alone: Path, steerx: Steerx, reviews: Path, whole: Bytes
) -> None:
    given: list[object] = ["import", "amazon", reviews, "--data", "data"]
    # Not inside the writer of Parquet: pyarrow's own would grumble about a file that is closed already.
    modules = [module for module in WRITING if "artifacts" not in module]
    lines = support.at_line(0, modules, lambda: None, steerx, *given)
    shutil.rmtree(alone / "data")
    ended: list[Ended] = []
    for line in range(1, lines, 3):
        support.at_line(line, modules, interrupt, lambda: ended.append(steerx(*given)))
        assert ended[-1].code == 130, f"line {line}"
        assert ended[-1].err.startswith("Stopped: "), f"line {line}"
        assert ended[-1].err.count("\n") == 1, f"line {line}"
        check_left(alone / "data", whole)
        assert steerx(*given).code == 0
        assert contents(alone / "data") == {str(alone / "data" / name): data for name, data in whole.items()}
        shutil.rmtree(alone / "data")


# --- full disks -------------------------------------------------------------------------------------------------------

FULL = "the disk is full: free some space"


@pytest.mark.parametrize("cache", [0, 64 * 1024])
def test_a_disk_that_is_too_small_is_one_sentence(
    cache: int, small_disk: Path, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the sorting, where it finds no memory, and for the tables."""
    monkeypatch.setattr(spool, "_CACHE_KIB", cache)
    fill(alone / "many.jsonl", 100, 200)
    ended = steerx("import", "amazon", "many.jsonl", "--data", small_disk)
    place = small_disk / "histories.parquet" if cache else small_disk
    assert ended == Ended(2, "", f"Error: cannot write {place}: {FULL}\n")
    assert [path.name for path in small_disk.iterdir()] == (["import-rejects.jsonl"] if cache else [])


def test_a_file_that_may_not_grow_is_one_sentence(alone: Path) -> None:
    fill(alone / "many.jsonl", 100, 20)
    ended = subprocess.run(
        [sys.executable, "-m", "steerx_cli", "import", "amazon", "many.jsonl", "--data", "data"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    said = "the file would be larger than is allowed here: raise the limit"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(rf"Error: cannot write data/(histories|queries)\.parquet: {said}\n", ended.stderr)
    assert [path.name for path in (alone / "data").iterdir()] == ["import-rejects.jsonl"]


@pytest.mark.parametrize(
    ("said", "cure"), [("database or disk is full", FULL), ("disk I/O error", "Input/output error")]
)
@pytest.mark.parametrize(
    "at", ["INSERT INTO texts", "INSERT INTO rejects", "CREATE TABLE sorted", "SELECT name", "INSERT INTO chosen"]
)
def test_what_the_sorting_cannot_write_is_one_sentence(
    at: str, said: str, cure: str, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(sqlite3.Connection):
        def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
            self._fail(query)
            return super().execute(query, *values)

        def executemany(self, query: str, rows: Any) -> sqlite3.Cursor:
            self._fail(query)
            return super().executemany(query, rows)

        def executescript(self, query: str) -> sqlite3.Cursor:
            self._fail(query)
            return super().executescript(query)

        def _fail(self, query: str) -> None:
            if at in query:
                raise sqlite3.OperationalError(said)

    fill(alone / "reviews.jsonl", 3, 3)
    assert steerx("import", "amazon", "reviews.jsonl", "--data", "data", "--last", 2).code == 0
    before, real = contents(alone), sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *given, **named: real(*given, **named, factory=Failing))
        ended = steerx("import", "amazon", "reviews.jsonl", "--data", "data", "--overwrite", "--users", 9)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("Error: cannot write data: ")
    assert FULL in ended.err if cure == FULL else said in ended.err
    assert contents(alone) == before


@pytest.mark.parametrize("call", range(1, 7))
def test_a_disk_that_is_full_at_last_leaves_whole_files_or_none(
    call: int, alone: Path, steerx: Steerx, reviews: Path, whole: Bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fail(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        ended = steerx("import", "amazon", reviews, "--data", "data")
    assert ended.code in (0, 2)  # a folder that cannot be brought to the disk is no failure
    if ended.code == 2:
        assert ended.err.endswith(f": {FULL}\n")
        assert ended.err.count("\n") == 1
    check_left(alone / "data", whole)
    assert steerx("import", "amazon", reviews, "--data", "data").code == 0
    assert inside(alone / "data") == whole


# --- several at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["histories", "queries"])
def test_two_on_one_folder_the_second_is_told(name: str, alone: Path, steerx: Steerx, reviews: Path) -> None:
    with Output(alone / "data" / f"{name}.parquet", QUERIES).locked():
        ended = steerx("import", "amazon", reviews, "--data", "data")
    said = f"another steerx is writing data/{name}.parquet: wait for it, or name another --data"
    assert ended == Ended(2, "", f"Error: {said}\n")
    assert steerx("import", "amazon", reviews, "--data", "data").code == 0


def test_many_at_once_make_whole_files(reviews: Path, tmp_path: Path, whole: Bytes) -> None:
    folder = tmp_path / "busy"
    for _ in range(4):
        processes = [support.child(do, asking(reviews), folder) for _ in range(5)]
        for process in processes:
            process.join()
        assert any(process.exitcode == 0 for process in processes)
        assert contents(folder) == {str(folder / name): data for name, data in whole.items()}
        shutil.rmtree(folder)


# --- places and files -------------------------------------------------------------------------------------------------


def _as_nobody(source: Path, folder: Path, told: Path) -> None:
    do(asking(source), told.with_name("imports"))  # nobody may not read root's Python
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        do(asking(source), folder)
    except SteerxError as error:
        told.write_text(str(error))


def test_a_folder_that_may_not_be_written_is_one_sentence(reviews: Path) -> None:
    with tempfile.TemporaryDirectory() as top:
        place = Path(top)
        place.chmod(0o755)
        shutil.copyfile(reviews, place / "reviews.jsonl")
        (place / "told").mkdir()
        (place / "told").chmod(0o777)
        (place / "closed").mkdir()
        (place / "closed").chmod(0o555)
        support.child(_as_nobody, place / "reviews.jsonl", place / "closed", place / "told" / "said").join()
        assert (place / "told" / "said").read_text() == (
            f"cannot write {place / 'closed' / 'histories.parquet'}: this user may not write there: "
            "name another place or change the permissions"
        )
        assert list((place / "closed").iterdir()) == []


@pytest.mark.parametrize("name", ["histories.parquet", "queries.parquet", "import-rejects.jsonl"])
def test_what_is_read_is_never_written(name: str, alone: Path, steerx: Steerx) -> None:
    (alone / "data").mkdir()
    fill(alone / "data" / name, 3, 3)
    (alone / "reviews.jsonl").symlink_to(alone / "data" / name)
    before = contents(alone)
    ended = steerx("import", "amazon", "reviews.jsonl", "--data", "data", "--overwrite")
    assert ended == Ended(2, "", f"Error: data/{name} is read and would be written: name another --data\n")
    assert contents(alone) == before


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object], *, after: bool) -> None:
    """Let something happen before or after the files are read."""
    real = reading.read_all

    def disturbed(*given: Any) -> Any:
        if not after:
            happens()
        counts = real(*given)
        if after:
            happens()
        return counts

    monkeypatch.setattr(work, "read_all", disturbed)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_file_that_goes_away_is_one_sentence(
    kind: str, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = alone / f"rows.{kind}"
    rows = [{"user_id": "u", "response": f"text {number}"} for number in range(3)]
    if kind == "parquet":
        sources.write_parquet(source, rows)
    elif kind == "csv":
        source.write_text("user_id,response\nu,one\nu,two\n")
    else:
        write_lines(source, rows)
    with monkeypatch.context() as patch:
        meanwhile(patch, source.unlink, after=False)
        ended = steerx("import", "generic", source.name, "--data", "data")
    assert ended == Ended(2, "", f"Error: {source.name} does not exist: name a file that is there\n")
    assert list((alone / "data").iterdir()) == []


def test_a_file_that_goes_away_when_it_was_read_is_no_matter(
    alone: Path, steerx: Steerx, reviews: Path, whole: Bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, reviews.unlink, after=True)
    assert steerx("import", "amazon", reviews, "--data", "data").code == 0
    assert inside(alone / "data") == whole


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("grows", [True, False])
def test_a_file_that_is_written_to_meanwhile_is_one_sentence(
    grows: bool, after: bool, alone: Path, steerx: Steerx, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be written down of it is what was in it before."""
    changed = reviews.read_text() * 2 if grows else reviews.read_text()[:-40]
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda: reviews.write_text(changed), after=after)
        ended = steerx("import", "amazon", "reviews.jsonl", "--data", "data")
    assert ended == Ended(2, "", "Error: reviews.jsonl was changed while it was read: run the same command again\n")
    assert list((alone / "data").iterdir()) == []
    assert steerx("import", "amazon", "reviews.jsonl", "--data", "data").code == 0


def test_names_that_are_not_utf_8_are_written_or_refused_in_a_sentence(
    alone: Path, steerx: Steerx, whole: Bytes
) -> None:
    name = os.fsdecode(b"caf\xe9")
    shutil.copyfile(alone / "reviews.jsonl", alone / f"{name}.jsonl")
    assert steerx("import", "amazon", f"{name}.jsonl", "--data", "data").code == 0
    assert {place: data for place, data in inside(alone / "data").items() if place != "import-rejects.jsonl"} == {
        place: data for place, data in whole.items() if place != "import-rejects.jsonl"
    }
    ended = steerx("import", "amazon", "reviews.jsonl", "--data", name)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "bytes in its name that are not UTF-8: name another folder" in ended.err
