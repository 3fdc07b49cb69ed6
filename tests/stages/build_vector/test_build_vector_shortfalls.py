"""What a vector cannot be made of as it was asked for: left out, cut or refused, marked in its row and counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from builders import HOW, NEUTRAL, NUMBERS, build, check, near, neutral, people
from scorers import SHORT, Plain, Row, World, request, save_model, write
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.plain import encode_prompt, response_tokens
from steerx_cli.lm.prompt import Item, NoBlock, render
from steerx_cli.stages.build_vector.settings import Mix
from steerx_cli.stages.build_vector.texts import Answer, Placer

UNDESCRIBED = "vectors without any description, as by cas"
OWN_TEXT = "histories without a description, whose own text stands for it"
LEFT_OUT = "histories left out, since a text of theirs is missing or fits nothing of the model's window"
OF_NOTHING = "vectors of nothing, since no history is left"
CUT = "texts cut to the model's window"
HALVED = "batches halved for memory"
ALL = (UNDESCRIBED, OWN_TEXT, LEFT_OUT, OF_NOTHING, CUT)
CAS = replace(HOW, mix=Mix(1.0))
WINDOW = 96


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's kind has no place for a token past its window."""
    return save_model(tmp_path_factory.mktemp("models") / "narrow", "gpt2", window=WINDOW)


def made(folder: Path, tables: World) -> Path:
    return write(folder, tables, over="histories")


def counted(counts: Any) -> list[int]:
    """How often each kind of shortfall is told of."""
    return [counts.get(name, 0) for name in ALL]


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(SteerxError) as refused:
        work()
    assert "\n" not in str(refused.value)
    assert not any(text in str(refused.value) for text in SHORT)
    return str(refused.value)


def one(tables: World, table: str, **keys: object) -> Row:
    """The row of a table that has these keys."""
    (found,) = (row for row in tables[table] if keys.items() <= row.items())
    return found


# --- nothing is said, nothing was written -----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, "", " ", "\n\t \u00a0"])
def test_a_history_s_own_text_stands_for_a_description_that_says_nothing(
    nothing: str | None, model: Path, plain: Plain, tmp_path: Path
) -> None:
    tables = people({"a": SHORT[:3], "b": SHORT[1:3]}, queries=1)
    for user, item in ("a0", "b0", "b1"):
        one(tables, "profiles", user_id=user, item_id=item)["description"] = nothing
    rows, counts = build(made(tmp_path, tables), model, HOW)
    check(rows, HOW, plain, tables)
    told = {row["user_id"]: (row["basis"], row["histories"], row["described"]) for row in rows}
    assert told == {"a": ("steerx", ["2", "1", "0"], ["2", "1"]), "b": ("cas", ["1", "0"], [])}
    assert counted(counts) == [1, 3, 0, 0, 0], "each layer's rows are of one vector"
    for row in (row for row in rows if row["user_id"] == "b"):
        assert (row["from_descriptions"], row["vector"]) == (None, row["from_histories"])
    assert counted(build(tmp_path, model, CAS)[1]) == [0] * 5


@pytest.mark.parametrize("how", [HOW, replace(HOW, scope="user")], ids=["query", "user"])
def test_a_neutral_text_that_failed_leaves_its_history_out(how: Any, model: Path, plain: Plain, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3], "b": SHORT[1:3]}, queries=1)
    for user, item in ("a1", "b0", "b1"):
        one(tables, "neutral", user_id=user, item_id=item).update(response="", finish="failed", error="the reason")
    rows, counts = build(made(tmp_path, tables), model, how)
    check(rows, how, plain, tables)
    assert {row["user_id"]: row["histories"] for row in rows} == {"a": ["2", "0"], "b": []}
    assert counted(counts) == [0, 0, 3, 1, 0]
    for row in (row for row in rows if row["user_id"] == "b"):
        assert (row["basis"], row["described"]) == ("none", [])
        assert {row[name] for name in NUMBERS} == {None}


def test_where_every_vector_is_of_nothing_the_run_ends_well(model: Path, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3]})
    tables["neutral"] = [neutral(row, "", finish="failed") for row in tables["neutral"]]
    rows, counts = build(made(tmp_path, tables), model, HOW)
    assert [row["basis"] for row in rows] == ["none"] * 4
    assert counts == {
        LEFT_OUT: 5,
        OF_NOTHING: 2,
        "tokens run through the model": counts["tokens run through the model"],
    }


