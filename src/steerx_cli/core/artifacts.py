"""The only reader and writer of Parquet: whole files with their provenance, parts of unfinished ones, rows by range."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing, state_of
from steerx_cli.core.provenance import FOOTER_KEY, Footer
from steerx_cli.core.schemas import ARTIFACTS, Artifact

# Page checksums cost a few per cent and turn a flipped bit into an error instead of a wrong number.
_WRITE = {"compression": "zstd", "write_page_checksum": True, "version": "2.6"}
_PART_NOTE, _PART_DIGEST = f"{FOOTER_KEY}.part", f"{FOOTER_KEY}.digest"
_GROUP_BYTES = 2**26  # of text in a row group: a reader holds one in memory, whatever the length of its texts
_USER_IDS_AT_ONCE = 65_536  # a few MB
_FOREIGN_ROWS = 64  # at once; few, because the size on the disk says little of texts that repeat
_FOREIGN_BYTES = 2**24  # or so many, whichever is less


# --- rows that fit their schema ---------------------------------------------------------------------------------------


def conform(rows: pa.Table, artifact: Artifact) -> pa.Table:
    """Give `rows` exactly the artifact's columns and types, or say what does not fit."""
    wanted, given = artifact.columns, rows.schema
    if set(wanted.names) != set(given.names):
        missing, extra = sorted({*wanted.names} - {*given.names}), sorted({*given.names} - {*wanted.names})
        raise SteerxError(f"rows of {artifact.name} lack the columns {missing} and have {extra} beside their own")
    for column in wanted:
        if not column.nullable and rows[column.name].null_count:
            raise SteerxError(f"column {column.name} of {artifact.name} has empty values, and may have none")
    try:
        fitting = rows.select(wanted.names).cast(wanted).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        # Arrow's own sentence can hold a person's text.
        raise SteerxError(f"rows of {artifact.name} do not fit its columns: {given}, not {wanted}") from None
    if len(fitting) != len(fitting.group_by(list(artifact.key)).aggregate([])):
        raise SteerxError(f"two rows of {artifact.name} have the same {', '.join(artifact.key)}")
    return fitting


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


# --- writing ----------------------------------------------------------------------------------------------------------


def _text_sizes(rows: pa.Table) -> NDArray[np.int64]:
    """The bytes of text in each row, in lists and structs too."""
    batches = [batch.to_struct_array() for batch in rows.to_batches()]
    return np.concatenate([np.zeros(0, np.int64), *map(_lengths, batches)])


def _lengths(values: pa.Array) -> NDArray[np.int64]:
    kind = values.type
    if pa.types.is_string(kind):
        return np.asarray(pc.fill_null(pc.binary_length(values), 0), np.int64)
    if pa.types.is_list(kind):
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(_lengths(values.values))])
        lengths: NDArray[np.int64] = np.diff(sums[values.offsets.to_numpy()])
        return lengths
    total = np.zeros(len(values), np.int64)
    for part in values.flatten() if pa.types.is_struct(kind) else ():
        total += _lengths(part)
    return total


class _Hashing(io.RawIOBase):
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


class Writer:
    """Writes rows in groups of a fixed size: the bytes depend on the rows alone, not on how they arrived."""

    def __init__(self, file: BinaryIO, artifact: Artifact) -> None:
        self._artifact = artifact
        self._file = _Hashing(file)
        self._parquet = pq.ParquetWriter(self._file, artifact.columns, **_WRITE)
        self._waiting = artifact.columns.empty_table()
        self._sizes = np.zeros(0, np.int64)  # of the waiting rows
        self.rows = 0

    def write(self, rows: pa.Table) -> None:
        """Take rows that fit the schema (see `conform`)."""
        self.rows += len(rows)
        self._waiting = pa.concat_tables([self._waiting, rows])
        self._sizes = np.concatenate([self._sizes, _text_sizes(rows)])
        while size := self._next_group():
            self._flush(self._waiting.slice(0, size))
            self._waiting, self._sizes = self._waiting.slice(size), self._sizes[size:]

    def _next_group(self) -> int:
        """How many rows fill a group, in number or in text; 0 where it is not full yet."""
        most = self._artifact.rows_per_group
        filled = min(most, int(np.searchsorted(np.cumsum(self._sizes[:most]), _GROUP_BYTES)) + 1)
        return filled if filled <= len(self._waiting) else 0

    def _flush(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows.combine_chunks(), row_group_size=max(1, len(rows)))

    def flush(self) -> str:
        """Write what is left, and tell the digest of all rows."""
        if len(self._waiting):
            self._flush(self._waiting)
        self._waiting, self._sizes = self._artifact.columns.empty_table(), np.zeros(0, np.int64)
        return self._file.digest.hexdigest()

    def abandon(self) -> None:
        """Write nothing more: pyarrow would finish the file when it forgets it, and say so where it cannot."""
        self._parquet.is_open = False

    def close(self, footer: Footer) -> None:
        """Write what is left, and the provenance."""
        self.flush()
        self._parquet.add_key_value_metadata({FOOTER_KEY: footer.to_json()})
        self._parquet.close()


