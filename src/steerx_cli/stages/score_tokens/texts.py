"""Which texts are measured, and what stands before each: its context C, and the others that represent its user."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeAlias

import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.prompt import History, Item
from steerx_cli.lm.templates import Task

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """Everything that decides Δ beside the model."""

    task: Task
    over: str = "histories"  # or generations
    context: str = "retrieved"  # or all: what represents the user
    context_order: str = "given"  # or tree: where all of a user's histories are the context
    max_context_tokens: int = 8192  # of those
    effect_context: str = "own"  # query or none: what C is beside the task prompt
    empty_arm: str = "none"  # or omitted: how ∅ is said
    prompt_format: PromptFormat = "plain"
    batch_tokens: int = 8192

    def parameters(self) -> Mapping[str, object]:
        """The settings that are looked at. A generation's own input is the query's."""
        own = self.effect_context == "own"
        looked_at = {
            "over": self.over,
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "context": self.context,
            "effect_context": self.effect_context if self.over == "histories" or not own else "query",
            "empty_arm": self.empty_arm,
            "prompt_format": self.prompt_format,
            "batch_tokens": self.batch_tokens,
        }
        if self.context == "all":
            looked_at |= {"context_order": self.context_order, "max_context_tokens": self.max_context_tokens}
        return looked_at


class Other(NamedTuple):
    """A history that stands in a context."""

    item_id: str
    history: History


@dataclass(frozen=True)
class Text:
    """A text to be measured, and what stands before it."""

    row: Row  # the columns that name it
    item: Item | None  # what C has beside the task prompt; with None, C is empty
    own: bool  # whether that is a history's own x_i, not a query's x
    response: str
    others: tuple[Other, ...] = ()  # in the order in which they are shown

    @property
    def user_id(self) -> str:
        """Whose text it is."""
        return str(self.row["user_id"])


class Ruler(Protocol):
    """Measures in tokens what is to stand in a prompt."""

    def lengths(self, histories: Sequence[History]) -> list[int]:
        """Of histories, each as it stands in a context."""

    def room(self, texts: Sequence[Text]) -> int | None:
        """What the model's window leaves for the context beside any of these texts; None where it has none."""


# --- histories, Eq. 12 ------------------------------------------------------------------------------------------------


def of_histories(tables: Tables, measure: Measure, ruler: Ruler, tally: Counter[str]) -> Iterator[Text]:
    """Every retrieved history under its query, with the user's others before it."""
    queries = _items_by_query(tables["queries"]) if measure.effect_context == "query" else {}
    histories = _by_user(tables["histories"]) if measure.context == "all" else {}
    for user_id, of_user in _by_user(tables["retrieved"]).items():
        texts = [
            text
            for query_id, of_query in groupby(of_user, lambda row: row["query_id"])
            for text in _of_query(
                list(of_query),
                measure,
                _asked(queries, user_id, query_id) if measure.effect_context == "query" else None,
            )
        ]
        if measure.context == "all":
            every = [other_of(row) for row in histories.get(user_id, ())]
            texts = among_all(texts, every, measure, ruler, tally)
        yield from texts


def _of_query(rows: Sequence[Row], measure: Measure, asked: Item | None) -> Iterator[Text]:
    """The histories of one query, each with the others of that query before it."""
    own, retrieved = measure.effect_context == "own", [other_of(row) for row in rows]
    for row, history in zip(rows, retrieved, strict=True):
        yield Text(
            row={name: row[name] for name in ("user_id", "query_id", "item_id", "rank")},
            item=history.history.item if own else asked,
            own=own,
            response=row["response"],
            others=tuple(other for other in retrieved if other is not history),
        )


def among_all(
    texts: Sequence[Text], every: Sequence[Other], measure: Measure, ruler: Ruler, tally: Counter[str]
) -> list[Text]:
    """The texts of one user, each with the last of all the user's others before it, as many as fit."""
    weighed = [*zip(every, ruler.lengths([other.history for other in every]), strict=True)]
    others = _pool(weighed, measure.max_context_tokens, ruler.room(texts))
    tally["users whose first histories had no room in the context"] += len(others) < len(every)
    measured = {text.row["item_id"] for text in texts if "item_id" in text.row}
    given, tree = as_given(others, measured), in_tree(others, measured)
    if measure.context_order == "given":
        weights = {other.item_id: tokens for other, tokens in weighed}
        spared = distinct_tokens(given.values(), weights) - distinct_tokens(tree.values(), weights)
        tally["tokens that --context-order tree would spare, about"] += max(0, spared)
    shown = tree if measure.context_order == "tree" else given

    def beside(text: Text) -> tuple[Other, ...]:
        # What is not among the others has all of them before it. What took all their room makes it for its own context.
        own = text.row.get("item_id", "")
        if found := shown.get(own, others):
            return found
        return _pool([pair for pair in weighed if pair[0].item_id != own], measure.max_context_tokens, None)

    return [replace(text, others=beside(text)) for text in texts]


