"""`steerx retrieve`: which of a user's histories stand beside each of their queries (section 5.1)."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import polars as pl

from steerx_cli.core.job import Job, Tables, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary


@dataclass(frozen=True)
class Settings:
    """Everything that decides which histories are retrieved."""

    retriever: str  # one of RETRIEVERS
    top_k: int
    seed: int

    def parameters(self) -> Mapping[str, object]:
        """The settings that this retriever looks at: another seed does not make another `recency`."""
        idle = {"recency": {"seed"}, "all": {"seed", "top_k"}}.get(self.retriever, set())
        return {name: value for name, value in asdict(self).items() if name not in idle}


def pairs_of(queries: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Every query beside every history of its user, with the place of each in its own file's order."""
    numbered = histories.with_columns(own_order=pl.int_range(pl.len()).over("user_id"))
    asked = queries.select("user_id", "query_id").with_row_index("query_order")
    return asked.join(numbered, on="user_id", maintain_order="left_right")


# A retriever puts the pairs of each query in order, the best first, and may give them a score.
Retriever: TypeAlias = Callable[[pl.DataFrame, Settings], pl.DataFrame]


def by_recency(pairs: pl.DataFrame, _: Settings) -> pl.DataFrame:
    """The newest first; a user with a history that has no time is ranked by their own order, the last first."""
    dated = pl.when(pl.col("time").is_not_null().all().over("user_id")).then("time")
    return pairs.sort(["query_order", dated, "own_order"], descending=[False, True, True])


def at_random(pairs: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """A shuffle that hangs on the seed, the query and the history alone, so that no chunk or shard changes it."""
    draws = [
        hashlib.blake2b(f"{settings.seed}\0{query}\0{item}".encode(), digest_size=16).digest()
        for query, item in pairs.select("query_id", "item_id").iter_rows()
    ]
    return pairs.sort("query_order", pl.Series(draws, dtype=pl.Binary))


def in_own_order(pairs: pl.DataFrame, _: Settings) -> pl.DataFrame:
    """All of the user's histories as they come."""
    return pairs


RETRIEVERS: Mapping[str, Retriever] = {"recency": by_recency, "random": at_random, "all": in_own_order}


def retrieve(tables: Tables, settings: Settings) -> tuple[pl.DataFrame, Mapping[str, int]]:
    """The histories of each query, ranked from 1."""
    queries, histories = tables["queries"], tables["histories"]
    pairs = pairs_of(queries, histories)
    ranked = RETRIEVERS[settings.retriever](pairs, settings).with_columns(
        rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("query_id")
    )
    if settings.retriever != "all":
        ranked = ranked.filter(pl.col("rank") <= settings.top_k)
    kept = ranked if "score" in ranked.columns else ranked.with_columns(score=pl.lit(None, pl.Float32))
    return kept.select(RETRIEVED.columns.names), count_shortfalls(queries, pairs, settings)


def count_shortfalls(queries: pl.DataFrame, pairs: pl.DataFrame, settings: Settings) -> Mapping[str, int]:
    """What the summary has to say about queries that did not get what was asked for."""
    found = queries.select("query_id").join(pairs.group_by("query_id").len(), on="query_id", how="left")["len"]
    counts = {"queries without any history": found.null_count()}
    if settings.retriever != "all":
        counts["queries with fewer histories than top-k"] = int((found < settings.top_k).sum())
    if settings.retriever == "recency":
        undated = pairs.filter(pl.col("time").is_null())["user_id"].n_unique()
        counts["users ranked by their own order, for want of times"] = undated
    return counts


def run(settings: Settings, queries: Path, histories: Path, scope: Scope, progress: Progress) -> Summary:
    """Read, rank, write."""
    work = Work(
        stage="retrieve",
        artifact=RETRIEVED,
        driver="queries",
        sources={"queries": Source(QUERIES, queries), "histories": Source(HISTORIES, histories)},
        parameters=settings.parameters(),
    )
    return Job(work, scope).run(lambda: partial(retrieve, settings=settings), progress)
