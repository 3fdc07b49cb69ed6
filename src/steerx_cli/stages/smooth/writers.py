"""Prompts → the descriptions that a model writes: one that is loaded here, or one on a server."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.answers import Reader, without_thoughts
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.endpoint import THINKING, Asker
from steerx_cli.lm.exchange import Told
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Prompt
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.tokens import cut, encode


class Described(NamedTuple):
    """What came of one prompt."""

    text: str  # think blocks are taken out
    thought: bool
    finish: str  # end, limit or failed
    prompt_tokens: int | None  # where a server tells
    tokens: int | None
    error: str | None = None
    cut: int = 0  # tokens of the pieces that the model's window did not hold


class Writer(Protocol):
    """A model that writes."""

    @property
    def frame(self) -> Frame:
        """What stands around its prompts."""

    def write(self, prompts: Sequence[Prompt], limit: int) -> tuple[list[Described], Mapping[str, int]]:
        """What comes of each, in `limit` tokens at the most, and what that took."""


class Local:
    """On this machine: plain generation on the engine that writes for every method."""

    def __init__(self, lm: CausalLM, frame: Frame, decoding: Decoding) -> None:
        self.frame = frame
        self._lm, self._decoder, self._reader = lm, Decoder(lm, decoding), Reader(lm.tokenizer, frame)

    def write(self, prompts: Sequence[Prompt], limit: int) -> tuple[list[Described], Mapping[str, int]]:
        """Pieces that the window does not hold are cut off from the end."""
        fitted = [self._fitted(*pair, limit) for pair in zip(prompts, encode(self._lm.tokenizer, prompts), strict=True)]
        requests = [Request((ids,), ((1.0,),), room) for ids, _, room in fitted if room]
        found, counts = self._decoder.write(requests)
        written = iter(found)
        return [
            self._described(next(written)[0] if room else None, len(ids), gone, room < limit)
            for ids, gone, room in fitted
        ], counts

    def _fitted(self, prompt: Prompt, ids: Sequence[int], limit: int) -> tuple[Ids, int, int]:
        """The prompt, how many of its tokens are gone, and how many may follow it: none where the instruction alone
        takes all."""
        window = self._lm.window
        if window is None:
            return np.array(ids, np.int32), 0, limit
        room = min(limit, window // 2)  # it is kept free
        excess = len(ids) - (window - room)
        if excess <= 0:
            return np.array(ids, np.int32), 0, min(limit, window - len(ids))
        found = cut(self._lm.tokenizer, prompt, excess)
        return np.array(found.ids, np.int32), found.gone, room if found.left and found.gone == excess else 0

    def _described(self, written: Written | None, prompt_tokens: int, gone: int, short: bool) -> Described:
        if written is None:
            error = "the model's window has no room for a description"
            return Described("", False, "failed", prompt_tokens, 0, error, gone)
        text, thought = self._reader.answer(written.ids)
        finish = "window" if short and written.finish == "limit" else written.finish
        return Described(text, thought, finish, prompt_tokens, len(written.ids), written.error, gone)


class Served:
    """On a server that a person named."""

    def __init__(self, asker: Asker, tally: Counter[str]) -> None:
        """What a run meets with on the way is counted in `tally`: it is no part of what is made."""
        self.frame = Frame(asker.server.prompt_format)  # the server puts its own around a message
        self._asker, self._tally = asker, tally

    def write(self, prompts: Sequence[Prompt], limit: int) -> tuple[list[Described], Mapping[str, int]]:
        """In as many requests at once as were asked for."""
        told, counts = self._asker.write([prompt.text for prompt in prompts], limit)
        self._refuse_nothing(told)
        self._tally.update({name: number for name, number in counts.items() if name != THINKING})
        found = []
        for each in told:
            text, thought = without_thoughts(each.text)
            found.append(Described(text, thought, each.finish, each.prompt_tokens, each.tokens, each.error))
        return found, {THINKING: counts[THINKING]}

    def _refuse_nothing(self, told: Sequence[Told]) -> None:
        """One text may be too long for a server; where it takes none at all, it is asked in a wrong way."""
        if len(told) > 1 and all(each.finish == "failed" for each in told):
            raise SteerxError(
                f"{told[0].error}, nor any of {len(told) - 1} others: name the --model as the server at "
                f"{self._asker.server.url} calls it, or another --endpoint"
            )
