"""Token ids of texts that go through a model side by side."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]


def pad(ids: Sequence[Ids], filler: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One row a text, filled up on the right, and which of its places are the text's."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(max(1, lengths.max())) < lengths[:, None]
    tokens = np.full(mask.shape, filler, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask
