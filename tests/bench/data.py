"""Reviews through `steerx import` and `steerx retrieve`: against other ways, and memory that does not grow.

    make bench            (or: python tests/bench/data.py [--people 1000] [--most 3000] [--runs 3])

Every measured run is a process of its own; the ones compared take turns. Written to tests/bench/results/data.md.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench import inputs, peers
from bench.turns import Figures, Runs, Way, apart, in_turns, middle, times

RESULTS = Path(__file__).parent / "results" / "data.md"
EACH = 100  # histories of a person's
ENCODED_PEOPLE, ENCODED_EACH, ENCODED_QUERIES = 16, 20, 4
BATCH_TOKENS = 8192  # as without --batch-tokens

# What a way needs is loaded before its clock starts.
TABLES = ("polars", "pyarrow.parquet", "steerx_cli.core.progress", "steerx_cli.core.scope")
IMPORTS = (*TABLES, "steerx_cli.tools.import_.request", "steerx_cli.tools.import_.work")
RETRIEVES = (*TABLES, "steerx_cli.stages.retrieve", "bm25s")
ENCODES = (*RETRIEVES, "torch", "transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert")


# --- steerx's own way -------------------------------------------------------------------------------------------------


def do_import(dump: Path, output: Path, last: int) -> int:
    """`steerx import amazon`; how many histories."""
    import pyarrow.parquet as pq

    from steerx_cli.core.progress import Silent
    from steerx_cli.tools.import_.choose import Rules
    from steerx_cli.tools.import_.request import Request
    from steerx_cli.tools.import_.work import Import

    shutil.rmtree(output, ignore_errors=True)
    files, metadata = (dump / "reviews.jsonl",), (dump / "meta.jsonl",)
    request = Request("amazon", files, metadata, rules=Rules(last))
    Import(request, output, overwrite=False).run(dry_run=False, progress=Silent())
    return int(pq.read_metadata(output / "histories.parquet").num_rows)


def do_retrieve(retriever: str, data: Path, output: Path, encoder: Path | None = None) -> int | None:
    """`steerx retrieve`; of BM25 what it chose."""
    import polars as pl

    from steerx_cli.core.progress import Silent
    from steerx_cli.core.scope import Scope
    from steerx_cli.lm.models import ModelRequest
    from steerx_cli.stages.retrieve import Dense, Settings, run

    output.unlink(missing_ok=True)
    dense = Dense(ModelRequest(str(encoder), device="cpu"), BATCH_TOKENS) if encoder else None
    settings = Settings(retriever, peers.TOP_K, seed=0, dense=dense)
    run(settings, data / "queries.parquet", data / "histories.parquet", Scope(output), Silent())
    if retriever != "bm25":
        return None
    return peers.digest(pl.read_parquet(output, columns=["item_id"])["item_id"].to_list())


# --- what is compared -------------------------------------------------------------------------------------------------


def importing(folder: Path) -> dict[str, Way]:
    """The ways from a dump to histories and queries."""
    return {
        "steerx": Way(partial(do_import, folder, folder / "data", 1), IMPORTS),
        "polars": Way(partial(peers.table_in_memory, folder, folder / "peer"), TABLES),
        "dicts": Way(partial(peers.objects_in_memory, folder, folder / "peer"), TABLES),
        "json.loads": Way(partial(peers.read_lines, folder)),
    }


def retrieving(folder: Path) -> dict[str, Way]:
    """The ways from those to what stands beside each query."""
    data, output = folder / "data", folder / "retrieved.parquet"
    return {
        "steerx, bm25": Way(partial(do_retrieve, "bm25", data, output), RETRIEVES),
        "index a query": Way(partial(peers.index_for_each_query, data, folder / "peer.parquet"), TABLES),
        "words": Way(partial(peers.read_words, data), TABLES),
        "steerx, recency": Way(partial(do_retrieve, "recency", data, output), RETRIEVES),
        "steerx, random": Way(partial(do_retrieve, "random", data, output), RETRIEVES),
        "reading": Way(partial(peers.read_through, data), TABLES),
    }


def encoding(folder: Path) -> dict[str, Way]:
    """The ways from texts to vectors to what is nearest."""
    data, encoder = folder / "data", folder / "encoder"
    own = partial(do_retrieve, "dense", data, folder / "retrieved.parquet", encoder)
    peer = partial(peers.encode_for_each_query, data, encoder, folder / "peer.parquet")
    return {"steerx, dense": Way(own, ENCODES), "batches of 16": Way(peer, ENCODES)}


def bench(people: int, most: int, runs: int, folder: Path) -> str:
    """Every way at a tenth of the size and at the whole, in turns; steerx's own at a larger size, once."""
    imported: dict[int, Runs] = {}
    retrieved: dict[int, Runs] = {}
    for count in (people // 10, people, most):
        place = folder / str(count)
        apart(Way(partial(inputs.write_dump, place, count, EACH + 1, seed=0)))
        for found, ways in ((imported, importing(place)), (retrieved, retrieving(place))):
            own = {name: way for name, way in ways.items() if name.startswith("steerx")}
            found[count * EACH] = in_turns(own, 1) if count == most else in_turns(ways, runs)
        shutil.rmtree(place)
    place = folder / "encoded"
    apart(Way(partial(inputs.write_dump, place, ENCODED_PEOPLE, ENCODED_EACH + ENCODED_QUERIES, seed=0)))
    apart(Way(partial(inputs.write_encoder, place / "encoder")))
    apart(Way(partial(do_import, place, place / "data", ENCODED_QUERIES)))
    return page(imported, retrieved, in_turns(encoding(place), runs), runs)


# --- the page ---------------------------------------------------------------------------------------------------------


def table(found: Mapping[int, Runs], against: Mapping[str, Sequence[str]]) -> str:
    """A row for each size and way, with its time over that of the ways that it is held `against`."""
    others = list(dict.fromkeys(other for names in against.values() for other in names))
    lines = [f"| histories | way | cpu s | wall s | peak MiB |{''.join(f' cpu ÷ {name} |' for name in others)}"]
    lines.append("|---" * (5 + len(others)) + "|")
    for histories, taken in sorted(found.items()):
        for way in taken:
            held = [other in against.get(way, ()) and other in taken for other in others]
            ratios = [f"{times(taken, way, other):.2f}" if is_ else "" for is_, other in zip(held, others, strict=True)]
            lines.append(
                f"| {histories:,} | {way} | {shown(middle(taken[way]))} |" + "".join(f" {x} |" for x in ratios)
            )
    return "\n".join(lines)


def shown(figures: Figures) -> str:
    """The cells of one way."""
    return f"{figures['cpu']:.1f} | {figures['wall']:.1f} | {figures['peak']:.0f}"


def growth(found: Mapping[int, Runs]) -> str:
    """What becomes of the peak as the histories become more."""
    sizes = sorted(found)
    lines = []
    for less, more in pairwise(sizes):
        grown = [
            f"`{way}` {middle(found[more][way])['peak'] / middle(found[less][way])['peak']:.2f}" for way in found[more]
        ]
        lines.append(f"- Peak memory at {more:,} histories over that at {less:,}: {', '.join(grown)}.")
    return "\n".join(lines)


IMPORT_HELD = {"steerx": ("polars", "dicts", "json.loads")}
RETRIEVE_HELD = {
    "steerx, bm25": ("index a query", "words"),
    "steerx, recency": ("reading",),
    "steerx, random": ("reading",),
}
ENCODE_HELD = {"steerx, dense": ("batches of 16",)}


def page(imported: Mapping[int, Runs], retrieved: Mapping[int, Runs], encoded: Runs, runs: int) -> str:
    """The figures as Markdown."""
    most = max(imported)
    return f"""\
# Reviews through `steerx import` and `steerx retrieve`

Written by `make bench` on {os.cpu_count()} CPU cores. Every run is a process of its own; its clock starts when its
libraries are loaded. Figures are medians of {runs} runs. The ways take turns, and a ratio is the median of what each
turn says: below 1, steerx takes less. At {most:,} histories steerx alone ran, once.

The reviews are made from a seed, in the shape of Amazon's of 2018: {EACH + 1} of each user's, about 100 words long
(most shorter, some much longer), everybody's lines mixed, and metadata with an item for every ten of them.

## `steerx import amazon`

Each user's last review becomes a query, the {EACH} before it histories; three ways write as many of both.
`polars` and `dicts` hold everything in memory: a table that is joined and sorted, and a list for each user in plain
Python. `json.loads` is the floor for Python: every review decoded, and nothing done.

{table(imported, IMPORT_HELD)}

{growth(imported)}

Flat memory is about 1 in the last line: at the smallest size steerx's buffers are not full yet.

## `steerx retrieve`

A query of each user's and {EACH} histories, top {peers.TOP_K}. `index a query` holds everything in memory and makes,
as LaMP's code does, an index in plain Python for each query; with steerx's words and formula, so that both must choose
the same histories in the same order, or this page is not written. The floors: `words` reads the same tables and finds
the words of every text, `reading` only reads them.

{table(retrieved, RETRIEVE_HELD)}

{growth(retrieved)}

Flat memory is about 1 in the last line: at the smallest size less is read than steerx holds at once.

## `steerx retrieve --retriever dense`

{ENCODED_PEOPLE} users with {ENCODED_EACH} histories and {ENCODED_QUERIES} queries each, on the CPU, by a small BERT of
random weights (2 layers, 128 wide). `batches of 16` encodes, as LaMP's code does, all of a user's texts again for each
query, 16 at a time as they come; steerx each distinct text once, beside texts of about its length.

{table({ENCODED_PEOPLE * ENCODED_EACH: encoded}, ENCODE_HELD)}

The ratio is that of texts of such lengths, and of {ENCODED_QUERIES} queries a user.
"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--most", type=int, default=3000, help="people for whom steerx alone runs, once")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = bench(asked.people, asked.most, asked.runs, Path(folder))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
