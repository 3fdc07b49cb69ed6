"""Steered hidden states: many requests at once, each with its own vectors, against each by itself without a cache."""

import copy
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from families import FAMILIES, UNPACKED, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.steer import Positions, Steer, Steering, Vector
from writers import REQUESTS, check, known, load, obvious, write

WIDTH = 32
EVERYWHERE: list[Positions] = ["generated", "strict", "all", "last"]


def steered(size: float = 4.0) -> list[Request]:
    """The requests of every method; two of three have vectors, one for each set of weights, and some of those none."""
    draw, made = np.random.default_rng(1), list[Request]()
    for number, request in enumerate(REQUESTS):
        vectors: list[Vector | None] = [
            None if (number + rule) % 4 == 3 else (size * draw.standard_normal(WIDTH)).astype(np.float32)
            for rule in range(len(request.weights))
        ]
        made.append(replace(request, vectors=tuple(vectors) if number % 3 else ()))
    return made


ASKED = steered()


def texts(found: list[list[Written]]) -> list[list[int]]:
    return [written.ids for written in chain(*found)]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in UNPACKED])
def test_every_family_is_steered_as_by_hand(family: str) -> None:
    lm, ends = load(family), known(family).ends
    steering = Steering(1 + FAMILIES.index(family) % 2)
    true = obvious(lm.model, ASKED, ends, steering)
    for batch in (1, 3, 32):
        check(write(lm, ASKED, batch=batch, steering=steering), true)
    parted = sum(one.ids != other.ids for one, other in zip(chain(*true), chain(*known(family).true), strict=True))
    assert parted > len([*chain(*true)]) / 4, "or nothing would be shown here"


@pytest.mark.parametrize("positions", EVERYWHERE)
@pytest.mark.parametrize("layer", [1, 2])
def test_a_vector_is_added_where_it_is_told_to(positions: Positions, layer: int) -> None:
    lm, steering = load("qwen3"), Steering(layer, positions)
    true = obvious(lm.model, ASKED, known("qwen3").ends, steering)
    for batch in (1, 2, 5, 32):
        check(write(lm, ASKED, batch=batch, steering=steering), true)


def test_the_places_differ() -> None:
    lm = load("qwen3")
    found = [texts(write(lm, ASKED, steering=Steering(1, positions))) for positions in EVERYWHERE]
    assert len({str(some) for some in found}) == 4


def test_a_vector_of_zeros_or_none_at_all_changes_nothing() -> None:
    lm = load("llama")
    plain = write(lm)
    nothing = np.zeros(WIDTH, np.float32)
    for vector in (nothing, None):
        asked = [replace(request, vectors=(vector,) * len(request.weights)) for request in REQUESTS]
        check(write(lm, asked, steering=Steering(1)), known("llama").true)
    assert texts(write(lm, REQUESTS, steering=Steering(2))) == texts(plain)


def test_sets_with_vectors_share_the_reading_of_a_prompt() -> None:
    lm, request = load("qwen3", []), replace(REQUESTS[3], vectors=())
    vector = np.ones(WIDTH, np.float32)

    def run(sets: int, positions: Positions) -> int:
        asked = Request(request.streams, ((1.0, 0.5, -0.5),) * sets, 4, vectors=(vector,) * sets)
        return Decoder(lm, Decoding(8, steering=Steering(1, positions))).write([asked])[1][
            "tokens run through the model"
        ]

    for positions in ("generated", "strict", "last"):
        assert run(5, positions) == run(1, positions)
    assert run(5, "all") == 5 * run(1, "all")


def test_the_model_is_left_without_hooks() -> None:
    lm = load("mistral")
    write(lm, ASKED, steering=Steering(2))
    assert all(not part._forward_hooks for part in lm.model.modules())


