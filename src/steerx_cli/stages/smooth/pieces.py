"""Scores → what each description is made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import polars as pl

from steerx_cli.core.words import words
from steerx_cli.stages.smooth.settings import Settings

Row: TypeAlias = Mapping[str, Any]
_COLUMNS = ("user_id", "query_id", "item_id", "response", "starts", "ends", "anchors", "spans")


@dataclass(frozen=True)
class Wanted:
    """A description, and the pieces of each history that it is made from. A history without any is not there."""

    user_id: str
    query_id: str
    item_id: str | None  # None: of all histories of the query
    histories: tuple[str, ...]
    pieces: tuple[tuple[str, ...], ...]  # of each

    @property
    def all_pieces(self) -> list[str]:
        """One after the other."""
        return [piece for of_history in self.pieces for piece in of_history]


def wanted_of(scores: pl.DataFrame, settings: Settings) -> Iterator[Wanted]:
    """Those of each history, by rank, and behind them that of all of them; query by query."""
    rows = scores.select(_COLUMNS).iter_rows(named=True)
    for (user_id, query_id), of_query in groupby(rows, lambda row: (row["user_id"], row["query_id"])):
        found = [(row["item_id"], pieces_of(row, settings)) for row in of_query]
        if settings.describe != "query":
            for item_id, pieces in found:
                yield _wanted(user_id, query_id, item_id, [(item_id, pieces)])
        if settings.describe != "history":
            yield _wanted(user_id, query_id, None, found)


def _wanted(user_id: str, query_id: str, item_id: str | None, found: Sequence[tuple[str, tuple[str, ...]]]) -> Wanted:
    some = [(name, pieces) for name, pieces in found if pieces]
    return Wanted(user_id, query_id, item_id, tuple(name for name, _ in some), tuple(pieces for _, pieces in some))


def pieces_of(row: Row, settings: Settings) -> tuple[str, ...]:
    """The whole text, or its anchors in the unit that is asked for; nothing that is blank."""
    text: str = row["response"]
    if settings.whole:
        return (text,) if text.strip() else ()
    units = {"span": _spans, "token": _tokens, "word": _words}
    stripped = (text[start:end].strip() for start, end in units[settings.unit](row))
    return tuple(piece for piece in stripped if piece)


def _spans(row: Row) -> Iterator[tuple[int, int]]:
    """Neighbouring anchors joined."""
    yield from ((span["start"], span["end"]) for span in row["spans"])


def _tokens(row: Row) -> Iterator[tuple[int, int]]:
    """Each anchor by itself; those that share a character, such as the tokens of one emoji, are one."""
    found: list[tuple[int, int]] = []
    for start, end, is_anchor in zip(row["starts"], row["ends"], row["anchors"], strict=True):
        if is_anchor and found and start < found[-1][1]:  # the first of an emoji's may have the space before it, too
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif is_anchor:
            found.append((start, end))
    yield from found


def _words(row: Row) -> Iterator[tuple[int, int]]:
    """Each word that shares a character with an anchor."""
    spans = [(span["start"], span["end"]) for span in row["spans"]]
    for match in words(row["response"]):
        if any(start < match.end() and match.start() < end for start, end in spans):
            yield match.span()
