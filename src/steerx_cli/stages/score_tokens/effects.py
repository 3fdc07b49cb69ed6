"""Texts → Δ of each of their tokens: log p given the user's other histories, less log p given none (Eq. 10, 12)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.schemas import EFFECTS
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.score import Scorer
from steerx_cli.stages.score_tokens.arms import Arms, Prompter
from steerx_cli.stages.score_tokens.texts import Measure, Text, of_generations, of_histories

_CHARACTERS_AT_ONCE = 16_000_000  # of texts and their contexts: some hundred MB, once they are tokens


@dataclass(frozen=True)
class Measured:
    """A text, and log p of its tokens in either arm."""

    arms: Arms
    empty: NDArray[np.float32]
    informed: NDArray[np.float32] | None


class Effects:
    """Measures the texts of one chunk of users after the other."""

    def __init__(self, lm: CausalLM, measure: Measure) -> None:
        frame = make_frame(measure.prompt_format, lm.tokenizer)
        self._prompter = Prompter(lm.tokenizer, frame, measure, lm.window)
        self._scorer = Scorer(lm, measure.batch_tokens)
        self._measure = measure

    def __call__(self, tables: Tables) -> tuple[pl.DataFrame, Counts]:
        """One row for each text, and what had to be done to get it."""
        tally: Counter[str] = Counter()
        if self._measure.over == "generations":
            texts = of_generations(tables, self._measure, self._prompter, tally)
        else:
            texts = of_histories(tables, self._measure, self._prompter, tally)
        found = [row for some in _at_once(texts) for row in self._rows(some, tally)]
        return table_of(EFFECTS, found), dict(tally)

    def _rows(self, texts: Sequence[Text], tally: Counter[str]) -> list[dict[str, Any]]:
        """The rows of some texts; the prompts that they were measured with are let go."""
        arms = self._prompter.arms(texts)
        scored = self._scorer.score([asked for each in arms for asked in each.asked])
        if not all(np.isfinite(values).all() for values in scored.values):
            raise SteerxError(
                "the model gives probabilities that are no numbers: try --dtype float32 or another --model"
            )
        values = iter(scored.values)
        measured = [Measured(each, next(values), None if each.informed is None else next(values)) for each in arms]
        tally.update(scored.counts)
        tally.update(shortfalls(measured))
        return [row_of(each) for each in measured]


def _at_once(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Some users' texts at a time, so that memory does not grow with a chunk's."""
    waiting: list[Text] = []
    size = 0
    for _, some in groupby(texts, lambda text: text.user_id):
        waiting += (of_user := list(some))
        size += sum(len(text.response) + sum(len(o.history.response) for o in text.others) for text in of_user)
        if size > _CHARACTERS_AT_ONCE:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def row_of(measured: Measured) -> dict[str, Any]:
    """A row of `effects`."""
    arms, text = measured.arms, measured.arms.text
    delta = None if measured.informed is None else measured.informed - measured.empty
    return {
        "item_id": None,
        "rank": None,
        "lam": None,
        "gamma2": None,
        **text.row,
        "response": text.response,
        "others": [other.item_id for other in text.others],
        "context_cut": arms.context_cut,
        "response_cut": arms.response_cut,
        "token_ids": arms.tokens.ids,
        "tokens": [text.response[start:end] for start, end in arms.tokens.offsets],
        "starts": [start for start, _ in arms.tokens.offsets],
        "ends": [end for _, end in arms.tokens.offsets],
        "log_p_history": measured.informed,
        "log_p_empty": measured.empty,
        "delta": delta,
    }


def shortfalls(measured: Sequence[Measured]) -> Counts:
    """How many texts could not be measured as they were asked for."""
    arms = [one.arms for one in measured]
    return {
        "tokens of all texts and what stands before them, in both arms": sum(
            len(asked.seen) for each in arms for asked in each.asked
        ),
        "texts without any other history to measure them by": sum(each.informed is None for each in arms),
        "texts without a token": sum(not each.tokens.ids for each in arms),
        "texts whose other histories were cut to the model's window": sum(each.context_cut > 0 for each in arms),
        "texts cut to the model's window": sum(each.response_cut > 0 for each in arms),
    }
