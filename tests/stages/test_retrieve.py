"""Which histories stand beside a query, against the obvious computation over plain lists."""

import hashlib
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import permutations
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import steerx_cli.stages.retrieve as stage
import support
from steerx_cli.core.artifacts import conform, read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Record, Shard
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED, Artifact
from steerx_cli.lm.encode import Encoded, Encoder
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.lm.templates import put
from steerx_cli.stages.retrieve import Dense, Settings, Texts
from steerx_cli.tools.merge import run as merge
from support import Steerx

Row = dict[str, Any]
RETRIEVERS = ["recency", "random", "all", "bm25", "dense"]
TEXTS, UNTIMED = Texts(), "users ranked by their own order, for want of times"
WORDLESS = "{} without a word to compare"
UNSHARED = "queries that share no word with any history"
NONE, FEWER = "queries without any history", "queries with fewer histories than top-k"


def query(user: str, name: str, text: str = "x", **fields: str) -> Row:
    row = {"user_id": user, "query_id": name, "split": "test", "input": text, "reference": None}
    return {**row, "fields": [{"name": name, "value": value} for name, value in fields.items()]}


def history(user: str, name: str, text: str = "x", day: int | None = None, response: str = "y", **fields: str) -> Row:
    time = day and datetime(2020, 1, day, tzinfo=UTC)
    row = {"user_id": user, "item_id": name, "input": text, "response": response, "rating": None, "time": time}
    return {**row, "fields": [{"name": name, "value": value} for name, value in fields.items()]}


def numbers(text: str) -> list[int]:
    """Three small whole numbers: many texts are equally similar, and no sum is rounded."""
    return [sum(map(ord, text)) % 3 - 1, len(text) % 3, text.count("a")]


def frame(rows: list[Row], artifact: Artifact) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=artifact.columns)))


def retrieved(
    name: str, queries: list[Row], histories: list[Row], k: int | None, seed: int = 0, texts: Texts = TEXTS
) -> tuple[list[Row], Counter[str], list[str]]:
    """What the stage makes of one chunk, once it fits the schema; what it counted; what was encoded."""

    def encode(texts: Sequence[str]) -> Encoded:
        heard.extend(texts)
        return Encoded(np.array([numbers(text) for text in texts], np.float32).reshape(-1, 3), 0, 0)

    heard: list[str] = []
    rankings: dict[str, stage.Ranking] = {
        "recency": stage.by_recency,
        "random": partial(stage.at_random, seed=seed),
        "all": stage.in_own_order,
        "bm25": partial(stage.by_words, texts=texts),
        "dense": partial(stage.by_similarity, texts=texts, encode=encode),
    }
    tables = {"queries": frame(queries, QUERIES), "histories": frame(histories, HISTORIES)}
    rows, counts = stage.retrieve(tables, rankings[name], k)
    return conform(rows.to_arrow(), RETRIEVED).to_pylist(), Counter(counts), heard


def bm25(asked: str, own: list[str]) -> list[float]:
    """BM25 by its formula, word by word, for every text of one user."""
    texts = [re.findall(r"\w+", text.lower()) for text in own]
    mean = sum(map(len, texts)) / len(texts)

    def score(words: list[str], word: str) -> float:
        having = sum(word in other for other in texts)
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        times = words.count(word)
        return idf * times / (times + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean)) if times else 0.0

    return [sum(score(words, word) for word in re.findall(r"\w+", asked.lower())) for words in texts]


