"""What is written for many requests at once, against each by itself: one row, all logits, no cache."""

import copy
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from families import FAMILIES, SLIDING, UNPACKED, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.choose import choose
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.sampling import Sampling
from writers import (
    ANY_TOKENIZER,
    REQUESTS,
    check,
    finish,
    known,
    load,
    obvious,
    write,
)

# --- token for token --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in UNPACKED])
def test_every_family_writes_what_its_own_logits_say(family: str) -> None:
    lm, true = load(family), known(family).true
    for batch in (1, 3, 32):
        check(write(lm, batch=batch), true)
    texts = [*chain(*true)]
    assert len(known(family).ends) > 1
    assert 0.3 < sum(finish(steered) == "end" for steered in texts) / len(texts) < 0.8
    pairs = [
        (len(ids), len(one.ids)) for r, some in zip(REQUESTS, true, strict=True) for one in some for ids in r.streams
    ]
    assert any(given > SLIDING for given, _ in pairs)
    assert any(given < SLIDING < given + written for given, written in pairs)


def test_a_model_that_cannot_be_run_in_pieces_is_refused() -> None:
    lm = CausalLM(random_model("qwen2_moe"), ANY_TOKENIZER)
    with pytest.raises(SteerxError, match=r"^model '.*' attends in a way that steerx cannot write with: name another$"):
        Decoder(lm, Decoding())


@pytest.mark.parametrize("batch_tokens", [1, 30, 10_000])
def test_prompts_may_be_read_in_any_number_of_goes(batch_tokens: int) -> None:
    check(write(load("mistral"), batch=5, batch_tokens=batch_tokens), known("mistral").true)


def test_requests_come_in_any_order() -> None:
    order = Random(0).sample(range(len(REQUESTS)), len(REQUESTS))
    found = write(load("qwen3"), [REQUESTS[place] for place in order], batch=3)
    check(found, [known("qwen3").true[place] for place in order])


def test_the_model_s_own_attention_is_left_as_it_was() -> None:
    lm = load("gemma2")
    before = lm.model.config._attn_implementation
    write(lm)
    assert lm.model.config._attn_implementation == before


def test_nothing_asked_is_nothing_written() -> None:
    lm = load("gpt2")
    assert write(lm, []) == []
    assert write(lm, [Request((np.array([5], np.int32),), (), 4)]) == [[]]


def test_a_limit_of_one_is_one_token_or_the_end() -> None:
    lm, short = load("qwen3"), [Request(r.streams, r.weights, 1) for r in REQUESTS]
    true = obvious(lm.model, short, known("qwen3").ends)
    check(write(lm, short), true)
    assert {(finish(steered), len(steered.ids)) for steered in chain(*true)} == {("end", 0), ("limit", 1)}


# --- streams that say the same or weigh nothing -----------------------------------------------------------------------


def alike(strength: float) -> list[Request]:
    """Methods that come to the same as others: λ = 0, cos at λ = −1, and no neutral histories."""
    with_all, neutral, without = REQUESTS[3].streams
    return [
        Request((with_all, neutral, without), ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)), 9),
        Request((with_all, without), ((1.0, -0.0), (0.0, 1.0)), 9),
        Request((with_all, with_all, without), ((1.0, strength, -strength),), 9),  # as cos
        Request((with_all, without, without), ((1.0, strength, -strength),), 9),  # as rag
        Request((without, neutral, without), ((1.0, strength, -strength),), 9),  # as cos of the neutral ones
    ]


@pytest.mark.parametrize("strength", [-1.0, 0.5, 2.0])
def test_equal_streams_and_weights_of_zero_change_nothing(strength: float) -> None:
    lm, asked = load("qwen3"), alike(strength)
    for batch in (1, 20):
        check(write(lm, asked, batch=batch), obvious(lm.model, asked, known("qwen3").ends))


