"""Style vectors: people to make them of, what the stage makes, and the obvious computation of the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from scorers import (
    NASTY,
    REVIEW,
    SHORT,
    Plain,
    Row,
    World,
    beside,
    generation,
    history,
    item_of,
    profile,
    query,
    request,
    rows_of,
)
from steerx_cli.core.order import user_order
from steerx_cli.core.progress import Silent
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.plain import encode_prompt, response_tokens
from steerx_cli.lm.prompt import Item, NoBlock, render
from steerx_cli.stages.build_vector import Inputs, remix, run
from steerx_cli.stages.build_vector.settings import Mix, Settings

Exact: TypeAlias = NDArray[np.float64]

HOW = Settings(REVIEW.task, (1, 2), Mix(0.4), prompt_format="plain")
NUMBERS = ("vector", "from_histories", "from_descriptions", "neutral", "norm", "stream_norm", "cosine")
CLOSE = 1e-5  # of a state's largest number
NEUTRAL = ["The film is a film.", "Nothing to say of it.", "It has a plot, and actors."]

# --- people -----------------------------------------------------------------------------------------------------------


def neutral(of: Row, response: str, finish: str = "end") -> Row:
    """What the model writes for a history's own input."""
    row = generation(of["user_id"], "", None, response) | {"query_id": None, "item_id": of["item_id"]}
    error = "the reason" if finish == "failed" else None
    return {**row, "method": "non-perso", "basis": "non-perso", "finish": finish, "error": error}


def described(asked: str, of: Row, description: str | None) -> Row:
    """What is said of one history, under a query."""
    return {**profile(of["user_id"], asked, description), "item_id": of["item_id"]}


def people(texts: Mapping[str, Sequence[str]], queries: int = 2, top: int = 3) -> World:
    """Each user's texts, neutral ones and descriptions. Of `c`'s second text nothing is said, and of none of `d`'s.

    A query gets all of a user's texts but those before its own number, the later ones first.
    """
    made: World = {"queries": [], "retrieved": [], "neutral": [], "profiles": []}
    for user, responses in texts.items():
        own = [history(user, f"{at}", text, abstract=f"{user}, {at}.") for at, text in enumerate(responses)]
        made["neutral"] += [neutral(row, NEUTRAL[at % 3]) for at, row in enumerate(own)]
        for asked in map(str, range(queries)):
            made["queries"].append(query(user, asked))
            shown = own[int(asked) :][::-1][:top]
            made["retrieved"] += beside(asked, shown)
            for row in shown:
                silent = user == "d" or (user, row["item_id"]) == ("c", "1")
                said = " \n" if silent else f"{asked}: quiet, {row['item_id']}!"
                made["profiles"].append(described(asked, row, said))
            made["profiles"].append(profile(user, asked, None if user == "d" else f"Good {user} night, {asked}."))
    return made


EVERYONE = people(
    {**{user: [*SHORT[at:], *SHORT[:at]][:4] for at, user in enumerate("abcd")}, "e": SHORT[:1], "f": NASTY[2:]}, top=5
)

# --- the stage --------------------------------------------------------------------------------------------------------


def built(data: Path, model: Path, how: Settings, output: str = "vectors.parquet", **scope: Any) -> Summary:
    """Run the stage on the people in `data`."""
    inputs = Inputs(*(data / f"{name}.parquet" for name in ("retrieved", "neutral", "profiles")))
    place = Scope(output=data / output, **{"chunk_users": 64, "overwrite": True, **scope})
    return run(how, request(model), inputs, place, Silent())


def build(
    data: Path, model: Path, how: Settings, output: str = "vectors.parquet", **scope: Any
) -> tuple[list[Row], Mapping[str, int]]:
    """The rows that are made of the people in `data`, and the counts of the summary."""
    summary = built(data, model, how, output, **scope)
    return rows_of(data / output), summary.counts