def obvious(name: str, queries: list[Row], histories: list[Row], k: int | None) -> list[Row]:
    """The same by loops over lists."""
    found = []
    for asked in queries:
        own = [dict(row, score=None) for row in histories if row["user_id"] == asked["user_id"]]
        texts = [f"{row['input']} {row['response']}" for row in own]
        if name in ("bm25", "dense") and own:
            dots = [np.dot(numbers(asked["input"]), numbers(text)) for text in texts]
            for row, score in zip(own, bm25(asked["input"], texts) if name == "bm25" else dots, strict=True):
                row["score"] = float(np.float32(score))
            own = sorted(own, key=lambda row: (-row["score"], row["item_id"]))
        if name == "recency" and all(row["time"] for row in own):
            own = sorted(own, key=lambda row: (-row["time"].timestamp(), row["item_id"]))
        elif name == "recency":
            own = own[::-1]
        found += [{**row, "query_id": asked["query_id"], "rank": rank} for rank, row in enumerate(own[:k], 1)]
    return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Some users' queries and histories, either of which a user may lack, some of them without a time."""
    queries, histories, texts, days = [], [], st.text("aAb. ", max_size=6), st.integers(1, 3)
    for user in draw(st.lists(st.sampled_from("uvwxyz"), unique=True)):
        timed = draw(st.sampled_from([days, days, st.none() | days]))
        queries += [query(user, f"{user}{n}", draw(texts)) for n in range(draw(st.integers(0, 3)))]
        items = draw(st.lists(st.text("é🙂aB", max_size=2), unique=True, max_size=6))
        histories += [history(user, item, draw(texts), draw(timed), draw(texts)) for item in items]
    return queries, histories


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 7))
def test_every_retriever_ranks_as_loops_over_lists_do(world: tuple[list[Row], list[Row]], k: int) -> None:
    queries, histories = world
    sizes = [sum(row["user_id"] == asked["user_id"] for row in histories) for asked in queries]
    untimed = {row["user_id"] for row in histories if not row["time"]} & {asked["user_id"] for asked in queries}
    for name, most in (("recency", k), ("random", k), ("all", None), ("bm25", k), ("dense", k)):
        rows, counts, _ = retrieved(name, queries, histories, most)
        assert (counts[NONE], counts[FEWER]) == (sizes.count(0), sum(0 < size < (most or 0) for size in sizes))
        assert counts[UNTIMED] == (len(untimed) if name == "recency" else 0)
        if name != "random":
            assert rows == obvious(name, queries, histories, most)
            continue
        kept = [(asked["query_id"], rank) for asked, n in zip(queries, sizes, strict=True) for rank in range(1, n + 1)]
        assert [(row["query_id"], row["rank"]) for row in rows] == [place for place in kept if place[1] <= k]
        assert len({(row["query_id"], row["item_id"]) for row in rows}) == len(rows), "drawn twice"
        assert all({name: row[name] for name in HISTORIES.columns.names} in histories for row in rows)


@pytest.mark.parametrize("name", RETRIEVERS)
def test_two_users_whose_queries_have_the_same_id_are_kept_apart(name: str) -> None:
    queries = [query("u", "1"), query("u", "2"), query("v", "1"), query("w", "1")]
    histories = [history(user, f"{number}", day=number) for user in "uv" for number in (1, 2, 3)]
    rows, counts, _ = retrieved(name, queries, histories, 4)
    expected = [(user, asked, rank) for user, asked in ("u1", "u2", "v1") for rank in (1, 2, 3)]
    assert [(row["user_id"], row["query_id"], row["rank"]) for row in rows] == expected
    assert (counts[NONE], counts[FEWER]) == (1, 3)


def test_random_is_fair_and_another_for_each_query_and_seed() -> None:
    world = [query("u", f"{n}") for n in range(600)], [history("u", item) for item in "abc"]
    rows = [retrieved("random", *world, 3, seed)[0] for seed in (0, 1)]
    items = [["".join(row["item_id"] for row in some[n : n + 3]) for n in range(0, 1800, 3)] for some in rows]
    drawn, orders = Counter(zip(*items, strict=True)), list(map("".join, permutations("abc")))
    assert all(5 <= drawn[one, other] <= 32 for one in orders for other in orders), "600 draws of 36 pairs"


def test_random_draws_for_each_user_anew() -> None:
    users = [f"u{number:02}" for number in range(40)]
    world = [query(user, "q") for user in users], [history(user, item) for user in users for item in "abc"]
    rows, _, _ = retrieved("random", *world, 1)
    drawn = Counter(row["item_id"] for row in rows)
    assert min(drawn[item] for item in "abc") >= 5, "40 draws of three"


