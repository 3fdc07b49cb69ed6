"""`steerx show`: what is in an artifact, and where it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerx_cli.core.artifacts import artifact_of
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer
from steerx_cli.core.schemas import EFFECTS, GENERATIONS, PROFILES, SCORES, type_name
from steerx_cli.core.sources import Source, find_files


@dataclass(frozen=True)
class Ancestor:
    """One artifact in the ancestry, at its depth below the one shown."""

    depth: int
    role: str
    fingerprint: str
    rows: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """Everything that `show` tells about an artifact."""

    artifact: str
    place: str
    files: int
    footer: Footer
    columns: list[tuple[str, str]]  # name, type
    rows: list[dict[str, Any]]
    chain: list[Ancestor]

    @property
    def shaded(self) -> bool:
        """Whether the rows are texts with an effect for each token."""
        return self.artifact in (EFFECTS.name, SCORES.name)

    @property
    def text(self) -> str | None:
        """The column whose texts are what the artifact is about, and are shown whole."""
        return {PROFILES.name: "description", GENERATIONS.name: "response"}.get(self.artifact)


def ancestors(footer: Footer) -> Iterator[Ancestor]:
    """The artifact and all it was made from, depth first, back to what no stage made."""
    lineage = footer.lineage()

    def walk(role: str, fingerprint: str, depth: int) -> Iterator[Ancestor]:
        entry = lineage[fingerprint]
        yield Ancestor(depth, role, fingerprint, entry["rows"], entry["record"])
        for name, parent in sorted(entry["record"]["inputs"].items()):
            yield from walk(name, parent, depth + 1)

    return walk(footer.record.artifact, footer.fingerprint, 0)


def run(place: Path, rows: int) -> View:
    """Open an artifact in today's schema and take its first rows."""
    paths = find_files(place)
    if not paths:
        raise SteerxError(f"{place} has no Parquet file in it: name an artifact")
    kinds = {artifact_of(path).name for path in paths}
    if len(kinds) > 1:
        raise SteerxError(f"{place} holds {' and '.join(sorted(kinds))}: name one of the files")
    source = Source(artifact_of(paths[0]), place, one_shard=True)
    return View(
        artifact=source.artifact.name,
        place=source.where,
        files=len(paths),
        footer=source.footer,
        columns=[(column.name, type_name(column)) for column in source.artifact.columns],
        rows=source.read(0, min(rows, source.footer.rows)).to_pylist(),
        chain=list(ancestors(source.footer)),
    )