def mix_again(vectors: Path, mix: Mix, output: Path, **scope: Any) -> list[Row]:
    """The rows that come of mixing the parts of others in another way."""
    remix(
        mix.gamma1,
        mix.normalize,
        vectors,
        Scope(output=output, **{"chunk_users": 64, "overwrite": True, **scope}),
        Silent(),
    )
    return rows_of(output)


# --- the obvious computation ------------------------------------------------------------------------------------------


@cache
@torch.no_grad()
def told(plain: Plain, ids: tuple[int, ...]) -> Exact:
    """What each block gives at each token, by a full forward: [blocks, tokens, width].

    It tells all of them but the last, which the final norm is applied to: that one is looked at before.
    """
    inner, seen = plain.model.base_model, list[Any]()
    last = (inner.h if hasattr(inner, "h") else inner.layers)[-1]
    handle = last.register_forward_hook(lambda _, __, output: seen.append(output))
    states = plain.model(input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=True).hidden_states
    handle.remove()
    before_the_norm = seen[0] if isinstance(seen[0], torch.Tensor) else seen[0][0]
    found: Exact = torch.stack([*states[1:-1], before_the_norm])[:, 0].numpy()
    return found


class Read(NamedTuple):
    """A text, read."""

    states: Exact  # [blocks, width]
    cut: bool


def read(plain: Plain, how: Settings, item: Item, text: str) -> Read | None:
    """A text's states behind every block; None where nothing of it fits the window."""
    frame, config = make_frame(how.prompt_format, plain.tokenizer), plain.model.config
    prompt = render(how.task, frame, item, NoBlock(), text, own=True)
    own = response_tokens(plain.tokenizer, prompt).ids
    before = (
        [plain.tokenizer.bos_token_id] * bool(plain.tokenizer("a").input_ids[0] == plain.tokenizer.bos_token_id)
        if how.text == "alone"
        else encode_prompt(plain.tokenizer, render(how.task, frame, item, NoBlock(), own=True))
    )
    ids = [*before, *own][: config.max_position_embeddings]
    if len(ids) < len(before) or not ids or (own and len(ids) == len(before)):
        return None
    of_text = ids[len(before) :]
    states = told(plain, tuple(ids))
    pooled = states[:, -len(of_text) :].mean(1) if how.pool == "mean" and of_text else states[:, -1]
    return Read(pooled, len(of_text) < len(own))


def chosen(tables: World, user: str, asked: str | None) -> list[Row]:
    """The histories of a query; of a user, each as it is there first."""
    found: dict[str, Row] = {}
    for row in tables["retrieved"]:
        if row["user_id"] == user and asked in (None, row["query_id"]):
            found.setdefault(row["item_id"], row)
    return [*found.values()]


def said(tables: World, how: Settings, of: Row) -> str | None:
    """s_i of a history, where it counts and there is one."""
    if how.mix.gamma1 == 1 and how.select is None:
        return None
    wanted = of["user_id"], of["query_id"], of["item_id"] if how.described_by == "history" else None
    (found,) = (p for p in tables["profiles"] if (p["user_id"], p["query_id"], p["item_id"]) == wanted)
    return found["description"] if (found["description"] or "").strip() else None


@dataclass(frozen=True)
class Triple:
    """The states of h_i, h̄_i and s_i."""

    item_id: str
    history: Read
    neutral: Read
    description: Read | None

    @property
    def cuts(self) -> int:
        """How many of its texts did not fit."""
        return sum(each.cut for each in (self.history, self.neutral, self.description) if each)


def triples(plain: Plain, how: Settings, tables: World, user: str, asked: str | None) -> list[Triple]:
    """Of all histories that have them."""
    found = []
    for row in chosen(tables, user, asked):
        (bare,) = (n for n in tables["neutral"] if (n["user_id"], n["item_id"]) == (user, row["item_id"]))
        item, description = item_of(row), said(tables, how, row)
        history, written = (read(plain, how, item, text) for text in (row["response"], bare["response"]))
        of_description = read(plain, how, item, description) if description is not None else None
        if history and written and bare["finish"] != "failed":
            found.append(Triple(row["item_id"], history, written, of_description))
    return found


