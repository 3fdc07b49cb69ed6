"""Answers that are drawn: each row by a seed of its own, which hangs on nothing else that is there."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from scorers import REVIEW, SHORT, Plain, Row, generate, item_of, save_model, world, write
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.plain import encode_prompt
from steerx_cli.lm.prompt import NoBlock, render
from steerx_cli.lm.sampling import Sampling
from steerx_cli.stages.generate.settings import Settings

ENDS = range(150, 170)
HOW = Sampling(1.5, 0.9)
BARE = Settings("non-perso", REVIEW.task, prompt_format="plain", max_new_tokens=7, sampling=HOW, seed=11)
RAG = replace(BARE, method="rag")
PEOPLE = world(dict.fromkeys("abc", SHORT[:3]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=ENDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with two queries and three histories each."""
    return write(tmp_path_factory.mktemp("people"), PEOPLE)


def answers(rows: list[Row]) -> list[list[int]]:
    return [row["token_ids"] for row in rows]


def seeds(rows: list[Row]) -> list[int]:
    return [row["seed"] for row in rows]


@torch.no_grad()
def drawn(plain: Plain, before: list[int], seed: int, most: int) -> list[int]:
    """Tokens by the draws of a seed: the first whose share, with those of all more probable ones, is past the draw."""
    ids: list[int] = []
    draw = Random(seed)
    while len(ids) < most:
        logits = plain.model(torch.tensor([[*before, *ids]])).logits[0, -1] / HOW.temperature
        shares = sorted(((float(share), -token) for token, share in enumerate(logits.softmax(-1))), reverse=True)
        total = place = 0.0
        kept = [each for each in shares if (total := total + each[0]) - each[0] < HOW.top_p]
        at = draw.random() * sum(share for share, _ in kept)
        token = next(-negative for share, negative in kept if (place := place + share) > at)
        if token in {*ENDS, plain.tokenizer.eos_token_id}:
            break
        ids.append(token)
    return ids


def test_a_row_s_seed_draws_its_answer(model: Path, data: Path) -> None:
    rows, plain = generate(data, model, BARE)[0], Plain.load(model)
    asked = {row["query_id"]: row for row in PEOPLE["queries"]}
    for row in rows:
        prompt = render(REVIEW.task, PLAIN, item_of(asked[row["query_id"]]), NoBlock())
        before: Any = encode_prompt(plain.tokenizer, prompt)
        assert row["token_ids"] == drawn(plain, before, row["seed"], BARE.max_new_tokens)
    assert len({*map(tuple, answers(rows))}) == len(rows) == 6


def test_a_seed_gives_the_same_bytes_and_another_others(model: Path, data: Path, tmp_path: Path) -> None:
    one, _, other = (
        generate(data, model, replace(RAG, seed=seed), str(tmp_path / name))[0]
        for name, seed in (("one", 4), ("again", 4), ("other", 5))
    )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    assert not {*seeds(one)} & {*seeds(other)}
    assert sum(a != b for a, b in zip(answers(one), answers(other), strict=True)) > 3


def test_neither_batches_nor_chunks_nor_limits_change_what_is_drawn(model: Path, data: Path) -> None:
    whole, _ = generate(data, model, RAG)
    for how in (replace(RAG, batch_size=1), replace(RAG, batch_tokens=40)):
        assert generate(data, model, how)[0] == whole
    assert generate(data, model, RAG, chunk_users=1)[0] == whole
    assert generate(data, model, RAG, limit=1)[0] == whole[:2]


def test_a_seed_is_a_row_s_own_whatever_steers_it(model: Path, data: Path) -> None:
    rows, _ = generate(data, model, RAG)
    steered, _ = generate(data, model, replace(RAG, method="cos", lams=(0.0, 9.0)))
    assert len({*seeds(rows)}) == len(rows) == 6
    assert seeds(steered) == [seed for seed in seeds(rows) for _ in range(2)]
    assert answers(steered[::2]) == answers(rows)
    assert answers(steered[1::2]) != answers(rows)


def test_users_draw_apart_even_where_their_ids_and_texts_are_the_same(model: Path, tmp_path: Path) -> None:
    same = [{**row, "query_id": row["query_id"][2:]} for row in PEOPLE["queries"]]
    rows, _ = generate(write(tmp_path, {"queries": same}), model, replace(BARE, sampling=Sampling(3.0)))
    assert len({*seeds(rows)}) == len({*map(tuple, answers(rows))}) == 6


def test_histories_are_drawn_each_by_its_own(model: Path, data: Path) -> None:
    rows, _ = generate(data, model, replace(BARE, over="histories"))
    assert len({*seeds(rows)}) == len(rows) == 9


def test_what_is_not_drawn_has_no_seed(model: Path, data: Path) -> None:
    greedy, again = (generate(data, model, replace(RAG, sampling=None, seed=seed))[0] for seed in (3, 4))
    assert {*seeds(greedy)} == {None}
    assert again == greedy
