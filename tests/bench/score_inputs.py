"""What log p is measured on: models of random weights, and texts of random tokens after prompts, from a seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from steerx_cli.lm.prompt import History, Item
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.score import Asked

# --- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A decoder like Qwen3's."""

    name: str
    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    words: int
    tied: bool

    @property
    def body(self) -> int:
        """How many weights a token meets in the matrices of the layers."""
        attention = self.width * self.head_width * 2 * (self.heads + self.key_heads)
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def head(self) -> int:
        """How many it meets in the head."""
        return self.words * self.width

    @property
    def share(self) -> float:
        """The head's part of the matrix work, where it works on every token."""
        return self.head / (self.head + self.body)


TINY = Shape("tiny", 4, 128, 4, 2, 32, 384, 8_000, False)
SMALL = Shape("small", 8, 256, 8, 4, 32, 768, 32_000, False)
QWEN = Shape("of Qwen3-0.6B's shape", 28, 1024, 16, 8, 128, 3072, 151_936, True)


def make_model(shape: Shape, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Its weights are random: no figure depends on what they are."""
    torch.manual_seed(0)
    config = Qwen3Config(
        num_hidden_layers=shape.layers,
        hidden_size=shape.width,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head_width,
        intermediate_size=shape.inner,
        vocab_size=shape.words,
        tie_word_embeddings=shape.tied,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.eval()  # type: ignore[no-untyped-call]
    return model


# --- texts ------------------------------------------------------------------------------------------------------------

Texts = Callable[[Shape], list[Asked]]


class Writer:
    """Pieces of text, in tokens."""

    def __init__(self, shape: Shape) -> None:
        self.draw = np.random.default_rng(0)
        self._words = shape.words

    def piece(self, least: int, most: int) -> Ids:
        """So many tokens, or something between."""
        return self.draw.integers(self._words, size=self.draw.integers(least, most, endpoint=True), dtype=np.int32)


def _asked(before: Sequence[Ids], text: Ids) -> Asked:
    return Asked(np.concatenate(before), text)


def pairs(texts: int, scale: int, shape: Shape) -> list[Asked]:
    """Each text after a prompt without others and after one with them; `scale` is the length of the task's prompt."""
    writer = Writer(shape)
    task, nothing = writer.piece(scale, scale), writer.piece(2, 2)
    asked = []
    for _ in range(texts):
        others = writer.piece(2 * scale, 11 * scale)
        own, text = writer.piece(scale // 5, 3 * scale // 5), writer.piece(scale, 3 * scale)
        asked += [_asked([task, nothing, own], text), _asked([task, others, own], text)]
    return asked


def queries(users: int, each: int, shape: Shape) -> list[Asked]:
    """Users with six histories and so many queries each, every query with two of them: each after the other, and
    after none."""
    writer = Writer(shape)
    task, nothing = writer.piece(48, 48), writer.piece(2, 2)
    asked = []
    for _ in range(users):
        histories = [(writer.piece(5, 15), writer.piece(20, 60)) for _ in range(6)]
        for _ in range(each):
            one, two = writer.draw.choice(6, 2, replace=False)
            for (own, text), other in ((histories[one], histories[two]), (histories[two], histories[one])):
                asked += [_asked([task, nothing, own], text), _asked([task, *other, own], text)]
    return asked


def all_others(count: int, order: str, shape: Shape) -> list[Asked]:
    """Each of a user's histories after all the others, in the order of `--context-order`."""
    # Not above: a stage reads and writes files by libraries that the Python of a GPU's machine may not have.
    from steerx_cli.stages.score_tokens.texts import Other, as_given, in_tree

    writer = Writer(shape)
    task = writer.piece(48, 48)
    pieces = {str(index): (writer.piece(4, 8), writer.piece(8, 16)) for index in range(count)}
    named = [Other(name, History(Item(""), "")) for name in pieces]
    others = (in_tree if order == "tree" else as_given)(named, set(pieces))
    return [
        _asked([task, *(part for other in others[name] for part in pieces[other.item_id]), own], text)
        for name, (own, text) in pieces.items()
    ]
