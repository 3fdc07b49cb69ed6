"""Δ of every token against the obvious computation in float64: one text at a time, all logits, nothing shared."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorers import (
    NASTY,
    REVIEW,
    SHORT,
    Plain,
    Row,
    World,
    beside,
    effects,
    history,
    item_of,
    query,
    save_model,
    world,
    write,
)
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.prompt import EmptyHistory, Histories, History, render
from steerx_cli.stages.score_tokens.texts import Measure

RUN, UNSHARED = "tokens run through the model", "batches without sharing, in the model's own attention"
SPARED = "tokens that --context-order tree would spare, about"
EVERYONE = world({"a": SHORT, "b": SHORT[::-1], "c": [*NASTY[2:5], "One more."]})
SHOWN = {"retrieved": "retrieved", "all": "histories"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind, all with the same tokenizer."""
    kinds = ("qwen3", "llama", "gpt2", "mistral", "gemma2")
    return {kind: save_model(tmp_path_factory.mktemp("models") / kind, kind) for kind in kinds}


def key_of(row: Row) -> tuple[object, ...]:
    return row["user_id"], row["query_id"], row["item_id"], row["lam"], row["gamma2"]


def check(rows: list[Row], tables: World, how: Measure, plain: Plain, close: float = 1e-5, of_delta: float = 0) -> None:
    """Every token and both of its probabilities are the oracle's, given the others in the order that the row names."""
    asked = {(row["user_id"], row["query_id"]): row for row in tables["queries"]}
    own = {(row["user_id"], row["item_id"]): row for row in tables["histories"]}
    told = []
    for row in rows:
        user = row["user_id"]
        others = [own[user, other] for other in row["others"]]
        assert len(others) > 0
        by_own = how.effect_context == "own" and row["item_id"]
        c = own[user, row["item_id"]] if by_own else asked[user, row["query_id"]]
        item = None if how.effect_context == "none" else item_of(c)
        histories = [History(item_of(other), other["response"]) for other in others]
        expected = plain.effects(how, item, row["response"], histories)
        assert row["token_ids"] == expected.tokens.ids
        assert list(zip(row["starts"], row["ends"], strict=True)) == expected.tokens.offsets
        assert row["tokens"] == [row["response"][start:end] for start, end in expected.tokens.offsets]
        assert row["log_p_history"] == pytest.approx(expected.informed.tolist(), rel=0, abs=close)
        assert row["log_p_empty"] == pytest.approx(expected.empty.tolist(), rel=0, abs=close)
        assert row["delta"] == pytest.approx(expected.delta.tolist(), rel=0, abs=of_delta or close)
        assert (row["context_cut"], row["response_cut"]) == (0, 0)
        told += expected.delta.abs().tolist()
    assert max(told) > 0.1, "the others make no difference, and nothing is shown"


def check_others(rows: list[Row], tables: World, how: Measure) -> None:
    """Who stands before whom, by plain lists."""
    for row in rows:
        mine = [other for other in tables[SHOWN[how.context]] if other["user_id"] == row["user_id"]]
        if how.context == "retrieved":
            mine = [other for other in mine if other["query_id"] == row["query_id"]]
        names = [other["item_id"] for other in mine if other["item_id"] != row["item_id"]]
        if how.context == "all" and how.context_order == "tree":
            assert sorted(row["others"]) == sorted(names)
        else:
            assert row["others"] == names


OPTIONS: list[dict[str, Any]] = [
    {},
    {"context": "all"},
    {"context": "all", "context_order": "tree"},
    {"effect_context": "query"},
    {"effect_context": "none"},
    {"empty_arm": "omitted"},
    {"prompt_format": "chat"},
    {"prompt_format": "chat", "context": "all", "context_order": "tree", "effect_context": "query"},
    {"prompt_format": "chat", "effect_context": "none", "empty_arm": "omitted"},
    {"over": "generations"},
    {"over": "generations", "empty_arm": "omitted", "effect_context": "none"},
    {"over": "generations", "prompt_format": "chat"},
    {"over": "generations", "context": "all"},
    {"over": "generations", "context": "all", "context_order": "tree"},
]


def named(options: dict[str, Any]) -> str:
    return " ".join(options.values()) or "default"


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("options", OPTIONS, ids=named)
def test_every_effect_is_that_of_two_plain_passes(
    options: dict[str, Any], kind: str, models: dict[str, Path], tmp_path: Path
) -> None:
    rows, counts = effects(write(tmp_path, EVERYONE), models[kind], **options)
    how = replace(REVIEW, **options)
    assert UNSHARED not in counts
    check_others(rows, EVERYONE, how)
    check(rows, EVERYONE, how, Plain.load(models[kind]))


