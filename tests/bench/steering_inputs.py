"""What steering is measured on: prompts with a vector each, and texts behind prompts, random, from a seed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from bench.generate_inputs import ONE, random_model
from bench.score_inputs import SMALL, Shape, Writer
from steerx_cli.lm.blocks import block
from steerx_cli.lm.plain import Push
from steerx_cli.lm.request import Request
from steerx_cli.lm.score import Asked
from steerx_cli.lm.steer import Positions, Vector

# --- writing ----------------------------------------------------------------------------------------------------------

ROWS, WRITTEN, PROMPT = 16, 48, (64, 512)
LAYER = SMALL.layers // 2
SIZE = 0.12  # of a vector's numbers: with it a vector is about as long as the states that it is added to


def vectors(count: int, shape: Shape) -> list[Vector]:
    """So many."""
    draw = np.random.default_rng(1)
    return [(SIZE * draw.standard_normal(shape.width)).astype(np.float32) for _ in range(count)]


def with_vectors() -> list[Request]:
    """Requests of one prompt, each with a vector of its own."""
    writer = Writer(SMALL)
    return [Request((writer.piece(*PROMPT),), (ONE,), WRITTEN, vectors=(vector,)) for vector in vectors(ROWS, SMALL)]


def without(requests: Sequence[Request]) -> list[Request]:
    """The same, unsteered."""
    return [replace(request, vectors=()) for request in requests]


def pushed(request: Request, positions: Positions | None) -> PreTrainedModel:
    """The model that the obvious computation runs for this request, whose vector it always adds."""
    model = random_model(SMALL)
    if positions:
        push = Push(torch.from_numpy(request.vectors[0]), LAYER, positions)
        prompt = len(request.streams[0])
        block(model, LAYER).register_forward_hook(lambda _, __, output: push(prompt, output))
    return model


# --- hidden states ----------------------------------------------------------------------------------------------------

LENGTHS = (80, 120), (60, 120)  # of a prompt, and of each text


def three_each(prompts: int, share: int, shape: Shape) -> list[Asked]:
    """Three texts behind each prompt: what a person wrote, what a description gives, and what neither gives. They have
    one `share`-th of the lengths."""
    writer = Writer(shape)
    prompt, text = [(least // share, most // share) for least, most in LENGTHS]
    befores = (writer.piece(*prompt) for _ in range(prompts))
    return [Asked(before, writer.piece(*text)) for before in befores for _ in range(3)]
