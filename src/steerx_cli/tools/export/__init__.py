"""`steerx export`: steering vectors as files that other programs read, one for each user and query.

`vectors` reads what is asked for, `formats` makes a file of it, `names` names the file.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing
from steerx_cli.core.outputs import Output, explained, interruptible
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import check_parameters
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.tools.export.formats import file_of
from steerx_cli.tools.export.names import file_name
from steerx_cli.tools.export.vectors import Pair, Wanted, check_wanted, read_pairs

EMPTY = "vectors left out, since there is nothing to steer by"
SAME = "files that were there already"


class _Tally:
    """Files and their users, as they come."""

    def __init__(self) -> None:
        self.files = self.users = 0
        self._last: str | None = None

    def add(self, user: str) -> None:
        self.files += 1
        self.users += user != self._last
        self._last = user


class Export:
    """One run of the command: everything is looked at before anything is written."""

    def __init__(self, source: Source, wanted: Wanted, folder: Path, overwrite: bool) -> None:
        self._source, self._wanted = source, wanted
        self._folder, self._overwrite = folder, overwrite
        self.all, self.written = _Tally(), _Tally()
        self.same = self.vectors = self.empty = 0

    def check(self, progress: Progress) -> None:
        """Go through all there is to write, and refuse what would be replaced unasked."""
        progress.start("export: looking", None, "files")
        check_wanted(self._source, self._wanted)
        for pair in read_pairs(self._source, self._wanted):
            self.vectors += len(pair.vectors)
            self.empty += pair.empty
            if pair.vectors:
                target, data = self._file(pair)
                target.check_place()
                self.same += _is_there(target, data)
                self.all.add(pair.user)
                progress.advance(1)

    def write(self, progress: Progress) -> None:
        """Write what is missing, file by file."""
        progress.start("export", self.all.files, "files")
        for pair in read_pairs(self._source, self._wanted):
            if pair.vectors:
                self._write(pair)
                progress.advance(1)

    def _write(self, pair: Pair) -> None:
        """Write a file, whole or not at all, unless it is there."""
        target, data = self._file(pair)
        with target.locked():
            if _is_there(target, data):
                return
            with explained(target.path, self.kept), replacing(target.path) as file:
                file.write(data)
        self.written.add(pair.user)

    def _file(self, pair: Pair) -> tuple[Output, bytes]:
        """Where a pair's file belongs, and what is in it."""
        path = self._folder / file_name(pair.user, pair.query, self._wanted.format)
        return Output(path, VECTORS, self._overwrite), file_of(pair, self._wanted, self._source)

    def kept(self) -> str:
        """What a run that is stopped has done."""
        number = self.written.files
        return f"files written: {number:,}; the same command writes the others" if number else ""


def _is_there(target: Output, data: bytes) -> bool:
    """Whether this very file is there already; what is there and is something else is not replaced unasked."""
    path = target.path
    with explained(path):
        if not path.exists():
            return False
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return True
    if target.overwrite:
        return False
    raise SteerxError(
        f"{path} is there already and was made otherwise: name another {target.flags}, or replace it with --overwrite"
    )


def run(
    places: Sequence[Path], wanted: Wanted, output: Path, overwrite: bool, dry_run: bool, progress: Progress
) -> Summary:
    """Look at everything, then write what is not there yet."""
    started = time.monotonic()
    check_parameters(wanted.parameters())
    source = Source(VECTORS, *places)
    export = Export(source, wanted, output, overwrite)
    with interruptible(export.kept):
        export.check(progress)
        done = export.same == export.all.files
        if not done and not dry_run:
            export.write(progress)
    others = {SAME: export.same, EMPTY: export.empty}
    return Summary(
        command="export",
        status="up to date" if done else "would run" if dry_run else "finished",
        output=str(output),
        inputs={"vectors": ", ".join(map(str, source.paths))},
        parameters=wanted.parameters(),
        models=source.footer.record.models,
        rows=export.vectors,
        users=export.all.users,
        users_now=export.written.users,
        seconds=time.monotonic() - started,
        counts={"files": export.all.files} | {name: number for name, number in others.items() if number},
    )
