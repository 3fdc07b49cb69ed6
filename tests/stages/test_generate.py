"""What is written, against the obvious decoder: one question at a time, no cache, all logits in float64."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from scorers import (
    REVIEW,
    SHORT,
    Plain,
    Row,
    World,
    beside,
    generate,
    history,
    item_of,
    profile,
    save_model,
    world,
    write,
)
from steerx_cli.lm.frames import PromptFormat, make_frame
from steerx_cli.lm.plain import Steered, encode_prompt, steer
from steerx_cli.lm.prompt import Block, Description, Histories, History, NoBlock, render
from steerx_cli.lm.templates import load_task
from steerx_cli.stages.generate.settings import Settings

ENDS = range(150, 170)
WITHOUT_HISTORIES = "answers without histories, as by non-perso"
WITHOUT_DESCRIPTION = "answers without a description, as by rag"
LIMIT = "answers that reached --max-new-tokens"
NON_PERSO = Settings("non-perso", REVIEW.task, prompt_format="plain", max_new_tokens=7)
RAG = replace(NON_PERSO, method="rag")
COS = replace(NON_PERSO, method="cos", lams=(0.7, -0.5))
STEERX = replace(COS, method="steerx-cos")


def people() -> World:
    """Five people whose ids are their own only. The last has no histories, and of `c` and `d` nothing is said."""
    tables = world({user: [*SHORT[at:], *SHORT[:at]] for at, user in enumerate("abcde")})
    for row in (row for rows in tables.values() for row in rows):
        for name in {"query_id", "item_id"} & {*row}:
            row[name] = row[name] and row[name].removeprefix(row["user_id"]).removeprefix("-")
    said: dict[str, list[str | None]] = {"c": [None, None], "d": [" \n", ""]}
    tables["profiles"] = [
        profile(user, str(at), said.get(user, [f"Quiet, {user}.", f"Good {user} night!"])[at])
        for user in "abcd"
        for at in range(2)
    ]
    tables["retrieved"] = [row for row in tables["retrieved"] if row["user_id"] != "e"]
    del tables["generations"]
    return tables


EVERYONE = people()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=ENDS)


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path, EVERYONE)


# --- the obvious computation ------------------------------------------------------------------------------------------


def found(tables: World, name: str, row: Row) -> list[Row]:
    """The rows of a table that belong to the user and the query of another row."""
    return [each for each in tables[name] if all(each[key] == row[key] for key in ("user_id", "query_id"))]


def said(tables: World, row: Row) -> str | None:
    """The description that a row goes by."""
    if row["donor_id"] is None:
        (own,) = found(tables, "profiles", row) or [profile("", "", None)]
        return own["description"] if own["description"] and own["description"].strip() else None
    theirs = [each["description"] for each in tables["profiles"] if each["user_id"] == row["donor_id"]]
    return str(theirs[int(row["query_id"]) % len(theirs)])


def basis_of(method: str, histories: object, description: object) -> str:
    """The method that a method comes to with what there is."""
    if method == "non-perso" or not histories:
        return "non-perso"
    return "rag" if method == "steerx-cos" and description is None else method


def terms(method: str, lam: float) -> list[tuple[str, float]]:
    """Eq. 2, 3, 15 and 16, term by term as they stand there."""
    return {
        "non-perso": [("∅", 1.0)],
        "rag": [("H", 1.0)],
        "cos": [("H", 1.0), ("H", lam), ("∅", -lam)],
        "steerx-cos": [("H", 1.0), ("S", lam), ("∅", -lam)],
    }[method]


@cache
def obvious(plain: Plain, streams: tuple[tuple[int, ...], ...], weights: tuple[float, ...], most: int) -> Steered:
    """What is written by several prompts together; the same one is computed once."""
    return steer(plain.model, streams, weights, ENDS, most)


def expected(plain: Plain, how: Settings, tables: World, row: Row) -> tuple[Row, Steered]:
    """What its row says of a question, and what is written."""
    (asked,) = found(tables, "queries", row)
    shown, text = found(tables, "retrieved", row), said(tables, row)
    blocks: dict[str, Block] = {"∅": NoBlock()}
    if shown:
        blocks["H"] = Histories(tuple(History(item_of(each), each["response"]) for each in shown))
    if text is not None:
        blocks["S"] = Description(text)
    frame = make_frame(how.prompt_format, plain.tokenizer)
    ids = {
        name: encode_prompt(plain.tokenizer, render(how.task, frame, item_of(asked), block))
        for name, block in blocks.items()
    }
    basis = basis_of(how.method, shown, text)
    mixed = terms(basis, row["lam"] or 0.0)
    streams, weights = tuple(tuple(ids[name]) for name, _ in mixed), tuple(weight for _, weight in mixed)
    marks = {
        "method": how.method,
        "basis": basis,
        "histories": [each["item_id"] for each in shown] if "H" in dict(mixed) else [],
        "prompt_tokens": [len(ids[name]) for name in "HS∅" if name in dict(mixed)],
    }
    return marks, obvious(plain, streams, weights, how.max_new_tokens)


def check(rows: list[Row], how: Settings, plain: Plain, tables: World = EVERYONE) -> None:
    """Every row is the oracle's, token for token as far as its two best logits are told apart in float32."""
    sure = 0
    nothing = {"item_id": None, "history_cut": 0, "description_cut": 0, "thought": False, "seed": None, "error": None}
    for row in rows:
        marks, written = expected(plain, how, tables, row)
        assert row | marks | nothing == row
        close = [at for at, margin in enumerate(written.margins) if margin <= 1e-4]
        if close:
            assert row["token_ids"][: close[0]] == written.ids[: close[0]]
            continue
        assert row["token_ids"] == written.ids
        assert row["finish"] == ("end" if len(written.margins) > len(written.ids) else "limit")
        assert row["response"] == plain.tokenizer.decode(written.ids, skip_special_tokens=True)
        sure += 1
    assert sure > 0.9 * len(rows)


