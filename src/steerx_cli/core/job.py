"""One run of one stage: chunk by chunk, each kept as it is finished, and one file that appears at the end."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias, cast

import polars as pl

from steerx_cli.core.artifacts import (
    Part,
    conform,
    read_footer,
    read_part,
    read_part_rows,
    write_part,
    writing,
)
from steerx_cli.core.chunks import Chunk, chunks_of, plan_chunks
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output, explained, interruptible
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Footer, Record, add_counts, check_parameters, chunk_digest, total_digest
from steerx_cli.core.schemas import Artifact
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary

Tables: TypeAlias = Mapping[str, pl.DataFrame]
Counts: TypeAlias = Mapping[str, int]
Compute: TypeAlias = Callable[[Tables], tuple[pl.DataFrame, Counts]]


def table_of(artifact: Artifact, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table with an artifact's columns."""
    columns = cast(pl.DataFrame, pl.from_arrow(artifact.columns.empty_table())).schema
    return pl.DataFrame(rows, schema=columns, orient="row")


@dataclass(frozen=True)
class Work:
    """What one stage is asked to make, and everything that decides its rows."""

    stage: str
    artifact: Artifact
    driver: str  # the input whose users are worked on
    sources: Mapping[str, Source]
    parameters: Mapping[str, Any]
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def record(self, scope: Scope) -> Record:
        """The part of the provenance that is known before anything is computed."""
        check_parameters(self.parameters)
        return Record(
            artifact=self.artifact.name,
            schema=self.artifact.version,
            stage=self.stage,
            version=version("steerx"),
            parameters={**self.parameters, "chunk_users": scope.chunk_users, "limit": scope.limit},
            inputs={role: source.footer.fingerprint for role, source in self.sources.items()},
            models=dict(self.models),
        )


