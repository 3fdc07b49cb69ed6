"""Which histories stand beside a query, against the obvious computation over plain lists."""

import shutil
from collections import Counter
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
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED, Artifact
from steerx_cli.lm.encode import Encoded, Encoder
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.stages.retrieve import Dense, Settings

Row = dict[str, Any]
RETRIEVERS = ["recency", "random", "all", "dense"]
TEXTS, UNTIMED = ("{input}", "{input} {response}"), "users ranked by their own order, for want of times"
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


def retrieved(
    name: str, queries: list[Row], histories: list[Row], k: int | None, seed: int = 0, texts: tuple[str, str] = TEXTS
) -> tuple[list[Row], Row, list[str]]:
    """What the stage makes of one chunk, once it fits the schema; what it counted; what was encoded."""

    def frame(rows: list[Row], artifact: Artifact) -> pl.DataFrame:
        return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=artifact.columns)))

    def encode(texts: list[str], _: int) -> Encoded:
        heard.extend(texts)
        return Encoded(np.array([numbers(text) for text in texts], np.float32).reshape(-1, 3), 0, 0)

    heard: list[str] = []
    dense = Dense(ModelRequest("none"), *texts, 64)
    rankings: dict[str, stage.Ranking] = {
        "recency": stage.by_recency,
        "random": partial(stage.at_random, seed=seed),
        "all": stage.in_own_order,
        "dense": partial(stage.by_similarity, encoder=Mock(encode=encode), dense=dense),
    }
    tables = {"queries": frame(queries, QUERIES), "histories": frame(histories, HISTORIES)}
    rows, counts = stage.retrieve(tables, rankings[name], k)
    return conform(rows.to_arrow(), RETRIEVED).to_pylist(), dict(counts), heard


def obvious(name: str, queries: list[Row], histories: list[Row], k: int | None) -> list[Row]:
    """The same by loops over lists."""
    found = []
    for asked in queries:
        own = [dict(row, score=None) for row in histories if row["user_id"] == asked["user_id"]]
        if name == "dense":
            for row in own:
                row["score"] = np.dot(numbers(asked["input"]), numbers(f"{row['input']} {row['response']}"))
            own = sorted(own, key=lambda row: (-row["score"], row["item_id"]))
        if name == "recency":
            timed = all(row["time"] for row in own)
            own = sorted(own, key=lambda row: row["time"] if timed else 0)[::-1]
        found += [{**row, "query_id": asked["query_id"], "rank": rank} for rank, row in enumerate(own[:k], 1)]
    return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Some users' queries and histories, either of which a user may lack, some of them without a time."""
    queries, histories, texts, days = [], [], st.text("ab ", max_size=3), st.integers(1, 3)
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
    for name, most in (("recency", k), ("random", k), ("all", None), ("dense", k)):
        rows, counts, _ = retrieved(name, queries, histories, most)
        assert (counts[NONE], counts[FEWER]) == (sizes.count(0), sum(0 < size < (most or 0) for size in sizes))
        assert counts.get(UNTIMED) == (len(untimed) if name == "recency" else None)
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


def test_dense_texts_are_made_from_fields_input_and_response_and_blank_ones_counted() -> None:
    texts = "{title}|{input}|{response}|{none}", "{input}{response}{title}"
    queries = [query("u", "1", "ask {title}", title="T\\1", input="a field"), query("u", "2", "", other="o")]
    histories = [history("u", "i", "in", response=" {input} re", title="A"), history("u", "j", "\x00", response="")]
    histories += [history("u", item, text, response="") for item, text in (("k", "\u3000"), ("l", ""), ("m", ""))]
    _, counts, heard = retrieved("dense", queries, histories, 1, texts=texts)
    assert heard == ["T\\1|ask {title}||", "|||", "in {input} reA", "\x00", "\u3000", "", ""]
    blank = "{} that came out blank for the encoder"
    assert (counts[blank.format("queries")], counts[blank.format("histories")]) == (0, 3)


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
    return Settings("dense", top_k, 0, Dense(request, query_text, "{title} {response}", batch_tokens=40))


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
    encoder = Mock(encode=lambda texts, _: Encoded(np.full((len(texts), 2), np.nan, np.float32), 0, 0))
    tables = {
        name: cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist([row], schema=artifact.columns)))
        for name, row, artifact in (("queries", query("u", "q"), QUERIES), ("histories", history("u", "i"), HISTORIES))
    }
    ranking = partial(stage.by_similarity, encoder=encoder, dense=Dense(ModelRequest("m"), *TEXTS, 100))
    with pytest.raises(SteerxError, match="the encoder gives scores that are no finite numbers"):
        stage.retrieve(tables, ranking, 2)