@pytest.mark.parametrize("kind", ["mistral", "gemma2"])
@pytest.mark.parametrize("batch_tokens", [50, 9000])
def test_so_it_is_where_attention_is_windowed_or_capped(
    kind: str, batch_tokens: int, models: dict[str, Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"context": "all", "context_order": "tree", "batch_tokens": batch_tokens}
    rows, counts = effects(write(tmp_path, EVERYONE), models[kind], **options)
    assert UNSHARED not in counts
    check(rows, EVERYONE, replace(REVIEW, **options), Plain.load(models[kind]))


# Such as that model was taught: what it has never seen is so improbable to it that float32 has no more digits.
STORIES = [
    "One day, a girl named Lily went to the park. She saw a big, red ball.",
    'Tom was sad. He lost his toy. His mom said, "Don\'t worry, we can find it."',
    "The little dog was happy. They played all day and had a lot of fun. The end.",
]


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[2], OPTIONS[5], OPTIONS[9]], ids=named)
def test_every_effect_of_a_model_that_learnt_is_that_of_two_plain_passes(
    options: dict[str, Any], material: Path, tmp_path: Path
) -> None:
    tables = world({"a": STORIES})
    rows, _ = effects(write(tmp_path, tables), material / "stories260K", **options)
    check_others(rows, tables, replace(REVIEW, **options))
    # What it answers as a generation it was not taught, and float32 has fewer digits for it: on some processors a log p
    # of it is off by 1.6e-5. Both, and Δ, are held to 2e-5 there.
    bounds = (2e-5, 2e-5) if options.get("over") == "generations" else ()
    check(rows, tables, replace(REVIEW, **options), Plain.load(material / "stories260K"), *bounds)


@pytest.mark.parametrize("options", [{}, {"context": "all", "context_order": "tree"}], ids=named)
def test_the_size_of_a_batch_moves_no_effect(options: dict[str, Any], models: dict[str, Path], tmp_path: Path) -> None:
    tables = world({"a": SHORT[:4], "c": NASTY[2:5]}, queries=1)
    data, plain = write(tmp_path, tables), Plain.load(models["qwen3"])
    for batch_tokens in (1, 17, 300, 10**6):
        rows, counts = effects(data, models["qwen3"], **options, batch_tokens=batch_tokens)
        assert "batches halved for memory" not in counts
        check(rows, tables, replace(REVIEW, **options), plain)


