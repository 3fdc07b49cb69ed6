"""People with vectors, and what is written for them under these by the obvious decoder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import people
from scorers import REVIEW, SHORT, Plain, Row, World, item_of, request, vector, write
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.models import identify
from steerx_cli.lm.plain import Push, Steered, encode_prompt, steer
from steerx_cli.lm.prompt import Histories, History, NoBlock, render
from steerx_cli.lm.request import Written
from steerx_cli.lm.steer import Positions, Steering
from steerx_cli.stages.generate.settings import Settings
from writers import check as check_texts

ENDS = range(150, 170)
RAG = Settings("rag", REVIEW.task, prompt_format="plain", max_new_tokens=7)
CAS = replace(RAG, method="cas", gamma2s=(0.4, -1.5), steering=Steering(1))
STEERX = replace(CAS, method="steerx-cas")
BOTH = pytest.mark.parametrize("how", [CAS, STEERX], ids=lambda how: how.method)
EVERYWHERE: list[Positions] = ["generated", "strict", "all", "last"]


# --- people -----------------------------------------------------------------------------------------------------------


def vectors(tables: World) -> list[Row]:
    """Large ones for each query and layer. There is none for `c`'s second query, and none for `d`'s."""
    draw, made = np.random.default_rng(0), list[Row]()
    for row in tables["queries"]:
        for layer in (1, 2):
            parts = (4 * draw.standard_normal((2, 32))).astype(np.float32).tolist()
            nothing = row["user_id"] == "d" or (row["user_id"], row["query_id"]) == ("c", "1")
            made.append(vector(row["user_id"], row["query_id"], layer, *([None] if nothing else parts)))
    return [row for row in made if row["user_id"] != "e"]


def group() -> World:
    """Five people with two queries each, of whom the last has no histories."""
    tables = people({**{user: [*SHORT[at:], *SHORT[:at]][:4] for at, user in enumerate("abcd")}, "e": []})
    return {**tables, "vectors": vectors(tables)}


EVERYONE = group()


def put(folder: Path, model: Path, tables: World = EVERYONE) -> Path:
    """People, and vectors as they come of a model."""
    by = {"generator": identify(request(model)).as_record()}
    return write(folder, tables, by, over="histories", layers=[1, 2], gamma1=0.4)


# --- the obvious computation ------------------------------------------------------------------------------------------


def usable(tables: World, how: Settings, user: str) -> list[Sequence[float]]:
    """A user's vectors, those of nothing left out."""
    assert how.steering
    rows = [r for r in tables["vectors"] if (r["user_id"], r["layer"]) == (user, how.steering.layer)]
    column = "from_histories" if how.method == "cas" else "vector"
    return [row[column] for row in rows if row[column] is not None]


def added(tables: World, how: Settings, row: Row) -> Sequence[float] | None:
    """The vector that a row goes by."""
    if how.vectors_of == "other":
        theirs = usable(tables, how, row["donor_id"])
        return theirs[int(row["query_id"]) % len(theirs)]
    if how.vectors_of == "mean":
        means = [np.mean(theirs, 0) for user in "abcde" if (theirs := usable(tables, how, user))]
        return np.mean(means, 0).tolist()  # type: ignore[no-any-return]
    user, asked = row["user_id"], row["query_id"]
    own = [each for each in tables["vectors"] if each["user_id"] == user and each["query_id"] in (asked, None)]
    found = usable({"vectors": own}, how, user)
    return found[0] if found else None


def came_to(tables: World, how: Settings, row: Row) -> str:
    """A vector of the user's own without descriptions is that of CAS."""
    keys = [(row["user_id"], asked) for asked in (row["query_id"], None)]
    bases = {each["basis"] for each in tables["vectors"] if (each["user_id"], each["query_id"]) in keys}
    return "cas" if how.vectors_of == "own" and bases == {"cas"} else how.method


def expected(plain: Plain, how: Settings, tables: World, row: Row) -> tuple[Row, Steered]:
    """What its row says of a question, and what is written."""
    asked, shown = (
        [each for each in tables[name] if all(each[key] == row[key] for key in ("user_id", "query_id"))]
        for name in ("queries", "retrieved")
    )
    block = Histories(tuple(map(History.of, shown))) if shown else NoBlock()
    frame = make_frame(how.prompt_format, plain.tokenizer)
    ids = encode_prompt(plain.tokenizer, render(how.task, frame, item_of(asked[0]), block))
    way = added(tables, how, row) if shown else None
    marks = {
        "basis": (came_to(tables, how, row) if way else "rag") if shown else "non-perso",
        "histories": [each["item_id"] for each in shown],
        "prompt_tokens": [len(ids)],
    }
    assert how.steering
    push = (
        Push(row["gamma2"] * torch.tensor(way, dtype=torch.float64), how.steering.layer, how.steering.positions)
        if way
        else None
    )
    ends = plain.model.generation_config.eos_token_id
    ends = {plain.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    return marks, steer(plain.model, [ids], [1.0], ends, how.max_new_tokens, push, row["token_ids"] or ())


def check(rows: list[Row], how: Settings, plain: Plain, tables: World = EVERYONE) -> None:
    """Every row is the oracle's, token for token, but for one that may part where two logits are as good as equal."""
    keys = [(row["user_id"], row["query_id"]) for row in rows]
    assert sorted({*keys}) == sorted((row["user_id"], row["query_id"]) for row in tables["queries"])
    assert [row["gamma2"] for row in rows] == [*how.gamma2s] * len(tables["queries"])
    nothing = {"item_id": None, "lam": None, "history_cut": 0, "description_cut": 0, "thought": False, "seed": None}
    true = [expected(plain, how, tables, row) for row in rows]
    for row, (marks, _) in zip(rows, true, strict=True):
        assert row == row | marks | nothing | {"method": how.method}
        assert row["response"] == plain.tokenizer.decode(row["token_ids"], skip_special_tokens=True)
    check_texts(
        [[Written(row["token_ids"], row["finish"], row["error"]) for row in rows]],
        [[steered for _, steered in true]],
    )


def answers(rows: list[Row]) -> list[list[int]]:
    return [row["token_ids"] for row in rows]


def of(rows: list[Row], *users: str) -> list[Row]:
    return [row for row in rows if row["user_id"] in users]


TOLD = ("user_id", "query_id", "histories", "prompt_tokens", "response", "token_ids", "finish", "error")


def same(rows: list[Row], others: list[Row]) -> bool:
    """Whether they say the same, whatever they are called."""
    return [[row[name] for name in TOLD] for row in rows] == [[row[name] for name in TOLD] for row in others]