def test_dense_texts_are_made_from_fields_input_and_response_and_blank_ones_counted() -> None:
    texts = Texts("{title}|{input}|{response}|{none}", "{input}{response}{title}{fields}")
    queries = [query("u", "1", "ask {title}", title="T\\1", input="a field"), query("u", "2", "", other="o")]
    histories = [history("u", "i", "in", response=" {input} re", title="A"), history("u", "j", "\x00", response="")]
    histories += [history("u", item, text, response="") for item, text in (("k", "\u3000"), ("l", ""), ("m", ""))]
    _, counts, heard = retrieved("dense", queries, histories, 1, texts=texts)
    assert heard == ["T\\1|ask {title}||", "|||", "in {input} reA", "\x00", "\u3000", "", ""]
    blank = "{} that came out blank for the encoder"
    assert (counts[blank.format("queries")], counts[blank.format("histories")]) == (0, 3)


@pytest.mark.parametrize("name", ["recency", "bm25", "dense"])
def test_what_is_equal_goes_by_item_id(name: str) -> None:
    items = ["b", "é", "a", "🙂", "B", "", "aa"]
    rows, _, _ = retrieved(name, [query("u", "q", "Word")], [history("u", item, "a word", day=1) for item in items], 9)
    assert [row["item_id"] for row in rows] == sorted(items)
    assert len({row["score"] for row in rows}) == 1


@pytest.mark.parametrize("name", RETRIEVERS)
@pytest.mark.parametrize("text", ["", "word", "?!"])
def test_a_single_history_is_always_kept(name: str, text: str) -> None:
    world = [query("u", "q", "Word!"), query("v", "q", "")], [history(user, "i", text, response="") for user in "uv"]
    rows, counts, _ = retrieved(name, *world, 2)
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in rows] == [("u", 1, "i"), ("v", 1, "i")]
    assert (counts[NONE], counts[FEWER]) == (0, 2)
    if name == "bm25":
        assert [row["score"] > 0 for row in rows] == [text == "word", False]


def test_texts_without_a_word_score_nothing_in_bm25_and_are_counted() -> None:
    queries = [query("u", name, text) for name, text in (("1", ""), ("2", " ?! "), ("3", "other"), ("4", "Étude"))]
    queries += [query("v", "1", "étude"), query("w", "1", "étude"), query("x", "1", "")]
    histories = [history("u", item, text, response="") for item, text in (("b", ""), ("a", "…"), ("c", "une ÉTUDE"))]
    histories += [history("v", "a", "-", response=""), history("y", "a", "", response="")]
    rows, counts, _ = retrieved("bm25", queries, histories, 3)
    told = [(row["query_id"], row["item_id"], row["score"] > 0) for row in rows if row["user_id"] == "u"]
    assert told[:9] == [(asked, item, False) for asked in "123" for item in "abc"]
    assert told[9:] == [("4", "c", True), ("4", "a", False), ("4", "b", False)]
    assert [row["score"] for row in rows if row["user_id"] == "v"] == [0.0]
    blank = counts[WORDLESS.format("queries")], counts[WORDLESS.format("histories")]
    assert (blank, counts[UNSHARED], counts[NONE]) == ((2, 3), 4, 2), "of users with queries and histories"


def test_words_are_whatever_is_between_punctuation_in_lower_case() -> None:
    assert stage.words_of("Don't STOP—naïve_2,Été…\x00ß 東京") == ["don", "t", "stop", "naïve_2", "été", "ß", "東京"]


