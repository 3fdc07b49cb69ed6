"""`steerx try`: one person's question, taken through the whole pipeline in a folder that is gone afterwards."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.places import artifact_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import ARTIFACTS, GENERATIONS, HISTORIES, PROFILES, QUERIES, SCORES, Artifact
from steerx_cli.core.sources import Source
from steerx_cli.lm.templates import Task

METHODS = ("non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas")
NEW = "question"  # what a question is called that is no query of the data

Row = Mapping[str, Any]
Command = Sequence[str]


@dataclass(frozen=True)
class Question:
    """What is asked, by whom, and how it is to be answered."""

    user: str
    text: str  # the question, or the id of one of the user's queries
    fields: Mapping[str, str]
    task: Task
    methods: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse a method that was mistyped before anything is read."""
        for method in self.methods:
            if method not in METHODS:
                raise SteerxError(f"there is no --method {method}: name one of {', '.join(METHODS)}")


@dataclass(frozen=True)
class Tried:
    """What came of it."""

    user: str
    asked: str  # x, as prompts have it
    reference: str | None  # what the user wrote, where that is known
    histories: list[dict[str, Any]]  # rows of scores
    description: str | None
    answers: list[dict[str, Any]]  # rows of generations


# --- the data ---------------------------------------------------------------------------------------------------------


def rows_of(source: Source, user: str) -> list[dict[str, Any]]:
    """The rows of one user."""
    start = 0
    for name, count in source.users():
        if name == user:
            rows: list[dict[str, Any]] = source.read(start, start + count).to_pylist()
            return rows
        start += count
    return []


def question_row(question: Question, queries: Sequence[Row]) -> dict[str, Any]:
    """One of the user's own queries, if it is called like that; else a new one."""
    own = next((dict(row) for row in queries if row["query_id"] == question.text), None)
    if own is not None:
        return own
    fields = {question.task.field_for(question.fields): question.text, **question.fields}
    named = [{"name": name, "value": value} for name, value in fields.items() if name != "input"]
    row = {"user_id": question.user, "query_id": NEW, "split": "test", "reference": None}
    return {**row, "input": question.text, "fields": named}


def asked(task: Task, row: Row) -> str:
    """The input as a prompt has it; refused where the task lacks a field."""
    return task.fill_input({**{field["name"]: field["value"] for field in row["fields"]}, "input": row["input"]})


def write(folder: Path, artifact: Artifact, rows: Sequence[Row]) -> None:
    """As an artifact of its own."""
    record = Record(artifact.name, artifact.version, "try", version("steerx"), {})
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=artifact.columns)
    write_whole(Output(artifact_path(folder, artifact.name), artifact), record, [table], 1)


# --- the pipeline -----------------------------------------------------------------------------------------------------


def commands_of(methods: Sequence[str]) -> list[Command]:
    """The stages that they need, in order; anchors and description are always shown."""
    steps: list[Command] = [("retrieve",), ("score-tokens",), ("smooth",)]
    if any("cas" in method for method in methods):
        steps += [("generate", "--method", "non-perso", "--over", "histories"), ("build-vector",)]
    return [*steps, *(("generate", "--method", method) for method in methods)]


def run(
    question: Question, histories: Path, queries: Path, run_command: Callable[[Command, Path], None], progress: Progress
) -> Tried:
    """Give each stage what it needs, and gather what came of it."""
    source = Source(HISTORIES, histories)
    written = rows_of(source, question.user)
    if not written:
        known = next((user for user, _ in source.users()), None)
        raise SteerxError(
            f"{source.where} has no histories of user {question.user!r}: name another --user"
            + (f", such as {known!r}" if known else "")
        )
    row = question_row(question, rows_of(Source(QUERIES, queries), question.user) if queries.exists() else [])
    text = asked(question.task, row)
    with tempfile.TemporaryDirectory(prefix="steerx-try-") as name:
        folder = Path(name)
        write(folder, HISTORIES, written)
        write(folder, QUERIES, [row])
        _run_all(commands_of(question.methods), folder, run_command, progress)
        return Tried(
            question.user,
            text,
            row["reference"],
            _read(folder, SCORES, SCORES.name),
            next(each["description"] for each in _read(folder, PROFILES, PROFILES.name) if each["item_id"] is None),
            [answer for each in question.methods for answer in _read(folder, GENERATIONS, f"generations-{each}")],
        )


def _run_all(
    steps: Sequence[Command], folder: Path, run_command: Callable[[Command, Path], None], progress: Progress
) -> None:
    from steerx_cli.lm.causal import kept

    progress.start("try", len(steps), "steps")
    with kept():
        for step in steps:
            run_command(step, folder)
            progress.advance(1)


def _read(folder: Path, artifact: Artifact, name: str) -> list[dict[str, Any]]:
    source = Source(ARTIFACTS[artifact.name], artifact_path(folder, name))
    rows: list[dict[str, Any]] = source.read(0, source.footer.rows).to_pylist()
    return rows
