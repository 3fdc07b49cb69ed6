"""The same work in the ways that are usual in the field, and the least that any way must do: each returns how much."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

TOP_K = 4

# --- import -----------------------------------------------------------------------------------------------------------


def read_lines(dump: Path) -> None:
    """The floor: every line of the reviews decoded, and forgotten."""
    with (dump / "reviews.jsonl").open() as file:
        for line in file:
            json.loads(line)


def table_in_memory(dump: Path, output: Path) -> int:
    """All lines in memory as a table of polars': joined, sorted, the same text once, each user's last one a query."""
    import polars as pl

    described = pl.read_ndjson(dump / "meta.jsonl").select("asin", "title", pl.col("description").list.join(" "))
    reviews = pl.read_ndjson(dump / "reviews.jsonl").join(described, on="asin", how="left")
    in_order = reviews.sort("reviewerID", "unixReviewTime").unique(
        ["reviewerID", "reviewText"], keep="last", maintain_order=True
    )
    asked = pl.int_range(1, pl.len() + 1).over("reviewerID") == pl.len().over("reviewerID")
    made = in_order.with_columns(input=pl.format("{}: {}", "title", "description"), asked=asked)
    output.mkdir(exist_ok=True)
    made.filter("asked").write_parquet(output / "queries.parquet")
    histories = made.filter(~pl.col("asked"))
    histories.write_parquet(output / "histories.parquet")
    return len(histories)


def objects_in_memory(dump: Path, output: Path) -> int:
    """All lines in memory as Python's dicts, in a list for each user."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = {item["asin"]: item for item in map(json.loads, (dump / "meta.jsonl").open())}
    people: dict[str, list[dict[str, Any]]] = {}
    for review in map(json.loads, (dump / "reviews.jsonl").open()):
        people.setdefault(review["reviewerID"], []).append(review)
    queries, histories = [], []
    for user_id in sorted(people):
        in_order = sorted(people[user_id], key=lambda review: review["unixReviewTime"])
        distinct = list({review["reviewText"]: review for review in in_order}.values())
        for review in distinct:
            item = described[review["asin"]]
            review["input"] = f"{item['title']}: {' '.join(item['description'])}"
        queries.append(distinct[-1])
        histories += distinct[:-1]
    output.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(queries), output / "queries.parquet")
    pq.write_table(pa.Table.from_pylist(histories), output / "histories.parquet")
    return len(histories)


# --- retrieve ---------------------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """As `steerx retrieve` has them."""
    return re.findall(r"\w+", text.lower())


def read_words(data: Path) -> None:
    """The floor of BM25: both tables read group by group, and the words of every text found."""
    import pyarrow.parquet as pq

    for name, columns in (("histories", ["input", "response"]), ("queries", ["input"])):
        with pq.ParquetFile(data / f"{name}.parquet") as parquet:
            for group in range(parquet.num_row_groups):
                rows = parquet.read_row_group(group, use_threads=False)
                for texts in zip(*(rows[column].to_pylist() for column in columns), strict=True):
                    words_of(" ".join(texts))


def read_through(data: Path) -> None:
    """The floor of the others: both tables read group by group."""
    import pyarrow.parquet as pq

    for name in ("histories", "queries"):
        with pq.ParquetFile(data / f"{name}.parquet") as parquet:
            for group in range(parquet.num_row_groups):
                parquet.read_row_group(group, use_threads=False)


def _scores(query: list[str], histories: list[list[str]]) -> list[float]:
    """BM25 (Lucene's formula, so that the ranks can be compared) by an index in dicts, made for this query."""
    k1, b = 1.5, 0.75
    counted = [Counter(words) for words in histories]
    having = Counter(word for words in counted for word in words)
    idf = {word: math.log(1 + (len(counted) - n + 0.5) / (n + 0.5)) for word, n in having.items()}
    mean = sum(map(len, histories)) / len(histories)
    scores = []
    for words, counts in zip(histories, counted, strict=True):
        length = k1 * (1 - b + b * len(words) / mean)
        found = [word for word in query if word in counts]
        scores.append(sum(idf[word] * counts[word] / (counts[word] + length) for word in found))
    return scores


def index_for_each_query(data: Path, output: Path) -> int:
    """Everything in memory; for each query an index of its user's histories, in plain Python."""
    import polars as pl

    histories, queries = pl.read_parquet(data / "histories.parquet"), pl.read_parquet(data / "queries.parquet")
    places: dict[str, list[int]] = {}
    for place, user_id in enumerate(histories["user_id"]):
        places.setdefault(user_id, []).append(place)
    texts = [" ".join(row) for row in histories.select("input", "response").iter_rows()]
    ids = histories["item_id"].to_list()
    kept: list[int] = []
    for user_id, text in queries.select("user_id", "input").iter_rows():
        own = places[user_id]
        scores = _scores(words_of(text), [words_of(texts[place]) for place in own])
        # As `steerx retrieve` stores them, in float32, so that equal ones are the same here and there.
        ranked = sorted(
            zip(pl.Series(scores, dtype=pl.Float32), own, strict=True), key=lambda one: (-one[0], ids[one[1]])
        )
        kept += [place for _, place in ranked[:TOP_K]]
    histories[kept].write_parquet(output)
    return digest([ids[place] for place in kept])


def digest(ids: list[str]) -> int:
    """The ids of what was retrieved, in one number."""
    import zlib

    return zlib.crc32("\n".join(ids).encode())


def encode_for_each_query(data: Path, encoder: Path, output: Path) -> int:
    """Each query's texts encoded for it: the query, then 16 histories at a time as they come, padded to the longest."""
    import polars as pl
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def encoded(texts: list[str]) -> torch.Tensor:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        mask = inputs["attention_mask"][..., None]
        states = model(**inputs).last_hidden_state.masked_fill(mask == 0, 0.0)
        means: torch.Tensor = states.sum(1) / mask.sum(1)
        return means

    histories, queries = pl.read_parquet(data / "histories.parquet"), pl.read_parquet(data / "queries.parquet")
    own = histories.with_row_index("place").partition_by("user_id", as_dict=True)
    kept: list[int] = []
    with torch.inference_mode():
        for user_id, text in queries.select("user_id", "input").iter_rows():
            rows = own[(user_id,)]
            texts = [" ".join(row) for row in rows.select("input", "response").iter_rows()]
            vectors = torch.cat([encoded(texts[start : start + 16]) for start in range(0, len(texts), 16)])
            best = (vectors @ encoded([text])[0]).topk(TOP_K).indices
            kept += rows["place"].gather(best.numpy()).to_list()
    histories[kept].write_parquet(output)
    return len(kept)
