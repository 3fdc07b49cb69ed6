"""The demo world as artifacts: what its people wrote, what they are asked, and the truth about every character."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import HISTORIES, PROFILES, QUERIES, TRUTH, Artifact
from steerx_cli.demo.descriptions import DESCRIBED, Anchor, describe
from steerx_cli.demo.documents import item_of
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import HISTORIES_EACH, Author, Choice, Review, Span, authors

SEED = 0  # of the world that ships
OTHERS = 4  # histories that each exact Δ is computed with
_FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def write_world(folder: Path, seed: int) -> None:
    """Write histories, queries and truth; the same seed gives the same bytes."""
    people = _in_order(seed)
    for artifact, rows in ((HISTORIES, _histories), (QUERIES, _queries), (TRUTH, _truths)):
        _write(folder / f"{artifact.name}.parquet", artifact, "demo-world", seed, rows(people), len(people))


def write_habits(place: Path, seed: int) -> None:
    """Write what `smooth` would find if it knew the truth: everybody's habits, worded as its descriptions are."""
    people = _in_order(seed)
    _write(place, PROFILES, "demo-habits", seed, _described(people), len(people))


def _in_order(seed: int) -> list[Author]:
    return sorted(authors(seed), key=lambda author: user_order(author.user_id))


def _write(place: Path, artifact: Artifact, stage: str, seed: int, rows: Iterator[dict[str, Any]], users: int) -> None:
    record = Record(artifact.name, artifact.version, stage, version("steerx"), {"seed": seed})
    write_whole(Output(place, artifact, overwrite=True), record, [_table(artifact, rows)], users)


def _table(artifact: Artifact, rows: Iterator[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=artifact.columns)


def history_id(author: Author, number: int) -> str:
    """What a history is called in all artifacts."""
    return f"{author.user_id}-{number + 1}"


def query_id(author: Author, number: int) -> str:
    """What a query is called in all artifacts."""
    return f"{author.user_id}-next-{number + 1}"


def _histories(people: Sequence[Author]) -> Iterator[dict[str, Any]]:
    for author in people:
        for number, review in enumerate(author.histories):
            yield {
                "user_id": author.user_id,
                "item_id": history_id(author, number),
                "response": review.text,
                "rating": float(review.rating),
                "time": _FIRST_DAY + timedelta(days=number),
                **_asked(review),
            }


def _queries(people: Sequence[Author]) -> Iterator[dict[str, Any]]:
    for author in people:
        for number, review in enumerate(author.next):
            yield {
                "user_id": author.user_id,
                "query_id": query_id(author, number),
                "split": author.split,
                "reference": review.text,
                **_asked(review),
            }


def _described(people: Sequence[Author]) -> Iterator[dict[str, Any]]:
    for author in people:
        choices = [Choice(slot, value) for slot in DESCRIBED for value in author.person.habits[slot]]
        description = describe([[Anchor("", tuple(choices))]])
        no_model = {"basis": "truth", "histories": [], "anchors": [], "anchors_cut": 0, "thought": False}
        for number in range(len(author.next)):
            asked = {"user_id": author.user_id, "query_id": query_id(author, number)}
            yield {**asked, "description": description, **no_model}


def _asked(review: Review) -> dict[str, Any]:
    item = item_of(review)
    return {"input": item.input, "fields": [{"name": name, "value": value} for name, value in item.fields.items()]}


def _truths(people: Sequence[Author]) -> Iterator[dict[str, Any]]:
    for author in people:
        for number, review in enumerate(author.histories):
            yield _truth(author, history_id(author, number), review, others_of(number))
        for number, review in enumerate(author.next):
            yield _truth(author, query_id(author, number), review, others_of(-1))


def others_of(number: int) -> list[int]:
    """The histories that follow one, in a circle; for what is written next (−1), the first ones."""
    return [(number + step) % HISTORIES_EACH for step in range(1, OTHERS + 1)]


def _truth(author: Author, text_id: str, review: Review, others: Sequence[int]) -> dict[str, Any]:
    deltas = exact_deltas(review, [author.histories[number] for number in others])
    return {
        "user_id": author.user_id,
        "text_id": text_id,
        "habits": [
            *({"slot": slot, "value": value} for slot in SLOTS for value in author.person.says(slot)),
            {"slot": "kindness", "value": f"{author.person.kindness:+.2f}"},
        ],
        "others": [history_id(author, number) for number in others],
        "spans": [_span(span, delta) for span, delta in zip(review.spans, deltas, strict=True)],
    }


def _span(span: Span, delta: float | None) -> dict[str, Any]:
    choice = span.piece.choice
    return {
        "start": span.start,
        "end": span.end,
        "source": span.piece.source,
        "slot": choice and choice.slot,
        "value": choice and SLOTS[choice.slot].values[choice.value].strip(),
        # The last digits of a logarithm, a zero's sign included, are not the same on every processor; these are.
        "delta": None if delta is None else round(delta, 6) + 0.0,
    }


def place_for_table(readme: Path, begins: str, ends: str) -> Callable[[str], None]:
    """Find the place of the last table, and give what puts another there."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    before, begin, rest = text.partition(begins)
    _, end, after = rest.partition(ends)
    if not (begin and end):
        raise SteerxError(f"{readme} has no place for the table: put {begins} and {ends} into it")

    def put(table: str) -> None:
        readme.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")

    return put
