"""log p of texts in the ways that are usual in the field: each gives it, and how many tokens went through the model."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedModel

from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.score import Asked, Scorer

LogP = list[list[float]]  # of each text's tokens
Score = Callable[[Sequence[Asked]], tuple[LogP, int]]
Prepare = Callable[[PreTrainedModel], Score]  # what is done once for a model


BATCH_TOKENS = 8192  # as without --batch-tokens


def steerx(model: PreTrainedModel, loaded: type[CausalLM] = CausalLM) -> Score:
    """As `steerx score-tokens` has it."""
    tokenizer: Any = SimpleNamespace(is_fast=True)  # ids are scored, so nothing else is asked of it
    scorer = Scorer(loaded(model, tokenizer), BATCH_TOKENS)

    def score(asked: Sequence[Asked]) -> tuple[LogP, int]:
        scored = scorer.score(asked)
        return [values.tolist() for values in scored.values], scored.counts["tokens run through the model"]

    return score


def _told(every: torch.Tensor, asked: Asked) -> list[float]:
    """Those of the text's tokens among the log p of every word, of which the last row foretells its end."""
    tokens = torch.from_numpy(asked.text).long()[:, None]
    found: list[float] = every[-len(tokens) :].gather(-1, tokens)[:, 0].tolist()
    return found


def one_by_one(model: PreTrainedModel) -> Score:
    """One sequence at a time, the logits of all its tokens."""

    @torch.inference_mode()
    def score(asked: Sequence[Asked]) -> tuple[LogP, int]:
        values = []
        for one in asked:
            ids = torch.from_numpy(one.seen).long()[None]
            logits = model(input_ids=ids, use_cache=False).logits[0]
            values.append(_told(logits.float().log_softmax(-1), one))
        return values, sum(len(one.seen) for one in asked)

    return score


def targets_only(model: PreTrainedModel) -> Score:
    """One sequence at a time, logits only where a token of the text is foretold."""

    @torch.inference_mode()
    def score(asked: Sequence[Asked]) -> tuple[LogP, int]:
        values = []
        for one in asked:
            ids = torch.from_numpy(one.seen).long()[None]
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(one.text)).logits[0]
            values.append(_told(logits.float().log_softmax(-1), one))
        return values, sum(len(one.seen) for one in asked)

    return score


def distinct(model: PreTrainedModel) -> Score:
    """The same, each sequence once however often it is asked for."""
    once = targets_only(model)

    def score(asked: Sequence[Asked]) -> tuple[LogP, int]:
        keys = [(one.before.tobytes(), one.text.tobytes()) for one in asked]
        every = dict(zip(keys, asked, strict=True))
        values, tokens = once(list(every.values()))
        found = dict(zip(every, values, strict=True))
        return [found[key] for key in keys], tokens

    return score


def padded(model: PreTrainedModel) -> Score:
    """Eight sequences at a time as they come, filled up to the longest, the logits of all tokens."""

    @torch.inference_mode()
    def score(asked: Sequence[Asked]) -> tuple[LogP, int]:
        values, tokens = [], 0
        for start in range(0, len(asked), 8):
            batch = asked[start : start + 8]
            rows = [torch.from_numpy(one.seen).long() for one in batch]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            every = logits.log_softmax(-1)
            values += [_told(some[: len(one.seen)], one) for some, one in zip(every, batch, strict=True)]
            tokens += ids.numel()
        return values, tokens

    return score
