"""What several tests need: small data, the stage under test, and children that can be killed."""

import importlib
import inspect
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, TypeAlias

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


def fresh(programs: Path, work: Callable[..., object], *arguments: Path) -> Ended:
    """Do some work of a test file in a Python that has everything loaded and has used none of it: it can fork."""
    words: list[str | Path] = ["-m", "support", inspect.getfile(work), work.__name__, *arguments]
    ended = subprocess.run([programs / "python", *words], capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def aged(folder: Path) -> Path:
    """The same files as if they had long been there: of a model, its digests are kept from the first run on."""
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    return folder


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


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_line(
    number: int, modules: Collection[str], happens: Callable[[], None], work: Callable[..., object], *arguments: object
) -> int:
    """Do `work`, and let something happen once, before the `number`-th line in some modules; tell how many came."""

    def there(line: int) -> None:
        if line == number:
            happens()

    return at_every_line(modules, there, work, *arguments)


def at_every_line(
    modules: Collection[str], happens: Callable[[int], None], work: Callable[..., object], *arguments: object
) -> int:
    """Do `work`, and let something happen before each line in some modules, which are counted from 1."""
    came = 0
    places = tuple(f"{os.sep}{module.replace('/', os.sep)}" for module in modules)

    def count(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal came
        if not frame.f_code.co_filename.endswith(places):
            return None
        if event == "line":
            came += 1
            happens(came)
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


def started(work: Callable[..., object], *arguments: object) -> int:
    """The same of a new process, for work that a copy of this one could not do."""
    process = child(work, *arguments)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


# --- killed before any line -------------------------------------------------------------------------------------------

State: TypeAlias = dict[str, tuple[int, bytes]]

REALLY = 5  # killed, the first line and the last among them


def state_of(folder: Path | str) -> State:
    """What is below a folder: names, kinds and rights, where links lead, and bytes; not since when."""
    found: State = {}
    with os.scandir(folder) as entries:  # as `Path` does it, it would take most of the time of a run
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            data = b""
            if stat.S_ISDIR(mode):
                found |= {f"{entry.name}/{name}": below for name, below in state_of(entry.path).items()}
            elif stat.S_ISLNK(mode):
                data = os.fsencode(os.readlink(entry))  # noqa: PTH115
            elif stat.S_ISREG(mode):
                with open(entry, "rb", buffering=0) as file:  # noqa: PTH123
                    data = file.read()
            found[entry.name] = mode, data
    return found


def states_before_lines(
    folder: Path, modules: Collection[str], work: Callable[..., object], *arguments: object
) -> list[Path]:
    """Do `work`, and keep every state in which `folder` was before a line in some modules, and that in which it ends.

    Each is kept once, under the number of the line before which it was there first.

    That is what a process leaves that is killed there. A kill runs no line more, neither of the work nor of what tidies
    up after it. What was written stays, and what Python or a library still had in memory is lost, and is not in the
    copy. A file that has no name is in neither. A lock ends with whoever held it, and nobody holds one in a copy. And
    the same work that is done once more can know of the kill from the folder only, so that what comes of one state is
    what comes of all the lines that leave it: to go on from each state is to be killed before each line. It holds as
    long as one process and one thread of it writes.
    """
    kept = folder.with_name(f"{folder.name}.states")
    known: list[State] = []

    def look(line: int) -> None:
        if (state := state_of(folder)) not in known:
            known.append(state)
            shutil.copytree(folder, kept / f"{line:06}", symlinks=True)

    lines = at_every_line(modules, look, work, *arguments)
    shutil.copytree(folder, kept / f"{lines + 1:06}", symlinks=True)
    return sorted(kept.iterdir())


def killed_before_lines(
    folder: Path,
    work: Callable[..., object],
    *arguments: object,
    modules: Collection[str] = WRITING,
    run: Callable[..., int] = forked,
) -> Iterator[int]:
    """Put `folder` into each state in which a kill before any line of `work` leaves it, and tell the line's number.

    Some lines are drawn, and the process really killed before them. What `run` does happens before the first state is
    handed out: to go on from it, this process may use what a copy of it must not have used.
    """
    start = shutil.copytree(folder, folder.with_name(f"{folder.name}.start"), symlinks=True)
    assert run(states_before_lines, folder, modules, work, *arguments) == 0
    states = sorted(folder.with_name(f"{folder.name}.states").iterdir())
    known, lines = [state_of(state) for state in states], int(states[-1].name) - 1
    drawn = random.Random(lines).sample(range(2, lines), REALLY - 2)
    for line in (1, *drawn, lines):
        shutil.rmtree(folder)
        shutil.copytree(start, folder, symlinks=True)
        assert run(at_line, line, modules, die, work, *arguments) == -signal.SIGKILL
        assert state_of(folder) in known, f"a kill before line {line} leaves something else"
        states.append(folder.replace(states[0].with_name(f"{line:06} killed")))
        folder.mkdir()
    for state in sorted(states):
        shutil.rmtree(folder)
        state.replace(folder)
        yield int(state.name.split()[0])


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


def main(file: str, name: str, *arguments: str) -> None:
    """The other side of `fresh`."""
    for late in ("pandas", "pyarrow.acero"):  # else each fork would load them
        importlib.import_module(late)
    sys.path.insert(0, str(Path(file).parent))
    ended = 1
    try:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache  # digests of models, which nobody else writes meanwhile
            getattr(importlib.import_module(Path(file).stem), name)(*map(Path, arguments))
        ended = 0
    finally:
        if ended:
            traceback.print_exc()
        sys.exit(ended)


if __name__ == "__main__":
    main(*sys.argv[1:])