def answers(rows: list[Row]) -> list[list[int]]:
    return [row["token_ids"] for row in rows]


def of(rows: list[Row], *users: str) -> list[Row]:
    return [row for row in rows if row["user_id"] in users]


# --- every method -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@pytest.mark.parametrize("how", [NON_PERSO, RAG, COS, STEERX], ids=lambda how: how.method)
def test_every_answer_is_that_of_plain_passes(
    how: Settings, prompt_format: PromptFormat, model: Path, data: Path, plain: Plain
) -> None:
    how = replace(how, prompt_format=prompt_format)
    rows, counts = generate(data, model, how)
    for user in "abcde":
        assert [(row["query_id"], row["lam"]) for row in of(rows, user)] == [(n, lam) for n in "01" for lam in how.lams]
    check(rows, how, plain)
    assert counts["answers"] == len(rows)
    assert counts.get(LIMIT, 0) == sum(row["finish"] == "limit" for row in rows)
    assert counts["tokens written"] == sum(map(len, answers(rows)))


def test_what_is_known_of_a_user_tells(model: Path, data: Path) -> None:
    """Without which the tests here would show nothing."""
    rows = [row for how in (NON_PERSO, RAG, COS, STEERX) for row in of(generate(data, model, how)[0], "a", "b")]
    for user, number in ((user, number) for user in "ab" for number in "01"):
        texts = [row["response"] for row in of(rows, user) if row["query_id"] == number]
        assert len(texts) == 6
        assert len({*texts}) >= 5, "λ = -0.5 may end as soon as non-perso does"
    assert {row["finish"] for row in rows} == {"end", "limit"}


@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(1, 9000), (5, 300), (64, 10**6)])
def test_answers_side_by_side_are_those_one_by_one(
    batch_size: int, batch_tokens: int, model: Path, data: Path, plain: Plain
) -> None:
    how = replace(STEERX, batch_size=batch_size, batch_tokens=batch_tokens)
    rows, counts = generate(data, model, how)
    check(rows, how, plain)
    assert "batches halved for memory" not in counts


def test_several_lambda_at_once_are_each_of_them_alone(model: Path, data: Path) -> None:
    for how in (replace(COS, lams=(2.0, 0.0, -1.0, 0.7)), replace(STEERX, lams=(2.0, 0.0, 0.7))):
        rows, counts = generate(data, model, how)
        assert [row["lam"] for row in rows] == [*how.lams] * len(EVERYONE["queries"])
        run = 0
        for lam in how.lams:
            alone, its_counts = generate(data, model, replace(how, lams=(lam,)))
            assert [row for row in rows if row["lam"] == lam] == alone
            run += its_counts["tokens run through the model"]
        assert counts["tokens run through the model"] < run / 2, "they share the reading of the prompts"


# --- what comes to the same -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [COS, STEERX], ids=lambda how: how.method)
def test_lambda_0_is_rag(how: Settings, model: Path, data: Path) -> None:
    rows, rag = generate(data, model, replace(how, lams=(0.0,)))[0], generate(data, model, RAG)[0]
    told = ("user_id", "query_id", "histories", "response", "token_ids", "finish")
    assert [[row[name] for name in told] for row in rows] == [[row[name] for name in told] for row in rag]


