"""Where artifacts lie: a run folder in which each has its name, its shards beside it."""

import glob
import re
from pathlib import Path

from steerx_cli.core.provenance import Shard

_SHARD_NAME = re.compile(r"-\d{5}-of-\d{5}(?=\.parquet$)")


def artifact_path(folder: Path, name: str, shard: Shard | None = None) -> Path:
    """`retrieved.parquet`, or `retrieved-00001-of-00004.parquet` for a shard of it."""
    suffix = f"-{shard.index:05d}-of-{shard.count:05d}" if shard else ""
    return folder / f"{name}{suffix}.parquet"


def whole_path(shard: Path) -> Path:
    """The name of the whole that a shard belongs to."""
    return shard.with_name(_SHARD_NAME.sub("", shard.name))


def find_input(name: str, given: Path | None, run: Path, data: Path | None) -> Path:
    """The file of an input: the one named, else the run folder's own (or its shards), else the data folder's."""
    if given is not None:
        return given
    own = artifact_path(run, name)
    shards = own.with_name(f"{name}-?????-of-?????.parquet")
    if not own.exists() and any(run.glob(shards.name)):
        return Path(glob.escape(str(run))) / shards.name
    if data is not None and not own.exists() and artifact_path(data, name).exists():
        return artifact_path(data, name)
    return own
