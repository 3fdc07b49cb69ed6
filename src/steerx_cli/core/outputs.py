"""The place of a result: who may write it now, what is there already, and what to say when the disk says no."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from steerx_cli.core.artifacts import Writer, conform, read_footer, writing
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.provenance import Footer, Record, Shard, typed
from steerx_cli.core.schemas import Artifact

_CURES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file would be larger than is allowed here: raise the limit",
    errno.EROFS: "the file system is read-only: name another place",
    errno.EACCES: "this user may not write there: name another place or change the permissions",
    errno.EPERM: "this user may not write there: name another place or change the permissions",
    errno.ENOTDIR: "a file stands where a folder is needed: name another place",
    errno.EEXIST: "a file stands where a folder is needed: name another place",
    errno.EISDIR: "a folder stands where the file should be: name another place",
    errno.ENOENT: "a folder went away meanwhile: run the same command again",
    errno.ENAMETOOLONG: "the name is too long: name another place",
}


@contextmanager
def explained(path: Path, kept: Callable[[], str] = str) -> Iterator[None]:
    """Turn what the system says about writing to `path` into one sentence; `kept` finds out what is not lost."""
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, (error.strerror or str(error)) + ": name another place")
        not_lost = kept()
        raise SteerxError(f"cannot write {path}: {cure}{not_lost and f'; {not_lost}'}") from error


@contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into one sentence; `kept` finds out what is not lost."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        try:
            sentence = kept()
        except KeyboardInterrupt:  # polars passes one Ctrl-C on twice
            sentence = kept()
        raise Interrupted(sentence or "nothing was finished; the same command starts over") from interrupt


def same_file(one: Path, other: Path) -> bool:
    """Whether two names mean one file, be it there already or not."""
    there = one.exists() and other.exists()
    return one.samefile(other) if there else one.absolute() == other.absolute()


@dataclass(frozen=True)
class Output:
    """One file to be written."""

    path: Path
    artifact: Artifact
    overwrite: bool = False
    flags: str = "--output"  # that name another place

    def check_place(self, *inputs: Path) -> None:
        """Refuse a place that cannot take the file, or is an input itself, without touching it."""
        if any(same_file(self.path, path) for path in inputs):
            raise SteerxError(f"{self.path} is read and would be written: name another {self.flags}")
        with explained(self.path):
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            folder = next(parent for parent in self.path.absolute().parents if parent.exists())
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "is a file")
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, "may not be written")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes here; the system lets go when the process dies, however it dies.

        The file is dated last: make looks at nothing else, and starts what dies before once more, which tidies up.
        """
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise SteerxError(
                    f"another steerx is writing {self.path}: wait for it, or name another {self.flags}"
                ) from error
        try:
            yield
        finally:
            # Removed while it is still held: whoever opened it meanwhile finds it without a name and starts over.
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
        with explained(self.path), suppress(FileNotFoundError):
            os.utime(self.path)

    def is_finished(self, record: Record, shard: Shard | None) -> bool:
        """Whether this very result is there already; what is there and is something else is not replaced unasked."""
        if not self.path.exists():
            return False
        try:
            footer = read_footer(self.path, self.artifact)
        except SteerxError as error:
            if self.overwrite:
                return False
            raise SteerxError(f"{error}; or replace it with --overwrite") from error
        if footer.record == record and footer.shard == shard:
            return True
        if self.overwrite:
            return False
        changes = _changes(footer.record, record) or [f"shard {footer.shard or 'none'} → {shard or 'none'}"]
        raise SteerxError(
            f"{self.path} was made otherwise ({', '.join(changes)}): name another {self.flags}, "
            "or replace it with --overwrite"
        )


def _changes(old: Record, new: Record) -> list[str]:
    """What differs between two records, in words that a person typed."""
    if (old.stage, old.artifact) != (new.stage, new.artifact):
        return [f"by {old.stage}, not {new.stage}"]
    changed = [
        f"{name.replace('_', '-')} {typed(old.parameters.get(name))} → {typed(new.parameters.get(name))}"
        for name in _differing(old.parameters, new.parameters)
    ]
    changed += [f"other {role}" for role in _differing(old.inputs, new.inputs)]
    changed += [f"other {role} model" for role in _differing(old.models, new.models)]
    return changed + ([f"steerx {old.version} → {new.version}"] if old.version != new.version else [])


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


class Whole:
    """An artifact that no stage makes chunk by chunk, while it is written from rows in their order."""

    def __init__(self, writer: Writer, artifact: Artifact) -> None:
        self._writer = writer
        self.artifact = artifact
        self.users = 0

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return self._writer.rows

    def write(self, rows: pa.Table, users: int) -> None:
        """Take all the rows of so many users."""
        self._writer.write(conform(rows, self.artifact))
        self.users += users

    def close(
        self,
        record: Record,
        counts: Mapping[str, int],
        ancestry: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Footer:
        """Say what it is, and what it was made from; from here on it may appear."""
        footer = Footer(record, self.rows, self.users, self._writer.flush(), counts, {**ancestry})
        self._writer.close(footer)
        return footer


@contextmanager
def writing_whole(output: Output) -> Iterator[Whole]:
    """Write an artifact, in a place that is locked, that appears once it was closed."""
    with explained(output.path), writing(output.path, output.artifact) as writer:
        yield Whole(writer, output.artifact)


def write_whole(output: Output, record: Record, batches: Iterable[pa.Table], users: int) -> Footer:
    """Write such an artifact from all its rows."""
    with output.locked(), writing_whole(output) as whole:
        for batch in batches:
            whole.write(batch, 0)
        whole.users = users
        return whole.close(record, {})