def test_lambda_minus_1_of_cos_is_non_perso(model: Path, data: Path) -> None:
    rows, bare = generate(data, model, replace(COS, lams=(-1.0,)))[0], generate(data, model, NON_PERSO)[0]
    assert answers(rows) == answers(bare)
    assert {row["basis"] for row in of(rows, *"abcd")} == {"cos"}


def test_histories_in_the_description_s_place_are_cos(model: Path, tmp_path: Path) -> None:
    """A raw description is rendered as the histories are, whatever its row says."""
    raw, cos = (generate(write(tmp_path, EVERYONE, mode="raw"), model, how)[0] for how in (STEERX, COS))
    assert answers(of(raw, "a", "b", "e")) == answers(of(cos, "a", "b", "e"))
    for row in of(raw, "a", "b"):
        assert row["basis"] == "steerx-cos"
        assert row["prompt_tokens"][0] == row["prompt_tokens"][1]
    smoothed = generate(write(tmp_path, EVERYONE, mode="model"), model, STEERX)[0]
    assert answers(of(smoothed, "a", "b")) != answers(of(raw, "a", "b"))


def test_without_histories_every_method_is_non_perso(model: Path, data: Path) -> None:
    bare = answers(of(generate(data, model, NON_PERSO)[0], "e"))
    for how in (RAG, COS, STEERX):
        rows, counts = generate(data, model, how)
        lams = len(how.lams)
        assert answers(of(rows, "e")) == [ids for ids in bare for _ in range(lams)]
        assert [row["user_id"] for row in rows if row["basis"] == "non-perso"] == ["e"] * 2 * lams
        assert counts[WITHOUT_HISTORIES] == 2 * lams
    assert not {WITHOUT_HISTORIES, WITHOUT_DESCRIPTION} & {*generate(data, model, NON_PERSO)[1]}


def test_without_a_description_it_is_rag(model: Path, data: Path) -> None:
    rows, counts = generate(data, model, STEERX)
    rag = answers(of(generate(data, model, RAG)[0], "c", "d"))
    assert answers(of(rows, "c", "d")) == [ids for ids in rag for _ in STEERX.lams]
    assert {row["user_id"] for row in rows if row["basis"] == "rag"} == {"c", "d"}
    assert (counts[WITHOUT_DESCRIPTION], counts[WITHOUT_HISTORIES]) == (8, 4)


# --- another's description, histories' own inputs --------------------------------------------------------------------


def test_another_s_description_steers_as_one_s_own_would(model: Path, data: Path, plain: Plain) -> None:
    how = replace(STEERX, profiles_of="other", seed=3)
    rows, counts = generate(data, model, how)
    check(rows, how, plain)
    assert {row["user_id"]: row["donor_id"] for row in of(rows, "a", "b", "e")} == {"a": "b", "b": "a", "e": None}
    assert {row["donor_id"] for row in of(rows, "c", "d")} <= {"a", "b"}
    assert WITHOUT_DESCRIPTION not in counts


def test_every_retrieved_history_is_answered_once_as_by_nobody(model: Path, tmp_path: Path, plain: Plain) -> None:
    """By the prompt of a history's own input, which this task words otherwise than a query's."""
    how = replace(NON_PERSO, over="histories", task=load_task("lamp-1"))
    own = [history(user, f"{at}", f"Old {at}.", abstract=f"{user} {at}, cafés.") for user in "ba" for at in range(4)]
    retrieved = [row for user in (own[:4], own[4:]) for name in "xyz" for row in beside(name, user[1:][::-1])]
    retrieved += beside("more", own[:2])
    rows, _ = generate(write(tmp_path, {"retrieved": retrieved}), model, how)
    once = dict.fromkeys((row["user_id"], row["item_id"]) for row in retrieved)
    assert sorted((row["user_id"], row["item_id"]) for row in rows) == sorted(once)
    assert [row["item_id"] for row in of(rows, "b")] == [item for user, item in once if user == "b"]
    texts = {(row["user_id"], row["item_id"]): row for row in own}
    for row in rows:
        item = item_of(texts[row["user_id"], row["item_id"]])
        asked = encode_prompt(plain.tokenizer, render(how.task, make_frame("plain", None), item, NoBlock(), own=True))  # type: ignore[arg-type]
        assert row["prompt_tokens"] == [len(asked)]
        assert row["token_ids"] == steer(plain.model, [asked], [1.0], ENDS, how.max_new_tokens).ids
        assert (row["query_id"], row["basis"], row["histories"], row["lam"]) == (None, "non-perso", [], None)
