"""The obvious scorer and the obvious decoder: one row, full logits, no cache. Whatever is faster has to agree."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerx_cli.lm.blocks import changing
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Block, EmptyHistory, Histories, History, Prompt, render
from steerx_cli.lm.steer import Positions
from steerx_cli.lm.templates import Task
from steerx_cli.lm.tokens import Tokens, encode, encode_placed, response_in

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model, Tokenizer


def encode_prompt(tokenizer: "Tokenizer", prompt: Prompt) -> list[int]:
    """The ids of a prompt whose response is still to come."""
    return next(encode(tokenizer, [prompt]))


def response_tokens(tokenizer: "Tokenizer", prompt: Prompt) -> Tokens:
    """The response's tokens, as they are where it stands in its prompt."""
    return response_in(prompt, encode_placed(tokenizer, [prompt])[0])


@torch.no_grad()
def log_probabilities(model: "Model", before: Sequence[int], ids: Sequence[int]) -> torch.Tensor:
    """log p of each of `ids` given `before` and the ids ahead of it, from the model's logits in float64."""
    row = torch.tensor([[*before, *ids]], device=model.device)
    logits = model(input_ids=row, use_cache=False).logits[0].double()
    predicted = logits[len(before) - 1 : -1].log_softmax(-1)
    chosen: torch.Tensor = predicted.gather(-1, row[0, len(before) :, None])[:, 0]
    return chosen.cpu()


@dataclass(frozen=True)
class Effects:
    """What is in a history because of its person (Eq. 12), token by token."""

    tokens: Tokens
    informed: torch.Tensor  # log p given the person's other histories
    empty: torch.Tensor  # log p given none

    @property
    def delta(self) -> torch.Tensor:
        """Δ, in nats."""
        return self.informed - self.empty


def score_tokens(
    model: "Model",
    tokenizer: "Tokenizer",
    task: Task,
    frame: Frame,
    history: History,
    others: tuple[History, ...],
) -> Effects:
    """Δ of every token of a history: its tokens are taken once, from the empty arm, and appended as ids in both."""

    def prompt(block: Block, response: str = "") -> Prompt:
        return render(task, frame, history.item, block, response, own=True)

    tokens = response_tokens(tokenizer, prompt(EmptyHistory(), history.response))

    def arm(block: Block) -> torch.Tensor:
        return log_probabilities(model, encode_prompt(tokenizer, prompt(block)), tokens.ids)

    return Effects(tokens, informed=arm(Histories(others)), empty=arm(EmptyHistory()))


@dataclass(frozen=True)
class Push:
    """A vector that is added to what a decoder block gives (Eq. 6 and 18), and where."""

    vector: torch.Tensor
    layer: int  # counted from 1
    positions: Positions

    def places(self, prompt: int, tokens: int) -> slice:
        """The tokens that it is added to, of a prompt and what follows it."""
        starts = {"generated": prompt - 1, "strict": prompt, "all": 0, "last": prompt - 1}
        return slice(starts[self.positions], prompt if self.positions == "last" else tokens)

    def __call__(self, prompt: int, output: torch.Tensor) -> torch.Tensor:
        """What the block gives then."""
        pushed = output.clone()
        pushed[:, self.places(prompt, output.shape[1])] += self.vector.to(output.dtype)
        return pushed


@dataclass(frozen=True)
class Steered:
    """What is written by several prompts together."""

    ids: list[int]  # without the token that ended it
    margins: list[float]  # how far the two best logits were apart, at each token and at the one that ended it


@torch.no_grad()
def steer(
    model: "Model",
    streams: Sequence[Sequence[int]],
    weights: Sequence[float],
    ends: Collection[int],
    most: int,
    push: Push | None = None,
    guess: Sequence[int] = (),
) -> Steered:
    """The greedy text by Σ weight · logits of each prompt and what is written so far (Eq. 3, 16), its hidden states
    pushed (Eq. 6, 18); `most` tokens. A guess at the text saves passes: one tells what follows each token of it."""
    written = Steered([], [])
    while len(written.ids) < most:
        ahead = guess[len(written.ids) : most - 1]
        logits = torch.stack([_next_logits(model, before, written.ids, ahead, push) for before in streams])
        mixed = torch.einsum("s,stv->tv", torch.tensor(weights, dtype=logits.dtype, device=logits.device), logits)
        best = mixed.topk(2)
        for values, token, guessed in zip(best.values, best.indices[:, 0].tolist(), [*ahead, None], strict=True):
            written.margins.append(float(values[0] - values[1]))
            if token in ends:
                return written
            written.ids.append(token)
            if token != guessed:
                break
    return written


def _next_logits(
    model: "Model", before: Sequence[int], written: Sequence[int], ahead: Sequence[int], push: Push | None
) -> torch.Tensor:
    """Of what follows on all that is written, and on each token after it."""
    row = torch.tensor([[*before, *written, *ahead]], device=model.device)
    with changing(model, push.layer, lambda output: push(len(before), output)) if push else nullcontext():
        logits: torch.Tensor = model(input_ids=row, use_cache=False).logits[0, -1 - len(ahead) :].double()
    return logits


def decode(model: "Model", before: Sequence[int], ends: Collection[int], most: int) -> list[int]:
    """The greedy continuation of one prompt, its end token left out; `most` tokens at the most."""
    return steer(model, [before], [1.0], ends, most).ids
