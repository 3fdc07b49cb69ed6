"""log p of texts after prompts, by teacher forcing: every distinct beginning is computed once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.runs import Run, Runner


class Asked(NamedTuple):
    """What comes before a text, and the text."""

    before: Ids
    text: Ids

    @property
    def seen(self) -> Ids:
        """What the model looks at: the last token is only foretold."""
        return np.concatenate([self.before, self.text[:-1]])


@dataclass(frozen=True)
class Scored:
    """log p of every token of each text, and what that took."""

    values: list[NDArray[np.float32]]
    counts: Mapping[str, int]


class Scorer:
    """Runs a model over texts; at most `batch_tokens` tokens go through it at once."""

    def __init__(self, lm: CausalLM, batch_tokens: int) -> None:
        self._lm, self._runner = lm, Runner(lm, batch_tokens)

    def score(self, asked: Sequence[Asked]) -> Scored:
        """log p of each text's tokens given what comes before them."""
        values = [np.zeros(len(one.text), np.float32) for one in asked]
        places = [place for place, one in enumerate(asked) if len(one.text)]
        tally: Counter[str] = Counter()
        read = partial(self._read, [asked[place] for place in places], [values[place] for place in places])
        firsts = [len(asked[place].before) - 1 for place in places]
        self._runner.run([asked[place].seen for place in places], firsts, read, tally)
        return Scored(values, tally)

    def _read(
        self, asked: Sequence[Asked], values: list[NDArray[np.float32]], runs: Sequence[Run], states: torch.Tensor
    ) -> None:
        """Put the log p that a batch's states tell into their places."""
        starts = np.cumsum([0, *(len(run.ids) for run in runs)])
        found = [(start + each.first, each) for start, run in zip(starts, runs, strict=False) for each in run.wanted]
        if not found:
            return
        sizes = [each.stop - each.start for _, each in found]
        rows = np.concatenate([np.arange(at, at + size) for (at, _), size in zip(found, sizes, strict=True)])
        tokens = np.concatenate([asked[each.sequence].text[each.start : each.stop] for _, each in found])
        # The same text asked for again is the same token at the same place: the head looks at it once.
        (rows, tokens), places = np.unique([rows, tokens], axis=1, return_inverse=True)
        told = self._lm.log_p(states[torch.from_numpy(rows).to(states.device)], tokens.tolist()).numpy()[places]
        for (_, each), some in zip(found, np.split(told, np.cumsum(sizes)[:-1]), strict=True):
            values[each.sequence][each.start : each.stop] = some
