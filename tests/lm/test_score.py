"""log p of many texts at once, against one text at a time with all logits in float64."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from families import FAMILIES, UNPACKED, WORDS, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.packing import Piece
from steerx_cli.lm.plain import log_probabilities
from steerx_cli.lm.score import Asked, Scorer

ANY_TOKENIZER: Any = None  # ids are asked for, not texts


def questions() -> list[Asked]:
    """Texts given all others and given none; the same text twice, a beginning of another, one token, and no token."""
    draw = np.random.default_rng(0)

    def ids(length: int) -> NDArray[np.int32]:
        return draw.integers(3, WORDS, length).astype(np.int32)

    opening, texts = ids(20), [ids(int(length)) for length in draw.integers(1, 30, 6)]
    others = [np.concatenate([opening, *texts[:at], *texts[at + 1 :]]) for at in range(6)]
    asked = [Asked(before, text) for before, text in zip(others, texts, strict=True)]
    asked += [Asked(opening, text) for text in texts]
    return [*asked, asked[0], Asked(opening[:5], opening[5:12]), Asked(opening[:1], ids(1)), Asked(opening, ids(0))]


ASKED = questions()


def obvious(model: Any) -> list[NDArray[np.float64]]:
    """The oracle's answers."""
    exact = copy.deepcopy(model).double()
    return [log_probabilities(exact, one.before.tolist(), one.text.tolist()).numpy() for one in ASKED]


def furthest(found: Any, true: Any) -> float:
    """The largest difference of any token."""
    assert [len(some) for some in found] == [len(some) for some in true]
    return max(float(np.abs(one - other).max(initial=0)) for one, other in zip(found, true, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_what_its_own_logits_say(family: str) -> None:
    model = random_model(family)
    true, lm = obvious(model), CausalLM(model, ANY_TOKENIZER)
    assert lm.packs is (family not in UNPACKED)
    for batch_tokens in (7, 50, 10_000):
        assert furthest(Scorer(lm, batch_tokens).score(ASKED).values, true) < 1e-5


@pytest.mark.parametrize("family", ["gpt2", "gemma3"])
def test_tokens_may_be_read_one_by_one(family: str) -> None:
    model = random_model(family)
    assert furthest(Scorer(CausalLM(model, ANY_TOKENIZER), 1).score(ASKED).values, obvious(model)) < 1e-5


@torch.no_grad()
def in_batches(model: Any, side: str, rows: int) -> list[NDArray[np.float64]]:
    """What is usual: batches of padded rows under a mask, all logits; here in float64."""
    exact, found = copy.deepcopy(model).double(), list[NDArray[np.float64]]()
    for start in range(0, len(ASKED), rows):
        some = [torch.tensor([*one.before, *one.text]) for one in ASKED[start : start + rows]]
        ids = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_side=side)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in some], True, 0, side)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = exact(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        told = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        for one, row, values in zip(ASKED[start:], some, told, strict=False):
            end = len(row) - 1 if side == "right" else ids.shape[1] - 1
            found.append(values[end - len(one.text) : end].numpy())
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2", "stories260K"])
def test_padded_batches_of_the_model_itself_say_the_same(
    family: str, rows: int, side: str, request: pytest.FixtureRequest
) -> None:
    if family == "stories260K":  # real weights, which nobody here trained
        model: Any = AutoModelForCausalLM.from_pretrained(request.getfixturevalue("material") / family)
    else:
        model = random_model(family)
    true = in_batches(model, side, rows)
    for packs in (True, False):
        lm = CausalLM(model, ANY_TOKENIZER)
        lm.packs = packs
        assert furthest(Scorer(lm, 400).score(ASKED).values, true) < 1e-5


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "mistral"])
def test_padded_rows_say_the_same(family: str) -> None:
    model = random_model(family)
    true, lm = obvious(model), CausalLM(model, ANY_TOKENIZER)
    lm.packs = False
    for batch_tokens in (1, 200, 10_000):
        scored = Scorer(lm, batch_tokens).score(ASKED)
        assert furthest(scored.values, true) < 1e-5
        assert scored.counts["batches without sharing, in the model's own attention"]