@pytest.mark.parametrize("name", RETRIEVERS)
def test_nobody_s_work_grows_with_others_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import bm25s

    queries = [query(user, f"{n}", "a b") for size, user in enumerate("uvwxyz") for n in range(size)]
    histories = [history(user, f"{n}", "b c") for size, user in enumerate("uvwxyz") for n in range(2 * size + 1)]
    own = sum(size * (2 * size + 1) for size in range(6))
    assert own < len(queries) * len(histories) / 3
    fill, draw, index = Mock(wraps=put), Mock(wraps=hashlib.blake2b), Mock(wraps=bm25s.BM25)
    monkeypatch.setattr(stage, "put", fill)
    monkeypatch.setattr(hashlib, "blake2b", draw)
    monkeypatch.setattr(bm25s, "BM25", index)
    retrieved(name, queries, histories, 2)
    assert draw.call_count == (own if name == "random" else 0)
    assert index.call_count == (5 if name == "bm25" else 0), "once for each user who asks"
    written = len(histories) - 1  # the one of the user who asks nothing is not looked at
    assert fill.call_count == (len(queries) + written if name in ("bm25", "dense") else 0)


def write(folder: Path, queries: list[Row], histories: list[Row], backwards: bool = False) -> Path:
    """Both inputs, in the order of users, or the histories against it."""
    for artifact, rows in ((QUERIES, queries), (HISTORIES, histories)):
        against = backwards and artifact is HISTORIES
        ordered = sorted(rows, key=lambda row: user_order(row["user_id"]), reverse=against)
        table = pa.Table.from_pylist(ordered, schema=artifact.columns)
        output = Output(folder / f"{artifact.name}.parquet", artifact, overwrite=True)
        write_whole(output, Record(artifact.name, artifact.version, "test", "0", {}), [table], 0)
    return folder


