"""Which part of the work a run does, and where its result goes."""

from dataclasses import dataclass
from pathlib import Path

from steerx_cli.core.provenance import Shard


@dataclass(frozen=True)
class Scope:
    """What every stage is told beside its own settings."""

    output: Path
    chunk_users: int = 64
    limit: int | None = None  # in users, from the start of the input
    shard: Shard | None = None
    overwrite: bool = False
    dry_run: bool = False