def _pool(weighed: Sequence[tuple[Other, int]], budget: int, room: int | None) -> tuple[Other, ...]:
    """The last histories that fit a budget and the room in a window, both in tokens."""
    lengths = [tokens for _, tokens in weighed]
    kept = _last_within(lengths, budget)
    if room is not None:  # two at least, so that each has another one: what is too long for the window is cut
        kept = min(kept, max(2, _last_within(lengths, room)))
    return tuple(other for other, _ in weighed[len(weighed) - kept :])


def distinct_tokens(sequences: Iterable[Sequence[Other]], weights: Mapping[str, int]) -> int:
    """The tokens of histories that stand in these orders, the beginnings that some share counted once."""
    total, root = 0, dict[str, Any]()
    for sequence in sequences:
        node = root
        for other in sequence:
            if other.item_id not in node:
                total += weights[other.item_id]
            node = node.setdefault(other.item_id, {})
    return total


def _last_within(lengths: Sequence[int], budget: int) -> int:
    """How many of the last ones fit together."""
    total = 0
    for count, length in enumerate(reversed(lengths)):
        total += length
        if total > budget:
            return count
    return len(lengths)


def as_given(others: Sequence[Other], measured: set[str]) -> dict[str, tuple[Other, ...]]:
    """For each measured one the others, in the user's own order."""
    return {
        other.item_id: tuple(it for it in others if it is not other) for other in others if other.item_id in measured
    }


def in_tree(others: Sequence[Other], measured: set[str]) -> dict[str, tuple[Other, ...]]:
    """For each measured one the others, in an order in which many contexts begin alike.

    Those that are not measured come first. The rest is halved again and again: one half stands before everything of the
    other. So n contexts of n − 1 histories have about n log₂ n different pieces, not n².
    """
    first = tuple(other for other in others if other.item_id not in measured)
    return dict(_halved(first, [other for other in others if other.item_id in measured]))


def _halved(before: tuple[Other, ...], group: Sequence[Other]) -> Iterator[tuple[str, tuple[Other, ...]]]:
    if len(group) < 2:
        yield from ((other.item_id, before) for other in group)
        return
    left, right = group[: len(group) // 2], group[len(group) // 2 :]
    yield from _halved((*before, *right), left)
    yield from _halved((*before, *left), right)


# --- generations, Eq. 10 ----------------------------------------------------------------------------------------------


def of_generations(tables: Tables, measure: Measure, ruler: Ruler, tally: Counter[str]) -> Iterator[Text]:
    """Every generated text, with the histories retrieved for its query before it, or all of the user's."""
    queries = _items_by_query(tables["queries"])
    histories = _by_user(tables["histories"]) if measure.context == "all" else {}
    retrieved: dict[tuple[str, str], list[Other]] = defaultdict(list)
    for row in tables["retrieved"].iter_rows(named=True):
        retrieved[row["user_id"], row["query_id"]].append(other_of(row))
    for user_id, of_user in _by_user(tables["generations"]).items():
        texts = [_generation_text(row, measure, queries, retrieved[user_id, row["query_id"]]) for row in of_user]
        if measure.context == "all":
            every = [other_of(row) for row in histories.get(user_id, ())]
            texts = among_all(texts, every, measure, ruler, tally)
        yield from texts


def _generation_text(
    row: Row, measure: Measure, queries: Mapping[tuple[str, str], Item], retrieved: Sequence[Other]
) -> Text:
    if row["item_id"] is not None:
        raise SteerxError("these generations answer histories: name generations that answer queries")
    return Text(
        row={name: row[name] for name in ("user_id", "query_id", "lam", "gamma2")},
        item=None if measure.effect_context == "none" else _asked(queries, row["user_id"], row["query_id"]),
        own=False,
        response=row["response"],
        others=tuple(retrieved),
    )


# --- rows → what prompts are made of ----------------------------------------------------------------------------------


def other_of(row: Row) -> Other:
    """A history, by name."""
    return Other(row["item_id"], History.of(row))


def _asked(queries: Mapping[tuple[str, str], Item], user_id: str, query_id: str) -> Item:
    if (user_id, query_id) not in queries:
        raise SteerxError(f"the queries lack query {query_id!r} of user {user_id!r}: name those that were answered")
    return queries[user_id, query_id]


def _items_by_query(queries: pl.DataFrame) -> dict[tuple[str, str], Item]:
    return {(row["user_id"], row["query_id"]): Item.of(row) for row in queries.iter_rows(named=True)}


def _by_user(rows: pl.DataFrame) -> dict[str, list[Row]]:
    return {user: list(some) for user, some in groupby(rows.iter_rows(named=True), lambda row: row["user_id"])}
