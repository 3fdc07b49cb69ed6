"""A language model in two halves: the body turns ids into states, the head turns a state into log p of a token."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.attention import Unsupported, attending
from steerx_cli.lm.models import ModelRequest, end_tokens, load_causal_lm
from steerx_cli.lm.packing import Packing, Piece
from steerx_cli.lm.rows import Ids, pad

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model, Tokenizer
    from steerx_cli.lm.slots import Slots

# The logits that are there at once: on a CPU so few that they stay in its cache, which halves the head's time.
_ROWS, _WORDS_ON_CPU, _WORDS_ON_GPU = 512, 1024, 16384
_CLOSE = 1e-3  # nats; how far two ways to one log p may be apart, as a mean, when a model is tried out in float32


_held: "ContextVar[dict[ModelRequest, CausalLM] | None]" = ContextVar("held", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Keep the model that was loaded last, for when it is asked for again."""
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


class Mix(NamedTuple):
    """Which states are put together, and how: one row for each mixture, whose weights have the sum 1."""

    states: torch.Tensor  # [mixtures, streams], where each lies
    weights: torch.Tensor  # [mixtures, streams], in float32


class CausalLM:
    """A loaded model, tried out on a few tokens: can it be run in pieces, and is its head what it seems to be?"""

    def __init__(self, model: "Model", tokenizer: "Tokenizer") -> None:
        self.model, self.tokenizer = model, tokenizer
        self._body = model.base_model
        self._head = _Head(model)
        self.packs = self._try_out()

    @classmethod
    def load(cls, request: ModelRequest) -> "CausalLM":
        """Load the model that a person asked for; within `kept`, the one that was asked for last is there already."""
        held = _held.get()
        if held is None:
            return cls._load(request)
        if request not in held:
            held.clear()  # before the next one is loaded: there may be room for one only
            held[request] = cls._load(request)
        return held[request]

    @classmethod
    def _load(cls, request: ModelRequest) -> "CausalLM":
        model, tokenizer = load_causal_lm(request)
        if not tokenizer.is_fast:
            raise SteerxError(
                f"model {request.name!r} has a tokenizer that does not tell where its tokens lie: "
                "name a model with a tokenizer.json"
            )
        return cls(model, tokenizer)

    @property
    def window(self) -> int | None:
        """The most tokens that the model takes at once; None where it says nothing of that."""
        config = self.model.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None)
        # Phi-3's kind turns every position otherwise as soon as one text of a batch is longer than this.
        rope = getattr(config, "rope_parameters", None) or {}
        if rope.get("rope_type") == "longrope":
            longest = rope.get("original_max_position_embeddings", longest)
        return None if longest is None else int(longest)

    @cached_property
    def ends(self) -> frozenset[int]:
        """All of the tokens that end what the model writes; that of a fine-tuned one may be its tokenizer's alone."""
        own = getattr(self.tokenizer, "eos_token_id", None)
        return end_tokens(self.model) | ({own} if own is not None else set())

    @torch.inference_mode()
    def states_packed(self, pieces: "Sequence[tuple[Piece, Sequence[int]]]") -> torch.Tensor:
        """The state at every token of the pieces, in one row: [tokens, width]."""
        device = self.model.device
        packing = Packing([piece for piece, _ in pieces])
        row = torch.tensor([[token for _, ids in pieces for token in ids]], device=device)
        with attending(self.model, packing):
            found = self._body(input_ids=row, position_ids=packing.positions()[None].to(device), use_cache=False)
        states: torch.Tensor = found.last_hidden_state[0]
        return states

    @torch.inference_mode()
    def states_padded(self, rows: Sequence[Ids]) -> torch.Tensor:
        """The same for whole texts, by the model's own attention: filled up on the right, where no token looks."""
        ids, kept = (torch.from_numpy(array).to(self.model.device) for array in pad(rows, 0))
        states: torch.Tensor = self._body(input_ids=ids, use_cache=False).last_hidden_state[kept]
        return states

    @torch.inference_mode()
    def states_stepped(self, slots: "Slots", tokens: torch.Tensor) -> torch.Tensor:
        """The state at one token more of every row, in rows that grow: [rows, width]."""
        with attending(self.model, slots):
            positions = slots.positions()[:, None]
            found = self._body(input_ids=tokens[:, None], position_ids=positions, use_cache=False)
        states: torch.Tensor = found.last_hidden_state[:, 0]
        return states

    @torch.inference_mode()
    def mixed_logits(self, states: torch.Tensor, mix: Mix) -> torch.Tensor:
        """What the model foretells after its states, mixed: [mixtures, words], in float32."""
        return self._head.mixed(states, mix)

    @torch.inference_mode()
    def log_p(self, states: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """log p of the token that follows each state, in nats, in float32, on the CPU."""
        wanted = torch.tensor(tokens, device=states.device)
        starts = range(0, len(tokens), _ROWS)
        parts = [self._head.log_p(states[start : start + _ROWS], wanted[start : start + _ROWS]) for start in starts]
        return torch.cat([torch.zeros(0), *(part.cpu() for part in parts)])

    def _try_out(self) -> bool:
        """Hold both ways against the model's own logits, and tell whether it can be run in pieces."""
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(self._head.words, (min(16, self.window or 16),), generator=draw).tolist()
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids], device=self.model.device), use_cache=False).logits[0]
        true = logits[:-1].float().log_softmax(-1).cpu().gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        least = max(_CLOSE, 2 * torch.finfo(self.model.dtype).eps * float(logits.abs().max()))

        def close(states: torch.Tensor) -> bool:
            found = self.log_p(states[: len(true)], ids[1:][: len(states)])
            return bool((found - true[: len(found)]).abs().mean() <= least)

        self._refuse_strange(ids, close)
        return self._runs_in_pieces(ids, close)

    def _refuse_strange(self, ids: list[int], close: Callable[[torch.Tensor], bool]) -> None:
        name, half = self.model.config.name_or_path, len(ids) // 2
        try:
            states = self.states_padded([np.array(row, np.int32) for row in (ids, ids[:half])])
        except AttributeError as error:
            raise SteerxError(f"model {name!r} is built in a way that steerx does not know: name another") from error
        if not close(states[: len(ids)]):
            raise SteerxError(f"model {name!r} makes its logits in a way that steerx does not know: name another")
        if not close(states[len(ids) :]):
            raise SteerxError(f"model {name!r} looks at what comes after a token: name one that looks back only")

    def _runs_in_pieces(self, ids: list[int], close: Callable[[torch.Tensor], bool]) -> bool:
        if set(getattr(self.model.config.get_text_config(), "layer_types", None) or ()) - _LAYERS:
            return False
        half = len(ids) // 2
        above = Piece(half, kept=True)
        try:
            before = self.states_packed([(above, ids[:half])])
            after = self.states_packed([(Piece(len(ids) - half, (above,)), ids[half:]), (Piece(half), ids[:half])])
        except torch.OutOfMemoryError as error:
            raise SteerxError(
                f"model {self.model.config.name_or_path!r} leaves no memory to run in: choose a smaller dtype or model"
            ) from error
        except (Unsupported, AttributeError, TypeError, ValueError, RuntimeError):
            return False  # and every batch that is run without sharing is counted
        return close(torch.cat([before, after]))


