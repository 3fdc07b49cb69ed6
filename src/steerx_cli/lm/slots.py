"""Rows that grow token by token: each keeps its keys and values in a slot of its own, filled up to its own length.

The rows of a request's first streams lie in one lane, those of the second in another: they are about equally long, so
little is looked at that is not there. Within a lane the rows in use are the first ones; where one is let go, the last
takes its place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil
from typing import Any

import torch

from steerx_cli.lm.attention import KeysValues, Lookup, under_mask

_BLOCK = 4  # rows that are looked at together on a CPU: what is masked is looked at, too, up to the longest of them
Layers = dict[int, KeysValues]  # of one text, by layer: [heads, tokens, width] each


@dataclass(frozen=True)
class Grain:
    """What sizes are rounded up to: on a GPU, a step whose sizes stay as they were can be played back as it is."""

    rows: int = 1
    tokens: int = 64

    def of_rows(self, used: int, most: int) -> int:
        """How many rows go through the model where so many are in use."""
        return min(most, ceil(used / self.rows) * self.rows)

    def of_tokens(self, tokens: int) -> int:
        """How many tokens a slot holds where so many are needed."""
        return ceil(tokens / self.tokens) * self.tokens


@dataclass(eq=False)
class Lane:
    """Slots side by side."""

    slots: int
    grain: Grain
    device: torch.device
    owners: list[object] = field(default_factory=list)  # whose row each is, as far as they are in use
    lengths: list[int] = field(default_factory=list)
    layers: Layers = field(default_factory=dict)  # [slots, heads, room, width] each

    def __post_init__(self) -> None:
        """The same lengths where the model can see them, and which slots are in use."""
        self.filled = torch.zeros(self.slots, dtype=torch.long, device=self.device)
        self._grows = torch.zeros(self.slots, dtype=torch.long, device=self.device)
        self._places = torch.arange(self.slots, device=self.device)

    @property
    def rows(self) -> int:
        """How many go through the model."""
        return self.grain.of_rows(len(self.owners), self.slots)

    @property
    def room(self) -> int:
        """How many tokens a slot holds."""
        return next(iter(self.layers.values()))[0].shape[2] if self.layers else 0

    # --- who is in it -------------------------------------------------------------------------------------------------

    def take(self, owner: object, layers: Layers) -> None:
        """Give a text the next slot."""
        row, tokens = len(self.owners), next(iter(layers.values()))[0].shape[1]
        if not self.layers:
            self.layers = {layer: (keys[None, :, :0], values[None, :, :0]) for layer, (keys, values) in layers.items()}
        self.make_room(tokens + 1)
        for layer, kept in layers.items():
            for there, new in zip(self.layers[layer], kept, strict=True):
                there[row, :, :tokens] = new
        self.owners.append(owner)
        self.lengths.append(tokens)
        self._tell(row, tokens, 1)

    def let_go(self, owner: object) -> None:
        """Free a row's slot; the last one moves into it."""
        row, last = self.owners.index(owner), len(self.owners) - 1
        tokens = self.lengths[last]
        for there in (tensor for pair in self.layers.values() for tensor in pair):
            if row < last:
                there[row] = there[last]
            there[last].zero_()  # what is masked still counts where it is no number
        if row < last:
            self._tell(row, tokens, 1)
        self._tell(last, 0, 0)
        self.owners[row], self.lengths[row] = self.owners[last], tokens
        del self.owners[last], self.lengths[last]

    def _tell(self, row: int, tokens: int, grows: int) -> None:
        self.filled[row], self._grows[row] = tokens, grows

    def make_room(self, tokens: int) -> None:
        """Let every slot hold so many tokens; a quarter more, so that this is seldom done."""
        if tokens > self.room:
            room = self.grain.of_tokens(tokens + tokens // 4)
            for layer, (keys, values) in self.layers.items():  # one after the other: both are never there of all
                self.layers[layer] = self._wider(keys, room), self._wider(values, room)

    def _wider(self, old: torch.Tensor, room: int) -> torch.Tensor:
        new = old.new_zeros(self.slots, old.shape[1], room, old.shape[3])
        new[: len(self.owners), :, : old.shape[2]] = old[: len(self.owners)]
        return new

    # --- one token more -----------------------------------------------------------------------------------------------

    def begin(self, fixed: bool) -> None:
        """Get ready for one more token in every row; with `fixed`, what is looked at does not hang on the lengths."""
        step = max(1, self.rows) if fixed else _BLOCK
        self._blocks = [slice(start, min(start + step, self.rows)) for start in range(0, self.rows, step)]
        self._looked_at = [self.room if fixed else max(self.lengths[block], default=0) + 1 for block in self._blocks]
        self._seen: dict[tuple[int, int | None], torch.Tensor] = {}

    def attend(self, layer: int, lookup: Lookup) -> torch.Tensor:
        """Keep each row's new key and value, and look at all that it has: [rows, 1, heads, width]."""
        rows, heads, _, width = lookup.query.shape
        keys, values = self.layers[layer]
        places, filled = self._places[:rows], self.filled[:rows]
        keys[places, :, filled], values[places, :, filled] = lookup.key[:, :, 0], lookup.value[:, :, 0]
        # Query heads that share a key head are as tokens of one, so that no key has to be copied for them.
        query = lookup.query.reshape(rows, keys.shape[1], -1, width)
        parts = []
        for number, (block, looked_at) in enumerate(zip(self._blocks, self._looked_at, strict=True)):
            kept = keys[block, :, :looked_at], values[block, :, :looked_at]
            parts.append(under_mask(lookup, query[block], kept, self._mask(number, lookup.window)))
        return torch.cat(parts).reshape(rows, 1, heads, -1)

    def _mask(self, number: int, window: int | None) -> torch.Tensor:
        key = number, window
        if key not in self._seen:
            last = self.filled[self._blocks[number], None]
            looked_at = torch.arange(self._looked_at[number], device=self.device)
            seen = looked_at <= last
            if window is not None:
                seen &= looked_at > last - window
            self._seen[key] = seen[:, None, None]
        return self._seen[key]

    def advance(self) -> None:
        """Every row in use has one token more."""
        self.filled += self._grows  # in place: a recorded step looks at this very tensor
        self.lengths = [tokens + 1 for tokens in self.lengths]


class Slots:
    """The lanes of all streams."""

    def __init__(self, lanes: int, slots: int, device: torch.device, grain: Grain) -> None:
        self.lanes = [Lane(slots, grain, device) for _ in range(lanes)]

    @property
    def rows(self) -> tuple[int, ...]:
        """How many of every lane go through the model."""
        return tuple(lane.rows for lane in self.lanes)

    @property
    def rooms(self) -> tuple[int, ...]:
        """How many tokens a slot of every lane holds."""
        return tuple(lane.room for lane in self.lanes)

    def rows_of(self, owner: object) -> dict[int, int]:
        """Where an owner's rows lie among all that go through the model, by lane."""
        starts = accumulate(self.rows, initial=0)
        return {
            index: start + lane.owners.index(owner)
            for index, (start, lane) in enumerate(zip(starts, self.lanes, strict=False))
            if owner in lane.owners
        }

    def let_go(self, owner: object) -> None:
        """Free all rows of an owner."""
        for lane in self.lanes:
            if owner in lane.owners:
                lane.let_go(owner)

    def last_tokens(self, of: Callable[[Any, int], int]) -> list[int]:
        """The token that every row goes on from, by its owner and lane; 0 where it is nobody's."""
        return [
            token
            for number, lane in enumerate(self.lanes)
            for token in [*(of(owner, number) for owner in lane.owners), *[0] * (lane.rows - len(lane.owners))]
        ]

    def positions(self) -> torch.Tensor:
        """Where the next token of every row stands."""
        return torch.cat([lane.filled[: lane.rows] for lane in self.lanes])

    def make_room(self) -> None:
        """Let every row have one token more."""
        for lane in self.lanes:
            lane.make_room(max(lane.lengths, default=-1) + 1)

    def begin(self, fixed: bool) -> None:
        """Get ready for one token more in every row; with `fixed`, what is done does not hang on the lengths."""
        for lane in self.lanes:
            lane.begin(fixed)

    def attend(self, layer: int, lookup: Lookup) -> torch.Tensor:
        """What a layer finds, lane by lane."""
        parts, start = [], 0
        for lane in self.lanes:
            if lane.rows:
                parts.append(lane.attend(layer, lookup.of(slice(start, start + lane.rows))))
                start += lane.rows
        return torch.cat(parts)

    def advance(self) -> None:
        """Every row has one token more."""
        for lane in self.lanes:
            lane.advance()
