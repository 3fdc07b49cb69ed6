"""What is only looked at before each line is what a process leaves that is killed there."""

import fcntl
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import pytest

import support
from steerx_cli.core.files import replacing

HERE = ("test_support.py", "core/files.py")


def toy(folder: Path) -> None:
    """Everything that a file may be while it is written."""
    lock = (folder / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        for name in "ab":
            with replacing(folder / name) as file:
                file.write(b"one ")  # held by Python
                file.flush()
                file.write(name.encode())
        (folder / "below").mkdir()
        (folder / "below" / "link").symlink_to("../a")
        over = os.open(folder / "a", os.O_WRONLY)
        os.write(over, b"two")  # as many bytes in their place, and at once
        os.write(over, b" B")
        os.close(over)
        with tempfile.TemporaryFile(dir=folder) as nameless:
            nameless.write(b"x")
            nameless.flush()
        (folder / "a").chmod(0o600)
        shutil.rmtree(folder / "below")
        (folder / "b").replace(folder / "a")
    finally:
        (folder / "lock").unlink()
        lock.close()


def distinct(states: list[support.State]) -> list[support.State]:
    return [state for number, state in enumerate(states) if state not in states[:number]]


def killed(line: int, folder: Path) -> bool:
    """Whether the line was come to."""
    folder.mkdir()
    return support.forked(support.at_line, line, HERE, support.die, toy, folder) == -signal.SIGKILL


def test_the_states_before_all_lines_are_what_kills_leave(tmp_path: Path) -> None:
    line = 1
    while killed(line, tmp_path / f"{line}"):
        line += 1
    lefts = [support.state_of(tmp_path / f"{number}") for number in range(1, line + 1)]
    (tmp_path / "seen").mkdir()
    *before, end = support.states_before_lines(tmp_path / "seen", HERE, toy, tmp_path / "seen")
    assert [support.state_of(state) for state in before] == distinct(lefts[:-1])
    assert [int(state.name) for state in before] == [lefts.index(state) + 1 for state in distinct(lefts[:-1])]
    assert (int(end.name), support.state_of(end)) == (line, lefts[-1])
    assert len(before) > 15
    modes = {mode for left in lefts for mode, _ in left.values()}
    assert {stat.S_IFMT(mode) for mode in modes} == {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}


def test_a_folder_is_put_into_each_state_and_some_of_them_are_of_real_kills(tmp_path: Path) -> None:
    seen, folder = tmp_path / "seen", tmp_path / "killed"
    for place in (seen, folder):
        place.mkdir()
        (place / "was there").touch()
    states = {state.name: support.state_of(state) for state in support.states_before_lines(seen, HERE, toy, seen)}
    came: list[int] = []
    for line in support.killed_before_lines(folder, toy, folder, modules=HERE):
        assert support.state_of(folder) in states.values()
        (folder / "what goes on writes").touch()
        came.append(line)
    assert came == sorted(came)
    assert {*came} >= {int(name) for name in states}
    assert len(came) == len(states) + support.REALLY
    assert (came[:2], came[-2]) == ([1, 1], came[-1] - 1)


def unlike(folder: Path) -> None:
    """What no other process writes."""
    with replacing(folder / "a") as file:
        file.write(b"%d" % os.getpid())


def test_a_kill_that_leaves_what_was_not_seen_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(AssertionError, match=r"a kill before line \d+ leaves something else"):
        next(support.killed_before_lines(folder, unlike, folder))
