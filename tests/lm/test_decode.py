"""What is written for many requests at once, against each by itself: one row, all logits, no cache."""

import copy
import json
from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from families import FAMILIES, SLIDING, WORDS, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.choose import choose
from steerx_cli.lm.decode import Decoder, Decoding, Request, Written
from steerx_cli.lm.plain import Steered, steer
from steerx_cli.lm.playback import Play, Record
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.slots import Grain, Lane

UNPACKED = ("qwen2_moe",)  # it keeps its window to itself
ANY_TOKENIZER: Any = None  # ids are asked for, not texts
CLOSE = 1e-4  # of the two best logits, where either may be written

# --- what is asked ----------------------------------------------------------------------------------------------------


def methods(strength: float) -> list[tuple[str, tuple[tuple[float, ...], ...]]]:
    """Which streams (with all histories, with the neutral ones, without any), and sets of weights for them."""
    cos, steerx = (1 + strength, -strength), (1.0, strength, -strength)
    return [
        ("E", ((1.0,),)),
        ("H", ((1.0,),)),
        ("HE", (cos, (1.5, -0.5), (0.5, 0.5))),
        ("HSE", (steerx,)),
        ("HSE", ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (cos[0], 0.0, cos[1]), steerx, (0.2, 0.3, 0.5))),
    ]


LIMITS = (25, 3, 14, 8, 6, 1, 20, 4, 11, 5, 9, 16, 2, 7, 12)


def requests() -> list[Request]:
    """Each method three times; prompts that begin alike, below the sliding window and above; every kind of limit."""
    draw, made = np.random.default_rng(0), list[Request]()

    def ids(least: int, most: int) -> Ids:
        return draw.integers(3, WORDS, draw.integers(least, most)).astype(np.int32)

    opening = ids(20, 21)
    for strength in (0.4, 3.0, -0.7):
        for names, weights in methods(strength):
            histories, asked, begun = ids(5, 40), ids(1, 12), opening[: draw.integers(1, 20)]
            neutral = np.where(np.arange(len(histories)) % 3, histories, 7).astype(np.int32)
            parts = {"H": [begun, histories, asked], "S": [begun, neutral, asked], "E": [begun, asked]}
            streams = tuple(np.concatenate(parts[name]) for name in names)
            made.append(Request(streams, weights, limit=LIMITS[len(made)]))
    return [*made, made[3]]


REQUESTS = requests()

# --- what should be written -------------------------------------------------------------------------------------------


def obvious(model: Any, asked: Sequence[Request], ends: Sequence[int]) -> list[list[Steered]]:
    """The oracle's texts, by a model in float64."""
    exact = copy.deepcopy(model).double()
    return [
        [steer(exact, [ids.tolist() for ids in one.streams], weights, ends, one.limit) for weights in one.weights]
        for one in asked
    ]


def finish(steered: Steered) -> str:
    """An end was chosen beside the tokens that are written, or there was none."""
    return "end" if len(steered.margins) > len(steered.ids) else "limit"


def check(found: Sequence[Sequence[Written]], true: Sequence[Sequence[Steered]]) -> None:
    """Token for token the same; once at the most they part, where the oracle's two best are as good as equal."""
    assert [len(some) for some in found] == [len(some) for some in true]
    parted = 0
    for written, steered in zip(chain(*found), chain(*true), strict=True):
        if (written.ids, written.finish, written.error) != (steered.ids, finish(steered), None):
            pairs = zip([*written.ids, None], [*steered.ids, None], strict=False)
            at = next(place for place, (one, other) in enumerate(pairs) if one != other)
            assert steered.margins[at] < CLOSE
            parted += 1
    assert parted <= 1


class Known(NamedTuple):
    """A family's end tokens, and what the oracle writes for REQUESTS."""

    ends: list[int]
    true: list[list[Steered]]


def cut(steered: Steered, ends: Collection[int]) -> Steered:
    """A text up to the first end in it."""
    at = next((place for place, token in enumerate(steered.ids) if token in ends), None)
    return steered if at is None else Steered(steered.ids[:at], steered.margins[: at + 1])


@cache
def known(family: str) -> Known:
    """Each of the ends is found in a quarter of the texts at the most; half of them or so come to one."""
    free = obvious(random_model(family), REQUESTS, ())
    texts, ends = [steered.ids for steered in chain(*free)], set[int]()
    for token in chain(*(ids[2:] for ids in texts)):
        if sum(token in ids for ids in texts) <= len(texts) // 4 and sum(map(ends.isdisjoint, texts)) > len(texts) / 2:
            ends.add(token)
    return Known(sorted(ends), [[cut(steered, ends) for steered in some] for some in free])


def load(family: str, ends: list[int] | None = None) -> CausalLM:
    """A model that ends where `known` says, or where it is told to."""
    model = random_model(family)
    model.generation_config.eos_token_id = known(family).ends if ends is None else ends
    return CausalLM(model, ANY_TOKENIZER)


def write(lm: CausalLM, asked: Sequence[Request] = REQUESTS, batch: int = 8, **settings: Any) -> list[list[Written]]:
    """What the engine writes."""
    return Decoder(lm, Decoding(batch, **{"batch_tokens": 60, **settings})).write(asked)[0]


# --- token for token --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in UNPACKED])
def test_every_family_writes_what_its_own_logits_say(family: str) -> None:
    lm, true = load(family), known(family).true
    for batch in (1, 2, 3, 8, 32):
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
    assert (decoder.most < 32) is (where != "prompts")  # these are read in more goes
    again, tally = decoder.write(REQUESTS)
    check(again, known("qwen3").true)
    assert where == "prompts" or not tally["batches halved for memory"]  # it has learnt how many there can be


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


NO_NUMBERS = "the model gives logits that are no numbers: try --dtype float32"


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


def test_a_model_whose_steps_cannot_be_recorded_is_run_step_by_step() -> None:
    def record(work: Play) -> Play:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    decoder = Decoder(load("qwen3"), Decoding(8))
    decoder.grain, decoder.record = Grain(rows=8, tokens=16), record
    found, tally = decoder.write(REQUESTS)
    check(found, known("qwen3").true)
    assert tally["batches whose steps cannot be played back"] == 1


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
