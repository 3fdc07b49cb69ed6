"""Attention of our own: a model is run by its own code, and what its layers look at is for us to say.

In transformers this is an attention function under a name of its own, so every model that asks for its attention by
name can be run in this way. What is looked at is up to a `Way`: pieces of a tree side by side in one row (`packing`),
or rows that grow token by token (`slots`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model

NAME = "steerx"
KeysValues = tuple[torch.Tensor, torch.Tensor]  # [rows, heads, tokens, width] each


class Lookup(NamedTuple):
    """What one layer looks up: the tensors are [rows, heads, tokens, width]."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scaling: float | None = None
    window: int | None = None  # how many of the last tokens each sees, itself included
    cap: float | None = None  # Gemma 2's scores never exceed it
    sinks: torch.Tensor | None = None  # gpt-oss: a score for each head that takes weight and gives nothing

    def of(self, rows: slice) -> "Lookup":
        """What some of the rows look up."""
        return self._replace(query=self.query[rows], key=self.key[rows], value=self.value[rows])


class Way(Protocol):
    """What the tokens that go through a model look at."""

    def attend(self, layer: int, lookup: Lookup) -> torch.Tensor:
        """What a layer finds: [rows, tokens, heads, width]."""


_way: ContextVar[Way] = ContextVar("way")


@contextmanager
def borrowed(model: "Model") -> Iterator[None]:
    """Have a model's layers ask here for their attention; inside of another `borrowed` it costs next to nothing."""
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    if before == NAME:
        yield
        return
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def attending(model: "Model", way: Way) -> Iterator[None]:
    """Let a model's layers attend in this way."""
    with borrowed(model):
        token = _way.set(way)
        try:
            yield
        finally:
            _way.reset(token)


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
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of one layer, as transformers calls it."""
    wanted = [name for name, value in others.items() if value is not None and name not in _OF_NO_EFFECT]
    if sliding_window is None and _slides(module):
        wanted.append("a window that it does not tell")
    if wanted or attention_mask is not None:
        raise Unsupported(", ".join(wanted) or "a mask")
    lookup = Lookup(query, key, value, scaling, sliding_window, softcap, s_aux)
    return _way.get().attend(module.layer_idx, lookup), None  # type: ignore[arg-type]  # an int in every model


def _slides(module: torch.nn.Module) -> bool:
    """Whether a layer looks back through a window only, by the model's own settings."""
    config, layer = module.config, module.layer_idx
    if getattr(config, "layer_types", None):
        return bool(config.layer_types[layer] == "sliding_attention")  # type: ignore[union-attr,index]
    return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)


def under_mask(lookup: Lookup, query: torch.Tensor, keys: KeysValues, seen: torch.Tensor | None) -> torch.Tensor:
    """Attention under a mask of what is seen; without one every token sees all up to its own."""
    if lookup.cap is not None or lookup.sinks is not None:
        return _spelled_out(lookup, query, keys, seen)
    return torch.nn.functional.scaled_dot_product_attention(
        query, *keys, attn_mask=seen, is_causal=seen is None, scale=lookup.scaling
    )


def _spelled_out(lookup: Lookup, query: torch.Tensor, keys: KeysValues, seen: torch.Tensor | None) -> torch.Tensor:
    """The same where scores are capped or have sinks beside them, which no kernel of PyTorch's knows."""
    scaling = query.shape[-1] ** -0.5 if lookup.scaling is None else lookup.scaling
    scores = query.float() @ keys[0].float().transpose(-1, -2) * scaling
    if lookup.cap is not None:
        scores = torch.tanh(scores / lookup.cap) * lookup.cap
    if seen is None:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~seen, -torch.inf)
    if lookup.sinks is not None:
        sinks = lookup.sinks.float().reshape(1, query.shape[1], -1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sinks], -1)
    weights = scores.softmax(-1)[..., : keys[0].shape[2]]
    return (weights @ keys[1].float()).to(query.dtype)