def test_memory_that_runs_out_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, steering = load("qwen3"), Steering(1)
    true = obvious(lm.model, ASKED, known("qwen3").ends, steering)
    forward, seen = lm._body.forward, list[int]()

    def short(input_ids: torch.Tensor, **rest: Any) -> Any:
        seen.append(len(input_ids))
        if len(input_ids) > 5:
            raise torch.OutOfMemoryError("too much")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(lm._body, "forward", short)
    found, tally = Decoder(lm, Decoding(32, 60, steering=steering)).write(ASKED)
    check(found, true)
    assert tally["batches halved for memory"] > 0
    assert max(seen) > 5


# --- what steering is -------------------------------------------------------------------------------------------------


def test_a_vector_along_a_token_s_unembedding_raises_its_logit_as_computed_by_hand() -> None:
    """Behind the last block there is the norm and the head: logit = w · (scale · h / rms(h)), by hand in float64."""
    lm = load("qwen3", [])
    model, token = copy.deepcopy(lm.model).double(), 77
    prompt = REQUESTS[0].streams[0]
    with torch.no_grad():
        seen: list[torch.Tensor] = []
        handle = model.model.layers[1].register_forward_hook(lambda _, __, out: seen.append(out))
        plain = model(torch.from_numpy(prompt.astype(np.int64))[None]).logits[0, -1]
        handle.remove()
    hidden, direction = seen[0][0, -1].numpy(), model.lm_head.weight[token].detach().numpy()
    scale, epsilon = model.model.norm.weight.detach().numpy(), model.config.rms_norm_eps
    before = -np.inf
    for size in (0.0, 0.5, 2.0, 8.0, 32.0):
        pushed = hidden + size * direction
        by_hand = model.lm_head.weight.detach().numpy() @ (scale * pushed / np.sqrt((pushed**2).mean() + epsilon))
        if not size:
            np.testing.assert_allclose(plain.numpy(), by_hand, atol=1e-5)  # the norm is in float32
        assert by_hand[token] > before
        before = float(by_hand[token])
        vector = (size * direction).astype(np.float32)
        asked = Request((prompt,), ((1.0,),), 1, vectors=(vector,))
        assert write(lm, [asked], steering=Steering(2))[0][0].ids == [int(by_hand.argmax())]
    assert int(by_hand.argmax()) == token


def test_rows_in_half_precision_are_added_to_in_float32() -> None:
    model = random_model("qwen3").to(torch.bfloat16)
    steer, hidden = Steer(model, 1, 2), torch.full((2, 1, WIDTH), 256.0, dtype=torch.bfloat16)
    steer.put({1: np.full(WIDTH, 1.5, np.float32)})
    with steer.to_rows():
        pushed = steer._change(hidden)
    assert pushed is not None
    assert pushed.dtype is torch.bfloat16
    assert pushed[:, 0, 0].tolist() == [256.0, 258.0]  # 257.5, to what bfloat16 has; 256 + bfloat16(1.5) is the same


def test_what_is_added_lies_in_one_place_of_memory_for_a_recorded_step_to_look_at() -> None:
    steer, places = Steer(random_model("qwen3"), 1, 4), set()
    for rows in ([0, 3], [], [1]):
        steer.put({row: np.full(WIDTH, row + 1.0, np.float32) for row in rows})
        with steer.to_rows():
            assert steer._added is not None
            places.add(steer._added.data_ptr())
            assert steer._added[:, 0, 0].tolist() == [row + 1.0 if row in rows else 0.0 for row in range(4)]
    assert len(places) == 1


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(SteerxError, match=r"has 2 decoder blocks, and --layer is 3: name one from 1 to 2$"):
        write(load("qwen3"), ASKED, steering=Steering(3))


def test_vectors_that_are_not_one_a_set_are_a_mistake() -> None:
    vector = np.ones(WIDTH, np.float32)
    with pytest.raises(ValueError, match="one a set of weights"):
        replace(REQUESTS[0], vectors=(vector, vector))
    with pytest.raises(ValueError, match="one token"):
        Request((np.array([5], np.int32),), ((1.0,),), 4, vectors=(vector,))
