"""Which vectors are asked for, and how they are read: one user and query at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.sources import Source
from steerx_cli.core.strengths import refuse_unweighable

Format: TypeAlias = Literal["gguf", "safetensors"]


@dataclass(frozen=True)
class Wanted:
    """Which vectors, in which files; where nothing is named, all that there are."""

    format: Format
    users: Sequence[str] = ()
    queries: Sequence[str] = ()
    layers: Sequence[int] = ()
    gamma2: float = 1.0  # what they are multiplied by

    def __post_init__(self) -> None:
        """Refuse what would leave no numbers."""
        refuse_unweighable("--gamma2", self.gamma2)

    def parameters(self) -> dict[str, Any]:
        """As they are typed."""
        named = {"user": self.users, "query": self.queries, "layer": self.layers}
        return {"format": self.format, "gamma2": self.gamma2} | {name: [*ids] or None for name, ids in named.items()}

    def has(self, user: str, query: str | None) -> bool:
        """Whether this pair's vectors are wanted."""
        return (not self.users or user in self.users) and (not self.queries or query in self.queries)


# --- what is refused --------------------------------------------------------------------------------------------------


def check_wanted(source: Source, wanted: Wanted) -> None:
    """Refuse what is not there, and what nobody can have meant."""
    users = {user for user, _ in source.users() if user in wanted.users}  # and refuse users that are out of order
    _check_named("--user", wanted.users, users, source.where)
    if wanted.queries:
        queries = {pair.query for pair in read_pairs(source, wanted)}
        _check_named("--query", wanted.queries, queries, f"{source.where}{' for this --user' if wanted.users else ''}")
    _check_layers(source, wanted)


def _check_named(flag: str, named: Sequence[str], there: set[Any], where: str) -> None:
    for one in named:
        if one not in there:
            raise SteerxError(f"{flag} {one} is not in {where}: name one that is, or leave {flag} out")


def _check_layers(source: Source, wanted: Wanted) -> None:
    built = source.footer.record.parameters["layers"]
    there = f"{source.where} was built for layer{'s' if len(built) > 1 else ''} {', '.join(map(str, built))}"
    for layer in wanted.layers:
        if layer not in built:
            raise SteerxError(f"{there}, not {layer}: name a --layer that it has")
    if len(built) > 1 and not wanted.layers:
        raise SteerxError(
            f"{there}, and a program adds all that a file holds: name one with --layer, or several if that is meant"
        )
    if wanted.format == "gguf" and 1 in (wanted.layers or built):
        raise SteerxError(
            "llama.cpp cannot steer layer 1 and refuses a file that has it (as direction.0): use another layer, "
            "or --format safetensors"
        )


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A user and a query (or none), and what steers for them."""

    user: str
    query: str | None
    basis: str
    vectors: Mapping[int, NDArray[np.float32]]  # by layer, counted from 1
    empty: int  # layers without a vector


class _Row(NamedTuple):
    user: str
    query: str | None
    layer: int
    basis: str
    vector: Any  # Arrow's


def read_pairs(source: Source, wanted: Wanted) -> Iterator[Pair]:
    """The pairs that are wanted, with their vectors of the layers that are wanted."""
    for (user, query), group in groupby(_rows(source), lambda row: (row.user, row.query)):
        if wanted.has(user, query):
            rows = [row for row in group if not wanted.layers or row.layer in wanted.layers]
            vectors = {row.layer: row.vector.values.to_numpy() for row in rows if row.vector.is_valid}
            yield Pair(user, query, rows[0].basis, dict(sorted(vectors.items())), len(rows) - len(vectors))


def _rows(source: Source) -> Iterator[_Row]:
    for batch in source.batches():
        columns = [batch[name].to_pylist() for name in ("user_id", "query_id", "layer", "basis")]
        yield from map(_Row, *columns, batch["vector"])
