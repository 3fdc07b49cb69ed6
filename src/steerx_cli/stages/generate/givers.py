"""What is given to a question beside histories: a description or a vector, the user's own or, as a control, not."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.core.order import lot
from steerx_cli.core.sources import Source
from steerx_cli.lm.steer import Vector
from steerx_cli.stages.generate.settings import NEEDS, VECTOR, S, Settings


class Direction(NamedTuple):
    """A vector, and whether descriptions are in it: without any, that of steerx-cas is cas's."""

    vector: Vector
    described: bool


Gift: TypeAlias = str | Direction
G = TypeVar("G", str, Direction)


class Asked(NamedTuple):
    """For what something is given."""

    user_id: str
    query_id: str
    number: int  # of the query among the user's


class Giver(Protocol):
    """Where descriptions or vectors come from."""

    def given(self, asked: Asked, /) -> tuple[str | None, Gift | None]:
        """Whose it is, if it is another user's, and what there is."""


# --- the user's own ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Own:
    """What is the query's own, or the user's; null is none, and what is not there at all is another run's."""

    gifts: Mapping[tuple[str, str | None], Gift | None]
    refusal: str  # with a place for what it lacks

    def given(self, asked: Asked, /) -> tuple[None, Gift | None]:
        """That of the query goes first."""
        for key in ((asked.user_id, asked.query_id), (asked.user_id, None)):
            if key in self.gifts:
                return None, self.gifts[key]
        raise SteerxError(self.refusal.format(f"query {asked.query_id!r} of user {asked.user_id!r}"))


def own(tables: Tables, settings: Settings) -> Giver | None:
    """Those of some users; None where the method needs none."""
    if S in NEEDS[settings.method]:
        refusal = "the profiles lack {}: smooth the scores of the same retrieved histories, with --describe both"
        descriptions = _descriptions([tables["profiles"]], settings)
        return Own({(user, query): text for user, query, text in descriptions}, refusal)
    if VECTOR in NEEDS[settings.method]:
        refusal = "the vectors lack {}: build them from the same retrieved histories"
        vectors = _vectors([tables["vectors"]], settings)
        return Own({(user, query): vector for user, query, vector in vectors}, refusal)
    return None


# --- another's --------------------------------------------------------------------------------------------------------


class Donors(Generic[G]):
    """All users who have something to give, in a circle in an order that is drawn: each gets what is the next one's.

    The circle hangs on the whole file of what is given, not on the chunk or shard in which a user is.
    """

    def __init__(self, gifts: Mapping[str, Sequence[G]], seed: int, kind: str) -> None:
        if len(gifts) < 2:
            flag, files = {"description": ("--profiles-of", "profiles"), "vector": ("--vectors-of", "vectors")}[kind]
            raise SteerxError(
                f"{flag} other takes another user's {kind}, and {len(gifts)} users have any: name {files} of more users"
            )
        self._gifts: Mapping[str, Sequence[G]] = gifts
        self._seed = seed
        self._circle = sorted((lot(seed, "donor", user), user) for user in gifts)

    def given(self, asked: Asked, /) -> tuple[str, G]:
        """Of a user's donor: theirs in order, then again from the first."""
        place = bisect_right(self._circle, (lot(self._seed, "donor", asked.user_id), asked.user_id)) % len(self._circle)
        donor = self._circle[place][1]
        theirs = self._gifts[donor]
        return donor, theirs[asked.number % len(theirs)]


@dataclass(frozen=True)
class Mean:
    """The same for everybody: the mean of all users' vectors, each user's counting once."""

    direction: Direction

    @classmethod
    def of(cls, directions: Mapping[str, Sequence[Direction]]) -> "Mean":
        """Refuses to be the mean of nothing."""
        if not directions:
            raise SteerxError("--vectors-of mean takes the mean of all users' vectors, and there is none: name others")
        means = [np.mean([each.vector for each in theirs], 0, np.float64) for theirs in directions.values()]
        described = any(each.described for theirs in directions.values() for each in theirs)
        return cls(Direction(np.mean(means, 0).astype(np.float32), described))

    def given(self, _: Asked, /) -> tuple[None, Direction]:
        """It is nobody's own."""
        return None, self.direction


def others(sources: Mapping[str, Source], settings: Settings) -> Giver | None:
    """From the whole of a file, which is held in memory; None where each user has what is the user's own."""
    needs = NEEDS[settings.method]
    if S in needs and settings.profiles_of == "other":
        return Donors(_by_user(_descriptions(_tables(sources["profiles"]), settings)), settings.seed, "description")
    if VECTOR in needs and settings.vectors_of != "own":
        vectors = _by_user(_vectors(_tables(sources["vectors"]), settings))
        return Mean.of(vectors) if settings.vectors_of == "mean" else Donors(vectors, settings.seed, "vector")
    return None


def _tables(source: Source) -> Iterator[pl.DataFrame]:
    return (cast(pl.DataFrame, pl.from_arrow(batch)) for batch in source.batches())


def _by_user(gifts: Iterator[tuple[str, str | None, G | None]]) -> dict[str, list[G]]:
    found: dict[str, list[G]] = defaultdict(list)
    for user_id, _, gift in gifts:
        if gift is not None:
            found[user_id].append(gift)
    return found


# --- tables → gifts ---------------------------------------------------------------------------------------------------


def _descriptions(tables: Iterable[pl.DataFrame], settings: Settings) -> Iterator[tuple[str, str, str | None]]:
    """S of each query: what is said of all its histories together, or of each, a line each."""
    columns = ["user_id", "query_id", "item_id", "description"]
    rows = (row for table in tables for row in table.select(columns).iter_rows(named=True))
    for (user_id, query_id), of_query in groupby(rows, lambda row: (row["user_id"], row["query_id"])):
        some = [row for row in of_query if (row["item_id"] is None) == (settings.described_by == "query")]
        if some:
            said = [row["description"] for row in some if (row["description"] or "").strip()]
            yield user_id, query_id, "\n".join(said) or None


def _vectors(tables: Iterable[pl.DataFrame], settings: Settings) -> Iterator[tuple[str, str | None, Direction | None]]:
    """The vector of each query or user, at the layer that is steered."""
    assert settings.steering
    for table in tables:
        rows = table.filter(pl.col("layer") == settings.steering.layer)
        columns = (rows[name] for name in ("user_id", "query_id", "basis", settings.vector_column))
        for user_id, query_id, basis, vector in zip(*columns, strict=True):
            if vector is None:
                yield user_id, query_id, None
            else:
                yield user_id, query_id, Direction(_sized(vector.to_numpy(), settings.unit), basis == "steerx")


def _sized(vector: Vector, unit: bool) -> Vector:
    """As it is, or of the length 1."""
    length = np.linalg.norm(vector.astype(np.float64))
    return (vector / length).astype(np.float32) if unit and length else vector
