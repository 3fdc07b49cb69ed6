"""Memory that runs out, logits that are no numbers, steps that are recorded: the same is written for all others."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from families import WORDS, random_model
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.plain import Steered
from steerx_cli.lm.playback import Play, Record
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.slots import Grain, Lane
from steerx_cli.lm.steer import Positions, Steering
from writers import REQUESTS, check, finish, known, load, obvious, write

# --- memory -----------------------------------------------------------------------------------------------------------


def short_of_memory(lm: CausalLM, monkeypatch: pytest.MonkeyPatch, where: str, too_much: Callable[..., bool]) -> None:
    """Let memory run out in the body, in the head or when slots grow, where it is asked for too much."""

    def guarded(run: Callable[..., Any]) -> Callable[..., Any]:
        def work(*given: Any, **named: Any) -> Any:
            if too_much(*given, **named):
                raise torch.OutOfMemoryError
            return run(*given, **named)

        return work

    owner: Any = {"forward": lm._body, "mixed_logits": lm, "make_room": Lane}[where]
    monkeypatch.setattr(owner, where, guarded(getattr(owner, where)))


TOO_MUCH: dict[str, tuple[str, Callable[..., bool]]] = {
    "prompts": ("forward", lambda input_ids, **_: input_ids.shape[1] > 9),
    "step": ("forward", lambda input_ids, **_: input_ids.shape[0] > 6),
    "head": ("mixed_logits", lambda _, mix: len(mix.states) > 5),
    "slots": ("make_room", lambda lane, tokens: lane.slots * tokens > 300),
}


@pytest.mark.parametrize("where", TOO_MUCH)
def test_where_memory_runs_out_fewer_are_written_at_once(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3")
    decoder = Decoder(lm, Decoding(batch_size=32))
    short_of_memory(lm, monkeypatch, *TOO_MUCH[where])
    found, tally = decoder.write(REQUESTS)
    check(found, known("qwen3").true)
    assert tally["batches halved for memory"] > 0
    again, halved = decoder.write(REQUESTS)
    assert (again, halved) == (found, tally), "what was learnt of memory does not cross a chunk"


def test_a_cpu_says_in_its_own_way_that_memory_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3")
    grown = Lane.make_room

    def make_room(lane: Lane, tokens: int) -> None:
        if lane.slots * tokens > 300:
            torch.empty(2**62, dtype=torch.uint8)
        grown(lane, tokens)

    monkeypatch.setattr(Lane, "make_room", make_room)
    found, tally = Decoder(lm, Decoding(batch_size=32)).write(REQUESTS)
    check(found, known("qwen3").true)
    assert tally["batches halved for memory"] > 0


def test_other_errors_are_nothing_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3")
    monkeypatch.setattr(lm, "mixed_logits", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        write(lm)


def test_there_are_no_more_slots_than_there_is_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, slots, grown = load("qwen3"), set[int](), Lane.make_room

    def make_room(lane: Lane, tokens: int) -> None:
        slots.add(lane.slots)
        grown(lane, tokens)

    monkeypatch.setattr(Lane, "make_room", make_room)
    check(write(lm, REQUESTS[:2], batch=1_000_000), known("qwen3").true[:2])
    assert slots == {2}


@pytest.mark.parametrize("count", [1, 4, 8])
def test_what_never_fits_costs_the_others_little(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3", [])
    short_of_memory(lm, monkeypatch, "make_room", lambda _, tokens: tokens > 100)
    huge = [Request((np.arange(100 + at, dtype=np.int32) % WORDS,), ((1.0,),), 25) for at in range(count)]
    small = [Request((np.arange(5 + at, dtype=np.int32),), ((1.0,),), 5) for at in range(32)]
    asked = [each for pair in zip(small, huge, strict=False) for each in pair] + small[count:]
    found, tally = Decoder(lm, Decoding(batch_size=16)).write(asked)
    failed = [written.finish == "failed" for (written,) in found]
    assert failed == [len(one.streams[0]) >= 100 for one in asked]
    assert tally["batches halved for memory"] <= 2 * (16).bit_length()


def test_an_answer_that_outgrows_the_memory_costs_the_others_little(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load("qwen3", [])
    short_of_memory(lm, monkeypatch, "make_room", lambda _, tokens: tokens > 100)
    ids = np.arange(3, 8, dtype=np.int32)
    asked = [Request((ids,), ((1.0,), (1.0,)), 300 if at == 3 else 5) for at in range(20)]
    found, tally = Decoder(lm, Decoding(batch_size=16)).write(asked)
    assert [[each.finish for each in some] for some in found] == [
        ["failed" if at == 3 else "limit"] * 2 for at in range(20)
    ]
    assert tally["batches halved for memory"] <= 2 * (16).bit_length()


@pytest.mark.parametrize("weights", [(1.0, 0.5), (0.0, 0.0), (1.0,), (1.0, 0.0, 0.0)])
def test_weights_that_are_no_mixture_are_refused(weights: tuple[float, ...]) -> None:
    ids = np.array([3], np.int32)
    with pytest.raises(ValueError, match="weights that are not one a stream, with the sum 1"):
        Request((ids, ids), (weights,), 5)
    with pytest.raises(ValueError, match="a stream without a token"):
        Request((ids[:0],), ((1.0,),), 5)


@pytest.mark.parametrize("where", ["prompt", "step"])
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_one_that_never_fits_fails_alone(where: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, end, some = load("qwen3", []), 100, REQUESTS[:6]

    def too_far(position_ids: torch.Tensor, **_: object) -> bool:
        return bool(position_ids.max() >= end) and (where == "prompt" or position_ids.shape[1] == 1)

    true = obvious(lm.model, some, ())
    short_of_memory(lm, monkeypatch, "forward", too_far)
    huge = Request((np.arange(3, 3 + end + 5, dtype=np.int32) % WORDS,), ((1.0,), (1.0,)), 25)
    found = write(lm, [*some[:4], huge, *some[4:]], batch=batch)
    check([*found[:4], *found[5:]], true)
    said = "it does not fit in memory: choose a smaller --batch-tokens, --max-new-tokens, dtype or model"
    assert found[4] == [Written([], "failed", said)] * 2


# --- no numbers -------------------------------------------------------------------------------------------------------


NO_NUMBERS = "the model gives logits that are no numbers: try another --dtype, or steer less"


def poisoned(steered: Steered, token: int) -> Written:
    """A text of a model that knows one token no more: it fails once it has read it."""
    at = steered.ids.index(token) + 1 if token in steered.ids else len(steered.margins)
    failed = at < len(steered.margins)
    return Written(steered.ids[:at], *(("failed", NO_NUMBERS) if failed else (finish(steered),)))


@pytest.mark.parametrize("sampling", [None, Sampling(top_p=1e-9)])
@pytest.mark.parametrize("batch", [1, 3, 32])
def test_one_whose_logits_are_no_numbers_fails_alone(batch: int, sampling: Sampling | None) -> None:
    """One has what the model does not know in its prompt, others write it on their way."""
    lm, true = load("qwen3"), known("qwen3").true
    given = {token for one in REQUESTS for ids in one.streams for token in ids.tolist()}
    texts = [steered.ids for steered in chain(*true)]
    unknown = next(token for token in range(WORDS) if token not in given.union(*texts))
    written = next(token for ids in texts for token in ids[1:-1] if token not in given)
    for token in (unknown, written):
        lm.model.get_parameter("model.embed_tokens.weight").data[token] = torch.nan
    bad = Request((np.array([9, 8, unknown, *range(3, 50)], np.int32),), ((1.0,),), 20)
    found = write(lm, [bad, *REQUESTS], batch=batch, sampling=sampling)
    assert found[0] == [Written([], "failed", NO_NUMBERS)]
    assert found[1:] == [[poisoned(steered, written) for steered in some] for some in true]
    failed = sum(each.finish == "failed" for each in chain(*found))
    assert 1 < failed < len(texts) // 2


# --- the way of GPUs --------------------------------------------------------------------------------------------------


def played_back(times: int) -> Record:
    """A way to record that does the work so often while it records."""

    def record(work: Play) -> Play:
        for _ in range(times):
            work()
        return work

    return record


@pytest.mark.parametrize("grain", [Grain(rows=8, tokens=256), Grain(rows=3, tokens=5)])
@pytest.mark.parametrize(("batch", "times"), [(1, 1), (5, 3), (32, 3)])
@pytest.mark.parametrize("family", ["qwen3", "gpt_oss"])
def test_steps_that_are_played_back_write_the_same(family: str, batch: int, times: int, grain: Grain) -> None:
    decoder = Decoder(load(family), Decoding(batch, batch_tokens=60))
    decoder.grain, decoder.record = grain, played_back(times)
    found, tally = decoder.write(REQUESTS)
    check(found, known(family).true)
    assert not tally["batches whose steps cannot be played back"]


@pytest.mark.parametrize("positions", ["generated", "strict", "last"])
def test_steps_that_are_played_back_are_steered_as_those_that_are_run(positions: Positions) -> None:
    """What is added lies in one tensor, which a recorded step looks at again each time."""
    lm, steering, width = load("qwen3"), Steering(1, positions), random_model("qwen3").config.hidden_size
    vectors = 4 * np.random.default_rng(0).standard_normal((len(REQUESTS), width)).astype(np.float32)
    asked = [replace(one, vectors=(vector,) * len(one.weights)) for one, vector in zip(REQUESTS, vectors, strict=True)]
    decoder = Decoder(lm, Decoding(8, 60, steering=steering))
    decoder.grain, decoder.record = Grain(rows=8, tokens=16), played_back(2)
    check(decoder.write(asked)[0], obvious(lm.model, asked, known("qwen3").ends, steering))


def test_a_model_whose_steps_cannot_be_recorded_is_run_step_by_step() -> None:
    def record(work: Play) -> Play:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    decoder = Decoder(load("qwen3"), Decoding(8))
    decoder.grain, decoder.record = Grain(rows=8, tokens=16), record
    found, tally = decoder.write(REQUESTS)
    check(found, known("qwen3").true)
    assert tally["batches whose steps cannot be played back"] == 1
