"""Texts behind their prompts → tokens, and from which of them on a hidden state is taken."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Item, NoBlock, Prompt, render
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.tokens import encode, encode_placed, first_tokens, response_in
from steerx_cli.stages.build_vector.settings import Settings

if TYPE_CHECKING:
    from steerx_cli.lm.models import Tokenizer


class Answer(NamedTuple):
    """A text as an answer to an input: h_i, s_i or h̄_i behind x_i."""

    item: Item
    text: str


class Placed(NamedTuple):
    """An answer in tokens."""

    ids: Ids
    first: int  # the first token whose state counts
    gone: int  # tokens at the text's end that the model's window did not hold


class Placer:
    """Puts answers behind `non-perso`'s prompt for their inputs."""

    def __init__(self, tokenizer: "Tokenizer", frame: Frame, settings: Settings, window: int | None) -> None:
        self._tokenizer, self._frame, self._settings, self._window = tokenizer, frame, settings, window
        self._alone = first_tokens(tokenizer) if settings.text == "alone" else None

    def placed(self, answers: Sequence[Answer]) -> list[Placed | None]:
        """Each in tokens: its own are taken once, where it stands, and appended. None where nothing of it fits."""
        whole = [self._prompt(answer.item, answer.text) for answer in answers]
        texts = (response_in(*pair).ids for pair in zip(whole, encode_placed(self._tokenizer, whole), strict=True))
        empty = [self._prompt(answer.item, "") for answer in answers]
        once = {prompt.text: prompt for prompt in empty}
        before = dict(zip(once, encode(self._tokenizer, list(once.values())), strict=True))
        return [self._fitted(before[prompt.text], ids) for prompt, ids in zip(empty, texts, strict=True)]

    def _prompt(self, item: Item, text: str) -> Prompt:
        return render(self._settings.task, self._frame, item, NoBlock(), text, own=True)

    def _fitted(self, before: Sequence[int], text: Sequence[int]) -> Placed | None:
        before = before if self._alone is None else self._alone
        room = len(text) if self._window is None else self._window - len(before)
        ids = np.array([*before, *text[: max(0, room)]], np.int32)
        if not len(ids) or room < min(1, len(text)):
            return None
        # An empty text is where its prompt ends.
        first = len(ids) - 1 if self._settings.pool == "last" else min(len(before), len(ids) - 1)
        return Placed(ids, first, max(0, len(text) - room))