@contextmanager
def writing(path: Path, artifact: Artifact) -> Iterator[Writer]:
    """Write an artifact that appears under `path` by one rename, once `Writer.close` was called, in a locked place."""
    with replacing(path, is_all=False) as file:
        writer = Writer(file, artifact)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise


@dataclass(frozen=True)
class Part:
    """One finished chunk of an unfinished artifact."""

    rows: int
    note: str
    digest: bytes  # of the rows' pages as written, the note left out


def write_part(path: Path, rows: pa.Table, note: str) -> None:
    """Write one chunk (rows that fit) with a note beside it, whole or not at all, behind a digest of every byte."""
    buffer = io.BytesIO()
    parquet = pq.ParquetWriter(buffer, rows.schema, **_WRITE)
    parquet.write_table(rows, row_group_size=max(1, len(rows)))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    parquet.add_key_value_metadata({_PART_NOTE: note, _PART_DIGEST: digest})
    parquet.close()
    data = buffer.getvalue()
    with replacing(path) as file:
        file.write(hashlib.sha256(data).digest())
        file.write(data)


def read_part(path: Path) -> Part | None:
    """What a finished part says of itself; None where a byte of it is not as it was written."""
    try:
        data = _unsealed(path)
    except OSError:
        return None
    if data is None:
        return None
    metadata = pq.read_metadata(pa.BufferReader(data))
    notes = metadata.metadata
    return Part(
        metadata.num_rows, notes[_PART_NOTE.encode()].decode(), bytes.fromhex(notes[_PART_DIGEST.encode()].decode())
    )


def _unsealed(path: Path) -> bytes | None:
    sealed = path.read_bytes()
    seal, data = sealed[:32], sealed[32:]
    return data if hashlib.sha256(data).digest() == seal else None


def read_part_rows(path: Path, artifact: Artifact) -> pa.Table:
    """The rows of a part that `read_part` found whole."""
    with pq.ParquetFile(pa.BufferReader(path.read_bytes()[32:])) as parquet:
        return parquet.read().replace_schema_metadata(None).cast(artifact.columns)


# --- reading ----------------------------------------------------------------------------------------------------------


def _opened(path: Path) -> pq.ParquetFile:
    """A Parquet file, its pages checked as they are read; opened by bytes, since a name need not be UTF-8."""
    # Arrow's own file and no reading ahead: its threads would need Python, and may outlive it.
    return pq.ParquetFile(pa.OSFile(os.fsencode(path)), pre_buffer=False, page_checksum_verification=True)


@contextmanager
def _whole(path: Path, artifact: Artifact) -> Iterator[None]:
    """Say of a file that cannot be read which file it is and how to get a good one."""
    try:
        yield
    except FileNotFoundError as error:
        raise SteerxError(f"{path} does not exist: `{artifact.written_by}` writes {artifact.name}") from error
    except PermissionError as error:
        raise SteerxError(f"{path} may not be read by this user: change its permissions") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise SteerxError(
            f"{path} is damaged or no Parquet file ({_first_line(error)}): make it again with `{artifact.written_by}`"
        ) from error


def read_footer(path: Path, artifact: Artifact) -> Footer:
    """The provenance of one file, once it is sure that the file is this artifact in today's schema."""
    with _whole(path, artifact), _opened(path) as parquet:
        metadata = parquet.metadata
        fits = parquet.schema_arrow.remove_metadata().equals(artifact.columns)
    text = (metadata.metadata or {}).get(FOOTER_KEY.encode())
    if text is None:
        raise SteerxError(f"{path} was not written by steerx: `{artifact.written_by}` writes {artifact.name}")
    footer = _footer_from(path, text)
    _check_kind(path, footer, artifact)
    if not fits:
        raise SteerxError(
            f"{path} has other columns than {artifact.name} version {artifact.version}: {_redo(artifact)}"
        )
    rows = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if not rows == metadata.num_rows == footer.rows:
        raise SteerxError(f"{path} was changed after steerx wrote it ({rows} rows, not {footer.rows})")
    return footer


def _footer_from(path: Path, text: bytes) -> Footer:
    try:
        return Footer.from_json(text.decode())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SteerxError(f"{path} has a provenance that this steerx cannot read: update steerx") from error


def _check_kind(path: Path, footer: Footer, artifact: Artifact) -> None:
    found = footer.record.artifact
    if found != artifact.name:
        raise SteerxError(f"{path} holds {found}, not {artifact.name}: `{artifact.written_by}` writes {artifact.name}")
    if footer.record.schema < artifact.version:
        raise SteerxError(
            f"{path} has {found} of version {footer.record.schema}, and this steerx reads version {artifact.version}: "
            + _redo(artifact)
        )
    if footer.record.schema > artifact.version:
        raise SteerxError(f"{path} comes from a newer steerx ({footer.record.version}): update steerx")


def _redo(artifact: Artifact) -> str:
    return f"make it again with `{artifact.written_by}`"


