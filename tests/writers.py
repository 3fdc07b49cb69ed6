"""Requests of all kinds, and what the obvious decoder writes for them: one row, all logits, no cache."""

import copy
from collections.abc import Collection, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch

from families import WORDS, random_model
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.plain import Push, Steered, steer
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.steer import Steering, Vector

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


def obvious(
    model: Any, asked: Sequence[Request], ends: Sequence[int], steering: Steering | None = None
) -> list[list[Steered]]:
    """The oracle's texts, by a model in float64; what the engine would write without an end is its guess."""
    exact, endless = copy.deepcopy(model).double(), CausalLM(copy.deepcopy(model), ANY_TOKENIZER)
    endless.model.generation_config.eos_token_id = []
    guesses = write(endless, asked, batch=32, batch_tokens=1000, steering=steering)
    return [
        [
            steer(exact, streams, weights, ends, one.limit, pushed(vector, steering), guess.ids)
            for weights, vector, guess in zip(one.weights, one.vectors or [None] * len(one.weights), some, strict=True)
        ]
        for one, some in zip(asked, guesses, strict=True)
        for streams in [[ids.tolist() for ids in one.streams]]
    ]


def pushed(vector: Vector | None, steering: Steering | None) -> Push | None:
    """As the oracle has it."""
    if vector is None or steering is None:
        return None
    return Push(torch.from_numpy(vector), steering.layer, steering.positions)


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
