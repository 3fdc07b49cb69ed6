"""Tables → the histories of each vector, each with what the model would write and what is said of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.lm.prompt import History
from steerx_cli.stages.build_vector.settings import NEUTRAL, Settings

Row: TypeAlias = Mapping[str, Any]


class NeutralText(NamedTuple):
    """What the model writes by itself, and whether it came to its end."""

    text: str | None  # None where the model failed to write it
    cut: bool


@dataclass(frozen=True)
class Contrast:
    """(x_i, h_i), h̄_i and s_i."""

    item_id: str
    history: History
    neutral: NeutralText  # h̄_i
    description: str | None  # s_i; None where there is none


@dataclass(frozen=True)
class Wanted:
    """A vector, and the histories that it is made from."""

    user_id: str
    query_id: str | None  # None where it is the user's, not a query's
    contrasts: tuple[Contrast, ...]


def wanted_of(tables: Tables, settings: Settings) -> list[Wanted]:
    """One for each query or user, in order."""
    neutral, descriptions = Neutral(tables["neutral"]), Descriptions(tables.get("profiles"), settings.described_by)

    def contrast(row: Row) -> Contrast:
        return Contrast(row["item_id"], History.of(row), neutral.of(row), descriptions.of(row))

    return [
        Wanted(user_id, query_id, tuple(map(contrast, rows)))
        for user_id, query_id, rows in _grouped(tables["retrieved"], settings.scope)
    ]


def _grouped(retrieved: pl.DataFrame, scope: str) -> Iterator[tuple[str, str | None, Sequence[Row]]]:
    """The histories of each query by rank; or each of a user's once, as the first query has it."""
    if scope == "user":
        retrieved = retrieved.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    by = ("user_id", "query_id") if scope == "query" else ("user_id",)
    for (user_id, *query_id), rows in groupby(
        retrieved.iter_rows(named=True), lambda row: tuple(row[name] for name in by)
    ):
        yield user_id, query_id[0] if query_id else None, list(rows)


class Neutral:
    """h̄_i of every history."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = {(row["user_id"], row["item_id"]): row for row in rows.iter_rows(named=True)}

    def of(self, history: Row) -> NeutralText:
        """The text; what is not there at all is another run's."""
        found = self._rows.get((history["user_id"], history["item_id"]))
        if found is None:
            raise SteerxError(
                f"the neutral texts lack history {history['item_id']!r} of user {history['user_id']!r}: write them "
                f"for the same retrieved histories, with `{NEUTRAL}`"
            )
        return NeutralText(
            None if found["finish"] == "failed" else found["response"], found["finish"] in ("limit", "window")
        )


class Descriptions:
    """s_i of every history, where there are any."""

    def __init__(self, rows: pl.DataFrame | None, by: str) -> None:
        self._by = by
        self._texts: dict[tuple[str, str, str | None], str | None] | None = None
        if rows is not None:
            columns = ["user_id", "query_id", "item_id", "description"]
            self._texts = {(user, query, item): text for user, query, item, text in rows.select(columns).iter_rows()}

    def of(self, history: Row) -> str | None:
        """A description that is null or blank is none, one that is not there at all is another run's."""
        if self._texts is None:
            return None
        item_id = history["item_id"] if self._by == "history" else None
        key = history["user_id"], history["query_id"], item_id
        if key not in self._texts:
            what = "the description of its query" if item_id is None else "a description of its own"
            raise SteerxError(
                f"the profiles lack history {history['item_id']!r} of user {history['user_id']!r} ({what}): smooth the "
                "scores of the same retrieved histories, with --describe both"
            )
        text = self._texts[key]
        return text if text and text.strip() else None
