"""The oracles, held against what is more obvious still."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.models import end_tokens
from steerx_cli.lm.plain import (
    Push,
    Steered,
    decode,
    encode_prompt,
    log_probabilities,
    response_tokens,
    score_tokens,
    steer,
)
from steerx_cli.lm.pretrain import CHAT, make_tokenizer
from steerx_cli.lm.prompt import EmptyHistory, Histories, History, Item, NoBlock, render
from steerx_cli.lm.steer import Positions
from steerx_cli.lm.templates import load_task

TASK = load_task("review")
TEXTS = ["Well, a café — quiet.", "  Two lines.\n\nAnd é́ more!!", "Ω", "Good night 🙂 all"]
HISTORIES = tuple(History(Item("", {"title": f"Film {number}"}), text) for number, text in enumerate(TEXTS))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer(TEXTS * 3 + [TASK.instruction], 300)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """Random weights, large enough that its probabilities differ."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.4,
    )
    made: Any = Qwen3ForCausalLM(config)
    return made.double().eval()


@torch.no_grad()
def next_log_probability(model: Any, before: list[int], token: int) -> float:
    """One token, by one pass over what stands before it and nothing else."""
    probabilities = model(torch.tensor([before])).logits[0, -1].softmax(-1)
    return float(probabilities[token].log())


def test_log_probabilities_are_those_of_one_token_at_a_time(model: Any) -> None:
    before, ids = [5, 6, 7], [8, 9, 5, 5, 100]
    expected = [next_log_probability(model, before + ids[:at], token) for at, token in enumerate(ids)]
    assert log_probabilities(model, before, ids).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("frame", [PLAIN, CHAT])
@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_delta_is_the_difference_of_two_readings(number: int, frame: Frame, model: Any, tokenizer: Any) -> None:
    history, others = HISTORIES[number], HISTORIES[:number] + HISTORIES[number + 1 :]
    effects = score_tokens(model, tokenizer, TASK, frame, history, others)
    arms = []
    for block in (Histories(others), EmptyHistory()):
        asked = tokenizer(render(TASK, frame, history.item, block).text)["input_ids"]
        ids = effects.tokens.ids
        arms.append([next_log_probability(model, asked + ids[:at], token) for at, token in enumerate(ids)])
    expected = [informed - empty for informed, empty in zip(*arms, strict=True)]
    assert effects.delta.tolist() == pytest.approx(expected, abs=1e-11)
    assert max(map(abs, expected)) > 0.01


def test_a_history_is_asked_for_as_its_own_input(model: Any, tokenizer: Any) -> None:
    """C is the task's prompt with x_i, which some tasks word otherwise than with a query's x."""
    task = load_task("lamp-1")
    history = History(Item("Which one?", {"abstract": "We measure cafés."}), "Cafés")
    asked, as_query = (render(task, PLAIN, history.item, EmptyHistory(), own=own).text for own in (True, False))
    assert asked != as_query
    effects = score_tokens(model, tokenizer, task, PLAIN, history, (history,))
    expected = log_probabilities(model, tokenizer(asked)["input_ids"], effects.tokens.ids)
    assert torch.equal(effects.empty, expected)


@pytest.mark.parametrize("frame", [PLAIN, CHAT])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_the_response_s_own(text: str, frame: Frame, tokenizer: Any) -> None:
    prompt = render(TASK, frame, HISTORIES[0].item, NoBlock(), text)
    tokens = response_tokens(tokenizer, prompt)
    assert tokenizer.decode(tokens.ids) == text
    assert {character for start, end in tokens.offsets for character in range(start, end)} == set(range(len(text)))
    assert encode_prompt(tokenizer, render(TASK, frame, HISTORIES[0].item, NoBlock())) + tokens.ids == encode_prompt(
        tokenizer, prompt
    )


def test_decoding_is_transformers_greedy_decoding(model: Any) -> None:
    for before in ([5, 6, 7], [9], [20, 40, 60, 80]):
        settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12, "pad_token_id": 0}
        greedy = GenerationConfig.from_dict(settings)
        expected = model.generate(torch.tensor([before]), generation_config=greedy)[0].tolist()
        assert before + decode(model, before, (), 12) == expected


def test_decoding_stops_at_any_end(model: Any) -> None:
    free = decode(model, [5, 6, 7], (), 12)
    end = free[4]
    assert decode(model, [5, 6, 7], {end, -1}, 12) == free[: free.index(end)]
    assert decode(model, [5, 6, 7], (), 0) == []


POSITIONS: list[Positions] = ["generated", "strict", "all", "last"]


@pytest.mark.parametrize("positions", POSITIONS)
def test_no_guess_changes_what_is_written_or_how_sure_it_is(positions: Positions, model: Any) -> None:
    push = Push(torch.ones(32, dtype=torch.float64), 1, positions)

    def write(guess: Sequence[int], ends: Sequence[int]) -> Steered:
        return steer(model, [[5, 6, 7], [9]], [1.5, -0.5], ends, 12, push, guess)

    for ends in ([], write((), ()).ids[4:5]):
        true = write((), ends)
        assert (len(true.ids) == 12) == (not ends)
        wrong = [true.ids[0], (true.ids[1] + 1) % 100, *true.ids[2:]]
        for guess in (true.ids, true.ids[:5], wrong, [*true.ids, 3, 4, 5], [3] * 30):
            written = write(guess, ends)
            assert written.ids == true.ids
            assert written.margins == pytest.approx(true.margins, abs=1e-9)


@pytest.mark.parametrize(("stated", "ends"), [(None, set()), (7, {7}), ([7, 9], {7, 9})])
def test_all_end_tokens_count(stated: int | list[int] | None, ends: set[int], model: Any) -> None:
    model.generation_config.eos_token_id = stated
    assert end_tokens(model) == ends