def test_the_model_s_own_attention_is_left_as_it_was() -> None:
    model = random_model("qwen3")
    before = model.config._attn_implementation
    Scorer(CausalLM(model, ANY_TOKENIZER), 100).score(ASKED)
    assert model.config._attn_implementation == before


def test_in_half_precision_it_is_near() -> None:
    model = random_model("llama")
    true = obvious(model)
    scored = Scorer(CausalLM(model.bfloat16(), ANY_TOKENIZER), 100).score(ASKED)
    assert 1e-5 < furthest(scored.values, true) < 0.2


def test_what_begins_alike_is_run_once() -> None:
    scored = Scorer(CausalLM(random_model("qwen3"), ANY_TOKENIZER), 10_000).score(ASKED * 3)
    distinct = {one.seen.tobytes() for one in ASKED if len(one.text)}
    beginnings = {seen[:end] for seen in distinct for end in range(4, len(seen) + 1, 4)}
    run = scored.counts["tokens run through the model"]
    assert len(beginnings) <= run < sum(len(seen) // 4 for seen in distinct)
    assert run < 1.2 * len(beginnings)  # a beginning of few tokens is not worth a node


def test_keys_and_values_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, pieces = CausalLM(random_model("qwen3"), ANY_TOKENIZER), list[Piece]()
    run = lm.states_packed

    def noted(asked: Any) -> torch.Tensor:
        pieces.extend(piece for piece, _ in asked)
        return run(asked)

    monkeypatch.setattr(lm, "states_packed", noted)
    Scorer(lm, 20).score(ASKED)
    assert any(piece.kept for piece in pieces)
    assert not any(piece.layers for piece in pieces)


@pytest.mark.parametrize("packs", [True, False])
def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch, packs: bool) -> None:
    model = random_model("qwen3")
    true, lm = obvious(model), CausalLM(model, ANY_TOKENIZER)
    lm.packs = packs
    # A tree of pieces has none too long to be halved; of padded rows the longest has to fit.
    most, run = (20 if packs else 150), lm._body.forward

    def small(input_ids: torch.Tensor, **rest: Any) -> Any:
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError
        return run(input_ids=input_ids, **rest)

    monkeypatch.setattr(lm._body, "forward", small)
    scored = Scorer(lm, 700).score(ASKED)
    assert furthest(scored.values, true) < 1e-5
    assert scored.counts["batches halved for memory"] >= 2
    most = 0
    with pytest.raises(SteerxError, match=r"^\d+ tokens? do not fit in memory: choose a smaller --batch-tokens, "):
        Scorer(lm, 700).score(ASKED)


def test_memory_that_runs_out_in_the_head_halves_the_batch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("qwen3")
    true, lm = obvious(model), CausalLM(model, ANY_TOKENIZER)
    told = lm.log_p

    def small(states: torch.Tensor, tokens: Any) -> torch.Tensor:
        if len(tokens) > 9:
            raise torch.OutOfMemoryError
        return told(states, tokens)

    monkeypatch.setattr(lm, "log_p", small)
    scored = Scorer(lm, 700).score(ASKED)
    assert furthest(scored.values, true) < 1e-5
    assert scored.counts["batches halved for memory"] > 1


def test_texts_that_continue_one_another_may_be_many() -> None:
    lm, row = CausalLM(random_model("gpt2"), ANY_TOKENIZER), np.arange(1500, dtype=np.int32) % WORDS
    lm.states_packed = lambda pieces: torch.zeros(sum(len(ids) for _, ids in pieces), 32)  # type: ignore[method-assign]
    asked = [Asked(row[:end], row[:1]) for end in range(20, 1500)]
    assert len(Scorer(lm, 1).score(asked).values) == len(asked)


def test_nothing_asked_is_nothing_found() -> None:
    lm = CausalLM(random_model("gpt2"), ANY_TOKENIZER)
    assert Scorer(lm, 10).score([]).values == []
    assert [len(values) for values in Scorer(lm, 10).score(ASKED[-1:]).values] == [0]
