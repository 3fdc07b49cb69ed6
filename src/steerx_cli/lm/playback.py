"""One token more for every row; on a GPU a step is recorded once for its sizes and played back.

There most of a step's time would go into telling the GPU what to do, one small operation after the other.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import torch

from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.slots import Slots

_RECORDINGS = 16  # each holds memory of its own
Play: TypeAlias = Callable[[], torch.Tensor]
Record: TypeAlias = Callable[[Play], Play]


def record_on_gpu(work: Play) -> Play:
    """Do the work, and give a way to do the same again on the same tensors."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(aside):
            work()  # libraries choose their ways and take their memory, which cannot be recorded
            torch.cuda.set_sync_debug_mode("error")
            work()  # what asks for a result before it goes on is found out here, where it does no harm
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        states = work()

    def play() -> torch.Tensor:
        graph.replay()
        return states

    return play


class Player:
    """Runs steps, each on the tokens that its rows have last."""

    def __init__(self, lm: CausalLM, slots: Slots, record: Record | None, tally: Counter[str]) -> None:
        self._lm, self._slots, self._record, self._tally = lm, slots, record, tally
        self._recorded: dict[tuple[int, ...], tuple[torch.Tensor, Play]] = {}
        self._rooms: tuple[int, ...] = ()

    def step(self, tokens: list[int]) -> torch.Tensor:
        """The states at these tokens, which from now on are part of what the rows hold."""
        given = torch.tensor(tokens, device=self._lm.model.device)
        states = self._played(given) if self._record else self._run(given)
        self._slots.advance()
        return states

    def _run(self, tokens: torch.Tensor, fixed: bool = False) -> torch.Tensor:
        self._slots.begin(fixed)
        return self._lm.states_stepped(self._slots, tokens)

    def _played(self, tokens: torch.Tensor) -> torch.Tensor:
        """What was recorded looks at the slots' own tensors: those are others when their room has grown."""
        assert self._record
        rows, rooms = self._slots.rows, self._slots.rooms
        if rooms != self._rooms:
            self._recorded, self._rooms = {}, rooms
        if rows not in self._recorded:
            if len(self._recorded) == _RECORDINGS:
                del self._recorded[next(iter(self._recorded))]
            given = tokens.clone()
            try:
                self._recorded[rows] = given, self._record(lambda: self._run(given, fixed=True))
            except RuntimeError as error:
                if ran_out(error):
                    raise
                self._tally["batches whose steps cannot be played back"] += 1
                self._record = None
                return self._run(tokens)
        given, play = self._recorded[rows]
        given.copy_(tokens)
        return play()
