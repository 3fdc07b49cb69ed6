"""`steerx retrieve`: which of a user's histories stand beside each of their queries (section 5.1)."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Counts, Job, Tables, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.lm.encode import Encoder, Vectors
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.lm.templates import check_placeholders, put


@dataclass(frozen=True)
class Dense:
    """How texts become vectors: by which encoder, and from which of their fields."""

    model: ModelRequest
    query_text: str  # a template of named fields, and {input}
    history_text: str  # likewise, and {response}
    batch_tokens: int

    def __post_init__(self) -> None:
        """Refuse a template that was mistyped before anything is read."""
        check_placeholders("--query-text", self.query_text)
        check_placeholders("--history-text", self.history_text)

    def parameters(self) -> Mapping[str, object]:
        """What decides the scores beside the model."""
        return {
            "query_text": self.query_text,
            "history_text": self.history_text,
            "batch_tokens": self.batch_tokens,
        }


@dataclass(frozen=True)
class Settings:
    """Everything that decides which histories are retrieved."""

    retriever: str  # recency, random, all or dense
    top_k: int
    seed: int
    dense: Dense | None = None

    def parameters(self) -> Mapping[str, object]:
        """The settings that this retriever looks at: another seed does not make another `recency`."""
        looked_at: dict[str, object] = {"retriever": self.retriever}
        if self.retriever != "all":
            looked_at["top_k"] = self.top_k
        if self.retriever == "random":
            looked_at["seed"] = self.seed
        return looked_at | dict(self.dense.parameters() if self.dense else {})


Places: TypeAlias = NDArray[np.intp]
# A ranking puts the pairs of each query in order, the best first, and may give them a score.
Ranking: TypeAlias = Callable[[pl.DataFrame], tuple[pl.DataFrame, Counts]]


def pairs_of(queries: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Every query beside every history of its user; `…_order` is the place of each in its own file's order."""
    asked = queries.select("user_id", "query_id", query_input="input", query_fields="fields")
    return asked.with_row_index("query_order").join(
        histories.with_row_index("history_order"), on="user_id", maintain_order="left_right"
    )


def by_recency(pairs: pl.DataFrame) -> tuple[pl.DataFrame, Counts]:
    """The newest first; a user with a history that has no time is ranked by their own order, the last first."""
    dated = pl.when(pl.col("time").is_not_null().all().over("user_id")).then("time")
    undated = pairs.filter(pl.col("time").is_null())["user_id"].n_unique()
    ranked = pairs.sort(["query_order", dated, "history_order"], descending=[False, True, True])
    return ranked, {"users ranked by their own order, for want of times": undated}


def at_random(pairs: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, Counts]:
    """A shuffle that hangs on the seed, the query and the history alone, so that no chunk or shard changes it."""
    draws = [
        hashlib.blake2b(f"{seed}\0{query}\0{item}".encode(), digest_size=16).digest()
        for query, item in pairs.select("query_id", "item_id").iter_rows()
    ]
    return pairs.sort("query_order", pl.Series(draws, dtype=pl.Binary)), {}


def in_own_order(pairs: pl.DataFrame) -> tuple[pl.DataFrame, Counts]:
    """All of the user's histories as they come."""
    return pairs, {}


