"""Ways to write with several streams a request, as they are usual with transformers, and steerx's."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.request import Request
from steerx_cli.lm.rows import Ids

Tokens = list[list[int]]  # that each request was given
Write = Callable[[Sequence[Request]], Tokens]
Prepare = Callable[[PreTrainedModel, int], Write]  # what is done once for a model, which takes so many at once

# --- steerx -----------------------------------------------------------------------------------------------------------


def decoder(model: PreTrainedModel, batch: int, loaded: type[CausalLM] = CausalLM) -> Decoder:
    """steerx's own, which takes so many requests at once."""
    tokenizer: Any = SimpleNamespace(is_fast=True)  # ids are written, so nothing else is asked of it
    return Decoder(loaded(model, tokenizer), Decoding(batch_size=batch))


def written_by(decoder: Decoder, requests: Sequence[Request]) -> Tokens:
    """What comes of each request's one set of weights."""
    return [written.ids for (written,) in decoder.write(requests)[0]]


def steerx(model: PreTrainedModel, batch: int) -> Write:
    """All streams of all requests in one forward a token."""
    own = decoder(model, batch)
    return lambda requests: written_by(own, requests)


# --- transformers -----------------------------------------------------------------------------------------------------


class _Padded(NamedTuple):
    """Rows of one length, filled up on the left."""

    ids: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, rows: Sequence[Ids], model: PreTrainedModel) -> "_Padded":
        """The longest is the length."""
        most = max(map(len, rows))
        ids, mask = torch.zeros(2, len(rows), most, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, most - len(row) :], mask[place, most - len(row) :] = torch.from_numpy(row), 1
        return cls(ids.to(model.device), mask.to(model.device))

    def with_token(self, tokens: torch.Tensor) -> "_Padded":
        """One more in every row."""
        return _Padded(torch.cat([self.ids, tokens], 1), torch.cat([self.mask, self.mask.new_ones(tokens.shape)], 1))

    def some(self, rows: slice) -> "_Padded":
        """Some of the rows, as long as all of them."""
        return _Padded(self.ids[rows], self.mask[rows])


def _batches(requests: Sequence[Request], batch: int) -> Iterator[slice]:
    """As they come, so many at once."""
    return (slice(start, start + batch) for start in range(0, len(requests), batch))


def _longest(requests: Sequence[Request]) -> int:
    """A batch ends when its last row does."""
    return max(request.limit for request in requests)


def _each_its_own(tokens: torch.Tensor, requests: Sequence[Request]) -> Tokens:
    return [row[: one.limit] for row, one in zip(tokens.tolist(), requests, strict=True)]


def _generate(model: PreTrainedModel, prompts: _Padded, most: int, **settings: Any) -> Any:
    return model.generate(  # type: ignore[operator]
        prompts.ids, attention_mask=prompts.mask, max_new_tokens=most, do_sample=False, **settings
    )


Mixing = Callable[[Sequence[Request]], LogitsProcessor]


def _in_batches(model: PreTrainedModel, batch: int, mixing: Mixing | None = None) -> Write:
    """`generate()` of transformers on the first stream, and what is mixed in where there is anything."""

    @torch.inference_mode()
    def write(requests: Sequence[Request]) -> Tokens:
        found: Tokens = []
        for place in _batches(requests, batch):
            some = requests[place]
            prompts = _Padded.of([one.streams[0] for one in some], model)
            mixes = LogitsProcessorList([mixing(some)] if mixing else [])
            tokens = _generate(model, prompts, _longest(some), logits_processor=mixes)
            found += _each_its_own(tokens[:, prompts.ids.shape[1] :], some)
        return found

    return write


def unsteered(model: PreTrainedModel, batch: int) -> Write:
    """`generate()` on the first stream; the others cost nothing."""
    return _in_batches(model, batch)


class _OtherStreams(LogitsProcessor):
    """Runs the other streams beside `generate()`, each in a forward of its own, and mixes their logits in."""

    def __init__(self, model: PreTrainedModel, requests: Sequence[Request]) -> None:
        self._model = model
        streams = zip(*(request.streams for request in requests), strict=True)
        _, *self._rows = (_Padded.of(rows, model) for rows in streams)
        self._own, *self._weights = _weights(requests)
        self._caches = [DynamicCache(config=model.config) for _ in self._rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The logits of all streams, mixed."""
        if self._caches[0].get_seq_length():
            self._rows = [rows.with_token(input_ids[:, -1:]) for rows in self._rows]
        mixed: Any = self._own * scores
        for rows, cache, weight in zip(self._rows, self._caches, self._weights, strict=True):
            mixed = mixed + weight * self._logits(rows, cache)
        return mixed  # type: ignore[no-any-return]

    def _logits(self, rows: _Padded, cache: DynamicCache) -> torch.Tensor:
        done, positions = cache.get_seq_length(), (rows.mask.cumsum(1) - 1).clamp(min=0)
        found: torch.Tensor = self._model(
            input_ids=rows.ids[:, done:],
            attention_mask=rows.mask,
            position_ids=positions[:, done:],
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[:, -1]
        return found.float()


def _weights(requests: Sequence[Request]) -> tuple[float, ...]:
    """All requests have the same here."""
    ((weights,),) = {request.weights for request in requests}
    return weights


def processor(model: PreTrainedModel, batch: int) -> Write:
    """`generate()` on the first stream, the others in a logits processor."""
    return _in_batches(model, batch, partial(_OtherStreams, model))


def published(model: PreTrainedModel, batch: int) -> Write:
    """The algorithm of Context Steering's authors, greedy: all prompts of a stream are filled up to its longest, and
    each token takes one `generate()` a stream, from the cache of what stands before it."""

    @torch.inference_mode()
    def write(requests: Sequence[Request]) -> Tokens:
        streams = zip(*(request.streams for request in requests), strict=True)
        all_rows = [_Padded.of(rows, model) for rows in streams]
        found: Tokens = []
        for place in _batches(requests, batch):
            some = requests[place]
            tokens = _a_token_a_call(model, [rows.some(place) for rows in all_rows], _weights(some), _longest(some))
            found += _each_its_own(tokens, some)
        return found

    return write


def _a_token_a_call(
    model: PreTrainedModel, streams: list[_Padded], weights: Sequence[float], most: int
) -> torch.Tensor:
    caches = [DynamicCache(config=model.config) for _ in streams]
    tokens = []
    for _ in range(most):
        log_p = [_next(model, rows, cache) for rows, cache in zip(streams, caches, strict=True)]
        mixed = torch.stack([weight * each for weight, each in zip(weights, log_p, strict=True)]).sum(0)
        tokens.append(mixed.argmax(-1, keepdim=True))
        streams = [rows.with_token(tokens[-1]) for rows in streams]
    return torch.cat(tokens, 1)


def _next(model: PreTrainedModel, rows: _Padded, cache: DynamicCache) -> torch.Tensor:
    told = _generate(model, rows, 1, past_key_values=cache, return_dict_in_generate=True, output_scores=True)
    log_p: torch.Tensor = told.scores[0].log_softmax(-1)
    return log_p
