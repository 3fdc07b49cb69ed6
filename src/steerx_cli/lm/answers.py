"""Tokens that a model wrote → the text that is its answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from steerx_cli.lm.frames import Frame

if TYPE_CHECKING:
    from steerx_cli.lm.models import Tokenizer

_OPEN, _CLOSE = "<think>", "</think>"


class Answer(NamedTuple):
    """A text, and whether a think block was taken out of it."""

    text: str
    thought: bool


def without_thoughts(text: str) -> Answer:
    """The text without its think blocks and the white space behind them; one without an end takes all the rest."""
    answer, opened, rest = text.partition(_OPEN)
    if not opened:
        return Answer(text, False)
    answer = answer if answer.strip() else ""
    while opened:
        _, closed, rest = rest.partition(_CLOSE)
        if not closed:
            return Answer(answer.rstrip(), True)
        more, opened, rest = rest.lstrip().partition(_OPEN)
        answer += more
    return Answer(answer, True)


class Reader:
    """Reads what a model wrote after prompts in one frame."""

    def __init__(self, tokenizer: "Tokenizer", frame: Frame) -> None:
        self._tokenizer = tokenizer
        # Some templates begin the model's turn with an open think block.
        self._opened = _OPEN if frame.suffix.rstrip().endswith(_OPEN) else ""
        added = tokenizer.added_tokens_decoder.items()
        self._hidden = {place for place, token in added if token.special and token.content not in (_OPEN, _CLOSE)}

    def answer(self, ids: Sequence[int]) -> Answer:
        """The answer, without special tokens."""
        shown = [token for token in ids if token not in self._hidden]
        return without_thoughts(self._opened + str(self._tokenizer.decode(shown, clean_up_tokenization_spaces=False)))