def artifact_of(path: Path) -> Artifact:
    """Which artifact a file holds, by its own provenance."""
    try:
        with _opened(path) as parquet:
            notes = parquet.metadata.metadata or {}
    except FileNotFoundError as error:
        raise SteerxError(f"{path} does not exist: name an artifact") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise SteerxError(f"{path} cannot be read as Parquet ({_first_line(error)}): name an artifact") from error
    text = notes.get(FOOTER_KEY.encode())
    if text is None:
        raise SteerxError(f"{path} was not written by steerx: name an artifact")
    name = _footer_from(path, text).record.artifact
    if name not in ARTIFACTS:
        raise SteerxError(f"{path} holds {name}, which this steerx does not know: update steerx")
    return ARTIFACTS[name]


class File:
    """One Parquet file of an artifact, read by row range. What is read is what its footer speaks of, or an error."""

    def __init__(self, path: Path, artifact: Artifact) -> None:
        self.path = path
        self._artifact = artifact
        self._parquet: pq.ParquetFile | None = None
        self._group: tuple[int, pa.Table] | None = None  # the row group read last: the next chunk often starts in it
        with _whole(path, artifact):
            self._seen = state_of(path)
        self.footer = read_footer(path, artifact)
        self._check_unchanged(replaced_too=True)

    def _opened(self) -> pq.ParquetFile:
        if self._parquet is None:
            self._parquet = _opened(self.path)  # and kept: a file that is replaced from now on is read as it was
            self._check_unchanged(replaced_too=True)
        return self._parquet

    def _check_unchanged(self, replaced_too: bool = False) -> None:
        try:
            state = state_of(self.path)
        except FileNotFoundError:
            return  # what is open is there still
        if state != self._seen and (replaced_too or state[0] == self._seen[0]):
            raise SteerxError(f"{self.path} was changed while it was read: run the same command again")

    def close(self) -> None:
        """Let go of the file; reading opens it again."""
        if self._parquet is not None:
            self._parquet.close(force=True)
        self._parquet = self._group = None

    def user_ids(self) -> Iterator[list[str]]:
        """Every row's user, some rows at a time."""
        with _whole(self.path, self._artifact):
            for batch in self._opened().iter_batches(_USER_IDS_AT_ONCE, columns=["user_id"], use_threads=False):
                yield batch.column(0).to_pylist()
        self._check_unchanged()

    def read(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`."""
        with _whole(self.path, self._artifact):
            pieces = [self._artifact.columns.empty_table()]
            first = 0
            for group in range(self._opened().num_row_groups):
                last = first + self._opened().metadata.row_group(group).num_rows
                if first < stop and start < last:
                    offset = max(0, start - first)
                    pieces.append(self._read_group(group).slice(offset, min(stop, last) - first - offset))
                first = last
        self._check_unchanged()
        return pa.concat_tables(pieces)

    def _read_group(self, group: int) -> pa.Table:
        if self._group is None or self._group[0] != group:
            self._group = None  # let go of the old one before the new one takes its place
            rows = self._opened().read_row_group(group, use_threads=False)
            self._group = (group, rows.replace_schema_metadata(None).cast(self._artifact.columns))
        return self._group[1]


# --- people's own files -----------------------------------------------------------------------------------------------


@contextmanager
def _foreign(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file that steerx did not write, whatever may be in it."""
    try:
        # A column of a person's own may be one piece of many GB: it is read through a buffer.
        file = pa.OSFile(os.fsencode(path))
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True) as parquet:
            yield parquet
    except FileNotFoundError as error:
        raise SteerxError(f"{path} does not exist: name a file that is there") from error
    except PermissionError as error:
        raise SteerxError(f"{path} may not be read by this user: change its permissions") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        # Arrow's own sentence can hold a person's text.
        what = "is a folder: name the files in it" if path.is_dir() else "is damaged or no Parquet file: get it again"
        raise SteerxError(f"{path} {what}") from None


def foreign_columns(path: Path) -> list[str]:
    """The names of the columns of a Parquet file, each once."""
    with _foreign(path) as parquet:
        names: list[str] = parquet.schema_arrow.names
    if len(set(names)) < len(names):
        raise SteerxError(f"{path} has two columns of one name: rename one")
    return names


def foreign_rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Every row of a Parquet file, in Python's own types; None for one that has something they cannot hold."""
    foreign_columns(path)
    with _foreign(path) as parquet:
        for batch in parquet.iter_batches(_rows_at_once(parquet.metadata), use_threads=False):
            yield from _python_rows(batch)


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    count: int = metadata.num_rows
    return max(1, min(_FOREIGN_ROWS, _FOREIGN_BYTES * count // max(1, size)))


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    # Text that is not UTF-8, a year after 9999, a time zone that nobody knows, nanoseconds: each has its own error.
    except (ValueError, OverflowError, LookupError, TypeError, pa.ArrowException):
        return (
            [None] if len(batch) == 1 else [row for i in range(len(batch)) for row in _python_rows(batch.slice(i, 1))]
        )
    return rows
