"""`steerx retrieve`: which of a user's histories stand beside each of their queries (section 5.1)."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Counts, Job, Tables, Work
from steerx_cli.core.order import lot
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.lm.encode import Encoded, Encoder, Vectors
from steerx_cli.lm.models import ModelRequest, pinned
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
Tally: TypeAlias = Counter[str]


class Own(NamedTuple):
    """One user's queries, and the histories that they are ranked among."""

    queries: pl.DataFrame
    histories: pl.DataFrame
    ids: Places  # the order of the histories by item id: what equal ones are ranked by
    times: NDArray[np.int64] | None  # None where a history has no time


class Placed(NamedTuple):
    """They stand together: where in their tables do they start?"""

    queries: int
    histories: int
    own: Own


class Ranked(NamedTuple):
    """For one query, the places of its user's histories, the best first, and the scores of the histories by place."""

    places: Places
    scores: Vectors | None = None


# A ranking takes the users of a chunk one by one, gives what it finds for query after query, and counts on the way.
Ranking: TypeAlias = Callable[[Sequence[Own], Tally], Iterator[Ranked]]


# --- the rankings -----------------------------------------------------------------------------------------------------


def by_recency(owns: Sequence[Own], tally: Tally) -> Iterator[Ranked]:
    """The newest first, equal times by item id; where a history has no time, the user's own order backwards."""
    for own in owns:
        tally["users ranked by their own order, for want of times"] += own.times is None
        backwards = np.arange(len(own.ids))[::-1]
        yield from [Ranked(backwards if own.times is None else best_first(own.times, own.ids))] * len(own.queries)


def at_random(owns: Sequence[Own], _: Tally, seed: int) -> Iterator[Ranked]:
    """A shuffle that hangs on the seed, user, query and history alone, so that no chunk or shard changes it."""
    for own in owns:
        for user, query in own.queries.select("user_id", "query_id").iter_rows():
            draws = [lot(seed, user, query, item) for item in own.histories["item_id"]]
            yield Ranked(np.array(sorted(range(len(draws)), key=draws.__getitem__)))


def in_own_order(owns: Sequence[Own], _: Tally) -> Iterator[Ranked]:
    """All of the user's histories as they come."""
    for own in owns:
        yield from [Ranked(np.arange(len(own.ids)))] * len(own.queries)


def by_words(owns: Sequence[Own], tally: Tally, texts: Texts) -> Iterator[Ranked]:
    """The largest BM25 of query and history first; each user's histories are a corpus of their own."""
    for own in owns:
        queries = list(map(words_of, texts.of_queries(own.queries)))
        histories = list(map(words_of, texts.of_histories(own.histories)))
        tally["queries without a word to compare"] += queries.count([])
        tally["histories without a word to compare"] += histories.count([])
        for scores in bm25(queries, histories):
            tally["queries that share no word with any history"] += not scores.any()
            yield Ranked(best_first(scores, own.ids), scores)


def by_similarity(owns: Sequence[Own], tally: Tally, texts: Texts, encode: Encode) -> Iterator[Ranked]:
    """The largest dot product of query and history first; the texts of all users are encoded together."""
    queries = [text for own in owns for text in texts.of_queries(own.queries)]
    histories = [text for own in owns for text in texts.of_histories(own.histories)]
    tally["queries that came out blank for the encoder"] += sum(not text.strip() for text in queries)
    tally["histories that came out blank for the encoder"] += sum(not text.strip() for text in histories)
    encoded = encode(queries + histories)
    tally["texts cut to what the encoder takes"] += encoded.truncated
    tally["batches halved for memory"] += encoded.halved
    left, right = np.split(encoded.vectors, [len(queries)])
    for own in owns:
        asked, left = np.split(left, [len(own.queries)])
        written, right = np.split(right, [len(own.histories)])
        for vector in asked:
            # Row by row, not as one product: that may give equal rows scores that differ in the last bit.
            scores = np.einsum("nd,d->n", written, vector)
            yield Ranked(best_first(finite(scores), own.ids), scores)


# --- what they are made of --------------------------------------------------------------------------------------------


