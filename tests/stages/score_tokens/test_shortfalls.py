"""What cannot be measured as it was asked for: cut, left out or refused, marked in its row and counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from scorers import (
    NASTY,
    REVIEW,
    SHORT,
    Plain,
    Row,
    World,
    beside,
    effects,
    generation,
    history,
    inputs,
    item_of,
    measure,
    query,
    request,
    rows_of,
    save_model,
    world,
    write,
)
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.core.scope import Scope
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.plain import log_probabilities
from steerx_cli.lm.prompt import EmptyHistory, Histories, History, render
from steerx_cli.stages.score_tokens import Measurement, Wanted, run
from steerx_cli.stages.score_tokens.arms import Prompter
from steerx_cli.stages.score_tokens.cut import Cut
from steerx_cli.stages.score_tokens.texts import Text, other_of

ALONE, TOKENLESS = "texts without any other history to measure them by", "texts without a token"
OTHERS_CUT = "texts whose other histories were cut to the model's window"
TEXTS_CUT = "texts cut to the model's window"
CROWDED = "users whose first histories had no room in the context"
HALVED = "batches halved for memory"
WHOLE = "texts taken whole, for want of others to compare with"
LARGEST = "texts where no effect reached tau, given the token of their largest"
WINDOW = 128
LONG = " ".join(SHORT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "wide")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's kind has no place for a token past its window."""
    return save_model(tmp_path_factory.mktemp("models") / "narrow", "gpt2", window=WINDOW)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens stood before and in each piece that went through a model."""

    def states(self: CausalLM, pieces: Sequence[Any]) -> torch.Tensor:
        seen.extend(piece.start + len(ids) for piece, ids in pieces)
        return real(self, pieces)

    seen: list[int] = []
    real = CausalLM.states_packed
    monkeypatch.setattr(CausalLM, "states_packed", states)
    return seen


def counted(counts: Any, *names: str) -> list[int]:
    return [counts.get(name, 0) for name in names]


def scored(data: Path, model: Path, how: Cut, **options: Any) -> tuple[list[Row], Any]:
    """Effects, and scores cut from them."""
    wanted = [Wanted(how, Scope(data / "scores.parquet"))]
    counts = measure(data, model, data / "effects.parquet", replace(REVIEW, **options), wanted).counts
    return rows_of(data / "scores.parquet"), counts


# --- nothing to compare with, nothing to measure, nothing found -------------------------------------------------------


def test_one_history_alone_is_taken_whole(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path, world({"a": [SHORT[0]], "b": SHORT[:2]}, queries=1))
    rows, counts = scored(data, model, Cut("causal", 0.1, None))
    assert counted(counts, ALONE, WHOLE) == [1, 1]
    for row in rows:
        alone = row["user_id"] == "a"
        assert (row["others"] == []) == (row["delta"] is None) == (row["log_p_history"] is None) == alone
        assert (row["basis"] == "whole") == alone
        assert len(row["log_p_empty"]) == len(row["token_ids"]) > 0
        assert not alone or row["spans"] == [{"start": 0, "end": len(SHORT[0])}]


def test_an_empty_text_has_no_token_and_is_counted(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path, world({"a": ["", SHORT[0], " \t "]}, queries=1))
    rows, counts = scored(data, model, Cut("causal", 0.1, None))
    assert counted(counts, TOKENLESS, ALONE, "empty texts") == [1, 0, 1]
    empty, _, white = rows
    lists = ("token_ids", "tokens", "starts", "ends", "log_p_history", "log_p_empty", "delta", "anchors", "spans")
    assert {name: empty[name] for name in lists} == {name: [] for name in lists}
    assert (empty["basis"], empty["others"]) == ("none", ["a1", "a2"])
    assert "".join(white["tokens"]) == " \t "
    assert white["spans"] == [], "white space at the ends of a span is left out"


def test_where_nothing_reaches_tau_the_largest_is_taken(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path, world({"a": SHORT}, queries=1))
    rows, counts = scored(data, model, Cut("causal", 1e6, None))
    assert counts[LARGEST] == sum(max(row["delta"]) > 0 for row in rows) > 0
    for row in rows:
        assert row["basis"] == ("largest" if max(row["delta"]) > 0 else "none")
        best = row["delta"].index(max(row["delta"]))
        assert row["anchors"][best] or row["basis"] == "none"


# --- the window -------------------------------------------------------------------------------------------------------


def arms(row: Row, tables: World, plain: Plain) -> tuple[list[int], list[int], list[int], list[int]]:
    """The ids before a text in the empty arm, and those before, in and behind its others in the informed one."""
    own = {one["item_id"]: History(item_of(one), one["response"]) for one in tables["histories"]}
    others = tuple(own[one["item_id"]] for one in tables["retrieved"] if one["item_id"] != row["item_id"])
    item = own[row["item_id"]].item
    empty, informed = (
        render(REVIEW.task, PLAIN, item, block, own=True) for block in (EmptyHistory(), Histories(others))
    )
    encoded = plain.tokenizer(informed.text, return_offsets_mapping=True)
    first, last = informed.histories[0].start, informed.histories[-1].end
    groups: tuple[list[int], list[int], list[int]] = ([], [], [])
    for token, (start, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        groups[(start >= first) + (start >= last)].append(token)
    return plain.tokenizer(empty.text)["input_ids"], *groups


def check_cut(row: Row, tables: World, plain: Plain) -> bool:
    """The row is what is left when the others' last tokens are taken away, and then the text's; whether any were."""
    ids = plain.tokenizer(row["response"])["input_ids"]
    empty, before, others, behind = arms(row, tables, plain)
    kept = min(len(ids), WINDOW - len(empty))
    excess = min(len(others), max(0, len(before) + len(others) + len(behind) + kept - WINDOW))
    assert (row["token_ids"], row["response_cut"]) == (ids[:kept], len(ids) - kept)
    assert row["context_cut"] == excess
    told = [*before, *others[: len(others) - excess], *behind]
    expected = [log_probabilities(plain.model, some, ids[:kept]) for some in (told, empty)]
    assert row["log_p_empty"] == pytest.approx(expected[1].tolist(), rel=0, abs=1e-5)
    if excess == len(others):
        assert (row["others"], row["log_p_history"], row["delta"]) == ([], None, None)
        return True
    assert row["log_p_history"] == pytest.approx(expected[0].tolist(), rel=0, abs=1e-5)
    assert row["delta"] == pytest.approx((expected[0] - expected[1]).tolist(), rel=0, abs=1e-5)
    names = [one["item_id"] for one in tables["retrieved"] if one["item_id"] != row["item_id"]]
    assert row["others"] == names[: len(row["others"])]
    # One that lost all is not told of, and one of which something is left is.
    left = plain.tokenizer.decode(others[: len(others) - excess])
    whole = [name for name in names if f"Title: Film {name}\n" in left]
    assert whole in (row["others"], row["others"][:-1])
    return excess > 0


def test_others_that_do_not_fit_are_cut_from_their_end(narrow: Path, tmp_path: Path, longest: list[int]) -> None:
    tables = world({"a": [SHORT[0], *(f"{text} {text}" for text in SHORT[1:4])]}, queries=1, top=9)
    rows, counts = effects(write(tmp_path, tables), narrow)
    cut = [check_cut(row, tables, Plain.load(narrow)) for row in rows]
    assert max(longest) <= WINDOW
    assert counted(counts, OTHERS_CUT, TEXTS_CUT, ALONE) == [sum(cut), 0, 0]
    assert 0 < min(len(row["others"]) for row in rows) < 3, "of some all is cut off"


def test_a_history_is_named_as_long_as_a_token_of_it_is_left(model: Path) -> None:
    tokenizer = Plain.load(model).tokenizer
    one, *rows = [history("a", f"{number}", text) for number, text in enumerate(SHORT[:4])]
    others = tuple(other_of(row) for row in rows)
    text = Text({}, item_of(one), True, one["response"], others)
    blocks = Histories(tuple(other.history for other in others)), EmptyHistory()
    informed, empty = (render(REVIEW.task, PLAIN, item_of(one), block, own=True) for block in blocks)
    encoded, own = tokenizer(informed.text, return_offsets_mapping=True), len(tokenizer(one["response"])["input_ids"])
    ids, last = encoded["input_ids"], informed.histories[-1].end
    inside = [span for span in encoded["offset_mapping"] if informed.histories[0].start <= span[0] < last]
    for window in range(len(tokenizer(empty.text)["input_ids"]) + own, len(ids) + own + 2):
        (arms,) = Prompter(tokenizer, PLAIN, REVIEW, window).arms([text])
        kept = inside[: min(len(inside), window - len(ids) - own + len(inside))]
        named = [any(start < span.end and span.start < end for start, end in kept) for span in informed.histories]
        assert [other.item_id for other in arms.text.others] == [
            f"{n}" for n, is_there in enumerate(named, 1) if is_there
        ]
        assert arms.context_cut == len(inside) - len(kept)
        assert arms.informed is None or len(arms.informed) + own == min(window, len(ids) + own)


def test_a_text_longer_than_the_window_is_measured_as_far_as_it_goes(
    narrow: Path, tmp_path: Path, longest: list[int]
) -> None:
    tables = world({"a": [f"{LONG} {LONG}", SHORT[0]]}, queries=1)
    rows, counts = effects(write(tmp_path, tables), narrow, empty_arm="none")
    assert [check_cut(row, tables, Plain.load(narrow)) for row in rows] == [True, True]
    assert max(longest) <= WINDOW
    assert [row["response_cut"] > 0 for row in rows] == [True, False]
    assert counted(counts, OTHERS_CUT, TEXTS_CUT) == [2, 1]


@pytest.mark.parametrize("empty_arm", ["none", "omitted"])
def test_where_a_prompt_alone_fills_the_window_nothing_is_measured(
    empty_arm: str, narrow: Path, tmp_path: Path, longest: list[int]
) -> None:
    own = [history("a", "1", SHORT[0], description=f"{LONG} " * 3), history("a", "2", SHORT[1])]
    tables = {"histories": own, "retrieved": beside("q", own)}
    rows, counts = effects(write(tmp_path, tables), narrow, empty_arm=empty_arm)
    full, other = rows
    assert max(longest) <= WINDOW
    assert (full["token_ids"], full["others"], full["delta"], full["log_p_empty"]) == ([], [], None, [])
    assert full["response_cut"] == len(Plain.load(narrow).tokenizer(SHORT[0])["input_ids"])
    assert (other["others"], other["context_cut"] > 0, len(other["delta"]) > 0) == (["1"], True, True)
    assert counted(counts, TOKENLESS, TEXTS_CUT, ALONE, OTHERS_CUT) == [1, 1, 1, 2]


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"context": "all"}, {"prompt_format": "chat"}, {"over": "generations"}])
def test_never_more_than_the_window_goes_into_a_model(
    options: dict[str, Any], kind: str, tmp_path: Path, longest: list[int]
) -> None:
    folder = save_model(tmp_path / "model", kind, window=96)
    tables = world({"a": [*SHORT, LONG, "", *NASTY], "b": [LONG, LONG]}, queries=1, top=20)
    rows, _ = effects(write(tmp_path, tables), folder, **options)
    assert max(longest) <= 96
    for row in rows:
        assert (row["delta"] is None) == (not row["others"])
        assert row["delta"] is None or len(row["delta"]) == len(row["token_ids"])
        assert {len(row[name]) for name in ("tokens", "starts", "ends", "log_p_empty")} == {len(row["token_ids"])}


# --- all of a user's --------------------------------------------------------------------------------------------------


def lengths(tables: World, plain: Plain) -> list[int]:
    texts = [f"\n\nTitle: Film {row['item_id']}\nReview:\n{row['response']}" for row in tables["histories"]]
    return [len(plain.tokenizer(text)["input_ids"]) for text in texts]


@pytest.mark.parametrize("order", ["given", "tree"])
def test_the_last_histories_that_fit_are_the_context(order: str, model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT, "b": SHORT[:2]}, queries=1, top=2)  # of a's, the first two are measured
    data = write(tmp_path, tables)
    how: dict[str, Any] = {"context": "all", "context_order": order}
    sizes = lengths(tables, Plain.load(model))[:5]
    for kept in range(6):
        most = max(1, sum(sizes[5 - kept :]))
        rows, counts = effects(data, model, **how, max_context_tokens=most)
        mine, names = [row for row in rows if row["user_id"] == "a"], [f"a{number}" for number in range(5)]
        assert len(mine) == 2
        for row in mine:
            assert set(row["others"]) == {*names[5 - kept :]} - {row["item_id"]}
            assert (row["delta"] is None) == (not row["others"])
        alone = sum(not row["others"] for row in rows)
        crowded = (kept < 5) + (most < sum(lengths(tables, Plain.load(model))[5:]))
        assert counted(counts, ALONE, CROWDED) == [alone, crowded]


@pytest.mark.parametrize("order", ["given", "tree"])
def test_a_history_that_takes_all_the_room_takes_it_from_no_context_of_its_own(
    order: str, model: Path, tmp_path: Path
) -> None:
    tables = world({"a": [*SHORT[:2], LONG]}, queries=1)
    data, sizes = write(tmp_path, tables), lengths(tables, Plain.load(model))
    how: dict[str, Any] = {"context": "all", "context_order": order, "max_context_tokens": sizes[2]}
    rows, _ = effects(data, model, **how)
    assert sum(sizes[:2]) <= sizes[2]
    assert {row["item_id"]: row["others"] for row in rows} == {
        "a0": ["a2"],
        "a1": ["a2"],
        "a2": ["a0", "a1"],
    }


@pytest.mark.parametrize("order", ["given", "tree"])
def test_a_measured_history_that_is_not_among_them_has_all_of_them(order: str, model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT[:3]}, queries=1)
    tables["retrieved"].append({**beside("a-0", [history("a", "elsewhere", "Not in the pool.")])[0], "rank": 4})
    rows, counts = effects(write(tmp_path, tables), model, context="all", context_order=order)
    others = {row["item_id"]: row["others"] for row in rows}
    assert (others["elsewhere"], sorted(others["a1"])) == (["a0", "a1", "a2"], ["a0", "a2"])
    assert counted(counts, ALONE) == [0]


def test_a_user_without_any_history_in_the_pool_is_alone(model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT[:3], "b": SHORT[:2]}, queries=1)
    tables["histories"] = [row for row in tables["histories"] if row["user_id"] == "a"]
    rows, counts = effects(write(tmp_path, tables), model, context="all")
    assert [row["others"] == [] for row in rows] == [row["user_id"] == "b" for row in rows]
    assert counted(counts, ALONE) == [2]


# --- refused ----------------------------------------------------------------------------------------------------------


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(SteerxError) as refused:
        work()
    assert "\n" not in str(refused.value)
    assert not any(text in str(refused.value) for text in SHORT)
    return str(refused.value)


def test_one_history_a_query_is_refused_before_a_model_is_looked_for(tmp_path: Path) -> None:
    data = write(tmp_path, world({"a": SHORT}, top=1), top_k=1)
    place = Scope(data / "effects.parquet")
    ask = Measurement(REVIEW, request(tmp_path / "no model at all"), inputs(data), place)
    assert refusal(lambda: run(ask, place.output, [], Silent())) == (
        f"{data / 'retrieved.parquet'} has one history a query, and each is measured by the others: "
        "retrieve with --top-k 2 or more, or use --context all"
    )
    assert not place.output.exists()


@pytest.mark.parametrize("options", [{"context": "all"}, {"over": "generations"}])
def test_one_history_a_query_is_enough_where_others_are_looked_at(
    options: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    rows, _ = effects(write(tmp_path, world({"a": SHORT}, top=1), top_k=1), model, **options)
    assert all(row["others"] for row in rows)


@pytest.mark.parametrize("options", [{"effect_context": "query"}, {"over": "generations"}])
def test_a_query_that_is_not_there_is_refused(options: dict[str, Any], model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT})
    tables["queries"] = [{**query("a", "another"), "user_id": "a"}]
    data = write(tmp_path, tables)
    assert refusal(lambda: effects(data, model, **options)) == (
        "the queries lack query 'a-0' of user 'a': name those that were answered"
    )


def test_a_query_that_is_not_looked_at_may_be_missing(model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT})
    del tables["queries"]
    assert len(effects(write(tmp_path, tables), model)[0]) == len(tables["retrieved"])


def test_a_generation_for_a_query_without_histories_is_alone(model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT[:2]}, queries=1)
    tables["queries"].append(query("a", "bare"))
    tables["generations"].append(generation("a", "bare", None, "Words."))
    rows, counts = effects(write(tmp_path, tables), model, over="generations")
    assert [(row["query_id"], row["others"], row["delta"] is None) for row in rows] == [
        ("a-0", ["a0", "a1"], False),
        ("a-0", ["a0", "a1"], False),
        ("bare", [], True),
    ]
    assert counted(counts, ALONE) == [1]


def test_generations_that_answer_histories_are_refused(model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT})
    tables["generations"][1]["item_id"] = "a0"
    data = write(tmp_path, tables)
    said = "these generations answer histories: name generations that answer queries"
    assert refusal(lambda: effects(data, model, over="generations")) == said


def test_probabilities_that_are_no_numbers_are_an_error(model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    lm = CausalLM.load(request(model))
    monkeypatch.setattr(lm, "log_p", lambda _, tokens: torch.full((len(tokens),), torch.nan))
    monkeypatch.setattr(CausalLM, "load", Mock(return_value=lm))
    data = write(tmp_path, world({"a": SHORT}))
    said = "the model gives probabilities that are no numbers: try --dtype float32 or another --model"
    assert refusal(lambda: effects(data, model)) == said


# --- memory -----------------------------------------------------------------------------------------------------------


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let no more tokens than that fit in at once."""

    def states(self: CausalLM, pieces: Sequence[Any]) -> torch.Tensor:
        if sum(len(ids) for _, ids in pieces) > most:
            raise torch.OutOfMemoryError("full")
        return real(self, pieces)

    real = CausalLM.states_packed
    monkeypatch.setattr(CausalLM, "states_packed", states)


def test_a_batch_that_does_not_fit_is_halved_and_counted(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path, world(dict.fromkeys("abcdef", SHORT)))
    rows, counts = effects(data, model)
    assert HALVED not in counts
    small_memory(monkeypatch, 30)
    halved, counts = effects(data, model, output="halved.parquet")
    assert counts[HALVED] > 1
    names = ("log_p_history", "log_p_empty", "delta")
    for row, other in zip(rows, halved, strict=True):
        assert {name: value for name, value in row.items() if name not in names} == {
            name: value for name, value in other.items() if name not in names
        }
        for name in names:
            assert other[name] == pytest.approx(row[name], rel=0, abs=1e-5)


def test_a_token_that_does_not_fit_alone_is_an_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, lm = write(tmp_path, world({"a": SHORT})), CausalLM.load(request(model))
    monkeypatch.setattr(CausalLM, "load", Mock(return_value=lm))
    small_memory(monkeypatch, 1)
    assert effects(data, model, output="crumbs.parquet")[1][HALVED] > 1
    small_memory(monkeypatch, 0)
    assert "memory: choose a smaller --batch-tokens, dtype or model" in refusal(lambda: effects(data, model))
    assert not (data / "effects.parquet").exists()