@pytest.mark.parametrize("how", [HOW, replace(HOW, select=1), CAS], ids=["all", "one", "cas"])
def test_whoever_has_no_histories_has_no_vector(how: Any, model: Path, plain: Plain, tmp_path: Path) -> None:
    """A user of whom nothing is retrieved is in no table; a whole run may be of such users."""
    tables = people({"a": SHORT[:2], "b": SHORT[:2]})
    tables["retrieved"] = [row for row in tables["retrieved"] if row["user_id"] == "a"]
    rows, _ = build(made(tmp_path, tables), model, how)
    check(rows, how, plain, tables)
    assert {row["user_id"] for row in rows} == {"a"}
    assert build(made(tmp_path, tables | {"retrieved": []}), model, how) == ([], {})


# --- texts of another run ---------------------------------------------------------------------------------------------


def test_a_history_that_has_no_neutral_text_is_another_run_s(model: Path, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3]})
    tables["neutral"] = tables["neutral"][:-1]
    said = refusal(lambda: build(made(tmp_path, tables), model, HOW))
    assert said == (
        "the neutral texts lack history '2' of user 'a': write them for the same retrieved histories, with "
        "`steerx generate --method non-perso --over histories`"
    )
    assert not (tmp_path / "vectors.parquet").exists()


@pytest.mark.parametrize("by", ["history", "query"])
def test_a_history_that_has_no_description_of_its_kind_is_another_run_s(by: str, model: Path, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3]}, queries=1)
    lacking = None if by == "query" else "1"
    tables["profiles"] = [row for row in tables["profiles"] if row["item_id"] != lacking]
    said = refusal(lambda: build(made(tmp_path, tables), model, replace(HOW, described_by=by)))
    item, what = ("2", "the description of its query") if by == "query" else ("1", "a description of its own")
    assert said == (
        f"the profiles lack history {item!r} of user 'a' ({what}): smooth the scores of the same retrieved histories, "
        "with --describe both"
    )
    assert len(build(tmp_path, model, CAS)[0]) == 2, "where none counts, none is looked for"


# --- empty texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_an_empty_text_s_state_is_that_of_its_prompt_s_end(
    pool: str, model: Path, plain: Plain, tmp_path: Path
) -> None:
    tables = people({"a": ["", SHORT[0], " \t "], "b": SHORT[:2]}, queries=1)
    one(tables, "neutral", user_id="b", item_id="1")["response"] = ""
    how = replace(HOW, pool=pool)
    rows, counts = build(made(tmp_path, tables), model, how)
    check(rows, how, plain, tables)
    assert counted(counts) == [0] * 5
    alone = replace(how, text="alone")
    rows, counts = build(tmp_path, model, alone)
    check(rows, alone, plain, tables)
    assert {row["user_id"]: row["histories"] for row in rows} == {"a": ["2", "1"], "b": ["0"]}
    assert counted(counts) == [0, 0, 2, 0, 0], "alone, there is nothing to read"


# --- the window -------------------------------------------------------------------------------------------------------


def long_people() -> World:
    """Of each kind of text one that does not fit the window, of two of them behind a prompt only; `d` has no others."""
    long = " ".join(SHORT * 2)
    tables = people({"a": [long, SHORT[0]], "b": SHORT[:3], "d": [long]}, queries=1)
    one(tables, "neutral", user_id="a", item_id="1")["response"] = " ".join(NEUTRAL)
    one(tables, "profiles", user_id="b", item_id="2")["description"] = " ".join(NEUTRAL)
    return tables


@pytest.mark.parametrize("options", [{}, {"pool": "mean"}, {"text": "alone"}, {"scope": "user"}])
def test_texts_longer_than_the_window_are_read_as_far_as_it_goes(
    options: dict[str, Any], narrow: Path, tmp_path: Path
) -> None:
    how, tables = replace(HOW, layers=(1,), **options), long_people()
    rows, counts = build(made(tmp_path, tables), narrow, how)
    check(rows, how, Plain.load(narrow), tables)
    cut = {row["user_id"]: row["texts_cut"] for row in rows}
    assert cut == ({"a": 1, "b": 0, "d": 1} if how.text == "alone" else {"a": 2, "b": 1, "d": 1})
    assert counted(counts) == [1, 1, 0, 0, sum(cut.values())]


