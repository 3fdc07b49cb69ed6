"""Whether two ways to write chose the same tokens, and where they did not, how near the two were that they chose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import torch
from transformers import PreTrainedModel

from bench.generate_inputs import Model, Requests
from bench.generate_peers import Tokens, decoder, written_by
from bench.turns import Way, apart
from steerx_cli.lm.plain import steer
from steerx_cli.lm.request import Request

NEAR = 1e-4  # between two logits; sums of float32 in another order differ in their last digits
BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Parting:
    """Where two ways part."""

    request: int
    token: int  # the first that differs: up to it both wrote the same


def partings(one: Tokens, two: Tokens) -> list[Parting]:
    """One for each request that was not given the same tokens."""
    return [
        Parting(place, _first_difference(a, b)) for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b
    ]


def _first_difference(one: Sequence[int], two: Sequence[int]) -> int:
    same = [a == b for a, b in zip(one, two, strict=False)]
    return same.index(False) if False in same else len(same)  # or one of them ended there


def refuse_far(what: str, model: Model, requests: Requests, one: Tokens, two: Tokens) -> int:
    """How many requests were given other tokens, each of them after a near tie; anything else is an error."""
    parted = partings(one, two)
    if parted:
        most: float = max(apart(Way(partial(margins, model, requests, one, parted)))[1])
        if most >= NEAR:
            raise SystemExit(f"{what} do not write the same, {most:g} from a tie")
    return len(parted)


def margins(model: Model, requests: Requests, tokens: Tokens, parted: Sequence[Parting]) -> list[float]:
    """How far the best token was ahead of the next one where they parted, by the obvious computation."""
    torch.set_num_threads(1)
    made, asked = model(), requests()
    return [_margin(made, asked[each.request], tokens[each.request][: each.token]) for each in parted]


def _margin(model: PreTrainedModel, request: Request, written: Sequence[int]) -> float:
    (weights,) = request.weights
    return steer(model, [[*ids.tolist(), *written] for ids in request.streams], weights, (), 1).margins[0]


# --- batch sizes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """What a model writes at several batch sizes."""

    requests: int
    parted: Mapping[tuple[int, int], Sequence[Parting]]  # by two of the batch sizes


def agreement(model: Model, requests: Requests, exact: bool) -> Agreement:
    """Of the same requests; where it is to be exact, only near ties may part them."""
    found: dict[int, Tokens] = apart(Way(partial(by_batch, model, requests)))[1]
    pairs = [*combinations(BATCHES, 2)]
    if exact:
        for one, two in pairs:
            refuse_far(f"batches of {one} and {two} in float32", model, requests, found[one], found[two])
    return Agreement(len(found[1]), {(one, two): partings(found[one], found[two]) for one, two in pairs})


def by_batch(model: Model, requests: Requests) -> dict[int, Tokens]:
    """What is written where so many are written at once."""
    torch.set_num_threads(1)
    made, asked = model(), requests()
    return {batch: written_by(decoder(made, batch), asked) for batch in BATCHES}
