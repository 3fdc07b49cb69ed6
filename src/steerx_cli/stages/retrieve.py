"""`steerx retrieve`: which of a user's histories stand beside each of their queries (section 5.1)."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

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
from steerx_cli.lm.encode import Encoded, Encoder, Vectors
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.lm.templates import check_placeholders, put

# Lucene's idf is never negative: a word that all of a user's few texts have does not count against them.
BM25, K1, B = "lucene", 1.5, 0.75


@dataclass(frozen=True)
class Texts:
    """What of a query is compared with what of a history."""

    query_text: str = "{input}"  # a template of this and named fields
    history_text: str = "{input} {response}"  # likewise

    def __post_init__(self) -> None:
        """Refuse a template that was mistyped before anything is read."""
        check_placeholders("--query-text", self.query_text)
        check_placeholders("--history-text", self.history_text)

    def parameters(self) -> Mapping[str, object]:
        """Both templates."""
        return {"query_text": self.query_text, "history_text": self.history_text}

    def of_queries(self, queries: pl.DataFrame) -> list[str]:
        """The text of each query."""
        return filled(self.query_text, queries.select("fields", "input"))

    def of_histories(self, histories: pl.DataFrame) -> list[str]:
        """The text of each history."""
        return filled(self.history_text, histories.select("fields", "input", "response"))


@dataclass(frozen=True)
class Dense:
    """How texts become vectors."""

    model: ModelRequest
    batch_tokens: int


@dataclass(frozen=True)
class Settings:
    """Everything that decides which histories are retrieved."""

    retriever: str  # recency, random, all, bm25 or dense
    top_k: int
    seed: int
    texts: Texts = Texts()
    dense: Dense | None = None

    def parameters(self) -> Mapping[str, object]:
        """The settings that this retriever looks at: another seed does not make another `recency`."""
        looked_at: dict[str, object] = {"retriever": self.retriever}
        if self.retriever != "all":
            looked_at["top_k"] = self.top_k
        if self.retriever == "random":
            looked_at["seed"] = self.seed
        if self.retriever in ("bm25", "dense"):
            looked_at |= self.texts.parameters()
        if self.retriever == "bm25":
            looked_at |= {"bm25": BM25, "bm25_k1": K1, "bm25_b": B}
        return looked_at | ({"batch_tokens": self.dense.batch_tokens} if self.dense else {})


Places: TypeAlias = NDArray[np.intp]
Words: TypeAlias = list[str]
Encode: TypeAlias = Callable[[Sequence[str]], Encoded]
# A ranking puts the pairs of each query in order, the best first, and may give them a score.
Ranking: TypeAlias = Callable[[Tables, pl.DataFrame], tuple[pl.DataFrame, Counts]]


class Compared(NamedTuple):
    """The texts that some pairs compare, each query's and each history's once; pair i is rows[i] beside columns[i]."""

    queries: list[str]
    histories: list[str]
    rows: Places
    columns: Places


# --- the rankings -----------------------------------------------------------------------------------------------------


def pairs_of(queries: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Every query beside every history of its user; `…_order` is the place of each in its own table.

    Without their texts: a user's histories stand here once for each query.
    """
    asked = queries.select("user_id", "query_id").with_row_index("query_order")
    written = histories.select("user_id", "item_id", "time").with_row_index("history_order")
    return asked.join(written, on="user_id", maintain_order="left_right")


def by_recency(_: Tables, pairs: pl.DataFrame) -> tuple[pl.DataFrame, Counts]:
    """The newest first, equal times by item id; a user with a history without a time: by their own order, backwards."""
    dated = pl.col("time").is_not_null().all().over("user_id")
    keys = ["query_order", pl.when(dated).then("time"), pl.when(dated).then("item_id"), "history_order"]
    undated = pairs.filter(pl.col("time").is_null())["user_id"].n_unique()
    ranked = pairs.sort(keys, descending=[False, True, False, True])
    return ranked, {"users ranked by their own order, for want of times": undated}


def at_random(_: Tables, pairs: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, Counts]:
    """A shuffle that hangs on the seed, the query and the history alone, so that no chunk or shard changes it."""
    draws = [
        hashlib.blake2b(f"{seed}\0{query}\0{item}".encode(), digest_size=16).digest()
        for query, item in pairs.select("query_id", "item_id").iter_rows()
    ]
    return pairs.sort("query_order", pl.Series(draws, dtype=pl.Binary), "item_id"), {}


def in_own_order(_: Tables, pairs: pl.DataFrame) -> tuple[pl.DataFrame, Counts]:
    """All of the user's histories as they come."""
    return pairs, {}


