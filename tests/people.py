"""Histories and queries of any size, few for tests and many for the bench: for plumbing, where no method is judged."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import HISTORIES, QUERIES, Artifact

_OPENERS = ["Right, here goes.", "Saw this last night.", "No spoilers, I promise.", "Three words first: see it twice."]
_CLOSERS = ["Make of that what you will.", "Bring a friend.", "I will not be watching again.", "Off to bed now."]
_ADJECTIVES = ["gorgeous", "stodgy", "tender", "noisy", "patient", "cheap", "witty", "bleak"]
_GENRES = ["drama", "thriller", "comedy", "western", "mystery"]
_PLACES = ["a lighthouse", "a night train", "a closed theatre", "a mountain village", "an empty office"]
_FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def _film(draw: random.Random) -> dict[str, str]:
    title = f"The {draw.choice(_ADJECTIVES).title()} {draw.choice(_GENRES).title()} {draw.randint(1, 999)}"
    return {"title": title, "description": f"A {draw.choice(_GENRES)} set in {draw.choice(_PLACES)}."}


def _review(draw: random.Random, habits: dict[str, str]) -> dict[str, Any]:
    film = _film(draw)
    words = [habits["opener"], f"{film['title']} is a {habits['adjective']} film.", film["description"]]
    words += [f"I found it {draw.choice(_ADJECTIVES)} and in places {habits['adjective']}.", habits["closer"]]
    return {
        "input": f"Review the film {film['title']}.",
        "response": " ".join(words),
        "rating": float(draw.randint(1, 5)),
        "fields": [{"name": name, "value": value} for name, value in film.items()],
    }


def _habits(draw: random.Random) -> dict[str, str]:
    return {"opener": draw.choice(_OPENERS), "closer": draw.choice(_CLOSERS), "adjective": draw.choice(_ADJECTIVES)}


def people(count: int) -> list[str]:
    """The ids of `count` people, in the order that all artifacts share."""
    return sorted((f"person-{number:06d}" for number in range(count)), key=user_order)


def histories(count: int, each: int, seed: int) -> Iterator[dict[str, Any]]:
    """`each` reviews of every one of `count` people, one a day."""
    for user_id in people(count):
        draw = random.Random(f"{seed} {user_id}")
        habits = _habits(draw)
        for number in range(each):
            review = _review(draw, habits)
            time = _FIRST_DAY + timedelta(days=number)
            yield {"user_id": user_id, "item_id": f"{user_id}-{number:03d}", "time": time, **review}


def queries(count: int, each: int, seed: int) -> Iterator[dict[str, Any]]:
    """One film for every person to review next, with what they do write about it."""
    for number, user_id in enumerate(people(count)):
        draw = random.Random(f"{seed} {user_id}")
        habits = _habits(draw)
        review = [_review(draw, habits) for _ in range(each + 1)][-1]
        yield {
            "user_id": user_id,
            "query_id": f"{user_id}-next",
            "split": "development" if number % 3 == 0 else "test",
            "input": review["input"],
            "reference": review["response"],
            "fields": review["fields"],
        }


def _batches(rows: Iterator[dict[str, Any]], artifact: Artifact) -> Iterator[pa.Table]:
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == artifact.rows_per_group:
            yield pa.Table.from_pylist(waiting, schema=artifact.columns)
            waiting = []
    yield pa.Table.from_pylist(waiting, schema=artifact.columns)


def write_people(folder: Path, count: int, each: int, seed: int) -> None:
    """Write histories.parquet and queries.parquet; the same arguments give the same bytes."""
    parameters = {"people": count, "histories_each": each, "seed": seed}
    for artifact, rows in ((HISTORIES, histories), (QUERIES, queries)):
        record = Record(artifact.name, artifact.version, "people", version("steerx"), parameters)
        output = Output(folder / f"{artifact.name}.parquet", artifact, overwrite=True)
        write_whole(output, record, _batches(rows(count, each, seed), artifact), count)
