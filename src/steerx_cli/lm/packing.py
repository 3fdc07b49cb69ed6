"""Attention over a row that holds many pieces of text: each sees the text it continues and itself, nothing else.

The pieces' tokens go through a model side by side, without padding, and on a CPU without masks. What a piece continues
(the nodes above it in a tree of token sequences) went through the model before; its keys and values are kept and not
copied for each piece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import torch

from steerx_cli.lm.attention import KeysValues, Lookup, Unsupported, under_mask


@dataclass(eq=False)
class Piece:
    """Tokens that continue other pieces; `layers` are its keys and values once it has been run, if they are kept."""

    length: int
    above: "tuple[Piece, ...]" = ()  # what it continues, from the beginning
    kept: bool = False
    layers: dict[int, KeysValues] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """How many tokens stand before its own."""
        return sum(piece.length for piece in self.above)


@dataclass(frozen=True)
class Group:
    """Neighbours that continue the same pieces, and where they lie in the row."""

    above: tuple[Piece, ...]
    places: tuple[slice, ...]

    @property
    def place(self) -> slice:
        """Where they lie together."""
        return slice(self.places[0].start, self.places[-1].stop)


class Packing:
    """The pieces of one row."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = list(pieces)
        stops = torch.tensor([0, *(piece.length for piece in pieces)]).cumsum(0).tolist()
        self.places = [slice(start, stop) for start, stop in pairwise(stops)]
        placed = zip(self.pieces, self.places, strict=True)
        self.groups = [
            Group(above, tuple(place for _, place in some))
            for above, some in groupby(placed, lambda pair: pair[0].above)
        ]

    def positions(self) -> torch.Tensor:
        """Where each token stands in its own text."""
        return torch.cat([torch.arange(piece.start, piece.start + piece.length) for piece in self.pieces])

    def keep(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Remember what later pieces will look at."""
        for piece, place in zip(self.pieces, self.places, strict=True):
            if piece.kept:
                piece.layers[layer] = keys[:, :, place].clone(), values[:, :, place].clone()

    def attend(self, layer: int, lookup: Lookup) -> torch.Tensor:
        """What a layer finds for the row."""
        if len(lookup.query) > 1:
            raise Unsupported("several rows")
        self.keep(layer, lookup.key, lookup.value)
        heads, tokens = lookup.query.shape[1:3]
        output = lookup.query.new_empty(1, tokens, heads, lookup.value.shape[-1])
        for group in self.groups:
            above = _above(lookup, group, layer)
            way = _merged if self._merges(lookup, group, above) else _masked
            for place, part in way(lookup, group, above):
                output[:, place] = part.transpose(1, 2)
        return output

    @staticmethod
    def _merges(lookup: Lookup, group: Group, above: KeysValues) -> bool:
        """Whether a text and what is above it can be looked at apart: on a CPU, where each token sees all of both."""
        windowed = lookup.window is not None and above[0].shape[2] + _longest(group) > lookup.window
        plain = lookup.cap is None and lookup.sinks is None
        return plain and not windowed and lookup.query.device.type == "cpu"


def _longest(group: Group) -> int:
    return max(int(place.stop - place.start) for place in group.places)


def _above(lookup: Lookup, group: Group, layer: int) -> KeysValues:
    """The keys and values of everything that a group continues."""
    if not group.above:
        return lookup.key[:, :, :0], lookup.value[:, :, :0]
    kept = [piece.layers[layer] for piece in group.above]
    if len(kept) == 1:
        return kept[0]
    return torch.cat([keys for keys, _ in kept], 2), torch.cat([values for _, values in kept], 2)


Found = Iterator[tuple[slice, torch.Tensor]]


def _merged(lookup: Lookup, group: Group, above: KeysValues) -> Found:
    """Attention to the text itself and to what is above it apart, put together by their normalisers: no mask at all."""
    if not above[0].shape[2]:
        yield from ((place, _own(lookup, place)[0]) for place in group.places)
        return
    keys, values = above
    query = lookup.query[:, :, group.place]
    # Query heads that share a key head lie behind one another, so that no key has to be copied for them.
    found, weight = _flash(query.reshape(1, keys.shape[1], -1, query.shape[-1]), keys, values, False, lookup.scaling)
    found, weight = found.reshape(*query.shape[:3], -1), weight.reshape(query.shape[:3])
    for place in group.places:
        here = slice(place.start - group.place.start, place.stop - group.place.start)
        own, own_weight = _own(lookup, place)
        share = torch.sigmoid(weight[:, :, here] - own_weight)[..., None]
        yield place, torch.lerp(own.float(), found[:, :, here].float(), share)


def _own(lookup: Lookup, place: slice) -> KeysValues:
    """A text's attention to itself, and the logarithm of its normaliser."""
    return _flash(lookup.query[:, :, place], lookup.key[:, :, place], lookup.value[:, :, place], True, lookup.scaling)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool, scaling: float | None
) -> KeysValues:
    """PyTorch's own attention for CPUs, with the logarithm of its normaliser, which its public function keeps back."""
    output, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, causal, scale=scaling
    )
    return output, normaliser


def _masked(lookup: Lookup, group: Group, above: KeysValues) -> Found:
    """Attention to the text and what is above it at once, under a mask: where a window is narrower, and on a GPU."""
    copies = lookup.query.shape[1] // lookup.key.shape[1]
    for place in group.places:
        # Each query head gets a copy of its keys: under a mask, GPUs have a quick way for no other layout.
        keys = torch.cat([above[0], lookup.key[:, :, place]], 2).repeat_interleave(copies, 1)
        values = torch.cat([above[1], lookup.value[:, :, place]], 2).repeat_interleave(copies, 1)
        seen, query = _seen(keys, above[0].shape[2], lookup.window), lookup.query[:, :, place]
        yield place, under_mask(lookup, query, (keys, values), seen)


def _seen(keys: torch.Tensor, above: int, window: int | None) -> torch.Tensor | None:
    """Which keys each token of a text sees; None where that is all up to its own."""
    if not above and window is None:
        return None
    looked_at = torch.arange(keys.shape[2], device=keys.device)
    last = looked_at[above:, None]
    return (looked_at <= last) & (looked_at > last - (window or keys.shape[2]))
