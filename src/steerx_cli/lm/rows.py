"""Token ids of texts that go through a model side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids: TypeAlias = NDArray[np.int32]

_TEXTS_AT_ONCE = 1024  # a tokenizer keeps about 100 bytes a token until it has done the whole list


def tokenize(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], longest: int) -> tuple[list[Ids], list[bool]]:
    """The ids of each text, cut to `longest` with the tokenizer's special ones, and which of them were cut."""
    found: list[list[int]] = []
    cut: list[bool] = []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[start : start + _TEXTS_AT_ONCE]
        ids = _ids(tokenizer, some)
        too_long = [row for row, all_ids in enumerate(ids) if len(all_ids) > longest]
        if too_long:  # once more, because only the tokenizer knows which special ids a cut text keeps
            for row, kept in zip(too_long, _ids(tokenizer, [some[row] for row in too_long], longest), strict=True):
                ids[row] = kept
        found += ids
        cut += [row in too_long for row in range(len(some))]
    return [np.array(row, dtype=np.int32) for row in found], cut


def _ids(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], longest: int | None = None) -> list[list[int]]:
    encoded = tokenizer(
        list(texts),
        truncation=longest is not None,
        max_length=longest,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return list(encoded["input_ids"])


def pad(ids: Sequence[Ids], filler: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One row a text, filled up on the right, and which of its places are the text's."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(max(1, lengths.max())) < lengths[:, None]
    tokens = np.full(mask.shape, filler, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask
