"""Ways to write with a vector added to the hidden states of each row: steerx's, a hook, and those of two toolkits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from bench import generate_peers as peers
from bench.generate_peers import Prepare, Tokens, Write
from bench.steering_inputs import LAYER
from steerx_cli.lm.request import Request
from steerx_cli.lm.steer import Positions, Steering


def steerx(positions: Positions | None, model: PreTrainedModel, batch: int) -> Write:
    """All rows in one forward a token; without positions the decoder knows of no vectors."""
    own = peers.decoder(model, batch)
    own.decoding = replace(own.decoding, steering=Steering(LAYER, positions) if positions else None)
    return lambda requests: peers.written_by(own, requests)


def one_by_one(prepare: Prepare, model: PreTrainedModel, batch: int) -> Write:
    """User by user, as an interface forces that takes one vector; a batch has one row, whatever could be in it."""
    write = prepare(model, 1)
    return lambda requests: [tokens for request in requests for tokens in write([request])]


Adding = Callable[[PreTrainedModel, torch.Tensor], AbstractContextManager[None]]  # one vector a row, while it lasts


def generate(adding: Adding, model: PreTrainedModel, batch: int) -> Write:
    """`generate()` of transformers on one batch while vectors are added."""
    plain = peers.unsteered(model, batch)

    def write(requests: Sequence[Request]) -> Tokens:
        rows = torch.stack([torch.from_numpy(vector) for (vector,) in (one.vectors for one in requests)])
        with adding(model, rows):
            return plain(requests)

    return write


@contextmanager
def hook(model: PreTrainedModel, rows: torch.Tensor) -> Iterator[None]:
    """What one writes by hand: prompts end where they are filled up to, so the last place is the row's last token."""

    def add(_: torch.nn.Module, __: Any, output: torch.Tensor) -> None:
        output[:, -1] += rows

    handle = model.get_submodule(f"model.layers.{LAYER - 1}").register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


# --- steering-vectors -------------------------------------------------------------------------------------------------


def one_vector(model: PreTrainedModel, rows: torch.Tensor) -> AbstractContextManager[None]:
    """As documented: the first row's, to all rows there are."""
    from steering_vectors import SteeringVector

    patched: AbstractContextManager[None] = SteeringVector({LAYER - 1: rows[0]}).apply(model)
    return patched


def by_operator(model: PreTrainedModel, rows: torch.Tensor) -> AbstractContextManager[None]:
    """A vector a row, through the function that makes of a state and the one vector what is added."""
    from steering_vectors import SteeringVector

    vector = SteeringVector({LAYER - 1: rows[0]})
    patched: AbstractContextManager[None] = vector.apply(model, operator=lambda _, __: rows[:, None])
    return patched


# --- repeng -----------------------------------------------------------------------------------------------------------


def repeng() -> Any:
    """The library, which asks numpy for a name that its second version has not."""
    np.float_ = np.float64  # type: ignore[attr-defined]
    import repeng

    return repeng


@contextmanager
def _wrapped(model: PreTrainedModel) -> Iterator[Any]:
    """It puts a module of its own around a block."""
    control = repeng().ControlModel(model, [LAYER - 1])
    try:
        yield control
    finally:
        control.unwrap()


@contextmanager
def control_vector(model: PreTrainedModel, rows: torch.Tensor) -> Iterator[None]:
    """As documented: one vector."""
    with _wrapped(model) as control:
        control.set_control(repeng().ControlVector(model.config.model_type, {LAYER - 1: rows[0].numpy()}))
        yield


@contextmanager
def raw_control(model: PreTrainedModel, rows: torch.Tensor) -> Iterator[None]:
    """A vector a row, for what is set raw may have any shape that can be added."""
    with _wrapped(model) as control:
        control.set_raw_control({LAYER - 1: rows[:, None]})
        yield
