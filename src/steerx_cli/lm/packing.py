"""Attention over a row that holds many pieces of text: each sees the text it continues and itself, nothing else.

The pieces' tokens go through a model side by side, without padding, and on a CPU without masks. What a piece continues
(the nodes above it in a tree of token sequences) went through the model before; its keys and values are kept and not
copied for each piece. In transformers this is an attention function under a name of its own, so every model that asks
for its attention by name can be run in this way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model

NAME = "steerx_packed"
KeysValues = tuple[torch.Tensor, torch.Tensor]  # [1, heads, tokens, width] each


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


_packing: ContextVar[Packing] = ContextVar("packing")


@contextmanager
def packed(model: "Model", packing: Packing) -> Iterator[None]:
    """Let a model's attention be that of the pieces."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = model.config._attn_implementation
    token = _packing.set(packing)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        _packing.reset(token)


# What models hand on to every attention, and what says nothing that is not known here.
_OF_NO_EFFECT = {"dropout", "is_causal", "position_ids", "output_attentions", "output_hidden_states", "use_cache"}
_OF_NO_EFFECT |= {"cache_position", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}


class Unsupported(Exception):
    """The model wants something of its attention that is not done here."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of one layer, as transformers calls it."""
    wanted = [name for name, value in others.items() if value is not None and name not in _OF_NO_EFFECT]
    if sliding_window is None and _slides(module):
        wanted.append("a window that it does not tell")
    if wanted or attention_mask is not None or len(query) > 1:
        raise Unsupported(", ".join(wanted) or "a mask or several rows")
    packing = _packing.get()
    packing.keep(module.layer_idx, key, value)  # type: ignore[arg-type]  # an int in every model
    row = _Row(query, key, value, scaling, sliding_window)
    output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])
    for group in packing.groups:
        above = _above(row, group, module.layer_idx)  # type: ignore[arg-type]
        windowed = sliding_window is not None and above[0].shape[2] + _longest(group) > sliding_window
        way = _masked if windowed or query.device.type != "cpu" else _merged
        for place, found in way(row, group, above):
            output[:, place] = found.transpose(1, 2)
    return output, None


class _Row(NamedTuple):
    """What one layer asks for all pieces of a row: [1, heads, tokens, width] each."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scaling: float | None
    window: int | None


def _slides(module: torch.nn.Module) -> bool:
    """Whether a layer looks back through a window only, by the model's own settings."""
    config, layer = module.config, module.layer_idx
    if getattr(config, "layer_types", None):
        return bool(config.layer_types[layer] == "sliding_attention")  # type: ignore[union-attr,index]
    return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)


def _longest(group: Group) -> int:
    return max(int(place.stop - place.start) for place in group.places)


def _above(row: _Row, group: Group, layer: int) -> KeysValues:
    """The keys and values of everything that a group continues."""
    if not group.above:
        return row.key[:, :, :0], row.value[:, :, :0]
    kept = [piece.layers[layer] for piece in group.above]
    if len(kept) == 1:
        return kept[0]
    return torch.cat([keys for keys, _ in kept], 2), torch.cat([values for _, values in kept], 2)


Found = Iterator[tuple[slice, torch.Tensor]]


def _merged(row: _Row, group: Group, above: KeysValues) -> Found:
    """Attention to the text itself and to what is above it apart, put together by their normalisers: no mask at all."""
    if not above[0].shape[2]:
        yield from ((place, _own(row, place)[0]) for place in group.places)
        return
    keys, values = above
    query = row.query[:, :, group.place]
    # Query heads that share a key head lie behind one another, so that no key has to be copied for them.
    found, weight = _flash(query.reshape(1, keys.shape[1], -1, query.shape[-1]), keys, values, False, row.scaling)
    found, weight = found.reshape(*query.shape[:3], -1), weight.reshape(query.shape[:3])
    for place in group.places:
        here = slice(place.start - group.place.start, place.stop - group.place.start)
        own, own_weight = _own(row, place)
        share = torch.sigmoid(weight[:, :, here] - own_weight)[..., None]
        yield place, torch.lerp(own.float(), found[:, :, here].float(), share)


def _own(row: _Row, place: slice) -> KeysValues:
    """A text's attention to itself, and the logarithm of its normaliser."""
    return _flash(row.query[:, :, place], row.key[:, :, place], row.value[:, :, place], True, row.scaling)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool, scaling: float | None
) -> KeysValues:
    """PyTorch's own attention for CPUs, with the logarithm of its normaliser, which its public function keeps back."""
    output, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, causal, scale=scaling
    )
    return output, normaliser


def _masked(row: _Row, group: Group, above: KeysValues) -> Found:
    """Attention to the text and what is above it at once, under a mask: where a window is narrower, and on a GPU."""
    copies = row.query.shape[1] // row.key.shape[1]
    for place in group.places:
        # Each query head gets a copy of its keys: under a mask, GPUs have a quick way for no other layout.
        keys = torch.cat([above[0], row.key[:, :, place]], 2).repeat_interleave(copies, 1)
        values = torch.cat([above[1], row.value[:, :, place]], 2).repeat_interleave(copies, 1)
        seen, query = _seen(keys, above[0].shape[2], row.window), row.query[:, :, place]
        yield (
            place,
            torch.nn.functional.scaled_dot_product_attention(
                query, keys, values, attn_mask=seen, is_causal=seen is None, scale=row.scaling
            ),
        )


def _seen(keys: torch.Tensor, above: int, window: int | None) -> torch.Tensor | None:
    """Which keys each token of a text sees; None where that is all up to its own."""
    if not above and window is None:
        return None
    looked_at = torch.arange(keys.shape[2], device=keys.device)
    last = looked_at[above:, None]
    return (looked_at <= last) & (looked_at > last - (window or keys.shape[2]))
