"""Prompts → descriptions: what a writer of them is, and the one that asks a server. `local` holds the other one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.answers import Answer, without_thoughts
from steerx_cli.lm.endpoint import THINKING, Asker
from steerx_cli.lm.exchange import Told
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Prompt


class Described(NamedTuple):
    """What came of one prompt."""

    text: str  # think blocks are taken out
    thought: bool
    finish: str  # end, limit, window or failed
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


class Served:
    """On a server that a person named."""

    def __init__(self, asker: Asker, tally: Counter[str], *, has_answered: bool) -> None:
        """What a run meets with on the way is counted in `tally`: it is no part of what is made."""
        self.frame = Frame(asker.server.prompt_format)  # the server puts its own around a message
        self._asker, self._tally = asker, tally
        self._has_answered = has_answered  # this run's question, now or before it was stopped

    def write(self, prompts: Sequence[Prompt], limit: int) -> tuple[list[Described], Mapping[str, int]]:
        """In as many requests at once as were asked for."""
        told, counts = self._asker.write([prompt.text for prompt in prompts], limit)
        self._refuse_nothing(told)
        self._tally.update({name: number for name, number in counts.items() if name != THINKING})
        found = []
        for each in told:
            text, thought = self._answer(each.text)
            found.append(Described(text, thought, each.finish, each.prompt_tokens, each.tokens, each.error))
        return found, {THINKING: counts[THINKING]}

    def _answer(self, text: str) -> Answer:
        """Where a chat's template opened a think block, the server gives back no more than its end."""
        before, closed, _ = text.partition("</think>")
        opened = self.frame.format == "chat" and closed and "<think>" not in before
        return without_thoughts(f"<think>{text}" if opened else text)

    def _refuse_nothing(self, told: Sequence[Told]) -> None:
        """One text may be too long for a server; where it takes none at all, it is asked in a wrong way."""
        self._has_answered |= any(each.finish != "failed" for each in told)
        if len(told) > 1 and not self._has_answered:
            raise SteerxError(
                f"the server {self._asker.server.url} gives none of {len(told)} descriptions (the first: "
                f"{told[0].error}): name the --model as it calls it, or another --endpoint"
            )
