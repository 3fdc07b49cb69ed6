"""`steerx import`: read, sort, choose, write."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing
from steerx_cli.core.outputs import Output, explained, interruptible, writing_whole
from steerx_cli.core.places import artifact_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Footer, Record, check_parameters
from steerx_cli.core.schemas import HISTORIES, QUERIES, Artifact
from steerx_cli.core.summary import Summary
from steerx_cli.tools.import_.choose import Counts
from steerx_cli.tools.import_.reading import check_columns, check_options, read_all
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.spool import Spool
from steerx_cli.tools.import_.writing import select, write

REJECTS = "rejects.jsonl"
LAST = "users whose last text is the query, for want of queries in the files"


def _most(counts: Counts) -> str:
    """The commonest reasons why there is nothing left."""
    return ", ".join(f"{what} ({number:,})" for what, number in counts.most_common(2) if number)


def _state(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written to; None where it went away."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Import:
    """One import into one folder; what can be refused is refused before anything is read."""

    def __init__(self, request: Request, folder: Path, overwrite: bool) -> None:
        self._started = time.monotonic()
        self._request = request
        self._folder = folder
        self._histories = Output(artifact_path(folder, "histories"), HISTORIES, overwrite, "--data")
        self._queries = Output(artifact_path(folder, "queries"), QUERIES, overwrite, "--data")
        self._outputs = (self._histories, self._queries)
        files = (*request.files, *request.metadata)
        for output in (*self._outputs, replace(self._histories, path=folder / REJECTS)):
            output.check_place(*files)
        check_options(request)
        check_columns(request)
        self._seen = {file: _state(file) for file in files}
        self._parameters = request.parameters()
        check_parameters(self._parameters)
        self._up_to_date = self._is_finished()

    def run(self, dry_run: bool, progress: Progress) -> Summary:
        """Do it, unless it is done already."""
        if dry_run:
            return self._summary("up to date" if self._up_to_date else "would run")
        with self._histories.locked(), self._queries.locked():
            if self._is_finished():
                for output in self._outputs:
                    output.path.touch()  # make looks at the date only
                return self._summary("up to date")
            with interruptible(str), explained(self._folder), Spool(self._folder) as spool:
                self._do(spool, progress)
        return self._summary("finished")

    def _do(self, spool: Spool, progress: Progress) -> None:
        request = self._request
        counts = read_all(request, spool, progress)
        self._check_unchanged()
        if request.rules.last is None and not spool.has_queries:
            request = replace(request, rules=replace(request.rules, last=1))
        progress.start("import: sorting", None, "rows")
        spool.sort()
        counts.update(select(spool, request))
        self._write_rejects(spool)
        if not spool.users:
            raise SteerxError(f"nothing in the files can be used: {_most(counts) or 'they are empty'}")
        with writing_whole(self._histories) as histories, writing_whole(self._queries) as queries:
            counts.update(write(spool, request, histories, queries, progress))
            counts[LAST] += queries.users * (request is not self._request)
            told = {name: number for name, number in sorted(counts.items()) if number}
            histories.close(self._record(HISTORIES), told)
            queries.close(self._record(QUERIES), {})

    def _check_unchanged(self) -> None:
        """The provenance speaks of what was in the files before they were read."""
        for file, state in self._seen.items():
            if _state(file) not in (state, None):
                raise SteerxError(f"{file} was changed while it was read: run the same command again")

    def _is_finished(self) -> bool:
        # Both are looked at: what is there and is something else is refused, whichever it is.
        finished = {output.is_finished(self._record(output.artifact), None) for output in self._outputs}
        return finished == {True}

    def _record(self, artifact: Artifact) -> Record:
        return Record(artifact.name, artifact.version, "import", version("steerx"), self._parameters)

    def _write_rejects(self, spool: Spool) -> None:
        """Say where each row stands that could not be used; what an earlier import said is not true any more."""
        path = self._folder / REJECTS
        with replacing(path) as file:
            for reject in spool.rejects():
                file.write(json.dumps(reject._asdict()).encode() + b"\n")
        if not path.stat().st_size:
            path.unlink()

    def _summary(self, status: str) -> Summary:
        request = self._request
        footers = [] if status == "would run" else [read_footer(out.path, out.artifact) for out in self._outputs]
        read = {"files": request.files, "metadata": request.metadata}
        return Summary(
            command="import",
            status=status,
            output=", ".join(str(output.path) for output in self._outputs),
            inputs={role: ", ".join(map(str, paths)) for role, paths in read.items() if paths},
            parameters=self._parameters,
            rows=sum(footer.rows for footer in footers) if footers else None,
            users=max((footer.users for footer in footers), default=0),
            users_now=footers[0].users if status == "finished" else 0,
            seconds=time.monotonic() - self._started,
            counts=footers[0].counts if footers else {},
            notes=tuple(self._notes(footers)),
        )

    def _notes(self, footers: list[Footer]) -> Iterator[str]:
        if footers:
            yield f"histories, queries: {footers[0].rows:,}, {footers[1].rows:,}"
        if (rejects := self._folder / REJECTS).exists() and footers:
            yield f"where the rows stand that were left out: {rejects}"
