"""A million histories through a stage: memory that does not grow, and what the promises of an artifact cost.

    make bench            (or: python tests/bench/artifacts.py [--people 100000] [--runs 3])

Every measured run is a process of its own; the ones compared take turns. Written to tests/bench/results/artifacts.md.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench.turns import Figures, Way, apart, in_turns, middle
from people import write_people

RESULTS = Path(__file__).parent / "results" / "artifacts.md"
HISTORIES_EACH = 10


def steerx(data: Path, output: Path) -> None:
    """The stage as it is: chunks kept one by one, checksums, provenance."""
    from steerx_cli.core.progress import Silent
    from steerx_cli.core.scope import Scope
    from steerx_cli.stages.retrieve import Settings, run

    settings = Settings("recency", top_k=2, seed=0)
    output.unlink(missing_ok=True)  # or it would be up to date
    run(settings, data / "queries.parquet", data / "histories.parquet", Scope(output), Silent())


def in_memory(data: Path, output: Path) -> None:
    """The peer: the same rows by polars, everything in memory at once, nothing promised."""
    import polars as pl

    histories, queries = pl.read_parquet(data / "histories.parquet"), pl.read_parquet(data / "queries.parquet")
    pairs = queries.select("user_id", "query_id").join(histories, on="user_id", maintain_order="left_right")
    ranked = pairs.sort(["query_id", "time"], descending=[False, True])
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("query_id")
    ranked.with_columns(rank=place).filter(pl.col("rank") <= 2).write_parquet(output)


def read_through(data: Path, _: Path) -> None:
    """The floor: both inputs read once, group by group."""
    import pyarrow.parquet as pq

    for name in ("histories", "queries"):
        with pq.ParquetFile(data / f"{name}.parquet") as parquet:
            for group in range(parquet.num_row_groups):
                parquet.read_row_group(group, use_threads=False)


WAYS: dict[str, Callable[[Path, Path], None]] = {"steerx": steerx, "in memory": in_memory, "reading": read_through}


def way(work: Callable[[Path, Path], None], data: Path, folder: Path) -> Way:
    """It, as a way that is measured; what a run wrote stands in the way of no other."""
    return Way(partial(work, data, folder / f"{work.__name__}.parquet"))


def bench(people: int, runs: int, folder: Path) -> dict[int, dict[str, Figures]]:
    """Every way at a tenth of the size and at the whole, in turns."""
    found: dict[int, dict[str, Figures]] = {}
    for count in (people // 10, people):
        data = folder / str(count)
        apart(Way(partial(write_people, data, count, HISTORIES_EACH, seed=0)))
        taken = in_turns({name: way(work, data, folder) for name, work in WAYS.items()}, runs)
        found[count * HISTORIES_EACH] = {name: middle(some) for name, some in taken.items()}
    return found


def page(found: dict[int, dict[str, Figures]], runs: int) -> str:
    """The figures as Markdown."""
    small, large = sorted(found)
    lines = [
        "# Histories through `steerx retrieve --retriever recency`",
        "",
        f"Written by `make bench`; medians of {runs} runs, each in a process of its own, taken in turns.",
        "",
        "| histories | way | cpu s | wall s | peak MiB | cpu ÷ in memory | peak ÷ in memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for histories, ways in sorted(found.items()):
        peer = ways["in memory"]
        lines += [
            f"| {histories:,} | {way} | {f['cpu']:.1f} | {f['wall']:.1f} | {f['peak']:.0f} "
            f"| {f['cpu'] / peer['cpu']:.2f} | {f['peak'] / peer['peak']:.2f} |"
            for way, f in ways.items()
        ]
    growth = {way: found[large][way]["peak"] / found[small][way]["peak"] for way in WAYS}
    lines += ["", f"Peak memory at {large:,} histories over that at {small:,}:"]
    lines += [f"{way} {grown:.2f}" + ("," if way != "reading" else ".") for way, grown in growth.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(bench(asked.people, asked.runs, Path(folder)), asked.runs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
