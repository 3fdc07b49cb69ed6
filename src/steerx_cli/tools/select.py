"""`steerx select`: a part of the data, by split or by lot, as a data folder that every stage takes as it is."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa

from steerx_cli.core.chunks import Range, joined, plan_chunks
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Job, Work
from steerx_cli.core.order import lot
from steerx_cli.core.outputs import Output
from steerx_cli.core.places import artifact_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import HISTORIES, QUERIES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary, together

STAGE = "select"


@dataclass(frozen=True)
class Choice:
    """Everything that decides what is kept."""

    split: str = "all"  # of the queries: development, test or all
    draw: Shard | None = None  # of the users who have such a query
    seed: int = 0  # of the draw

    def parameters(self) -> dict[str, object]:
        """The settings that are looked at: without a draw there is no seed."""
        return {"split": self.split, **({"draw": str(self.draw), "seed": self.seed} if self.draw else {})}


# --- who is kept, and what of them ------------------------------------------------------------------------------------


def of_split(queries: pl.DataFrame, split: str) -> pl.DataFrame:
    """The queries of one split, or of all."""
    return queries if split == "all" else queries.filter(pl.col("split") == split)


def share(users: Sequence[str], draw: Shard, seed: int) -> list[str]:
    """The users of one share: all are put in an order by lot and dealt out in turn."""
    by_lot = sorted(users, key=lambda user: (lot(seed, "draw", user), user))
    return by_lot[draw.index - 1 :: draw.count]


def users_asking(queries: Source, split: str, chunk_users: int) -> list[str]:
    """The users with a query of the split; what so many of them ask is held at once."""
    found: list[str] = []
    for chunk in plan_chunks("queries", {"queries": queries}, chunk_users, None):
        rows = cast(pl.DataFrame, pl.from_arrow(queries.read_ranges(chunk.rows["queries"])))
        found += of_split(rows, split)["user_id"].unique(maintain_order=True).to_list()
    return found


def chosen(queries: Source, choice: Choice, chunk_users: int) -> set[str]:
    """The users who are kept; a choice of nobody is a mistake."""
    users = users_asking(queries, choice.split, chunk_users)
    of = "" if choice.split == "all" else f" of the split {choice.split}"
    if not users:
        cure = "name another --split" if of else f"`{QUERIES.written_by}` writes queries"
        raise SteerxError(f"{queries.where} has no query{of}: {cure}")
    kept = share(users, choice.draw, choice.seed) if choice.draw else users
    if not kept:
        raise SteerxError(
            f"nobody falls to --draw {choice.draw} of the {len(users)} users with a query{of} in {queries.where}: "
            "draw fewer shares"
        )
    return set(kept)


class Selected(Source):
    """An artifact as if some of its users were all: only their rows are numbered, and read."""

    def __init__(self, whole: Source, wanted: Set[str]) -> None:
        """Find the users that are wanted, those who are there."""
        vars(self).update(vars(whole))  # the files that the choice was made by stay the ones that are read
        self._users: list[tuple[str, int]] = []
        self._starts: list[int] = []  # of each user's rows, as they are numbered here,
        self._places: list[Range] = []  # and where these are among all
        here = there = 0
        for user, rows in whole.users():
            if user in wanted:
                self._users.append((user, rows))
                self._starts.append(here)
                self._places.append((there, there + rows))
                here += rows
            there += rows

    def users(self) -> Iterator[tuple[str, int]]:
        """Each user who is wanted and the number of their rows."""
        return iter(self._users)

    def read_ranges(self, ranges: Sequence[Range]) -> pa.Table:
        """The rows of several ranges, each of whole users."""
        users = [(bisect_left(self._starts, start), bisect_left(self._starts, stop)) for start, stop in ranges]
        return super().read_ranges(joined(place for first, last in users for place in self._places[first:last]))


# --- the two files ----------------------------------------------------------------------------------------------------


def job_of(work: Work, scope: Scope, inputs: Sequence[Path]) -> Job:
    """The job of one file of the scope's folder; an input is never replaced, nor anything else unasked."""
    place = replace(scope, output=artifact_path(scope.output, work.artifact.name))
    output = Output(place.output, work.artifact, scope.overwrite)
    output.check_place(*inputs)
    output.is_finished(work.record(place), None)
    return Job(work, place)


def notes(histories: Summary) -> Iterator[str]:
    """What the summary of the queries does not say."""
    if histories.rows is not None:
        yield f"rows are queries; histories: {histories.rows:,}, of {histories.users:,} users"


def run(choice: Choice, queries: Path, histories: Path, scope: Scope, progress: Progress) -> Summary:
    """Read, choose, write: the queries last, so that a new folder that has them is whole."""
    sources = {"histories": Source(HISTORIES, histories), "queries": Source(QUERIES, queries)}
    inputs = [path for source in sources.values() for path in source.paths]
    wanted = chosen(sources["queries"], choice, scope.chunk_users)
    theirs = {role: Selected(source, wanted) for role, source in sources.items()}
    # Both are made before either runs: what is refused of one leaves no half of a folder.
    written = job_of(Work(STAGE, HISTORIES, "histories", theirs, choice.parameters()), scope, inputs)
    asked = Work(STAGE, QUERIES, "queries", {"queries": theirs["queries"]}, choice.parameters())
    asking = job_of(asked, scope, inputs)
    of_histories = written.run(lambda: lambda tables: (tables["histories"], {}), progress)
    of_queries = asking.run(lambda: lambda tables: (of_split(tables["queries"], choice.split), {}), progress)
    told = together([of_histories, of_queries])
    return replace(told, notes=(*told.notes, *notes(of_histories)))
