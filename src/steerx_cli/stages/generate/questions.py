"""What is to be answered, and what is known of who asks."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn, TypeAlias

import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.core.order import lot
from steerx_cli.core.sources import Source
from steerx_cli.lm.prompt import History, Item
from steerx_cli.stages.generate.settings import STREAMS, H, S, Settings

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """An input that is to be answered for a user."""

    user_id: str
    query_id: str | None  # None where it is a history's own input
    item_id: str | None
    item: Item
    history_ids: tuple[str, ...] = ()
    histories: tuple[History, ...] = ()
    description: str | None = None
    donor_id: str | None = None  # whose that is, where it is another user's

    @property
    def own(self) -> bool:
        """Whether it is a history's own x_i, not a query's x."""
        return self.item_id is not None


# --- another user's description ---------------------------------------------------------------------------------------


class Donors:
    """All users who have descriptions, in a circle in an order that is drawn: each gets those of the next one.

    The circle hangs on the whole file of descriptions, not on the chunk or shard in which a user is.
    """

    def __init__(self, descriptions: Mapping[str, Sequence[str]], seed: int) -> None:
        if len(descriptions) < 2:
            raise SteerxError(
                f"--profiles-of other takes another user's description, and {len(descriptions)} users have any: "
                "name profiles of more users"
            )
        self._descriptions, self._seed = descriptions, seed
        self._circle = sorted((lot(seed, "donor", user), user) for user in descriptions)

    @classmethod
    def drawn(cls, profiles: Source, seed: int) -> "Donors":
        """From all descriptions of queries that there are."""
        found: dict[str, list[str]] = defaultdict(list)
        for batch in profiles.batches():
            for row in batch.select(["user_id", "item_id", "description"]).to_pylist():
                if row["item_id"] is None and (row["description"] or "").strip():
                    found[row["user_id"]].append(row["description"])
        return cls(found, seed)

    def given(self, user_id: str, number: int) -> tuple[str, str]:
        """A user's donor, and what is given for the `number`-th query: theirs in order, then again from the first."""
        place = bisect_right(self._circle, (lot(self._seed, "donor", user_id), user_id)) % len(self._circle)
        donor = self._circle[place][1]
        theirs = self._descriptions[donor]
        return donor, theirs[number % len(theirs)]


# --- tables → questions -----------------------------------------------------------------------------------------------


def questions_of(tables: Tables, settings: Settings, donors: Donors | None) -> list[Question]:
    """All that is to be answered, in order."""
    if settings.over == "histories":
        return list(_of_histories(tables["retrieved"]))
    return list(_of_queries(tables, settings, donors))


def _of_histories(retrieved: pl.DataFrame) -> Iterator[Question]:
    """Every retrieved history once, however many queries it was retrieved for."""
    once = retrieved.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    for row in once.iter_rows(named=True):
        yield Question(row["user_id"], None, row["item_id"], Item.of(row))


def _of_queries(tables: Tables, settings: Settings, donors: Donors | None) -> Iterator[Question]:
    """Every query, with what was retrieved for it, and a description."""
    streams = STREAMS[settings.method]
    retrieved = _by_query(tables["retrieved"]) if H in streams else {}
    known = {user_id for user_id, _ in retrieved}
    described = _by_query(tables["profiles"].filter(pl.col("item_id").is_null())) if S in streams else {}
    for user_id, of_user in groupby(tables["queries"].iter_rows(named=True), lambda row: row["user_id"]):
        for number, row in enumerate(of_user):
            histories = retrieved.get((user_id, row["query_id"]), [])
            if user_id in known and not histories:
                refuse_unknown(row)
            donor, description = None, None
            if S in streams and histories:
                donor, description = donors.given(user_id, number) if donors else (None, _own(described, row))
            yield Question(
                user_id,
                row["query_id"],
                None,
                Item.of(row),
                tuple(history["item_id"] for history in histories),
                tuple(map(History.of, histories)),
                description,
                donor,
            )


def refuse_unknown(asked: Row) -> NoReturn:
    """Whoever has histories has some for each query: these were retrieved for others."""
    raise SteerxError(
        f"the retrieved histories lack query {asked['query_id']!r} of user {asked['user_id']!r}, who has some for "
        "other queries: retrieve for the same queries"
    )


def _own(described: Mapping[tuple[str, str], Sequence[Row]], asked: Row) -> str | None:
    """A description that is null or blank is none, one that is not there at all is another run's."""
    rows = described.get((asked["user_id"], asked["query_id"]))
    if rows is None:
        raise SteerxError(
            f"the profiles lack query {asked['query_id']!r} of user {asked['user_id']!r}: "
            "smooth the scores of the same retrieved histories"
        )
    text = rows[0]["description"]
    return text if text and text.strip() else None


def _by_query(rows: pl.DataFrame) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        found[row["user_id"], row["query_id"]].append(row)
    return found
