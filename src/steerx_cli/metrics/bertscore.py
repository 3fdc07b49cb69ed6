"""BERTScore (Zhang 2020) by bert_score: the F1 of each token's most similar one in the other text.

Raw: not rescaled, no idf. All texts of a call are read once, so the references of all systems go in one call.
"""

from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.token_states import Reader, States

PAPER = ("allenai/led-base-16384", 6)  # the model of section 5.1, and bert_score's layer of it


class Scores(NamedTuple):
    """What came of the answers of a call."""

    f1: list[float]
    cut: int  # distinct texts of which the model took only the beginning


class BertScore:
    """BERTScore with one model that is loaded."""

    def __init__(self, reader: Reader, batch_tokens: int = 8192) -> None:
        self._reader = reader
        self._batch_tokens = batch_tokens

    def score(self, answers: Sequence[str], references: Sequence[str]) -> Scores:
        """The F1 of each answer; 0 where it, or its reference, has no token of its own."""
        read = self._reader.read([*references, *answers], self._batch_tokens)
        found = [
            _f1(read[answer], read[reference]) if answer.strip() and reference.strip() else 0.0
            for answer, reference in zip(answers, references, strict=True)
        ]
        return Scores(found, sum(states.cut for states in read.values()))


def layer_of(model: str, asked: int | None) -> int:
    """The layer that is read: the one asked for, else the one that bert_score's authors found best for the model."""
    if asked is not None:
        return asked
    if model == PAPER[0]:
        return PAPER[1]
    from bert_score.utils import model2layers  # seconds

    if model not in model2layers:
        raise SteerxError(f"bert_score has no layer for the model {model!r}: name one with --bertscore-layer")
    return int(model2layers[model])


def _f1(answer: States, reference: States) -> float:
    from bert_score.utils import greedy_cos_idf

    if not answer.own.any() or not reference.own.any():
        return 0.0
    # It divides in place, so it gets copies. A text of two tokens, special ones or not, is empty to it, and it says so.
    with redirect_stderr(StringIO()):
        _, _, f1 = greedy_cos_idf(*_alone(reference), *_alone(answer))
    return float(f1)


def _alone(text: States) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One text as bert_score takes several: states, which of them are there, and what each weighs."""
    own: NDArray[np.float32] = text.own.astype(np.float32)
    return text.states.clone()[None], torch.ones(1, len(own)), torch.from_numpy(own)[None]