def noted(lm: CausalLM, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The shapes of all that goes through the model from now on."""
    shapes, run = list[tuple[int, int]](), lm._body.forward

    def forward(input_ids: torch.Tensor, **rest: Any) -> Any:
        shapes.append((int(input_ids.shape[0]), int(input_ids.shape[1])))
        return run(input_ids=input_ids, **rest)

    monkeypatch.setattr(lm._body, "forward", forward)
    return shapes


@pytest.mark.parametrize(("at", "rows"), [(0, 1), (1, 1), (2, 2), (3, 1), (4, 2)])
def test_only_streams_that_differ_and_weigh_are_run(at: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, asked = load("qwen3", []), alike(0.5)[at]
    shapes = noted(lm, monkeypatch)
    write(lm, [Request(asked.streams, asked.weights[:1], 9)], batch_tokens=1000)
    assert [count for count, _ in shapes] == [1, *[rows] * 8]
    assert (shapes[0][1] > len(asked.streams[0])) is (rows > 1)


def test_sets_of_weights_share_the_reading_of_the_prompts() -> None:
    lm, (streams, one) = load("qwen3", []), (REQUESTS[3].streams, (1.0, 0.5, -0.5))
    counts = [
        Decoder(lm, Decoding(batch)).write([Request(streams, (one,) * sets, 4)])[1]["tokens run through the model"]
        for batch, sets in ((1, 1), (1, 5), (2, 5), (8, 5))
    ]
    assert counts == [counts[0]] * 4


def test_one_that_waits_takes_the_place_of_one_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3", [])
    shapes = noted(lm, monkeypatch)
    streams = REQUESTS[0].streams
    write(lm, [Request(streams, ((1.0,),), limit) for limit in (13, 5, 5, 5)], batch=2)
    steps = [rows for rows, tokens in shapes if tokens == 1]
    assert steps == [2] * 12  # while the long one takes its twelve, the others take four each


# --- draws ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def drawn(model: Any, asked: Request, weights: Sequence[float], ends: Sequence[int], sampling: Sampling) -> Written:
    """One text by itself, without a cache; how a token is chosen is held against shares elsewhere."""
    draw, ids = Random(asked.seed), list[int]()
    while len(ids) < asked.limit:
        rows = [torch.tensor([[*stream.tolist(), *ids]]) for stream in asked.streams]
        mixed = sum(w * model(input_ids=row).logits[0, -1] for w, row in zip(weights, rows, strict=True))
        token = choose(mixed[None], [draw.random()], sampling)[0]
        assert token is not None
        if token in ends:
            return Written(ids, "end")
        ids.append(token)
    return Written(ids, "limit")


def test_what_is_drawn_hangs_on_the_request_s_seed_alone() -> None:
    lm, sampling, ends = load("llama"), Sampling(1.3, 0.9), known("llama").ends
    asked = [Request(r.streams, r.weights * 2, r.limit, seed % 9) for seed, r in enumerate(REQUESTS)]
    exact = copy.deepcopy(lm.model).double()
    true = [[drawn(exact, r, weights, ends, sampling) for weights in r.weights] for r in asked]
    for batch in (1, 7, 32):
        assert write(lm, asked, batch=batch, sampling=sampling) == true
    assert sum(some[0].ids != steered[0].ids for some, steered in zip(true, known("llama").true, strict=True)) > 8


# --- a story ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 7])
def test_a_model_that_nobody_here_trained_tells_its_known_story(others: int, material: Path) -> None:
    folder = material / "stories260K"
    lm = CausalLM(AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    assert lm.ends == {1, 2}
    # What is known of it has 257 tokens, the first of which is the one that is given.
    asked = [Request((np.array([1], np.int32),), ((1.0,),), 256), *REQUESTS[:others]]
    found = write(lm, asked)
    assert lm.tokenizer.decode(found[0][0].ids) == json.loads((folder / "expected.json").read_text("utf-8"))["text"]
    check(found[1:], obvious(lm.model, asked[1:], [1, 2]))
