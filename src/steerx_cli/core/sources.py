"""An input as a stage sees it: one artifact, in one file or in all its shards, checked before anything is computed."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from steerx_cli.core.artifacts import File
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import check_order
from steerx_cli.core.provenance import Footer, Shard, join_shards
from steerx_cli.core.schemas import Artifact
from steerx_cli.core.scope import Scope


def find_files(where: Path) -> list[Path]:
    """The files that a name stands for: a file, the Parquet files of a folder, or those that a pattern matches."""
    try:
        if where.is_dir():
            return sorted(where.glob("*.parquet"))
        if not where.exists() and glob.has_magic(str(where)):
            return sorted(Path(match) for match in glob.glob(str(where)))  # noqa: PTH207 - a Path cannot glob from /
    except PermissionError:
        pass  # reading the file says so, with its name
    return [where]


def order_shards(files: list[File]) -> list[File]:
    """Put shards in order, and refuse any set that is not exactly the shards of one run."""
    whole = [file for file in files if file.footer.shard is None]
    if len(whole) == 1 and all(file.footer.record == whole[0].footer.record for file in files):
        return whole  # alone, or with the shards that it was merged from beside it
    for file in files:
        if file.footer.shard is None:
            raise SteerxError(f"{file.path} is a whole file, not a shard: name it alone, or name the shards alone")
        if file.footer.record != files[0].footer.record:
            raise SteerxError(f"{file.path} and {files[0].path} are shards of different runs: name the shards of one")
    return _complete([(file.footer.shard, file) for file in files if file.footer.shard])


def _complete(shards: list[tuple[Shard, File]]) -> list[File]:
    counts = sorted({shard.count for shard, _ in shards})
    if len(counts) > 1:
        raise SteerxError(f"these shards were cut differently, into {' and '.join(map(str, counts))}: name one set")
    by_index = {shard.index: file for shard, file in shards}
    missing = [index for index in range(1, counts[0] + 1) if index not in by_index]
    if missing:
        raise SteerxError(f"shard {missing[0]}/{counts[0]} is missing beside {shards[0][1].path}: run or name it too")
    if len(by_index) < len(shards):
        raise SteerxError(f"a shard is there twice beside {shards[0][1].path}: keep one of each")
    return [by_index[index] for index in sorted(by_index)]


class Source:
    """One artifact, its rows numbered through all its files."""

    def __init__(self, artifact: Artifact, *places: Path, one_shard: bool = False) -> None:
        """Open all files of the places; `one_shard` takes a single shard for what it is."""
        paths = [path for place in places for path in find_files(place)]
        self.where = ", ".join(map(str, places))
        if not paths:
            raise SteerxError(f"{self.where} has no Parquet file in it: `{artifact.written_by}` writes {artifact.name}")
        self.artifact = artifact
        files = [File(path, artifact) for path in paths]
        self._files = files if one_shard and len(files) == 1 else order_shards(files)
        footers = [file.footer for file in self._files]
        whole = footers[0].shard is None or (one_shard and len(files) == 1)
        self.footer: Footer = footers[0] if whole else join_shards(footers)

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of their rows."""
        return [file.path for file in self._files]

    @property
    def shards(self) -> list[Footer]:
        """The footers of the shards, or of the one file."""
        return [file.footer for file in self._files]

    def users(self) -> Iterator[tuple[str, int]]:
        """Each user and the number of their rows, in the order that all artifacts share; refused if it is not kept."""
        return check_order(self._runs(), self.where)

    def _runs(self) -> Iterator[tuple[str, int]]:
        current, count = "", 0
        for file in self._files:
            for user_ids in file.user_ids():
                for user_id in user_ids:
                    if count and user_id != current:
                        yield current, count
                        count = 0
                    current, count = user_id, count + 1
            if len(self._files) > 1:
                file.close()
        if count:
            yield current, count

    def read(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`."""
        pieces, first = [self.artifact.columns.empty_table()], 0
        for file in self._files:
            rows = file.footer.rows
            if first < stop and start < first + rows:
                pieces.append(file.read(max(0, start - first), min(stop - first, rows)))
            else:
                file.close()  # thousands of shards are more than may be open at once
            first += rows
        return pa.concat_tables(pieces)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> pa.Table:
        """The rows of several ranges; of scattered ones only these rows are held, not the groups they lie in."""
        if len(ranges) == 1:
            return self.read(*ranges[0])
        pieces = [self.artifact.columns.empty_table()]
        for start, stop in ranges:
            rows = self.read(start, stop)
            pieces.append(rows.take(pa.array(range(len(rows)), pa.int64())))
        return pa.concat_tables(pieces)

    def batches(self) -> Iterator[pa.Table]:
        """All rows, some at a time."""
        step = self.artifact.rows_per_group
        for start in range(0, self.footer.rows, step):
            yield self.read(start, min(start + step, self.footer.rows))


def refuse_partial(driver: Source, made: Iterable[Source], scope: Scope) -> None:
    """Refuse what was made for fewer users than are to be worked on, or from what was."""
    needed = min(driver.footer.users, scope.limit or driver.footer.users)
    for source in made:
        records = [entry["record"] for entry in source.footer.lineage().values()]
        limits = [limit for record in records if (limit := record["parameters"].get("limit")) is not None]
        if limits and source.footer.users >= min(limits) and needed > min(limits):
            raise SteerxError(
                f"{source.where} was made for the first {min(limits)} users: make it for all, or name "
                f"--limit {min(limits)}"
            )