_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class _Scaling:
    """What some families do with their logits: Gemma caps them, Cohere and Granite multiply and divide them."""

    factor: float
    cap: float | None

    @classmethod
    def of(cls, model: "Model") -> "_Scaling":
        config = model.config.get_text_config()
        factor = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        return cls(factor, getattr(config, "final_logit_softcapping", None))

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


class _Head:
    def __init__(self, model: "Model") -> None:
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._weight, self._bias = head.weight, getattr(head, "bias", None)
        self._scaled = _Scaling.of(model)

    @property
    def words(self) -> int:
        """How many the vocabulary has."""
        return len(self._weight)

    def log_p(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """In float32 whatever the weights are, some words of the vocabulary after the other."""
        states = states.float()
        total = torch.full(tokens.shape, -torch.inf, device=states.device)
        chosen = torch.zeros_like(total)
        for words in self._some_words(states):
            logits = self._logits(states, words)
            here = (tokens >= words.start) & (tokens < words.stop)
            chosen[here] = logits[here, tokens[here] - words.start]
            largest = logits.amax(-1, keepdim=True)  # logsumexp by hand: in place, it does not leave the cache
            total = torch.logaddexp(total, logits.sub_(largest).exp_().sum(-1).log_() + largest[:, 0])
        return chosen - total

    def mixed(self, states: torch.Tensor, mix: Mix) -> torch.Tensor:
        """The head is linear, so it runs on mixed states; where logits are capped they are mixed themselves."""
        states, weights = states[mix.states].float(), mix.weights[..., None]
        if self._scaled.cap is None:
            return self._all_logits(torch.sum(weights * states, 1))
        logits = self._all_logits(states.flatten(0, 1)).reshape(*mix.states.shape, -1)
        return torch.sum(weights * logits, 1)

    def _all_logits(self, states: torch.Tensor) -> torch.Tensor:
        parts = [self._logits(states, words) for words in self._some_words(states)]
        return torch.cat(parts, -1)

    def _some_words(self, states: torch.Tensor) -> Iterator[slice]:
        """The vocabulary, some words after the other."""
        step = _WORDS_ON_CPU if states.device.type == "cpu" else _WORDS_ON_GPU
        yield from (slice(start, start + step) for start in range(0, self.words, step))

    def _logits(self, states: torch.Tensor, words: slice) -> torch.Tensor:
        bias = None if self._bias is None else self._bias[words].float()
        return self._scaled(torch.nn.functional.linear(states, self._weight[words].float(), bias))