def nearest(triples: Sequence[Triple], layer: int, most: int) -> list[Triple]:
    """Those whose h_i − h̄_i makes the smallest angles with the mean of all s_i − h̄_i."""
    ways = [each.description.states[layer - 1] - each.neutral.states[layer - 1] for each in triples if each.description]
    if not ways:
        return [*triples]
    way = np.mean(ways, 0)

    def angle(each: Triple) -> float:
        own = each.history.states[layer - 1] - each.neutral.states[layer - 1]
        return float(np.arccos(own @ way / np.sqrt((own @ own) * (way @ way))))

    kept = sorted(triples, key=angle)[:most]
    return [each for each in triples if each in kept]


def obvious(plain: Plain, how: Settings, tables: World, user: str, asked: str | None, layer: int) -> Row:
    """Eq. 17 as it stands there, and what its row tells."""
    found = triples(plain, how, tables, user, asked)
    kept = found if how.select is None else nearest(found, layer, how.select)
    row: Row = {"user_id": user, "query_id": asked, "layer": layer, "histories": [t.item_id for t in kept]}
    row |= {"described": [t.item_id for t in kept if t.description], "texts_cut": sum(t.cuts for t in kept)}
    if not kept:
        return row | {"basis": "none", **dict.fromkeys(NUMBERS)}
    h, bare, s = (
        np.stack([read.states[layer - 1] for read in some])
        for some in zip(*((t.history, t.neutral, t.description or t.history) for t in kept), strict=True)
    )
    g, n = how.mix.gamma1, len(kept)
    vector = sum(g * (h[i] - bare[i]) + (1 - g) * (s[i] - bare[i]) for i in range(n)) / n
    length, stream = np.sqrt(vector @ vector), bare.mean(0)
    numbers = (
        vector / length if how.mix.normalize else vector,
        (h - bare).mean(0),
        (s - bare).mean(0) if row["described"] else None,
        stream,
        1.0 if how.mix.normalize else length,
        np.mean([np.sqrt(each @ each) for each in bare]),
        vector @ stream / (length * np.sqrt(stream @ stream)),
    )
    return row | {
        "basis": "steerx" if row["described"] and g != 1 else "cas",
        **dict(zip(NUMBERS, numbers, strict=True)),
    }


def wanted(tables: World, scope: str) -> list[tuple[str, str | None]]:
    """Whose vectors there are, in order."""
    rows = sorted(tables["retrieved"], key=lambda row: user_order(row["user_id"]))
    return [*dict.fromkeys((row["user_id"], row["query_id"] if scope == "query" else None) for row in rows)]


def check(rows: Sequence[Row], how: Settings, plain: Plain, tables: World = EVERYONE) -> None:
    """Every row is the oracle's: its numbers to what float32 leaves of the states that they are differences of."""
    keys = [(user, asked, layer) for user, asked in wanted(tables, how.scope) for layer in how.layers]
    assert [(row["user_id"], row["query_id"], row["layer"]) for row in rows] == keys
    near(rows, [obvious(plain, how, tables, *key) for key in keys], how.mix.normalize)


def near(rows: Sequence[Row], true: Sequence[Row], normalize: bool = False) -> None:
    """Rows are others but for the last digits: of the size of the states, whatever that of their differences."""
    assert len(rows) == len(true)
    for row, other in zip(rows, true, strict=True):
        assert row == other | {name: row[name] for name in NUMBERS}
        for name in NUMBERS:
            assert (row[name] is None) == (other[name] is None), name
            if row[name] is not None:
                without_unit = name == "cosine" or (normalize and name == "vector")
                limit = CLOSE if without_unit else CLOSE * float(np.abs(other["neutral"]).max())
                np.testing.assert_allclose(row[name], other[name], rtol=0, atol=limit, err_msg=name)
