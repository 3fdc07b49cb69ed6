"""Hidden states at a layer, pooled over texts behind prompts: steerx's way against the usual ones."""

import ctypes
import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from bench.score_inputs import QWEN, SMALL, Shape, Texts
from bench.score_peers import BATCH_TOKENS, Score
from bench.score_tokens import Aim, Taken, Told, run, slower, values_of
from bench.steering_inputs import three_each
from bench.turns import Way, apart
from steerx_cli.lm.blocks import outputs_of
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.hidden import Hidden
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.score import Asked

CLOSE = 1e-4  # of the numbers of a state; sums of float32 in another order differ in their last digits

# --- ways -------------------------------------------------------------------------------------------------------------

Pool: TypeAlias = Literal["mean", "last"]
Prepare = Callable[[int, Pool, PreTrainedModel], Score]  # in place of log p there are the numbers of a pooled state


def _whole(asked: Asked) -> Ids:
    return np.concatenate([asked.before, asked.text])


def _first(asked: Asked, pool: Pool) -> int:
    """Of the tokens over which the mean is taken: all of the text's, or the last one alone."""
    return len(asked.before) if pool == "mean" else len(asked.before) + len(asked.text) - 1


def steerx(layer: int, pool: Pool, model: PreTrainedModel) -> Score:
    """What texts begin with together once, and nothing behind the layer."""
    tokenizer: Any = SimpleNamespace(is_fast=True)  # ids are read, so nothing else is asked of it
    hidden = Hidden(CausalLM(model, tokenizer), [layer], BATCH_TOKENS)

    def read(asked: Sequence[Asked]) -> tuple[list[list[float]], int]:
        tally: Counter[str] = Counter()
        states = hidden.means([*map(_whole, asked)], [_first(one, pool) for one in asked], tally)
        return states[:, 0].tolist(), tally["tokens run through the model"]

    return read


Look = Callable[[PreTrainedModel, int, Any], torch.Tensor]  # [rows, tokens, width], from what a model is called with


def of_head_too(model: PreTrainedModel, layer: int, inputs: Any) -> torch.Tensor:
    """What documentation shows: the whole model keeps every layer's."""
    states: torch.Tensor = model(**inputs, output_hidden_states=True).hidden_states[layer]
    return states


def of_body(model: PreTrainedModel, layer: int, inputs: Any) -> torch.Tensor:
    """The same without the head."""
    states: torch.Tensor = model.base_model(**inputs, output_hidden_states=True).hidden_states[layer]
    return states


def stopped(model: PreTrainedModel, layer: int, inputs: Any) -> torch.Tensor:
    """A hook that ends the pass."""
    return outputs_of(model, [layer], lambda: model(**inputs))[layer]


def padded(look: Look, batch: int, layer: int, pool: Pool, model: PreTrainedModel) -> Score:
    """So many texts at a time as they come, filled up to the longest."""

    @torch.inference_mode()
    def read(asked: Sequence[Asked]) -> tuple[list[list[float]], int]:
        values, tokens = [], 0
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            rows = [torch.from_numpy(_whole(one)).long() for one in some]
            ids, mask = (
                pad_sequence(each, batch_first=True) for each in (rows, [torch.ones_like(row) for row in rows])
            )
            states = look(model, layer, {"input_ids": ids, "attention_mask": mask, "use_cache": False})
            places = [slice(_first(one, pool), len(row)) for one, row in zip(some, rows, strict=True)]
            values += [row[place].mean(0).tolist() for row, place in zip(states, places, strict=True)]
            tokens += ids.numel()
        return values, tokens

    return read


WAYS: Mapping[str, Prepare] = {
    "steerx": steerx,
    "stopped": partial(padded, stopped, 8),
    "no head": partial(padded, of_body, 8),
    "padded": partial(padded, of_head_too, 8),
    "one": partial(padded, of_head_too, 1),
}

# --- what is compared -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Texts, and what is asked of them."""

    shape: Shape
    texts: Texts
    layer: int
    pool: Pool = "mean"

    def __str__(self) -> str:
        """The label of a row."""
        return f"{self.shape.name}, {self.layer} of {self.shape.layers}, {self.pool}"


OF_SMALL, OF_QWEN = partial(three_each, 6, 1), partial(three_each, 2, 3)
MIDDLE, MIDDLE_OF_QWEN = Case(SMALL, OF_SMALL, SMALL.layers // 2), Case(QWEN, OF_QWEN, QWEN.layers // 2)
CASES = [
    Case(SMALL, OF_SMALL, SMALL.layers // 4),
    MIDDLE,
    Case(SMALL, OF_SMALL, SMALL.layers * 3 // 4),
    Case(SMALL, OF_SMALL, SMALL.layers // 2, "last"),
]


def turn(way: str, cases: Sequence[Case]) -> dict[str, Told]:
    """One way's turn."""
    return {str(case): alone(partial(WAYS[way], case.layer, case.pool), case) for case in cases}


def alone(prepare: Callable[[PreTrainedModel], Score], case: Case) -> Told:
    """One case, as if nothing had been held before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else what is free counts as held
    return run(prepare, case.texts, case.shape)


def in_turns(ways: Sequence[str], cases: Sequence[Case], runs: int) -> dict[str, Taken]:
    """Every case by every way, so many times."""
    taken: dict[str, dict[str, list[Told]]] = {str(case): {way: [] for way in ways} for case in cases}
    for _ in range(runs):
        for way in ways:
            for case, told in apart(Way(partial(turn, way, cases)))[1].items():
                taken[case][way].append(told)
    return {**taken}


def compare(runs: int) -> dict[str, Taken]:
    """All cases; the largest model by fewer ways."""
    return in_turns([*WAYS], CASES, runs) | in_turns(["steerx", "stopped", "padded"], [MIDDLE_OF_QWEN], runs)


def farthest(found: Mapping[str, Taken]) -> float:
    """How far two ways to the same numbers are apart at the most, or this ends here."""
    most = 0.0
    for case, taken in found.items():
        first, *others = map(np.array, values_of(taken, *taken))
        most = max(most, *(float(np.abs(values - first).max()) for values in others))
        if not most <= CLOSE:
            raise SystemExit(f"{', '.join(taken)} do not tell the same hidden states of {case}: {most:g} apart")
    return most


# --- the figures ------------------------------------------------------------------------------------------------------

STEPS = {
    "stopped": ("padded", "stopped"),
    "of that, no head": ("padded", "no head"),
    "prompts shared": ("stopped", "steerx"),
    "both": ("padded", "steerx"),
}


def steps_table(found: Mapping[str, Taken]) -> str:
    """How many times as fast each step makes it."""
    lines = [f"| model, layer, pooling | {' | '.join(STEPS)} |", "|---" * (1 + len(STEPS)) + "|"]
    for case, taken in found.items():
        gains = (f"{slower(taken, *pair):.2f}" if {*pair} <= {*taken} else "" for pair in STEPS.values())
        lines.append(f"| {case} | {' | '.join(gains)} |")
    return "\n".join(lines)


def aims(found: Mapping[str, Taken]) -> str:
    """What was to be reached, at mid depth."""
    wanted = [(MIDDLE, "padded"), (MIDDLE, "one"), (MIDDLE_OF_QWEN, "padded")]
    lines = [
        Aim(f"Time of `{way}` ÷ that of `steerx`, {case}", 2.5, slower(found[str(case)], way, "steerx"))
        for case, way in wanted
    ]
    return "\n".join(map(str, lines))
