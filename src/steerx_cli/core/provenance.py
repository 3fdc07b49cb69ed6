"""What a footer tells: which stage made the artifact, from what, with which parameters. No clock, host or path."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.text import is_utf8

FOOTER_KEY = "steerx"
_DIGEST_SPACE = 1 << 256


def fingerprint(value: Any) -> str:
    """Name any JSON-like value by its content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def typed(value: object) -> str:
    """A parameter as a person types it."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={part}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(typed, value))
    return "none" if value is None else str(value)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse what was typed in another encoding: it could not be written down."""
    for name, value in parameters.items():
        if not is_utf8(json.dumps(value, ensure_ascii=False)):
            raise SteerxError(f"--{name.replace('_', '-')} has bytes that are not UTF-8: type it in UTF-8")


@dataclass(frozen=True)
class Record:
    """Everything that decides an artifact's rows."""

    artifact: str
    schema: int
    stage: str
    version: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)  # role → fingerprint of the input's footer
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # role → id, revision, weights, dtype

    @property
    def fingerprint(self) -> str:
        """The name under which parts of this very run are kept."""
        return fingerprint(asdict(self))


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Footer:
    """A finished artifact's provenance: its record, a digest of its rows, and the records of all it came from."""

    record: Record
    rows: int
    users: int
    content: str  # sum of the chunks' digests, so that shards add up to the whole
    counts: Mapping[str, int] = field(default_factory=dict)  # fall-backs and rejected rows, by name
    ancestry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # fingerprint → {record, rows, content}
    shard: Shard | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for a whole file and for its shards taken together."""
        return fingerprint(self._identity())

    def _identity(self) -> dict[str, Any]:
        return {"record": asdict(self.record), "rows": self.rows, "content": self.content}

    def lineage(self) -> dict[str, Mapping[str, Any]]:
        """This artifact and all its ancestors, each under its fingerprint."""
        return {self.fingerprint: self._identity(), **self.ancestry}

    def to_json(self) -> str:
        """The same footer gives the same text, so the same rows give the same bytes."""
        values = asdict(self)
        if self.shard is None:
            del values["shard"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        values = json.loads(text)
        shard = values.pop("shard", None)
        return cls(**{**values, "record": Record(**values["record"]), "shard": Shard(**shard) if shard else None})


def chunk_digest(index: int, data: bytes | memoryview) -> int:
    """What one chunk adds to its file's content; the index makes the order count."""
    digest = hashlib.sha256(index.to_bytes(8, "big"))
    digest.update(data)
    return int.from_bytes(digest.digest(), "big")


def total_digest(digests: Iterable[int]) -> str:
    """The content of a file from what its chunks add."""
    return f"{sum(digests) % _DIGEST_SPACE:064x}"


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum counts name by name, in alphabetical order."""
    total: dict[str, int] = {}
    for some in counts:
        for name, number in some.items():
            total[name] = total.get(name, 0) + number
    return dict(sorted(total.items()))


def join_shards(footers: list[Footer]) -> Footer:
    """The footer of the whole, from those of all its shards."""
    return replace(
        footers[0],
        rows=sum(footer.rows for footer in footers),
        users=sum(footer.users for footer in footers),
        content=total_digest(int(footer.content, 16) for footer in footers),
        counts=add_counts(footer.counts for footer in footers),
        shard=None,
    )
