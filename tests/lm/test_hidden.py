"""Hidden states of many texts at once, against a full forward of each by itself."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from families import FAMILIES, WORDS, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.hidden import Hidden
from steerx_cli.lm.rows import Ids
from writers import ANY_TOKENIZER


def texts(count: int = 12) -> list[Ids]:
    """Some begin alike, one is another's beginning, one is there twice; shorter and longer than a sliding window."""
    draw = np.random.default_rng(0)
    opening = draw.integers(3, WORDS, 30)
    made = [
        np.concatenate([opening[: draw.integers(1, 30)], draw.integers(3, WORDS, draw.integers(1, 40))])
        for _ in range(count)
    ]
    return [ids.astype(np.int32) for ids in (*made, made[0], made[1][:5], opening)]


TEXTS = texts()
LAST = [len(ids) - 1 for ids in TEXTS]
SOME = [min(3, len(ids) - 1) for ids in TEXTS]


@torch.no_grad()
def obvious(model: Any, ids: Ids, first: int, layers: list[int]) -> np.ndarray[Any, Any]:
    """A full forward in float64, with all that it tells."""
    told = model(torch.from_numpy(ids.astype(np.int64))[None], output_hidden_states=True).hidden_states
    return np.stack([told[layer][0, first:].double().mean(0).numpy() for layer in layers])


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_a_full_forward_s(family: str) -> None:
    model = random_model(family, num_hidden_layers=3, **({"n_layer": 3} if family == "gpt2" else {}))
    exact, hidden = copy.deepcopy(model).double(), Hidden(CausalLM(model, ANY_TOKENIZER), [1, 2], 60)
    for firsts in (LAST, SOME):
        found = hidden.means(TEXTS, firsts, Counter())
        true = np.stack([obvious(exact, ids, first, [1, 2]) for ids, first in zip(TEXTS, firsts, strict=True)])
        np.testing.assert_allclose(found, true, rtol=1e-5, atol=2e-5 * float(np.abs(true).max()))


@pytest.mark.parametrize("batch_tokens", [1, 7, 10_000])
def test_batches_change_nothing(batch_tokens: int) -> None:
    lm = CausalLM(random_model("llama"), ANY_TOKENIZER)
    one, other = (Hidden(lm, [2], budget).means(TEXTS, SOME, Counter()) for budget in (100, batch_tokens))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_what_texts_begin_with_is_run_once() -> None:
    lm, tally = CausalLM(random_model("qwen3"), ANY_TOKENIZER), Counter[str]()
    prompt = np.arange(3, 60, dtype=np.int32)
    Hidden(lm, [1], 1000).means([np.append(prompt, [token]).astype(np.int32) for token in (5, 6, 7)], [57] * 3, tally)
    assert tally["tokens run through the model"] == len(prompt) + 3


def test_blocks_behind_the_last_layer_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = CausalLM(random_model("qwen3", num_hidden_layers=4), ANY_TOKENIZER)
    monkeypatch.setattr(lm.model.model.layers[2], "forward", lambda *_, **__: pytest.fail("run for nothing"))
    assert Hidden(lm, [2, 1], 60).means(TEXTS, LAST, Counter()).shape == (len(TEXTS), 2, 32)


def test_layers_come_in_the_order_that_is_asked_for() -> None:
    lm = CausalLM(random_model("qwen3"), ANY_TOKENIZER)
    one, other = (Hidden(lm, layers, 60).means(TEXTS, LAST, Counter()) for layers in ([1, 2], [2, 1]))
    np.testing.assert_array_equal(one, other[:, ::-1])


def test_memory_that_runs_out_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = CausalLM(random_model("qwen3"), ANY_TOKENIZER)
    true, forward, tally = Hidden(lm, [2], 500).means(TEXTS, SOME, Counter()), lm._body.forward, Counter[str]()

    def short(input_ids: torch.Tensor, **rest: Any) -> Any:
        if input_ids.numel() > 30:
            raise torch.OutOfMemoryError("too much")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(lm._body, "forward", short)
    found = Hidden(lm, [2], 500).means(TEXTS, SOME, tally)
    np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-5)
    assert tally["batches halved for memory"]


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(SteerxError, match="has 2 decoder blocks, and --layer is 9"):
        Hidden(CausalLM(random_model("qwen3"), ANY_TOKENIZER), [1, 9], 60)


def test_no_texts_have_no_states() -> None:
    assert Hidden(CausalLM(random_model("qwen3"), ANY_TOKENIZER), [1], 60).means([], [], Counter()).shape == (0, 1, 32)