def by_similarity(pairs: pl.DataFrame, encoder: Encoder, dense: Dense) -> tuple[pl.DataFrame, Counts]:
    """The largest dot product of query and history first; equal ones by item id."""
    asked = pairs.unique("query_order", keep="first", maintain_order=True)
    written = pairs.unique("history_order", keep="first", maintain_order=True)
    texts = texts_of(asked, dense.query_text, "query_input", "query_fields")
    texts += texts_of(written, dense.history_text, "input", "fields", "response")
    encoded = encoder.encode(texts, dense.batch_tokens)
    left, right = np.split(encoded.vectors, [len(asked)])
    rows = np.searchsorted(asked["query_order"], pairs["query_order"])
    columns = np.searchsorted(written["history_order"], pairs["history_order"])
    scores = dots(left, right, rows, columns)
    if not np.isfinite(scores).all():
        raise SteerxError("the encoder gives scores that are no finite numbers: try --dtype float32 or another --model")
    scored = pairs.with_columns(score=pl.Series(scores, dtype=pl.Float32))
    ranked = scored.sort("query_order", "score", "item_id", descending=[False, True, False])
    return ranked, {
        "texts cut to what the encoder takes": encoded.truncated,
        "batches halved for memory": encoded.halved,
        "queries that came out blank for the encoder": sum(not text.strip() for text in texts[: len(asked)]),
        "histories that came out blank for the encoder": sum(not text.strip() for text in texts[len(asked) :]),
    }


def dots(left: Vectors, right: Vectors, rows: Places, columns: Places) -> Vectors:
    """The dot product of each pair of vectors, some thousand pairs at a time."""
    step = 16_384  # 50 MB of 768 numbers, twice
    parts = [
        np.einsum("nd,nd->n", left[rows[start : start + step]], right[columns[start : start + step]])
        for start in range(0, len(rows), step)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def texts_of(pairs: pl.DataFrame, template: str, text: str, fields: str, response: str | None = None) -> list[str]:
    """What the encoder reads of each row; a field that a row does not have leaves its place empty."""
    responses = pairs[response] if response else [""] * len(pairs)
    return [
        put(template, defaultdict(str, {f["name"]: f["value"] for f in named} | {"input": given, "response": answer}))
        for given, named, answer in zip(pairs[text], pairs[fields].to_list(), responses, strict=True)
    ]


def retrieve(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
    """The histories of each query, ranked from 1."""
    queries = tables["queries"]
    pairs = pairs_of(queries, tables["histories"])
    ranked, counts = ranking(pairs)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("query_order")
    kept = ranked.with_columns(rank=place).filter(pl.col("rank") <= (top_k or len(pairs)))
    scored = kept if "score" in kept.columns else kept.with_columns(score=pl.lit(None, pl.Float32))
    return scored.select(RETRIEVED.columns.names), {**counts, **shortfalls(queries, pairs, top_k)}


def shortfalls(queries: pl.DataFrame, pairs: pl.DataFrame, top_k: int | None) -> Counts:
    """How many queries did not get what was asked for."""
    found = pairs.group_by("query_order").len()["len"]
    return {
        "queries without any history": len(queries) - len(found),
        "queries with fewer histories than top-k": int((found < (top_k or 0)).sum()),
    }


def prepare(settings: Settings) -> Compute:
    """Load what the retriever needs, and give what is done with each chunk."""
    rankings: dict[str, Ranking] = {
        "recency": by_recency,
        "random": partial(at_random, seed=settings.seed),
        "all": in_own_order,
    }
    if settings.dense:
        rankings["dense"] = partial(by_similarity, encoder=Encoder(settings.dense.model), dense=settings.dense)
    top_k = None if settings.retriever == "all" else settings.top_k
    return partial(retrieve, ranking=rankings[settings.retriever], top_k=top_k)


def run(settings: Settings, queries: Path, histories: Path, scope: Scope, progress: Progress) -> Summary:
    """Read, rank, write."""
    sources = {"queries": Source(QUERIES, queries), "histories": Source(HISTORIES, histories)}
    models = {}
    if settings.dense:
        found = identify(settings.dense.model, download=not scope.dry_run)
        models["encoder"] = found.as_record()
        # The commit is held on to: a branch may move between naming the model and loading it.
        pinned = replace(settings.dense.model, revision=found.revision)
        settings = replace(settings, dense=replace(settings.dense, model=pinned))
    work = Work("retrieve", RETRIEVED, "queries", sources, settings.parameters(), models)
    return Job(work, scope).run(partial(prepare, settings), progress)
