"""What is to be answered, and what is known of who asks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn, TypeAlias

import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.lm.prompt import History, Item
from steerx_cli.stages.generate.givers import Asked, Direction, Giver, own
from steerx_cli.stages.generate.settings import NEEDS, H, Settings

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
    direction: Direction | None = None
    donor_id: str | None = None  # whose that is, where it is another user's

    @property
    def own(self) -> bool:
        """Whether it is a history's own x_i, not a query's x."""
        return self.item_id is not None


# --- tables → questions -----------------------------------------------------------------------------------------------


def questions_of(tables: Tables, settings: Settings, others: Giver | None) -> list[Question]:
    """All that is to be answered, in order; `others` give what is not the users' own."""
    if settings.over == "histories":
        return list(_of_histories(tables["retrieved"]))
    return list(_of_queries(tables, settings, others or own(tables, settings)))


def _of_histories(retrieved: pl.DataFrame) -> Iterator[Question]:
    """Every retrieved history once, however many queries it was retrieved for."""
    once = retrieved.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    for row in once.iter_rows(named=True):
        yield Question(row["user_id"], None, row["item_id"], Item.of(row))


def _of_queries(tables: Tables, settings: Settings, giver: Giver | None) -> Iterator[Question]:
    """Every query, with what was retrieved for it, and a description or a vector."""
    needs = NEEDS[settings.method]
    retrieved = _by_query(tables["retrieved"]) if H in needs else {}
    known = {user_id for user_id, _ in retrieved}
    for user_id, of_user in groupby(tables["queries"].iter_rows(named=True), lambda row: row["user_id"]):
        for number, row in enumerate(of_user):
            histories = retrieved.get((user_id, row["query_id"]), [])
            if user_id in known and not histories:
                refuse_unknown(row)
            asked = Asked(user_id, row["query_id"], number)
            donor_id, gift = giver.given(asked) if giver and histories else (None, None)
            yield Question(
                user_id,
                row["query_id"],
                None,
                Item.of(row),
                tuple(history["item_id"] for history in histories),
                tuple(map(History.of, histories)),
                gift if isinstance(gift, str) else None,
                None if isinstance(gift, str) else gift,
                donor_id,
            )


def refuse_unknown(asked: Row) -> NoReturn:
    """Whoever has histories has some for each query: these were retrieved for others."""
    raise SteerxError(
        f"the retrieved histories lack query {asked['query_id']!r} of user {asked['user_id']!r}, who has some for "
        "other queries: retrieve for the same queries"
    )


def _by_query(rows: pl.DataFrame) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        found[row["user_id"], row["query_id"]].append(row)
    return found
