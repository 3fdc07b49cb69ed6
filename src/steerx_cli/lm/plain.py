"""The obvious scorer and the obvious decoder: one row, full logits, no cache. Whatever is faster has to agree."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Block, EmptyHistory, Histories, History, Prompt, render
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


def end_tokens(model: "Model") -> frozenset[int]:
    """All of the tokens that end what a model writes."""
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


@torch.no_grad()
def decode(model: "Model", before: Sequence[int], ends: Collection[int], most: int) -> list[int]:
    """The greedy continuation of `before`, its end token left out; `most` tokens at the most."""
    written: list[int] = []
    while len(written) < most:
        row = torch.tensor([[*before, *written]], device=model.device)
        token = int(model(input_ids=row, use_cache=False).logits[0, -1].argmax())
        if token in ends:
            break
        written.append(token)
    return written
