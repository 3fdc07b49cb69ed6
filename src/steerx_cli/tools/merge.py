"""`steerx merge`: the shards of one run, put together to the file that the run would have written whole."""

import time
from collections.abc import Sequence
from pathlib import Path

from steerx_cli.core.artifacts import artifact_of, writing
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.outputs import Output, explained, interruptible
from steerx_cli.core.places import whole_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.sources import Source, find_files
from steerx_cli.core.summary import Summary


def open_shards(places: Sequence[Path]) -> Source:
    """All the shards of one run, from files, folders or patterns."""
    paths = [path for place in places for path in find_files(place)]
    if not paths:
        raise SteerxError(f"{', '.join(map(str, places))} has no Parquet file in it: name the shards to merge")
    wholes = {whole_path(path) for path in paths if whole_path(path) != path}
    shards = [path for path in paths if path not in wholes]  # an earlier merge's result may lie among them
    source = Source(artifact_of(shards[0]), *shards)
    if source.shards[0].shard is None:
        raise SteerxError(f"{source.paths[0]} is a whole file already: there is nothing to merge")
    return source


def _whole_beside(shard: Path) -> Path:
    whole = whole_path(shard)
    if whole == shard:
        raise SteerxError(f"{shard} is not named like a shard, so the whole has no name of its own: give --output")
    return whole


def run(places: Sequence[Path], output: Path | None, overwrite: bool, dry_run: bool, progress: Progress) -> Summary:
    """Copy the rows in order, under the provenance of the whole."""
    started = time.monotonic()
    source = open_shards(places)
    target = Output(output or _whole_beside(source.paths[0]), source.artifact, overwrite)
    target.check_place(*source.paths)
    finished = target.is_finished(source.footer.record, None)
    if not dry_run:
        with target.locked():
            finished = target.is_finished(source.footer.record, None)  # again: another merge may have just ended
            if not finished:
                _merge(source, target, progress)
    return Summary(
        command="merge",
        status="up to date" if finished else "would run" if dry_run else "finished",
        output=str(target.path),
        inputs={"shards": ", ".join(map(str, source.paths))},
        rows=source.footer.rows,
        users=source.footer.users,
        users_now=0 if finished or dry_run else source.footer.users,
        seconds=time.monotonic() - started,
        counts=source.footer.counts,
    )


def _merge(source: Source, target: Output, progress: Progress) -> None:
    progress.start("merge", source.footer.rows, "rows")
    with (
        interruptible(str),
        explained(target.path),
        writing(target.path, target.artifact) as writer,
    ):
        for batch in source.batches():
            writer.write(batch)
            progress.advance(len(batch))
        writer.close(source.footer)