def test_a_context_in_another_order_has_another_effect(models: dict[str, Path], tmp_path: Path) -> None:
    data = write(tmp_path, EVERYONE)
    given, tree = (effects(data, models["qwen3"], context="all", context_order=order)[0] for order in ("given", "tree"))
    moved = [row for row, other in zip(given, tree, strict=True) if row["others"] != other["others"]]
    assert 0 < len(moved) < len(given)
    for row, other in zip(given, tree, strict=True):
        gap = max(abs(a - b) for a, b in zip(row["delta"], other["delta"], strict=True))
        assert (gap > 1e-3) == (row["others"] != other["others"])
        assert row["log_p_empty"] == pytest.approx(other["log_p_empty"], rel=0, abs=1e-5)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_one_row_for_each_retrieved_history_in_its_order(models: dict[str, Path], tmp_path: Path) -> None:
    tables = world(dict.fromkeys("dbca", SHORT), queries=3, top=4)
    data = write(tmp_path, tables)
    rows, _ = effects(data, models["qwen3"])
    users = list(dict.fromkeys(row["user_id"] for row in rows))
    names = ("user_id", "query_id", "item_id", "rank", "response")
    own = {user: [row for row in tables["retrieved"] if row["user_id"] == user] for user in users}
    assert sorted(users) == [*"abcd"]
    assert [[row[name] for name in names] for row in rows] == [
        [row[name] for name in names] for user in users for row in own[user]
    ]
    assert all(row["lam"] is None for row in rows)
    rows, _ = effects(data, models["qwen3"], over="generations")
    assert [(row["query_id"], row["lam"], row["response"]) for row in rows if row["user_id"] == "a"] == [
        (f"a-{number}", lam, f"{SHORT[0]} {lam}") for number in range(3) for lam in (None, 0.5)
    ]
    assert all((row["item_id"], row["rank"]) == (None, None) for row in rows)


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
def test_tokens_point_into_the_text_as_it_was_written(
    prompt_format: str, models: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer: Any = Plain.load(models["qwen3"]).tokenizer
    rows, _ = effects(write(tmp_path, world({"a": NASTY}, 1, 99)), models["qwen3"], prompt_format=prompt_format)
    assert [row["response"] for row in rows] == NASTY
    for row in rows:
        text, places = row["response"], list(zip(row["starts"], row["ends"], strict=True))
        assert all(0 <= start < end <= len(text) for start, end in places)
        assert places == sorted(places)
        assert row["tokens"] == [text[start:end] for start, end in places]
        assert {place for start, end in places for place in range(start, end)} == set(range(len(text)))
        assert tokenizer.decode(row["token_ids"], clean_up_tokenization_spaces=False) == text
        assert not set(row["token_ids"]) & set(tokenizer.all_special_ids), "a person's text is never a special token"
        assert len({len(row[name]) for name in ("token_ids", "tokens", "log_p_empty", "log_p_history", "delta")}) == 1
    assert any(tokens.count("🙂") > 1 for tokens in (row["tokens"] for row in rows)), "an emoji is several tokens"


def test_a_query_s_ids_are_a_user_s_own(models: dict[str, Path], tmp_path: Path) -> None:
    tables: World = {"retrieved": [], "histories": [], "queries": []}
    for user, texts in (("a", SHORT[:3]), ("b", SHORT[2:])):
        own = [history(user, f"{number}", text) for number, text in enumerate(texts)]
        tables["histories"] += own
        tables["queries"].append({**query(user, "q"), "fields": [{"name": "title", "value": user}]})
        tables["retrieved"] += beside("q", own)
    how = replace(REVIEW, effect_context="query")
    rows, _ = effects(write(tmp_path, tables), models["qwen3"], how)
    check_others(rows, tables, how)
    check(rows, tables, how, Plain.load(models["qwen3"]))


# --- what it costs ----------------------------------------------------------------------------------------------------


def seen(rows: list[Row], tables: World, lm: Plain) -> list[tuple[int, ...]]:
    """All that the model has to look at: both arms of each text, without its last token."""
    own = {row["item_id"]: History(item_of(row), row["response"]) for row in tables["histories"]}
    frame, found = make_frame("plain", lm.tokenizer), []
    for row in rows:
        for block in (Histories(tuple(own[other] for other in row["others"])), EmptyHistory()):
            prompt = render(REVIEW.task, frame, own[row["item_id"]].item, block, own=True)
            found.append((*lm.tokenizer(prompt.text)["input_ids"], *row["token_ids"][:-1]))
    return found


def length_of(row: Row, lm: Plain) -> int:
    return len(lm.tokenizer(f"\n\nTitle: Film {row['item_id']}\nReview:\n{row['response']}")["input_ids"])


@pytest.mark.parametrize("count", [8, 16])
def test_what_is_shared_is_computed_once(count: int, models: dict[str, Path], tmp_path: Path) -> None:
    """n log₂ n histories in a tree, about n²/2 in the given order, which tells what the tree would spare."""
    tables = world({"a": [f"{SHORT[n % 5]} {n}" * 3 for n in range(count)]}, queries=2, top=count)
    data, lm, run, told = write(tmp_path, tables), Plain.load(models["qwen3"]), {}, {}
    for order in ("given", "tree"):
        rows, counts = effects(data, models["qwen3"], context="all", context_order=order)
        everything = seen(rows, tables, lm)
        least = len({ids[:length] for ids in everything for length in range(1, len(ids) + 1)})
        # Where fewer than sixteen tokens would be spared they are computed again.
        assert least <= counts[RUN] <= least + 16 * len(everything)
        assert counts[RUN] < sum(map(len, everything)) / 2
        run[order], told[order] = counts[RUN], counts.get(SPARED)
    mean = sum(length_of(row, lm) for row in tables["histories"]) / count
    contexts = {"given": count * (count - 1) / 2 + count - 1, "tree": count * math.log2(count)}
    assert run["given"] - run["tree"] == pytest.approx((contexts["given"] - contexts["tree"]) * mean, rel=0.1)
    assert told == {"given": pytest.approx(run["given"] - run["tree"], rel=0.1), "tree": None}


def test_no_query_changes_the_empty_arm_of_a_history(models: dict[str, Path], tmp_path: Path) -> None:
    one, both = (
        effects(write(tmp_path, world({"a": SHORT}, queries, 99)), models["qwen3"])[1][RUN] for queries in (1, 2)
    )
    assert one < both < 1.8 * one


def test_a_second_query_with_the_same_histories_costs_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    once, twice = (
        effects(write(tmp_path, world({"a": SHORT}, queries, 99)), models["qwen3"], context="all")[1][RUN]
        for queries in (1, 2)
    )
    assert twice == once
