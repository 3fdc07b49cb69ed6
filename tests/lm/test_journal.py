"""What was answered is kept, however a run ends."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import journal as module
from steerx_cli.lm.journal import Journal

VALUES: dict[str, dict[str, Any]] = {
    "a": {"text": "Quiet.\n", "tokens": 2},
    "b": {"text": "🙂 café \u2028\x85\r\n{}", "tokens": None},
    "c": {"text": ""},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def filled(path: Path) -> list[bytes]:
    """A journal of all values, line by line."""
    journal = Journal(path)
    for name, value in VALUES.items():
        journal.add(name, value)
    return path.read_bytes().splitlines(keepends=True)


def found(path: Path) -> dict[str, object]:
    journal = Journal(path)
    return {name: value for name in [*VALUES, "d"] if (value := journal.get(name)) is not None}


def test_what_is_added_is_there_for_this_run_and_the_next(path: Path) -> None:
    journal = Journal(path)
    assert not path.exists()
    assert journal.get("a") is None
    journal.add("a", VALUES["a"])
    assert journal.get("a") == VALUES["a"]
    assert not journal.is_earlier("a")
    again = Journal(path)
    assert again.get("a") == VALUES["a"]
    assert again.is_earlier("a")
    assert not again.is_earlier("b")


def test_each_value_is_one_line(path: Path) -> None:
    assert len(filled(path)) == len(VALUES)
    assert found(path) == VALUES


def test_a_run_killed_at_any_byte_loses_no_line_that_was_whole(path: Path) -> None:
    lines = filled(path)
    data = b"".join(lines)
    ends = [len(b"".join(lines[:number])) for number in range(len(lines) + 1)]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends[1:])
        expected = dict(list(VALUES.items())[:whole])
        Journal(path).add("d", {"text": "new"})
        assert path.read_bytes().startswith(data[: ends[whole]] + b'{"name": "d"')
        assert found(path) == {**expected, "d": {"text": "new"}}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_line_is_as_if_it_were_not_there(path: Path, number: int) -> None:
    lines = filled(path)
    others = {name: value for place, (name, value) in enumerate(VALUES.items()) if place != number}
    for place in range(len(lines[number]) - 1):
        damaged = bytearray(lines[number])
        damaged[place] ^= 1
        path.write_bytes(b"".join([*lines[:number], bytes(damaged), *lines[number + 1 :]]))
        assert found(path) == others


@pytest.mark.parametrize(
    "line", [b"", b"\0\0\0", b"\xff\xfe", b"null", b"[]", b'{"name": "a"}', b'{"name": [], "value": 1, "check": 2}']
)
def test_a_line_of_something_else_is_ignored(path: Path, line: bytes) -> None:
    lines = filled(path)
    path.write_bytes(lines[0] + line + b"\n" + b"".join(lines[1:]))
    assert found(path) == VALUES


def test_threads_do_not_write_into_each_others_lines(path: Path) -> None:
    journal = Journal(path)
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait(10)
        for each in range(20):
            journal.add(f"{number}-{each}", {"text": "x" * 50 * number})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Journal(path)
    values = [again.get(f"{number}-{each}") for number in range(8) for each in range(20)]
    assert values == [{"text": "x" * 50 * number} for number in range(8) for _ in range(20)]


def test_a_line_that_the_disk_took_a_piece_of_does_not_spoil_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.add("a", VALUES["a"])
    real = module._append

    def half(where: Path, line: bytes) -> None:
        real(where, line[: len(line) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_append", half)
    with pytest.raises(SteerxError) as caught:
        journal.add("b", VALUES["b"])
    assert str(caught.value) == (
        f"cannot write {path}: the disk is full: free some space; what was answered is kept; the same command continues"
    )
    assert journal.get("b") is None
    monkeypatch.undo()
    journal.add("c", VALUES["c"])
    assert found(path) == {"a": VALUES["a"], "c": VALUES["c"]}


def test_a_disk_that_is_full_keeps_what_was_there(small_disk: Path) -> None:
    path = small_disk / "answers.jsonl"
    journal = Journal(path)
    with pytest.raises(SteerxError, match="the disk is full"):  # noqa: PT012 - one of them is the first too many
        for number in range(100):
            journal.add(str(number), {"text": "x" * 8000})
    kept = Journal(path)
    assert [name for name in map(str, range(100)) if kept.get(name)] == [str(place) for place in range(number)]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SteerxError, match="cannot write"):
        Journal(tmp_path)
    journal = Journal(tmp_path / "none" / "answers.jsonl")
    with pytest.raises(SteerxError, match="a folder went away meanwhile: run the same command again"):
        journal.add("a", VALUES["a"])
