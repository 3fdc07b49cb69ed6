"""`steerx import`: read, sort, choose, write."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing, state_of
from steerx_cli.core.outputs import Output, explained, interruptible, writing_whole
from steerx_cli.core.places import artifact_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Footer, Record, check_parameters
from steerx_cli.core.schemas import HISTORIES, QUERIES, Artifact
from steerx_cli.core.summary import Summary
from steerx_cli.tools.import_.choose import Counts
from steerx_cli.tools.import_.reading import LEFT_OUT, check_files, check_options, read_all
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.spool import Spool
from steerx_cli.tools.import_.writing import select, write

State: TypeAlias = tuple[int, int, int]  # of a file

REJECTS = "import-rejects.jsonl"
_MOST_NAMED = 4  # files, in a summary
LAST = "users whose last text is the query, for want of queries in the files"


def _most(counts: Counts) -> str:
    """The commonest reasons why there is nothing left."""
    return ", ".join(f"{what} ({number:,})" for what, number in counts.most_common(2) if number)


def listed(paths: Sequence[Path]) -> str:
    """The names of files, or the first of many."""
    return ", ".join(map(str, paths)) if len(paths) <= _MOST_NAMED else f"{paths[0]} and {len(paths) - 1} more"


def check_unchanged(seen: Mapping[Path, State]) -> None:
    """The provenance speaks of what was in the files before they were read."""
    for file, state in seen.items():
        if file.exists() and state_of(file) != state:
            raise SteerxError(f"{file} was changed while it was read: run the same command again")


class Import:
    """One import into one folder; what can be refused is refused before anything is read."""

    def __init__(self, request: Request, folder: Path, overwrite: bool) -> None:
        self._started = time.monotonic()
        self._request = request
        self._folder = folder
        self._histories = Output(artifact_path(folder, "histories"), HISTORIES, overwrite, "--data")
        self._queries = Output(artifact_path(folder, "queries"), QUERIES, overwrite, "--data")
        self._outputs = (self._histories, self._queries)
        self._rejects = folder / REJECTS
        self._files = (*request.files, *request.metadata)
        for output in (*self._outputs, replace(self._histories, path=self._rejects)):
            output.check_place(*self._files)
        check_options(request)
        check_files(request)
        self._parameters: Mapping[str, Any] = {}

    def run(self, dry_run: bool, progress: Progress) -> Summary:
        """Do it, unless it is done already."""
        seen = {file: state_of(file) for file in self._files}
        progress.start("import: looking", None, "files")
        self._parameters = self._request.parameters()
        check_parameters(self._parameters)
        up_to_date = self._is_finished()
        if dry_run:
            return self._summary("up to date" if up_to_date else "would run")
        with self._histories.locked(), self._queries.locked():
            if self._is_finished():
                return self._summary("up to date")
            with interruptible(str), explained(self._folder), Spool(self._folder) as spool:
                self._do(spool, seen, progress)
        return self._summary("finished")

    def _do(self, spool: Spool, seen: Mapping[Path, State], progress: Progress) -> None:
        request = self._request
        counts = read_all(request, spool, progress)
        check_unchanged(seen)
        unasked = request.rules.last is None and not spool.has_queries
        if unasked:
            request = replace(request, rules=replace(request.rules, last=1))
        progress.start("import: sorting", None, "rows")
        spool.sort()
        if request.selects:
            counts.update(select(spool, request))
        self._write_rejects(spool)
        with writing_whole(self._histories) as histories, writing_whole(self._queries) as queries:
            counts.update(write(spool, request, histories, queries, progress))
            if not histories.rows + queries.rows:
                raise SteerxError(f"nothing in the files can be used: {_most(counts) or 'they are empty'}{self._see()}")
            counts[LAST] = queries.users if unasked else 0
            told = {name: number for name, number in sorted(counts.items()) if number}
            histories.close(self._record(HISTORIES), told)
            queries.close(self._record(QUERIES), {})

    def _is_finished(self) -> bool:
        # Both are looked at: what is there and is something else is refused, whichever it is.
        finished = {output.is_finished(self._record(output.artifact), None) for output in self._outputs}
        return finished == {True}

    def _record(self, artifact: Artifact) -> Record:
        return Record(artifact.name, artifact.version, "import", version("steerx"), self._parameters)

    def _write_rejects(self, spool: Spool) -> None:
        """Say where each row stands that could not be used; what an earlier import said is not true any more."""
        rejects = spool.rejects()
        first = next(rejects, None)
        if first is None:
            self._rejects.unlink(missing_ok=True)
            return
        with replacing(self._rejects) as file:
            for reject in chain([first], rejects):
                file.write(json.dumps(reject._asdict()).encode() + b"\n")

    def _see(self) -> str:
        return f": see {self._rejects}" if self._rejects.exists() else ""

    def _summary(self, status: str) -> Summary:
        request = self._request
        footers = [] if status == "would run" else [read_footer(out.path, out.artifact) for out in self._outputs]
        read = {"files": request.files, "metadata": request.metadata}
        return Summary(
            command="import",
            status=status,
            output=", ".join(str(output.path) for output in self._outputs),
            inputs={role: listed(paths) for role, paths in read.items() if paths},
            parameters=self._parameters,
            rows=footers[0].rows if footers else None,
            users=footers[0].users if footers else 0,
            users_now=footers[0].users if status == "finished" else 0,
            seconds=time.monotonic() - self._started,
            counts=footers[0].counts if footers else {},
            notes=tuple(self._notes(footers)),
        )

    def _notes(self, footers: Sequence[Footer]) -> Iterator[str]:
        if footers:
            yield f"rows are histories; queries: {footers[1].rows:,}, of {footers[1].users:,} users"
            if any(name.startswith(LEFT_OUT) for name in footers[0].counts) and self._rejects.exists():
                yield f"where the rows stand that were left out: {self._rejects}"