def rows_of(data: Path, chosen: Settings, chunk_users: int = 1) -> list[Row]:
    """What the stage makes of them."""
    support.retrieve(data, data / "r.parquet", chosen, chunk_users=chunk_users)
    return cast("list[Row]", pq.read_table(data / "r.parquet").to_pylist())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights that knows a few letters, its vectors no round number of bytes apart."""
    import torch
    from transformers import AutoConfig, AutoModel, BertTokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 33, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 64}
    config = AutoConfig.for_model("bert", vocab_size=13, max_position_embeddings=64, initializer_range=0.5, **size)
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


def dense(model: Path, top_k: int = 2, query_text: str = "{input}") -> Settings:
    request = ModelRequest(str(model), dtype="float32", device="cpu")
    return Settings("dense", top_k, 0, Texts(query_text, "{title} {response}"), Dense(request, batch_tokens=40))


@pytest.mark.parametrize("top_k", [2, 9])
def test_no_chunk_or_shard_changes_a_byte_of_bm25(data: Path, tmp_path: Path, top_k: int) -> None:
    chosen, tables = Settings("bm25", top_k, 0, Texts("{input} {title}", "{description} {response}")), []
    for chunk_users in (1, 7, 64):
        support.retrieve(data, tmp_path / f"{chunk_users}.parquet", chosen, chunk_users=chunk_users)
        tables.append(pq.read_table(tmp_path / f"{chunk_users}.parquet"))
    assert len({table["score"].combine_chunks().buffers()[1].to_pybytes() for table in tables}) == 1
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    shards = [tmp_path / f"shard {index}.parquet" for index in (1, 2, 3)]
    for index, path in enumerate(shards, 1):
        support.retrieve(data, path, chosen, chunk_users=7, shard=Shard(index, 3))
    merge(shards, tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "7.parquet").read_bytes()


def test_bm25_is_the_same_in_every_process_and_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys, threading\nfrom steerx_cli.stages.retrieve import bm25, words_of\n"
        "texts = [words_of(' '.join(f'w{n * n % (7 + text)}' for n in range(40))) for text in range(30)]\n"
        "print(b''.join(bm25(texts, texts)).hex(), threading.active_count())\n"
        "print([name for name in ('torch', 'numba', 'jax', 'tqdm') if name in sys.modules])"
    )
    told = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)  # the order of its vocabulary is that of a set
        told.add(support.python(script))
    assert len(told) == 1
    code, out, err = told.pop()
    assert (code, err) == (0, "")
    assert out.endswith(" 1\n[]\n")


def test_bm25_s_parameters_and_templates_are_in_the_provenance(few: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.parquet"
    support.retrieve(few, output, Settings("bm25", 2, 0, Texts("{title}", "{title}")))
    record = read_footer(output, RETRIEVED).record
    assert (record.models, record.parameters) == (
        {},
        {"retriever": "bm25", "top_k": 2, "query_text": "{title}", "history_text": "{title}", "bm25": "lucene"}
        | {"bm25_k1": 1.5, "bm25_b": 0.75, "chunk_users": 1, "limit": None},
    )
    assert refusal(few, output, Settings("bm25", 2, 0, Texts("{title}"))) == (
        f"{output} was made otherwise (history-text {{title}} → {{input}} {{response}}): "
        "name another --output or --run, or replace it with --overwrite"
    )


def test_the_command_s_templates_reach_bm25(few: Path, alone: Path, steerx: Steerx) -> None:
    shared = ["retrieve", "--data", few, "--retriever", "bm25", "--json"]
    told = json.loads(steerx(*shared, "--dry-run").out)["parameters"]
    assert (told["query_text"], told["history_text"]) == (TEXTS.query_text, TEXTS.history_text)
    told = json.loads(steerx(*shared, "--query-text", "{title}", "--history-text", "{response}").out)["parameters"]
    assert (told["query_text"], told["history_text"]) == ("{title}", "{response}")
    code, out, err = steerx(*shared, "--query-text", "{title")
    assert (code, out) == (2, "")
    assert err.startswith("Error: --query-text has a brace that belongs to no placeholder: ")


NASTY = ["", " \t", "a\x00b", "👩‍👩‍👧 e\u0301\u202e", "\r\n\u2028", "\ufeffbom", "{input}", "'\"\\", "x" * 99_999]


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_what_people_wrote_is_passed_on_exactly(tmp_path: Path, encoder: Path, retriever: str) -> None:
    histories = [
        {**history("u", f"{n}{text}", text, n + 1, text, **{f"n{text}": text, "title": text}), "rating": n / 3}
        for n, text in enumerate(NASTY)
    ]
    chosen = dense(encoder, 99) if retriever == "dense" else Settings(retriever, 99, 0)
    rows = sorted(rows_of(write(tmp_path, [query("u", "q\x00")], histories), chosen), key=lambda row: row["time"])
    assert [{name: row[name] for name in HISTORIES.columns.names} for row in rows] == histories


def refusal(data: Path, output: Path, settings: Settings) -> str:
    with pytest.raises(SteerxError) as refused:
        support.retrieve(data, output, settings)
    return str(refused.value)


def letters(number: int) -> str:
    return " ".join("abcdefgh"[number // 7**place % 7] for place in range(1 + number % 9))


@pytest.mark.parametrize("chunk_users", [1, 64])
def test_dense_scores_equal_one_text_at_a_time(encoder: Path, tmp_path: Path, chunk_users: int) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    @cache
    def vector(text: str) -> Any:
        with torch.no_grad():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).double().numpy()

    queries = [query(user, f"{user}{n}", letters(1000 + 31 * n + ord(user))) for user in "abc" for n in (1, 2, 3)]
    texts = [(f"{n}", letters(17 * n), letters(n)) for n in range(25)]
    histories = [history(user, item, "x", None, one, title=two) for user in "abz" for item, one, two in texts]
    rows = rows_of(write(tmp_path, queries, histories), dense(encoder, 10), chunk_users)
    assert {row["user_id"] for row in rows} == {"a", "b"}
    for asked in queries[:6]:
        scores = {item: float(vector(asked["input"]) @ vector(f"{two} {one}")) for item, one, two in texts}
        own = [row for row in rows if row["query_id"] == asked["query_id"]]
        told, best = [row["score"] for row in own], sorted(scores.values(), reverse=True)
        assert [row["rank"] for row in own] == list(range(1, 11))
        assert told == sorted(told, reverse=True)
        np.testing.assert_allclose(told, [scores[row["item_id"]] for row in own], rtol=0, atol=1e-5)
        np.testing.assert_allclose(told, best[:10], rtol=0, atol=1e-5)
        assert best[0] - best[-1] > 0.1, "scores differ by far more than that"


def test_equal_texts_score_the_same_to_the_bit_and_go_by_item_id(encoder: Path, tmp_path: Path) -> None:
    items = [f"{n * 7 % 40:02d}" for n in range(40)]
    histories = [history("u", item, response="a b c" if int(item) % 2 else "d") for item in items]
    data = write(tmp_path, [query("u", f"q{n}", letters(n * 100)) for n in range(9)], histories)
    rows = rows_of(data, dense(encoder, 40))
    for half in (rows[start : start + 20] for start in range(0, 360, 20)):
        assert len({row["score"] for row in half}) == len({int(row["item_id"]) % 2 for row in half}) == 1
        assert [row["item_id"] for row in half] == sorted(row["item_id"] for row in half)


def test_the_encoder_is_in_the_provenance_and_another_is_refused(
    few: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file, save_file

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where fingerprints of weights are kept
    output, own = tmp_path / "r.parquet", shutil.copytree(encoder, tmp_path / "model" / "tiny")
    support.retrieve(few, output, dense(own))
    record = read_footer(output, RETRIEVED).record
    texts = {"query_text": "{input}", "history_text": "{title} {response}", "batch_tokens": 40}
    assert record.parameters == {"retriever": "dense", "top_k": 2, "chunk_users": 1, "limit": None, **texts}
    found = identify(ModelRequest(str(own))).weights
    assert record.models["encoder"] == {"id": "tiny", "revision": "local", "dtype": "float32", "weights": found}
    weights = load_file(own / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][5, 5] += 0.001
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    for changed, told in ((dense(own), "other encoder model"), (dense(encoder, 2, "x"), "query-text {input} → x")):
        assert refusal(few, output, changed) == (
            f"{output} was made otherwise ({told}): name another --output or --run, or replace it with --overwrite"
        )


def test_a_model_is_loaded_only_for_work_that_is_left(
    few: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, load = tmp_path / "r.parquet", Mock(wraps=Encoder)
    monkeypatch.setattr(stage, "Encoder", load)
    assert support.retrieve(few, output, dense(encoder), dry_run=True).status == "would run"
    assert (load.call_count, output.exists()) == (0, False)
    assert (support.retrieve(few, output, dense(encoder)).status, load.call_count) == ("finished", 1)
    for dry_run in (False, True):
        assert support.retrieve(few, output, dense(encoder), dry_run=dry_run).status == "up to date"
    assert refusal(few, output, dense(encoder, 1)).startswith(f"{output} was made otherwise (top-k 2 → 1): ")
    assert load.call_count == 1


def test_no_model_is_loaded_for_a_wrong_input(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "Encoder", lambda _: pytest.fail("a model was loaded"))
    output, path, by = tmp_path / "r.parquet", tmp_path / "histories.parquet", f"`{HISTORIES.written_by}` writes"
    write(tmp_path, [query("a", "1"), query("b", "2")], [history("a", "1"), history("b", "2")], backwards=True)
    said = f"{path} is not in steerx's order of users: make it again, do not sort or join it"
    assert refusal(tmp_path, output, dense(encoder)) == said
    shutil.copy(tmp_path / "queries.parquet", path)
    assert refusal(tmp_path, output, dense(encoder)) == f"{path} holds queries, not histories: {by} histories"
    path.unlink()
    assert refusal(tmp_path, output, dense(encoder)) == f"{path} does not exist: {by} histories"


def test_scores_that_are_no_numbers_are_an_error() -> None:
    def encode(texts: Sequence[str]) -> Encoded:
        return Encoded(np.full((len(texts), 2), np.nan, np.float32), 0, 0)

    tables = {"queries": frame([query("u", "q")], QUERIES), "histories": frame([history("u", "i")], HISTORIES)}
    with pytest.raises(SteerxError, match="the encoder gives scores that are no finite numbers"):
        stage.retrieve(tables, partial(stage.by_similarity, texts=TEXTS, encode=encode), 2)