def test_a_prompt_that_fills_the_window_leaves_its_history_out(narrow: Path, tmp_path: Path) -> None:
    tables, plain = people({"a": SHORT[:3]}, queries=1), Plain.load(narrow)
    row = one(tables, "retrieved", item_id="1")
    row["fields"] = [*row["fields"], {"name": "description", "value": " ".join(SHORT)}]
    rows, counts = build(made(tmp_path, tables), narrow, HOW)
    check(rows, HOW, plain, tables)
    assert {tuple(row["histories"]) for row in rows} == {("2", "0")}
    assert counted(counts) == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_of_a_text_all_is_read_that_fits_or_nothing(pool: str, plain: Plain) -> None:
    """The state of a prompt's last token is that of no text behind it but the empty one."""
    item, text = Item("x", {"title": "Film"}), SHORT[0]
    before = encode_prompt(plain.tokenizer, render(HOW.task, PLAIN, item, NoBlock(), own=True))
    own = response_tokens(plain.tokenizer, render(HOW.task, PLAIN, item, NoBlock(), text, own=True)).ids
    for window in range(1, len(before) + len(own) + 3):
        placer = Placer(plain.tokenizer, PLAIN, replace(HOW, pool=pool), window)
        whole, empty = placer.placed([Answer(item, text), Answer(item, "")])
        room = window - len(before)
        assert (whole is None, empty is None) == (room < 1, room < 0)
        if empty:
            assert (empty.ids.tolist(), empty.first, empty.gone) == (before, len(before) - 1, 0)
        if whole:
            kept = min(room, len(own))
            first = len(before) if pool == "mean" else len(before) + kept - 1
            assert (whole.ids.tolist(), whole.first) == ([*before, *own[:kept]], first)
            assert whole.gone == len(own) - kept


# --- numbers and memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_states_that_are_no_finite_numbers_are_an_error(
    number: float, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = CausalLM.load(request(model))
    lm.model.model.layers[0].register_forward_hook(lambda _, __, output: torch.full_like(output, number))
    monkeypatch.setattr(CausalLM, "load", Mock(return_value=lm))
    data = made(tmp_path, people({"a": SHORT[:3]}))
    said = "the model gives hidden states that are no finite numbers: try --dtype float32"
    assert refusal(lambda: build(data, model, HOW)) == said
    assert not (tmp_path / "vectors.parquet").exists()


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let no more tokens than that fit in at once."""

    def states(self: CausalLM, pieces: Sequence[Any]) -> torch.Tensor:
        if sum(len(ids) for _, ids in pieces) > most:
            raise torch.OutOfMemoryError("full")
        return real(self, pieces)

    real = CausalLM.states_packed
    monkeypatch.setattr(CausalLM, "states_packed", states)


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_a_batch_that_does_not_fit_is_halved_and_counted(
    pool: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, how = made(tmp_path, people(dict.fromkeys("abc", SHORT[:3]))), replace(HOW, pool=pool)
    rows, counts = build(data, model, how)
    assert HALVED not in counts
    small_memory(monkeypatch, 30)
    halved, counts = build(data, model, how, "halved.parquet")
    assert counts[HALVED] > 0
    near(halved, rows)


def test_a_token_that_does_not_fit_alone_is_an_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, lm = made(tmp_path, people({"a": SHORT[:2]})), CausalLM.load(request(model))
    monkeypatch.setattr(CausalLM, "load", Mock(return_value=lm))
    small_memory(monkeypatch, 0)
    assert "memory: choose a smaller --batch-tokens, dtype or model" in refusal(lambda: build(data, model, HOW))
    assert not (data / "vectors.parquet").exists()


# --- neutral texts that are hardly any --------------------------------------------------------------------------------


def test_neutral_texts_that_are_empty_or_cut_are_counted(model: Path, tmp_path: Path) -> None:
    """Each makes a vector of the wrong size, which nothing else would say."""
    tables = people({"a": SHORT[:3], "b": SHORT[1:3]})
    ends = [("", "end"), (" \n", "end"), ("Too lo", "limit"), ("Too long", "window"), ("Well.", "end")]
    tables["neutral"] = [
        row | {"response": text, "finish": finish} for row, (text, finish) in zip(tables["neutral"], ends, strict=True)
    ]
    _, counts = build(made(tmp_path, tables), model, replace(HOW, scope="user"))
    assert counts["histories whose neutral text is empty: its state is that of the prompt's end"] == 2
    assert counts["histories whose neutral text was cut at its limit"] == 2
