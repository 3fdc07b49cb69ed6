"""The place of a result: full, closed, not a place at all, a link; each ends in one sentence and loses nothing."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import support
from steerx_cli.core.errors import SteerxError


def steerx(data: Path, output: Path, most_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """The real command, with a bound on the size of the files that it may write."""
    arguments = ["retrieve", "--retriever", "recency", "--chunk-users", "1", "--data", data, "--output", output]
    return subprocess.run(
        [sys.executable, "-m", "steerx_cli", *map(str, arguments), "--run", str(data.parent / "no-run")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)) if most_bytes else None,
    )


def test_a_file_that_may_not_grow_loses_no_finished_chunk(data: Path, tmp_path: Path, whole: bytes) -> None:
    output = tmp_path / "retrieved.parquet"
    ended = steerx(data, output, most_bytes=len(whole) - 100)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"Error: cannot write {output}: the file would be larger than is allowed here: raise the limit; "
        "20 of 20 chunks are finished and kept; the same command continues\n"
    )
    assert support.retrieve(data, output).users_now == 0
    assert output.read_bytes() == whole


def test_a_full_disk_loses_no_finished_chunk(data: Path, small_disk: Path, whole: bytes) -> None:
    output = small_disk / "retrieved.parquet"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(192 * 1024))
    ended = steerx(data, output)
    kept = len(list(small_disk.glob("*.parts/*/*.part")))
    assert 0 < kept < 20
    assert ended.returncode == 2
    assert ended.stderr == (
        f"Error: cannot write {output}: the disk is full: free some space; "
        f"{kept} of 20 chunks are finished and kept; the same command continues\n"
    )
    ballast.unlink()
    assert support.retrieve(data, output).users_now == 20 - kept
    assert output.read_bytes() == whole


def test_a_place_that_cannot_take_the_file_is_refused_first(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    with pytest.raises(SteerxError, match="a file stands where a folder is needed: name another place"):
        support.retrieve(data, file / "retrieved.parquet")
    with pytest.raises(SteerxError, match="a folder stands where the file should be: name another place"):
        support.retrieve(data, folder)


def _as_nobody(data: Path, output: Path, told: Path) -> None:
    support.retrieve(data, told.with_name("imports.parquet"))  # nobody may not read root's Python
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        support.retrieve(data, output)
    except SteerxError as error:
        told.write_text(str(error))


def test_a_folder_that_may_not_be_written_is_refused_first(data: Path) -> None:
    with tempfile.TemporaryDirectory() as top:
        place = Path(top)
        place.chmod(0o755)
        shutil.copytree(data, place / "data")
        (place / "data").chmod(0o755)
        (place / "told").mkdir(mode=0o777)
        (place / "told").chmod(0o777)
        (place / "closed").mkdir()
        (place / "closed").chmod(0o555)
        support.child(_as_nobody, place / "data", place / "closed" / "r.parquet", place / "told" / "said").join()
        assert (place / "told" / "said").read_text() == (
            f"cannot write {place / 'closed' / 'r.parquet'}: this user may not write there: "
            "name another place or change the permissions"
        )


def test_a_link_stays_a_link(data: Path, tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "r.parquet", tmp_path / "link.parquet"
    link.symlink_to(target)
    support.retrieve(data, link)
    assert link.is_symlink()
    assert target.read_bytes() == whole
    assert support.retrieve(data, link).status == "up to date"
