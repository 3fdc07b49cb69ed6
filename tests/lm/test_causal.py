"""A model in two halves: its head, its window, and what is found when it is tried out."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertGenerationConfig, BertGenerationDecoder

from families import FAMILIES, WINDOW, WORDS, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import causal
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.packing import Packing
from steerx_cli.lm.pretrain import make_tokenizer

ANY_TOKENIZER: Any = None


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_gives_the_model_s_own_probabilities(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "_ROWS", 7)
    monkeypatch.setattr(causal, "_WORDS_ON_CPU", 50)  # the vocabulary in three parts, the last of them shorter
    model = random_model(family)
    ids = torch.randint(WORDS, (40,), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        true = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        states = model.base_model(input_ids=ids[None]).last_hidden_state[0]
    lm = CausalLM(model, ANY_TOKENIZER)
    for word in (0, 49, 50, 99, WORDS - 1):
        found = lm.log_p(states, [word] * 40)
        torch.testing.assert_close(found.double(), true[:, word], rtol=0, atol=1e-5)


def test_no_states_have_no_probabilities() -> None:
    lm = CausalLM(random_model("qwen3"), ANY_TOKENIZER)
    assert lm.log_p(torch.zeros(0, 32), []).shape == (0,)


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gemma3"])
def test_the_window_is_the_model_s(family: str) -> None:
    assert CausalLM(random_model(family), ANY_TOKENIZER).window == WINDOW


def test_the_window_ends_where_all_positions_would_turn_otherwise() -> None:
    factors = [1.0] * 4
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": factors, "long_factor": [4.0] * 4}
    model = random_model(
        "phi3", original_max_position_embeddings=64, rope_parameters={**rope, "original_max_position_embeddings": 64}
    )
    assert CausalLM(model, ANY_TOKENIZER).window == 64


def test_a_window_smaller_than_what_is_tried_out_is_no_trouble() -> None:
    lm = CausalLM(random_model("gpt2", n_positions=4, max_position_embeddings=4), ANY_TOKENIZER)
    assert (lm.window, lm.packs) == (4, True)


@pytest.mark.parametrize(("stated", "ends"), [(None, {5}), (7, {5, 7}), ([5, 7, 9], {5, 7, 9})])
def test_the_tokenizer_s_own_end_is_one_of_the_model_s(stated: int | list[int] | None, ends: set[int]) -> None:
    model, tokenizer = random_model("qwen3"), make_tokenizer(["some words"], 300)
    model.generation_config.eos_token_id = stated
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(5)
    assert CausalLM(model, tokenizer).ends == ends


def test_a_head_that_does_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("qwen3")
    head = model.lm_head.forward
    monkeypatch.setattr(model.lm_head, "forward", lambda states: head(states) * 1.5)
    with pytest.raises(SteerxError, match="makes its logits in a way that steerx does not know"):
        CausalLM(model, ANY_TOKENIZER)


def test_a_model_that_reads_ahead_is_refused() -> None:
    config = BertGenerationConfig(vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
    config.num_attention_heads, config.is_decoder = 4, False
    torch.manual_seed(0)
    model: Any = BertGenerationDecoder(config)
    model.eval()
    for weights in model.parameters():
        weights.data.normal_(std=0.15)
    with pytest.raises(SteerxError, match="looks at what comes after a token"):
        CausalLM(model, ANY_TOKENIZER)


def test_a_model_without_states_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("qwen3")
    monkeypatch.setattr(type(model), "base_model", property(lambda _: lambda **_: object()))
    with pytest.raises(SteerxError, match="is built in a way that steerx does not know"):
        CausalLM(model, ANY_TOKENIZER)


@pytest.mark.parametrize("shift", [-140.0, -200.0, 300.0])
def test_large_logits_in_half_precision_are_no_strange_head(shift: float) -> None:
    model = random_model("gpt2").bfloat16()
    model.transformer.ln_f.bias.data += shift * model.lm_head.weight.data.float().sum(0).sign().bfloat16() / 8
    assert CausalLM(model, ANY_TOKENIZER).packs


def test_attention_that_answers_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packing, "positions", lambda packing: torch.zeros(sum(p.length for p in packing.pieces)).long())
    assert not CausalLM(random_model("gpt2"), ANY_TOKENIZER).packs


def test_layers_of_another_kind_are_not_run_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "_LAYERS", {"full_attention"})
    assert not CausalLM(random_model("qwen2"), ANY_TOKENIZER).packs
    assert CausalLM(random_model("qwen3"), ANY_TOKENIZER).packs


def test_a_tokenizer_that_does_not_tell_places_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_model("qwen3").save_pretrained(tmp_path)
    make_tokenizer(["some words"], 300).save_pretrained(tmp_path)
    assert CausalLM.load(ModelRequest(str(tmp_path), device="cpu")).packs
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", property(lambda _: False))
    with pytest.raises(SteerxError, match=r"does not tell where its tokens lie: name a model with a tokenizer\.json$"):
        CausalLM.load(ModelRequest(str(tmp_path), device="cpu"))
    shutil.rmtree(tmp_path)
