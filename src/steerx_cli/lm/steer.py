"""Vectors added to what one decoder block gives, each to its own rows (Eq. 6 and 18)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.lm.blocks import changing, width_of

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model

Vector: TypeAlias = NDArray[np.float32]
Positions: TypeAlias = Literal["generated", "strict", "all", "last"]


@dataclass(frozen=True)
class Steering:
    """Where vectors are added: behind which block, and at which of a row's tokens."""

    layer: int
    # generated: all that is written, and the prompt's last token, which foretells the first of it; strict: without that
    # one; last: that one alone; all: the whole prompt, too.
    positions: Positions = "generated"

    @property
    def reads_whole(self) -> bool:
        """Whether a prompt is read with its last token. Else that one is a step of its own, as it is steered."""
        return self.positions in ("strict", "all")


class Steer:
    """Adds vectors while it is told to."""

    def __init__(self, model: "Model", layer: int, rows: int) -> None:
        self._model, self._layer, self._width = model, layer, width_of(model)
        # A recorded step looks at this very tensor.
        self._rows = torch.zeros(rows, self._width, device=model.device)
        self._added: torch.Tensor | None = None

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The hook is there for as long as this lasts, and does nothing yet."""
        with changing(self._model, self._layer, self._change):
            yield

    def put(self, vectors: Mapping[int, Vector]) -> None:
        """What is added to which row from now on."""
        self._rows.zero_()
        if vectors:
            rows = torch.tensor(list(vectors), device=self._rows.device)
            self._rows[rows] = torch.from_numpy(np.stack([*vectors.values()])).to(self._rows.device)

    @contextmanager
    def to_rows(self) -> Iterator[None]:
        """Add to each row its own."""
        with self._adding(self._rows[:, None]):
            yield

    @contextmanager
    def to_all(self, vector: Vector) -> Iterator[None]:
        """Add the same to every token."""
        with self._adding(torch.from_numpy(vector).to(self._rows.device)[None, None]):
            yield

    @contextmanager
    def _adding(self, added: torch.Tensor) -> Iterator[None]:
        self._added = added
        try:
            yield
        finally:
            self._added = None

    def _change(self, output: torch.Tensor) -> torch.Tensor | None:
        if self._added is None:
            return None
        return (output + self._added[: len(output)]).to(output.dtype)  # the sum is formed in float32
