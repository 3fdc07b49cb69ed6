"""`steerx try`: one person's question, taken through the whole pipeline in a folder that is gone afterwards."""

import json
import signal
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import STRENGTHS
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.places import artifact_path
from steerx_cli.core.presets import Preset
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import ARTIFACTS, GENERATIONS, HISTORIES, PROFILES, QUERIES, SCORES, Artifact
from steerx_cli.core.sources import Source
from steerx_cli.lm.templates import Task

NEW = "question"  # what a question is called that is no query of the data

Row = Mapping[str, Any]
Command = Sequence[str]
RunCommand = Callable[[Command, Path], Mapping[str, Any]]  # a stage, in a folder; gives its summary


@dataclass(frozen=True)
class Question:
    """What is asked, by whom, and how it is to be answered."""

    user: str
    text: str  # the question, or the id of one of the user's queries
    fields: Mapping[str, str]
    task: Task
    methods: Sequence[str]
    task_file: str  # the task as it was named
    strengths: Mapping[str, float] = field(default_factory=dict)  # lam and gamma2, if not the preset's

    def __post_init__(self) -> None:
        """Refuse what was mistyped, or would change nothing, before anything is read."""
        for method in self.methods:
            if method not in STRENGTHS:
                raise SteerxError(f"there is no --method {method}: name one of {', '.join(STRENGTHS)}")
        for name in self.strengths:
            of = [method for method, strength in STRENGTHS.items() if strength == name]
            if not {*of} & {*self.methods}:
                raise SteerxError(f"no --method here has a {name}: leave --{name} out, or name {' or '.join(of)}")
        for name in self.fields:
            if name not in self.task.fields:
                raise SteerxError(
                    f"the task {self.task.name} has no field {name!r}: name one of {', '.join(self.task.fields)}"
                )


@dataclass(frozen=True)
class Tried:
    """What came of it."""

    user: str
    asked: str  # x, as prompts have it
    reference: str | None  # what the user wrote, where that is known
    histories: list[dict[str, Any]]  # rows of scores
    profile: dict[str, Any]  # the row of the description of all of them
    answers: list[dict[str, Any]]  # rows of generations
    stages: list[Mapping[str, Any]]  # the summary of each, in order


# --- the preset -------------------------------------------------------------------------------------------------------

# A preset says how a run is done; which files and users are in it is for this one question to say.
_PLACES = {"run", "data", "output", "overwrite", "limit", "shard", "queries", "histories", "retrieved", "neutral"}
_PLACES |= {"scores", "effects", "generations", "profiles", "vectors", "dry-run", "quiet", "json"}
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "score-tokens": {"over": "histories"},
    "smooth": {"describe": "both"},
    "generate": {"over": "queries", "profiles-of": "own", "vectors-of": "own"},
}


def preset_for(question: Question, preset: Preset | None) -> str:
    """The preset that stages are run with, in TOML: theirs, but for what has to be so for one question."""
    shared = {**(preset.shared if preset else {}), "task": question.task_file}
    stages = {name: {**values} for name, values in (preset.stages.items() if preset else ())}
    for name, values in {**_FIXED, "generate": {**_FIXED["generate"], **question.strengths}}.items():
        stages[name] = {**stages.get(name, {}), **values}
    for stage, name in (("score-tokens", "tau"), ("build-vector", "layer")):
        several = stages.get(stage, {}).get(name)
        if isinstance(several, list):  # a file, or a row, of each: the first one is tried
            stages[stage][name] = several[0]
    stages.pop("try", None)
    tables = [f"\n[{name}]\n{_lines(values)}" for name, values in stages.items()]
    return _lines(shared) + "".join(tables)


def _lines(values: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in values.items() if name not in _PLACES}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in kept.items())  # simple values: JSON is TOML


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
    if own is not None and question.fields:
        raise SteerxError(f"{question.text!r} is a query of the user's own, with fields of its own: leave --field out")
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


def commands_of(methods: Collection[str]) -> list[Command]:
    """The stages that they need, in order; anchors and description are always shown."""
    steps: list[Command] = [("retrieve",), ("score-tokens",), ("smooth",)]
    if any("cas" in method for method in methods):
        steps += [("generate", "--method", "non-perso", "--over", "histories"), ("build-vector",)]
    return [*steps, *(("generate", "--method", method) for method in methods)]


def run(
    question: Question,
    preset: Preset | None,
    histories: Path,
    queries: Path,
    run_command: RunCommand,
    progress: Progress,
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
    with _folder() as folder:
        write(folder, HISTORIES, written)
        write(folder, QUERIES, [row])
        (folder / "preset.toml").write_text(preset_for(question, preset), encoding="utf-8")
        stages = _run_all(commands_of(question.methods), folder, run_command, progress)
        return Tried(
            question.user,
            text,
            row["reference"],
            _read(folder, SCORES, SCORES.name),
            next(each for each in _read(folder, PROFILES, PROFILES.name) if each["item_id"] is None),
            [answer for each in question.methods for answer in _read(folder, GENERATIONS, f"generations-{each}")],
            stages,
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """It holds a person's texts: it is gone however this ends, but for a kill that cannot be heard."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="steerx-try-") as name:
            yield Path(name)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_all(
    steps: Sequence[Command], folder: Path, run_command: RunCommand, progress: Progress
) -> list[Mapping[str, Any]]:
    from steerx_cli.lm.causal import kept

    progress.start("try", len(steps), "steps")
    summaries = []
    with kept():
        for step in steps:
            try:
                summaries.append(run_command(step, folder))
            except SteerxError as error:
                raise SteerxError(f"at {step[0]}: {str(error).replace(f'{folder}/', '')}") from error
            progress.advance(1)
    return summaries


def _read(folder: Path, artifact: Artifact, name: str) -> list[dict[str, Any]]:
    source = Source(ARTIFACTS[artifact.name], artifact_path(folder, name))
    rows: list[dict[str, Any]] = source.read(0, source.footer.rows).to_pylist()
    return rows