def by_words(tables: Tables, pairs: pl.DataFrame, texts: Texts) -> tuple[pl.DataFrame, Counts]:
    """The largest BM25 of query and history first; each user's histories are a corpus of their own."""
    scores, counts = [np.zeros(0, np.float32)], Counter[str]()
    for own in pairs.partition_by("user_id", maintain_order=True):  # in the pairs' order: a user's rows stand together
        pair = compared(tables, own, texts)
        queries, histories = list(map(words_of, pair.queries)), list(map(words_of, pair.histories))
        found = bm25(queries, histories)
        scores.append(found[pair.rows, pair.columns])
        counts["queries without a word to compare"] += queries.count([])
        counts["histories without a word to compare"] += histories.count([])
        counts["queries that share no word with any history"] += int((~found.any(axis=1)).sum())
    return best_first(pairs, np.concatenate(scores)), counts


def by_similarity(tables: Tables, pairs: pl.DataFrame, texts: Texts, encode: Encode) -> tuple[pl.DataFrame, Counts]:
    """The largest dot product of query and history first."""
    pair = compared(tables, pairs, texts)
    encoded = encode(pair.queries + pair.histories)
    left, right = np.split(encoded.vectors, [len(pair.queries)])
    scores = dots(left, right, pair.rows, pair.columns)
    if not np.isfinite(scores).all():
        raise SteerxError("the encoder gives scores that are no finite numbers: try --dtype float32 or another --model")
    return best_first(pairs, scores), {
        "texts cut to what the encoder takes": encoded.truncated,
        "batches halved for memory": encoded.halved,
        "queries that came out blank for the encoder": sum(not text.strip() for text in pair.queries),
        "histories that came out blank for the encoder": sum(not text.strip() for text in pair.histories),
    }


# --- what they are made of --------------------------------------------------------------------------------------------


def compared(tables: Tables, pairs: pl.DataFrame, texts: Texts) -> Compared:
    """The texts of the queries and histories among the pairs."""
    asked, rows = np.unique(pairs["query_order"].to_numpy(), return_inverse=True)
    written, columns = np.unique(pairs["history_order"].to_numpy(), return_inverse=True)
    queries, histories = tables["queries"][asked], tables["histories"][written]
    return Compared(texts.of_queries(queries), texts.of_histories(histories), rows, columns)


def filled(template: str, rows: pl.DataFrame) -> list[str]:
    """The template with each row's text put in; a field that a row does not have leaves its place empty."""
    return [
        put(template, defaultdict(str, {field["name"]: field["value"] for field in named} | columns))
        for named, columns in zip(rows["fields"].to_list(), rows.drop("fields").iter_rows(named=True), strict=True)
    ]


def words_of(text: str) -> Words:
    """The words that BM25 counts: all of them, in lower case."""
    return re.findall(r"\w+", text.lower())


def bm25(queries: list[Words], histories: list[Words]) -> Vectors:
    """The score of each query (row) and each history (column), of one user; 0 where they share no word."""
    os.environ.setdefault("DISABLE_TQDM", "1")  # bm25s' bars start a thread even when switched off
    import bm25s

    scores = np.zeros((len(queries), len(histories)), np.float32)
    if any(histories):  # without a word there is no mean length
        index = bm25s.BM25(method=BM25, k1=K1, b=B, dtype="float64")
        index.index(histories, create_empty_token=False, show_progress=False)
        for row, words in enumerate(queries):
            scores[row] = index.get_scores_from_ids(index.get_tokens_ids(words))
    return scores


def dots(left: Vectors, right: Vectors, rows: Places, columns: Places) -> Vectors:
    """The dot product of each pair of vectors, some thousand pairs at a time."""
    step = 16_384  # 50 MB of 768 numbers, twice
    parts = [
        np.einsum("nd,nd->n", left[rows[start : start + step]], right[columns[start : start + step]])
        for start in range(0, len(rows), step)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def best_first(pairs: pl.DataFrame, scores: Vectors) -> pl.DataFrame:
    """The largest score first, as it will be stored; equal ones by item id."""
    scored = pairs.with_columns(score=pl.Series(scores, dtype=pl.Float32))
    return scored.sort("query_order", "score", "item_id", descending=[False, True, False])


# --- the stage --------------------------------------------------------------------------------------------------------


def retrieve(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
    """The histories of each query, ranked from 1."""
    queries, histories = tables["queries"], tables["histories"]
    pairs = pairs_of(queries, histories)
    ranked, counts = ranking(tables, pairs)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("query_order")
    kept = ranked.with_columns(rank=place).filter(pl.col("rank") <= (top_k or len(pairs)))
    scored = kept if "score" in kept.columns else kept.with_columns(score=pl.lit(None, pl.Float32))
    written = histories.drop("user_id", "item_id", "time")[kept["history_order"]]
    rows = scored.hstack(written).select(RETRIEVED.columns.names)
    return rows, {**counts, **shortfalls(queries, pairs, top_k)}


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
        "bm25": partial(by_words, texts=settings.texts),
    }
    if settings.dense:
        encode = partial(Encoder(settings.dense.model).encode, batch_tokens=settings.dense.batch_tokens)
        rankings["dense"] = partial(by_similarity, texts=settings.texts, encode=encode)
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
