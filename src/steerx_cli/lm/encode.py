"""Texts → vectors for dense retrieval, as Contriever makes them: the mean over a text's tokens of the last state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.models import ModelRequest, load_encoder
from steerx_cli.lm.rows import Ids, pad, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """The vectors of texts, and what had to be done to get them."""

    vectors: Vectors  # [texts, hidden]
    truncated: int  # distinct texts that were longer than the model takes
    halved: int  # times that a batch was halved for memory; with any, vectors are equal to 1e-5 only


class Encoder:
    """A loaded encoder; in float32 the texts beside a text move its vector by less than 1e-5."""

    def __init__(self, request: ModelRequest) -> None:
        self._model, self._tokenizer = load_encoder(request)
        self._longest = longest_input(self._model, self._tokenizer)

    def encode(
        self, texts: Sequence[str], batch_tokens: int, on_progress: Callable[[int], None] | None = None
    ) -> Encoded:
        """Encode each distinct text once, at most `batch_tokens` tokens at a time, padding counted.

        `on_progress` is told how many more of `texts` are done.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        places = np.array([rows[text] for text in texts], dtype=np.intp)
        uses = np.bincount(places, minlength=len(rows))
        ids, cut = tokenize(self._tokenizer, list(rows), self._longest)

        def report(batch: list[int]) -> None:
            if on_progress is not None:
                on_progress(int(uses[batch].sum()))

        vectors, halved = self._vectors(ids, batch_tokens, report)
        return Encoded(vectors[places], sum(cut), halved)

    def _vectors(self, ids: list[Ids], batch_tokens: int, on_batch: Callable[[list[int]], None]) -> tuple[Vectors, int]:
        """The vector of each row of ids, and how often a batch had to be halved."""
        vectors = np.zeros((len(ids), self._model.config.hidden_size), dtype=np.float32)
        waiting = sorted(range(len(ids)), key=lambda row: -len(ids[row]))  # longest first: memory runs out at once
        halved = 0
        while waiting:
            longest = len(ids[waiting[0]])
            batch = waiting[: fitting(longest, batch_tokens)]
            means = self._means([ids[row] for row in batch])
            if means is None:
                batch_tokens = len(batch) // 2 * longest  # for the batches after it too
                halved += 1
                continue
            vectors[batch] = means
            del waiting[: len(batch)]
            on_batch(batch)
        return vectors, halved

    def _means(self, ids: list[Ids]) -> Vectors | None:
        """The mean state of each row; None where they do not fit in memory together."""
        import torch

        tokens, mask = pad(ids, self._tokenizer.pad_token_id or 0)
        try:
            with torch.inference_mode():
                kept = torch.from_numpy(mask).to(self._model.device)
                states = self._model(
                    input_ids=torch.from_numpy(tokens).to(self._model.device), attention_mask=kept.long()
                ).last_hidden_state
                # Filled, not multiplied: the state of a row without any token may be NaN.
                total = states.float().masked_fill(~kept[..., None], 0.0).sum(1)
                means: Vectors = (total / kept.sum(1, keepdim=True).clamp(min=1)).cpu().numpy()
                return means
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if len(ids) == 1:
                raise SteerxError(
                    f"one text of {len(ids[0])} tokens does not fit in memory: choose a smaller dtype or model"
                ) from error
        torch.cuda.empty_cache()
        return None


def fitting(longest: int, batch_tokens: int) -> int:
    """How many texts, none longer than `longest` tokens, go together; one always does."""
    return max(1, batch_tokens // max(1, longest))


def longest_input(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens that the model takes, the tokenizer's own special ones counted."""
    names = ("max_encoder_position_embeddings", "max_position_embeddings")  # the first is LED's
    stated = (getattr(model.config, name, None) for name in names)
    positions = next((places for places in stated if places and places > 0), tokenizer.model_max_length)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa's kind count positions from the one after it
    return int(min(tokenizer.model_max_length, positions - (0 if padding is None else padding + 1)))
