"""Pieces → rows of `profiles` (Eq. 14)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.schemas import PROFILES
from steerx_cli.lm.prompt import Prompt, render_smoothing
from steerx_cli.stages.smooth.pieces import Wanted, wanted_of
from steerx_cli.stages.smooth.settings import Settings
from steerx_cli.stages.smooth.writers import Described, Writer

BETWEEN = " … "  # anchors that are put together as they are


class Profiles:
    """Describes the users of one chunk after the other; without a writer, by their own words."""

    def __init__(self, settings: Settings, writer: Writer | None) -> None:
        self._settings, self._writer = settings, writer

    def __call__(self, tables: Tables) -> tuple[pl.DataFrame, Counts]:
        """A row for each history and each query."""
        wanted = list(wanted_of(tables["scores"], self._settings))
        some = [one for one in wanted if one.pieces]
        if self._writer:
            texts, counts = self._written(some, self._writer)
        else:
            texts, counts = {}, {}
        rows = [row_of(one, self._settings, texts.get(one.pieces)) for one in wanted]
        return table_of(PROFILES, rows), {**counts, **shortfalls(rows, self._settings)}

    def _written(
        self, some: Sequence[Wanted], writer: Writer
    ) -> tuple[dict[tuple[tuple[str, ...], ...], Described], Counts]:
        """What a model says of each distinct set of pieces, once."""
        assert self._settings.wording
        prompts = {pieces: self._prompt(pieces, writer) for pieces in dict.fromkeys(one.pieces for one in some)}
        found, counts = writer.write(list(prompts.values()), self._settings.wording.max_new_tokens)
        return dict(zip(prompts, found, strict=True)), {
            **counts,
            "distinct sets of pieces that were smoothed": len(prompts),
        }

    def _prompt(self, pieces: Sequence[Sequence[str]], writer: Writer) -> Prompt:
        wording = self._settings.wording
        assert wording
        return render_smoothing(wording.smoothing, wording.task, writer.frame, pieces)


def row_of(wanted: Wanted, settings: Settings, described: Described | None) -> dict[str, Any]:
    """A description, and how it came about. Where a model has nothing to say, the pieces stand as they are."""
    row: dict[str, Any] = {
        "user_id": wanted.user_id,
        "query_id": wanted.query_id,
        "item_id": wanted.item_id,
        "histories": wanted.histories,
        "anchors": [] if settings.whole else wanted.pieces,
        "anchors_cut": 0,
        "thought": False,
    }
    if not wanted.pieces:
        return row | {"basis": "none"}
    joined = ("\n\n" if settings.mode == "raw" else BETWEEN).join(wanted.all_pieces)
    if described is None:
        return row | {"description": joined, "basis": settings.mode}
    said = described.text.strip() if described.finish != "failed" else ""
    return {
        **row,
        "description": said or joined,
        "basis": "llm" if said else "fallback",
        "anchors_cut": described.cut,
        "prompt_tokens": described.prompt_tokens,
        "tokens": described.tokens,
        "thought": described.thought,
        "finish": described.finish,
        "error": described.error,
    }


def shortfalls(rows: Sequence[Mapping[str, Any]], settings: Settings) -> Counts:
    """How many descriptions are not what was asked for."""
    none = [row for row in rows if row["basis"] == "none"]
    what = "text" if settings.whole else "anchors"
    return {
        "descriptions": len(rows) - len(none),
        f"histories without {what}, and so without a description": sum(row["item_id"] is not None for row in none),
        f"queries without {what}, and so without a description": sum(row["item_id"] is None for row in none),
        "descriptions that came out empty: the pieces as they are": sum(
            row["basis"] == "fallback" and row["error"] is None for row in rows
        ),
        "descriptions that failed: the pieces as they are": sum(row.get("error") is not None for row in rows),
        "descriptions that reached --max-new-tokens": sum(row.get("finish") == "limit" for row in rows),
        "descriptions that reached the end of the model's window": sum(row.get("finish") == "window" for row in rows),
        "descriptions of pieces that were cut to the model's window": sum(row["anchors_cut"] > 0 for row in rows),
        "think blocks taken out": sum(row["thought"] for row in rows),
    }
