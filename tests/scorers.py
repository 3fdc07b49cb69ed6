"""Small models of random weights, texts for them to measure, and what they give by the obvious computation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import ARTIFACTS
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.plain import Effects, encode_prompt, log_probabilities, response_tokens, score_tokens
from steerx_cli.lm.pretrain import make_tokenizer
from steerx_cli.lm.prompt import Block, EmptyHistory, Histories, History, Item, NoBlock, Prompt, render
from steerx_cli.lm.templates import load_task
from steerx_cli.stages import generate as writing
from steerx_cli.stages.generate.settings import Settings
from steerx_cli.stages.score_tokens import Inputs, Measurement, Wanted, run
from steerx_cli.stages.score_tokens.texts import Measure

Row = dict[str, Any]
World = dict[str, list[Row]]
REVIEW = Measure(load_task("review"))

SHORT = [
    "Well, a quiet café.",
    "Two lines.\nAnd more of it!!",
    "Good night 🙂 all",
    "Seen it twice: 東京へ。",
    "A quiet café?",
]
NASTY = [
    "",
    " \t\n ",
    "  lead and trail  ",
    "a\tb\r\nc\r\n",
    "👩‍👩‍👧🏽🙂🇨🇭",
    "東京 e\u0301a\u0323\u0301",
    "<|im_end|>x<|endoftext|>",
]

# --- models -----------------------------------------------------------------------------------------------------------

_HEADS: dict[str, object] = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
_SIZE: dict[str, object] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPES: Mapping[str, dict[str, object]] = {
    "qwen3": _SIZE | _HEADS,
    "llama": _SIZE | _HEADS | {"initializer_range": 0.2},  # wider, and float32 itself is 1e-5 away
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "mistral": _SIZE | _HEADS | {"sliding_window": 24},
    "gemma2": _SIZE | _HEADS | {"sliding_window": 24, "query_pre_attn_scalar": 8},
}


def save_model(
    folder: Path,
    shape: str = "qwen3",
    window: int = 2048,
    chat: bool = True,
    ends: Sequence[int] = (),
    layers: int = 2,
) -> Path:
    """A model whose probabilities differ widely, with a tokenizer that knows some words; `ends` end what it writes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = make_tokenizer([REVIEW.task.instruction, REVIEW.task.history_heading, *SHORT], 320)
    tokenizer.chat_template = tokenizer.chat_template if chat else None
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    length: dict[str, object] = {"n_positions" if shape == "gpt2" else "max_position_embeddings": window}
    length |= {"eos_token_id": [*ends]} if ends else {}
    sizes = SHAPES[shape] | {"n_layer" if shape == "gpt2" else "num_hidden_layers": layers}
    config = AutoConfig.for_model(
        shape, vocab_size=len(tokenizer), bos_token_id=None, **({"initializer_range": 0.3} | length | sizes)
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


# --- texts ------------------------------------------------------------------------------------------------------------


def history(user: str, name: str, response: str, **fields: str) -> Row:
    """One text of one user."""
    made = [{"name": key, "value": value} for key, value in ({"title": f"Film {name}"} | fields).items()]
    row = {"user_id": user, "item_id": name, "input": "x", "response": response, "rating": None, "time": None}
    return {**row, "fields": made}


def query(user: str, name: str) -> Row:
    """What a user is asked next."""
    row = {"user_id": user, "query_id": name, "split": "test", "input": "x", "reference": None}
    return {**row, "fields": [{"name": "title", "value": f"Next {name}"}]}


def beside(asked: str, histories: Iterable[Row]) -> list[Row]:
    """Histories as they were retrieved for a query."""
    return [{"query_id": asked, "rank": rank, "score": None, **row} for rank, row in enumerate(histories, 1)]


def generation(user: str, asked: str, lam: float | None, response: str) -> Row:
    """What was written for a query."""
    row = {"user_id": user, "query_id": asked, "item_id": None, "method": "cos" if lam else "rag", "lam": lam}
    row |= {"gamma2": None}
    marks: Row = {"basis": row["method"], "histories": [], "history_cut": 0, "description_cut": 0, "prompt_tokens": []}
    return {**row, **marks, "response": response, "token_ids": [], "thought": False, "finish": "end"}


def profile(user: str, asked: str, description: str | None) -> Row:
    """What is said of a user, for a query."""
    row = {"user_id": user, "query_id": asked, "item_id": None, "description": description, "basis": "llm"}
    return {**row, "histories": [], "anchors": [], "anchors_cut": 0, "thought": False, "finish": "end"}


def vector(
    user: str, asked: str | None, layer: int, mixed: Sequence[float] | None, histories: Sequence[float] | None = None
) -> Row:
    """A vector for a query, or for a user; without any others from histories alone, the same."""
    row = {"user_id": user, "query_id": asked, "layer": layer, "vector": mixed, "from_histories": histories or mixed}
    return {**row, "basis": "none" if mixed is None else "steerx", "histories": [], "described": [], "texts_cut": 0}


def world(texts: Mapping[str, Sequence[str]], queries: int = 2, top: int = 3) -> World:
    """Each user's texts; the first query gets them as they are, the second backwards; three generations."""
    found: World = {"histories": [], "queries": [], "retrieved": [], "generations": []}
    for user, responses in texts.items():
        own = [history(user, f"{user}{number}", text) for number, text in enumerate(responses)]
        found["histories"] += own
        for number in range(queries):
            asked = query(user, f"{user}-{number}")
            found["queries"].append(asked)
            found["retrieved"] += beside(asked["query_id"], own[:: -1 if number % 2 else 1][:top])
            found["generations"] += [
                generation(user, asked["query_id"], lam, f"{responses[0]} {lam}") for lam in (None, 0.5)
            ]
    return found


def write(
    folder: Path, tables: World, models: Mapping[str, Mapping[str, str]] | None = None, **parameters: object
) -> Path:
    """Every table as an artifact, in the order of users; models and parameters are those of what stages made."""
    for name, rows in tables.items():
        artifact = ARTIFACTS["generations" if name == "neutral" else name]
        ordered = sorted(rows, key=lambda row: user_order(row["user_id"]))
        table = pa.Table.from_pylist(ordered, schema=artifact.columns)
        made = name in ("retrieved", "profiles", "vectors", "neutral")
        of_table, by = (parameters, models or {}) if made else ({}, {})
        record = Record(artifact.name, artifact.version, "test", "0", of_table, models=by)
        output = Output(folder / f"{name}.parquet", artifact, overwrite=True)
        write_whole(output, record, [table], len({row["user_id"] for row in rows}))
    return folder


# --- the stages -------------------------------------------------------------------------------------------------------


def request(model: Path) -> ModelRequest:
    """The model as a person asks for it."""
    return ModelRequest(str(model), dtype="float32", device="cpu")


def inputs(data: Path) -> Inputs:
    """All of a folder's tables."""
    return Inputs(*(data / f"{name}.parquet" for name in ("retrieved", "histories", "queries", "generations")))


def measure(
    data: Path, model: Path, output: Path, how: Measure = REVIEW, wanted: Sequence[Wanted] = (), **scope: Any
) -> Summary:
    """Run the stage on the texts in `data`."""
    place = Scope(output=output, **{"chunk_users": 64, **scope})
    return run(Measurement(how, request(model), inputs(data), place), output, wanted, Silent())


def rows_of(path: Path) -> list[Row]:
    """What is in an artifact."""
    return cast("list[Row]", pq.read_table(path).to_pylist())


def effects(
    data: Path, model: Path, how: Measure = REVIEW, output: str = "effects.parquet", **options: Any
) -> tuple[list[Row], Mapping[str, int]]:
    """The rows that come of a measurement with some options changed, and the counts of its summary."""
    summary = measure(data, model, data / output, replace(how, **options), overwrite=True)
    return rows_of(data / output), summary.counts


def generate(
    data: Path, model: Path, how: Settings, output: str = "generations.parquet", **scope: Any
) -> tuple[list[Row], Mapping[str, int]]:
    """The rows that are written for the people in `data`, and the counts of the summary."""
    places = writing.Inputs(*(data / f"{name}.parquet" for name in ("queries", "retrieved", "profiles", "vectors")))
    place = Scope(output=data / output, **{"chunk_users": 64, "overwrite": True, **scope})
    summary = writing.run(how, request(model), places, place, Silent())
    return rows_of(data / output), summary.counts


# --- the obvious computation ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """A model in float64, one text at a time, with all logits."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path) -> "Plain":
        """The same weights that the stage loads."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
        return cls(model.eval(), AutoTokenizer.from_pretrained(folder))

    def effects(self, how: Measure, item: Item | None, response: str, others: Sequence[History]) -> Effects:
        """Δ of every token of a text; `others` stand in the context in this order, and there is at least one."""
        frame, own = make_frame(how.prompt_format, self.tokenizer), how.effect_context == "own"
        if item and own and how.over == "histories" and how.empty_arm == "none":
            return score_tokens(self.model, self.tokenizer, how.task, frame, History(item, response), tuple(others))

        def prompt(block: Block, response: str = "") -> Prompt:
            return render(how.task, frame, item, block, response, own=own and how.over == "histories")

        nothing = EmptyHistory() if how.empty_arm == "none" else NoBlock()
        tokens = response_tokens(self.tokenizer, prompt(nothing, response))
        blocks = Histories(tuple(others)), nothing
        before = [encode_prompt(self.tokenizer, prompt(block)) for block in blocks]
        return Effects(tokens, *(log_probabilities(self.model, ids, tokens.ids) for ids in before))


def item_of(row: Row) -> Item:
    """The input of a history or a query."""
    return Item(row["input"], {field["name"]: field["value"] for field in row["fields"]})
