"""What several tests need: small data, the stage under test, and children that can be killed."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

from steerx_cli.core.job import Compute, Tables
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.stages.retrieve import Settings, run


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Steerx = Callable[..., Ended]  # runs one command in this process

RUN = "from steerx_cli.__main__ import main\nmain()"  # what a script of `python` ends with
RECENT = Settings(retriever="recency", top_k=2, seed=0)


def retrieve(data: Path, output: Path, settings: Settings = RECENT, **scope: Any) -> Summary:
    """Run the stage on the people in `data`."""
    place = Scope(output=output, **{"chunk_users": 1, **scope})
    return run(settings, data / "queries.parquet", data / "histories.parquet", place, Silent())


def shards(data: Path, folder: Path, count: int) -> list[Path]:
    """Run the stage in `count` shards."""
    paths = [folder / f"retrieved-{index:05d}-of-{count:05d}.parquet" for index in range(1, count + 1)]
    for index, path in enumerate(paths, 1):
        retrieve(data, path, shard=Shard(index, count))
    return paths


def python(script: str, *arguments: str) -> Ended:
    """Run one command in a process of its own, with something changed before."""
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def children() -> ForkServerContext:
    """A server that makes processes quickly, from a copy of Python in which all that a stage imports is there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["steerx_cli.stages.retrieve", "steerx_cli.tools.import_.work", "pandas", "pyarrow.acero", "pytest"]
    )
    return context


def child(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start one."""
    process = children().Process(target=target, args=arguments)
    process.start()
    return process


WRITING = ("core/job.py", "core/outputs.py", "core/artifacts.py", "core/files.py")  # what keeps and writes results


def die_at_line(number: int, work: Callable[..., object], *arguments: object) -> None:
    """Do `work`, and be killed before the `number`-th line that it comes to in what keeps and writes results."""
    at_line(number, WRITING, lambda: os.kill(os.getpid(), signal.SIGKILL), work, *arguments)


def at_line(
    number: int, modules: Collection[str], happens: Callable[[], None], work: Callable[..., object], *arguments: object
) -> int:
    """Do `work`, and let something happen once, before the `number`-th line in some modules; tell how many came."""
    came = 0
    places = tuple(f"{os.sep}{module.replace('/', os.sep)}" for module in modules)

    def count(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal came
        if not frame.f_code.co_filename.endswith(places):
            return None
        if event == "line":
            came += 1
            if came == number:
                happens()
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work(*arguments)
    finally:
        sys.settrace(before)
    return came


def forked(work: Callable[..., object], *arguments: object) -> int:
    """How a copy of this process ends that does some work."""
    copy = os.fork()
    if not copy:
        try:
            work(*arguments)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])


def stop_before(chunk: int, stage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Have Ctrl-C come before a stage's `chunk`-th chunk, once; the chunks are listed as they come."""
    came: list[object] = []
    real = stage.prepare

    def stopping(*given: Any) -> Compute:
        compute = real(*given)

        def one(tables: Tables) -> Any:
            came.append(tables)
            if len(came) == chunk:
                raise KeyboardInterrupt
            return compute(tables)

        return one

    monkeypatch.setattr(stage, "prepare", stopping)
    return came


def moments(seed: int, longest: float) -> Callable[[], float]:
    """A stream of random moments, in seconds."""
    draw = random.Random(seed)
    return lambda: draw.uniform(0, longest)