def own_of(queries: pl.DataFrame, histories: pl.DataFrame) -> list[Placed]:
    """Each user who has both, and where their queries and their histories start."""
    written = {user: (start, count) for user, start, count in runs(histories)}
    # For all users at once: a table's own functions are slow to begin.
    ids = histories["item_id"].rank("ordinal").to_numpy()
    undated = histories["time"].is_null().to_numpy()
    times = histories["time"].to_physical().fill_null(0).to_numpy()
    found = []
    for user, first, asked in runs(queries):
        start, count = written.get(user, (0, 0))
        if count:
            rows = slice(start, start + count)
            dated = None if undated[rows].any() else times[rows]
            own = Own(queries.slice(first, asked), histories.slice(start, count), ids[rows], dated)
            found.append(Placed(first, start, own))
    return found


def runs(rows: pl.DataFrame) -> Iterator[tuple[str, int, int]]:
    """Each user, the first of their rows, and how many they are: a user's stand together."""
    start = 0
    for user, count in rows.select(pl.col("user_id").rle().struct.unnest()).select("value", "len").iter_rows():
        yield user, start, count
        start += count


def best_first(scores: NDArray[Any], ids: Places) -> Places:
    """The places of the largest scores first, of equal ones the smaller id."""
    return np.lexsort((ids, -scores))


def finite(scores: Vectors) -> Vectors:
    """The scores, if they are any."""
    if not np.isfinite(scores).all():
        raise SteerxError("the encoder gives scores that are no finite numbers: try --dtype float32 or another --model")
    return scores


def filled(template: str, rows: pl.DataFrame) -> list[str]:
    """The template with each row's text put in; a field that a row does not have leaves its place empty."""
    return [
        put(template, defaultdict(str, {field["name"]: field["value"] for field in named} | columns))
        for named, columns in zip(rows["fields"].to_list(), rows.drop("fields").iter_rows(named=True), strict=True)
    ]


def words_of(text: str) -> Words:
    """The words that BM25 counts: all of them, in lower case, however their accents are written."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", text.lower()))


def bm25(queries: list[Words], histories: list[Words]) -> Iterator[Vectors]:
    """For each query the score of each history, of one user; 0 where they share no word."""
    os.environ.setdefault("DISABLE_TQDM", "1")  # bm25s' bars start a thread even when switched off
    import bm25s

    if not any(histories):  # no mean length
        yield from [np.zeros(len(histories), np.float32)] * len(queries)
        return
    # The words that nobody asks for count in a text's length only: as one word they cost the index nothing.
    asked = {word for words in queries for word in words}
    corpus = [[word if word in asked else "\0" for word in words] for words in histories]
    index = bm25s.BM25(method=BM25, k1=K1, b=B, dtype="float64")
    index.index(corpus, create_empty_token=False, show_progress=False)
    for words in queries:
        yield index.get_scores_from_ids(index.get_tokens_ids(words)).astype(np.float32)


# --- the stage --------------------------------------------------------------------------------------------------------


def retrieve(tables: Tables, ranking: Ranking, top_k: int | None) -> tuple[pl.DataFrame, Counts]:
    """The histories of each query, ranked from 1."""
    queries, histories = tables["queries"], tables["histories"]
    owns, tally = own_of(queries, histories), Tally()
    asked = [(first + number, start) for first, start, own in owns for number in range(len(own.queries))]
    found = zip(asked, ranking([own for _, _, own in owns], tally), strict=True)
    kept = pl.DataFrame(
        [
            (query, start + place, rank, None if scores is None else scores[place])
            for (query, start), (places, scores) in found
            for rank, place in enumerate(places[:top_k].tolist(), 1)
        ],
        schema={"query": pl.Int64, "history": pl.Int64, "rank": pl.Int32, "score": pl.Float32},
        orient="row",
    )
    rows = pl.concat(
        [
            queries.select("user_id", "query_id")[kept["query"]],
            kept.select("rank", "score"),
            histories.drop("user_id")[kept["history"]],
        ],
        how="horizontal",
    )
    return rows.select(RETRIEVED.columns.names), {**tally, **shortfalls(queries, owns, top_k)}


def shortfalls(queries: pl.DataFrame, owns: Sequence[Placed], top_k: int | None) -> Counts:
    """How many queries did not get what was asked for."""
    found = [len(own.histories) for _, _, own in owns for _ in range(len(own.queries))]
    return {
        "queries without any history": len(queries) - len(found),
        "queries with fewer histories than top-k": sum(count < (top_k or 0) for count in found),
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
        model, models["encoder"] = pinned(settings.dense.model, download=not scope.dry_run)
        settings = replace(settings, dense=replace(settings.dense, model=model))
    work = Work("retrieve", RETRIEVED, "queries", sources, settings.parameters(), models)
    return Job(work, scope).run(partial(prepare, settings), progress)
