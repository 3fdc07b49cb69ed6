"""Ways to do the same thing, each run in a process of its own, in turns."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, TypedDict

from steerx_cli.core.summary import peak_memory


class Figures(TypedDict):
    """One run of one way."""

    cpu: float  # seconds, of all threads
    wall: float  # seconds
    peak: float  # MiB, Python and its libraries included


@dataclass(frozen=True)
class Way:
    """One way to do it. What it returns must be the same for all ways that say that they give the same."""

    work: Callable[[], Any]
    loads: tuple[str, ...] = ()  # libraries, loaded before the clock starts


Runs = Mapping[str, Sequence[Figures]]


def write_page(described: str, page: Callable[[int], str], results: Path) -> None:
    """Measure as often as is asked for on the command line; print and write."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    text = page(parser.parse_args().runs)
    results.parent.mkdir(exist_ok=True)
    results.write_text(text)
    print(text)


def _apart(way: Way, told: Connection) -> None:
    for name in way.loads:
        import_module(name)
    cpu, wall = time.process_time(), time.monotonic()
    result = way.work()
    figures = Figures(
        cpu=time.process_time() - cpu,
        wall=time.monotonic() - wall,
        peak=peak_memory() / 2**20,
    )
    told.send((figures, result))


def apart(way: Way) -> tuple[Figures, Any]:
    """Run it once. The caller must stay small: Linux counts its memory, too, as the peak of what it starts."""
    context = get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(way, tells))
    process.start()
    tells.close()  # so that a process that dies is not waited for
    told: tuple[Figures, Any] = hears.recv()
    process.join()
    return told


def in_turns(ways: Mapping[str, Way], runs: int) -> dict[str, list[Figures]]:
    """Run each so many times; ways that return anything must return the same."""
    taken: dict[str, list[Figures]] = {name: [] for name in ways}
    results: list[Any] = []
    for _ in range(runs):
        for name, way in ways.items():
            figures, result = apart(way)
            taken[name].append(figures)
            if result is not None:
                results.append(result)
    if any(result != results[0] for result in results):
        raise SystemExit(f"{', '.join(ways)} do not do the same: {results}")
    return taken


def middle(taken: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return {
        "cpu": median(run["cpu"] for run in taken),
        "wall": median(run["wall"] for run in taken),
        "peak": median(run["peak"] for run in taken),
    }


def times(taken: Runs, way: str, other: str) -> float:
    """The processor time of one way over that of another: the median of what each turn says."""
    return median(one["cpu"] / two["cpu"] for one, two in zip(taken[way], taken[other], strict=True))
