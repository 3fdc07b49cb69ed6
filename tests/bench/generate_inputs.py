"""What writing is measured on: requests of random tokens, from a seed, and what the demo's people ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from bench.score_inputs import Shape, Writer, make_model
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.plain import encode_prompt
from steerx_cli.lm.prompt import Block, Description, Histories, History, Item, NoBlock, render
from steerx_cli.lm.request import Request
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.templates import load_task

STRENGTH = 0.7  # λ
THREE, TWO, ONE = (1.0, STRENGTH, -STRENGTH), (1 + STRENGTH, -STRENGTH), (1.0,)  # H + λ(S − ∅), H + λ(H − ∅), H

Between = tuple[int, int]
Model = Callable[[], PreTrainedModel]
Requests = Callable[[], list[Request]]

# --- requests of random tokens ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """In tokens, from and to: the three prompts, and what is written."""

    history: Between
    style: Between
    nothing: Between
    written: Between

    @property
    def halved(self) -> "Lengths":
        """Prompts that are half as long at the most."""
        return replace(self, **{name: (least, most // 2) for name, (least, most) in self._prompts})

    @property
    def _prompts(self) -> list[tuple[str, Between]]:
        return [("history", self.history), ("style", self.style), ("nothing", self.nothing)]


LONG = Lengths((64, 1024), (64, 300), (64, 160), (64, 64))


def drawn(count: int, lengths: Lengths, shape: Shape) -> list[Request]:
    """Requests of three streams."""
    writer = Writer(shape)
    prompts = lengths.history, lengths.style, lengths.nothing
    return [
        Request(
            tuple(writer.piece(*between) for between in prompts),
            (THREE,),
            int(writer.draw.integers(*lengths.written, endpoint=True)),
        )
        for _ in range(count)
    ]


def two_streams(requests: Sequence[Request]) -> list[Request]:
    """The published algorithm's: H against ∅."""
    return [replace(request, streams=(request.streams[0], request.streams[-1]), weights=(TWO,)) for request in requests]


def one_stream(requests: Sequence[Request]) -> list[Request]:
    """Unsteered."""
    return [replace(request, streams=request.streams[:1], weights=(ONE,)) for request in requests]


def cut(requests: Sequence[Request], prompt: int, written: int) -> list[Request]:
    """The same, as long as that at the most."""
    return [
        replace(one, streams=tuple(ids[:prompt] for ids in one.streams), limit=min(written, one.limit))
        for one in requests
    ]


# --- models -----------------------------------------------------------------------------------------------------------

DEMO = Path(__file__).parents[2] / "data" / "demo"


def random_model(shape: Shape, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """It writes to the limit: no token ends anything."""
    return endless(make_model(shape, dtype))


def demo_model(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The one that is trained on the demo's world, endless too."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(DEMO / "model", dtype=dtype)
    return endless(model)


def endless(model: PreTrainedModel) -> PreTrainedModel:
    """Without a token that ends what is written."""
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    return model


# --- what the demo's people ask for -----------------------------------------------------------------------------------


def demo_requests(count: int, written: int) -> list[Request]:
    """A query of each person: given two texts of the person's, given one in a description's place, and alone."""
    tokenizer, task = AutoTokenizer.from_pretrained(DEMO / "model"), load_task("review")
    frame = make_frame("chat", tokenizer)
    rows = pq.read_table(DEMO / "histories.parquet").to_pylist()
    written_by = {
        user: tuple(map(History.of, some)) for user, some in groupby(rows, lambda row: row["user_id"])
    }  # a person's rows stand together
    asked = {row["user_id"]: Item.of(row) for row in pq.read_table(DEMO / "queries.parquet").to_pylist()}

    def prompt(user: str, block: Block) -> Ids:
        return np.array(encode_prompt(tokenizer, render(task, frame, asked[user], block)), np.int32)

    def request(user: str) -> Request:
        histories = written_by[user][:2]
        blocks: list[Block] = [Histories(histories), Description(histories[0].response), NoBlock()]
        return Request(tuple(prompt(user, block) for block in blocks), (THREE,), written)

    return [request(user) for user in sorted(asked)[:count]]