class Job:
    """A stage's work in one scope. Made before any model is loaded; all that can be refused is refused here."""

    def __init__(self, work: Work, scope: Scope) -> None:
        self._started = time.monotonic()
        self._damaged = 0
        self._work = work
        self._scope = scope
        self._record = work.record(scope)
        self._output = Output(scope.output, work.artifact, scope.overwrite, "--output or --run")
        self._output.check_place(*(path for source in work.sources.values() for path in source.paths))
        self._up_to_date = self._output.is_finished(self._record, scope.shard)
        chunks = plan_chunks(work.driver, work.sources, scope.chunk_users, scope.limit)
        self._chunks = chunks_of(scope.shard, chunks)
        self._parts_of_all = scope.output.with_name(f"{scope.output.name}.parts")
        self._parts = self._parts_of_all / self._record.fingerprint[:16]

    def run(self, prepare: Callable[[], Compute], progress: Progress) -> Summary:
        """Do what is left to do. `prepare` loads what the chunks need, and is called only if a chunk is left."""
        if self._scope.dry_run:
            return self._summary("up to date" if self._up_to_date else "would run", self._finished_parts())
        with self._output.locked():
            if self._output.is_finished(self._record, self._scope.shard):
                self._clean()
                return self._summary("up to date", {})
            finished = self._finished_parts()
            with interruptible(self._kept):
                self._do(prepare, progress, finished)
                self._assemble()
            self._clean()
            return self._summary("finished", finished)

    def _do(self, prepare: Callable[[], Compute], progress: Progress, finished: Mapping[int, Part]) -> None:
        todo = [chunk for chunk in self._chunks if chunk.index not in finished]
        if not todo:
            return
        with explained(self._parts):
            self._parts.mkdir(parents=True, exist_ok=True)
        try:
            compute = prepare()
            users = sum(chunk.users for chunk in self._chunks)
            progress.start(self._work.stage, users, "users", users - sum(chunk.users for chunk in todo))
            for chunk in todo:
                rows, counts = compute(self._read(chunk))
                self._keep(chunk, rows, counts)
                progress.advance(chunk.users)
        except BaseException:
            self._tidy()
            raise

    def _read(self, chunk: Chunk) -> Tables:
        return {
            role: cast(pl.DataFrame, pl.from_arrow(source.read_ranges(chunk.rows[role])))
            for role, source in self._work.sources.items()
        }

    @property
    def parts(self) -> Path:
        """The folder of this run's unfinished work: it is there while chunks are made, and gone once all is done."""
        return self._parts

    # --- parts --------------------------------------------------------------------------------------------------------

    def _part(self, chunk: Chunk) -> Path:
        return self._parts / f"{chunk.index:06d}.part"

    def _keep(self, chunk: Chunk, rows: pl.DataFrame, counts: Counts) -> None:
        table = conform(rows.to_arrow(), self._work.artifact)
        note = self._name_of(chunk) | {"counts": {name: number for name, number in counts.items() if number}}
        with explained(self._output.path, self._kept):
            write_part(self._part(chunk), table, json.dumps(note, sort_keys=True))

    def _name_of(self, chunk: Chunk) -> dict[str, Any]:
        return {"record": self._record.fingerprint, "chunk": chunk.index}

    def _finished_parts(self) -> dict[int, Part]:
        """The parts of this run that are whole; a damaged one is made again, and told of."""
        found = [(chunk, read_part(self._part(chunk))) for chunk in self._chunks if self._part(chunk).exists()]
        whole = {
            chunk.index: part
            for chunk, part in found
            if part is not None and self._name_of(chunk).items() <= json.loads(part.note).items()
        }
        self._damaged = max(self._damaged, len(found) - len(whole))
        return whole

    def _kept(self) -> str:
        finished = len(self._finished_parts())
        if not finished:
            begun = self._parts.is_dir() and any(self._parts.iterdir())
            return "what was done of the first chunk is kept; the same command continues" if begun else ""
        return f"{finished} of {len(self._chunks)} chunks are finished and kept; the same command continues"

    # --- the end ------------------------------------------------------------------------------------------------------

    def _assemble(self) -> None:
        """Put the parts together in one file that appears at once."""
        parts = self._finished_parts()
        if len(parts) < len(self._chunks):
            raise SteerxError(f"chunks vanished from {self._parts}: the same command makes them again")
        footer = self._footer([(chunk, parts[chunk.index]) for chunk in self._chunks])
        with (
            explained(self._output.path, self._kept),
            writing(self._output.path, self._work.artifact) as writer,
        ):
            for chunk in self._chunks:
                writer.write(read_part_rows(self._part(chunk), self._work.artifact))
            writer.close(footer)

    def _footer(self, parts: list[tuple[Chunk, Part]]) -> Footer:
        lineage: dict[str, Mapping[str, Any]] = {}
        for source in self._work.sources.values():
            lineage |= source.footer.lineage()
        return Footer(
            record=self._record,
            rows=sum(part.rows for _, part in parts),
            users=sum(chunk.users for chunk, _ in parts),
            content=total_digest(chunk_digest(chunk.index, part.digest) for chunk, part in parts),
            counts=add_counts(json.loads(part.note)["counts"] for _, part in parts),
            ancestry=lineage,
            shard=self._scope.shard,
        )

    def _clean(self) -> None:
        """Remove this run's parts; those of runs with other settings are somebody's unfinished work and stay."""
        shutil.rmtree(self._parts, ignore_errors=True)
        self._tidy()

    def _tidy(self) -> None:
        """Leave no folder without anything in it."""
        for folder in (self._parts, self._parts_of_all):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _summary(self, status: str, finished: Mapping[int, Part]) -> Summary:
        footer = None if status == "would run" else read_footer(self._output.path, self._work.artifact)
        now = [chunk.users for chunk in self._chunks if chunk.index not in finished] if status == "finished" else []
        return Summary(
            command=self._work.stage,
            status=status,
            output=str(self._output.path),
            inputs={role: source.where for role, source in self._work.sources.items()},
            parameters=self._record.parameters,
            models=self._record.models,
            rows=footer.rows if footer else None,
            users=sum(chunk.users for chunk in self._chunks),
            users_now=sum(now),
            seconds=time.monotonic() - self._started,
            counts=footer.counts if footer else {},
            notes=tuple(self._notes(finished)),
        )

    def _notes(self, finished: Mapping[int, Part]) -> Iterator[str]:
        if finished:
            yield f"{len(finished)} of {len(self._chunks)} chunks were finished by an earlier run"
        if self._scope.shard and not self._chunks:
            yield "no chunk fell to this shard: there are fewer chunks than shards (see --chunk-users)"
        if self._damaged:
            yield f"{self._damaged} damaged chunks of an earlier run were made again"
        others = sorted(path.name for path in self._parts_of_all.glob("*") if path != self._parts)
        if others:
            yield f"unfinished runs with other settings are kept in {self._parts_of_all} ({len(others)})"
