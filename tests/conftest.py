"""Data that many tests read and none changes, and the program as it is typed."""

import functools
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# The tests are processes side by side: torch's threads of each would wait for those of the others most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import typer

import support
from people import write_people
from served import served
from steerx_cli.app import main
from support import Ended, Steerx


def pytest_collection_finish() -> None:
    """All that is loaded by now stays: the garbage collector need not look through it again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people with five histories each, and one query."""
    folder = tmp_path_factory.mktemp("data")
    write_people(folder, count=20, each=5, seed=1)
    return folder


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two histories each."""
    folder = tmp_path_factory.mktemp("few")
    write_people(folder, count=2, each=2, seed=1)
    return folder


@pytest.fixture(scope="session")
def material() -> Path:
    """Real texts and models that are no part of the project."""
    folder = os.environ.get("STEERX_TEST_DATA")
    if not folder:
        pytest.skip("STEERX_TEST_DATA does not say where the outside material is")
    return Path(folder)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a `steerx` and a `python` that are quick to start."""
    with served(tmp_path_factory.mktemp("programs")) as programs:
        yield programs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and nothing around it that changes what is printed."""
    for variable in ("STEERX_RUN", "STEERX_DEBUG", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["steerx"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = functools.cache(typer.main.get_command)  # made of their functions once, which takes longer than many of them


@pytest.fixture
def steerx(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Steerx:
    """Run one command in this process."""
    monkeypatch.setattr(typer.main, "get_command", COMMANDS)

    def run(*arguments: object) -> Ended:
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def whole(data: Path, tmp_path: Path) -> bytes:
    """The bytes of a run that nothing disturbed."""
    support.retrieve(data, tmp_path / "whole.parquet")
    return (tmp_path / "whole.parquet").read_bytes()
