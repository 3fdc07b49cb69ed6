"""Prompts → the descriptions that a model on this machine writes."""

from collections.abc import Mapping, Sequence

import numpy as np

from steerx_cli.lm.answers import Reader
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Prompt
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.tokens import cut, encode
from steerx_cli.stages.smooth.writers import Described


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
