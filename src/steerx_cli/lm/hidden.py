"""Hidden states of texts, at some layers (Eq. 5 and 17): what they begin with together is computed once, and the pass
through the model ends behind the last of these layers."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.lm.blocks import block, outputs_of, width_of
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.packing import Piece
from steerx_cli.lm.rows import Ids, pad
from steerx_cli.lm.runs import Run, Runner

States = NDArray[np.float32]  # [texts, layers, width]


class Hidden:
    """Reads texts as far as some layers; at most `batch_tokens` tokens go through the model at once."""

    def __init__(self, lm: CausalLM, layers: Sequence[int], batch_tokens: int) -> None:
        for layer in layers:
            block(lm.model, layer)  # refused here, before anything is read
        self._shape = len(layers), width_of(lm.model)
        self._runner = Runner(_Lower(lm, layers), batch_tokens)

    @torch.inference_mode()
    def means(self, texts: Sequence[Ids], firsts: Sequence[int], tally: Counter[str]) -> States:
        """The mean of each text's states from one of its tokens on: from the last one, it is that one's."""
        sums = np.zeros((len(texts), *self._shape))
        self._runner.run(texts, firsts, partial(self._add, sums), tally)
        counts = np.array([len(ids) - first for ids, first in zip(texts, firsts, strict=True)])
        return np.asarray(sums / counts.reshape(-1, 1, 1), np.float32)

    @staticmethod
    def _add(sums: NDArray[np.float64], runs: Sequence[Run], states: torch.Tensor) -> None:
        start = 0
        for run in runs:
            for each in run.wanted:
                rows = states[start + each.first : start + each.first + each.stop - each.start]
                sums[each.sequence] += rows.double().sum(0).cpu().numpy()
            start += len(run.ids)


class _Lower:
    """A model up to the last of some layers; its state at a token is [layers, width]."""

    def __init__(self, lm: CausalLM, layers: Sequence[int]) -> None:
        self.model, self.packs = lm.model, lm.packs
        self._lm, self._layers = lm, layers

    def states_packed(self, pieces: Sequence[tuple[Piece, Sequence[int]]]) -> torch.Tensor:
        """At every token of the pieces, in one row."""
        found = outputs_of(self.model, self._layers, lambda: self._lm.states_packed(pieces))
        return torch.stack([found[layer][0] for layer in self._layers], 1)

    def states_padded(self, rows: Sequence[Ids]) -> torch.Tensor:
        """At every token of whole texts."""
        found = outputs_of(self.model, self._layers, lambda: self._lm.states_padded(rows))
        kept = torch.from_numpy(pad(rows, 0)[1]).to(self.model.device)
        return torch.stack([found[layer][kept] for layer in self._layers], 1)
