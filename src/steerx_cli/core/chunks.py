"""What a stage does, cut into chunks of whole users: the unit of resuming and of shards. Nothing crosses a chunk."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from steerx_cli.core.order import user_order
from steerx_cli.core.provenance import Shard
from steerx_cli.core.sources import Source

Range: TypeAlias = tuple[int, int]  # start, stop


@dataclass(frozen=True)
class Chunk:
    """Some users, and which rows of each input are theirs."""

    index: int
    users: int
    rows: Mapping[str, tuple[Range, ...]]  # role → their rows, in order


class _Cursor:
    """Walks through an input's users in step with the driver's."""

    def __init__(self, users: Iterator[tuple[str, int]]) -> None:
        self._users = users
        self._position = 0
        self._next = next(users, None)

    def skip_before(self, user_id: str) -> int:
        """The first row that belongs to `user_id` or to someone after them."""
        while self._next is not None and user_order(self._next[0]) < user_order(user_id):
            self._step()
        return self._position

    def skip_through(self, user_id: str) -> int:
        """The first row that belongs to someone after `user_id`."""
        self.skip_before(user_id)
        if self._next is not None and self._next[0] == user_id:
            self._step()
        return self._position

    def _step(self) -> None:
        assert self._next is not None
        self._position += self._next[1]
        self._next = next(self._users, None)

    def finish(self) -> None:
        """Walk to the end, so that the order of the whole input was checked."""
        while self._next is not None:
            self._step()


def plan_chunks(driver: str, sources: Mapping[str, Source], chunk_users: int, limit: int | None) -> list[Chunk]:
    """Cut the driver's first `limit` users into chunks, and find their rows in every other input."""
    users = sources[driver].users()
    cursors = {role: _Cursor(source.users()) for role, source in sources.items() if role != driver}
    chunks: list[Chunk] = []
    position = 0
    wanted = islice(users, limit)
    while some := list(islice(wanted, chunk_users)):
        start, position = position, position + sum(rows for _, rows in some)
        rows: dict[str, tuple[Range, ...]] = {driver: ((start, position),)}
        for role, cursor in cursors.items():
            rows[role] = joined((cursor.skip_before(user), cursor.skip_through(user)) for user, _ in some)
        chunks.append(Chunk(len(chunks), len(some), rows))
    for cursor in cursors.values():
        cursor.finish()
    for _ in users:  # past the limit, for the same reason
        pass
    return chunks


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same rows in as few ranges as can be."""
    found: list[Range] = []
    for start, stop in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        elif start < stop:
            found.append((start, stop))
    return tuple(found)


def chunks_of(shard: Shard | None, chunks: list[Chunk]) -> list[Chunk]:
    """The chunks of one shard: whole chunks that lie together, shards differing by one at most."""
    if shard is None:
        return chunks
    return chunks[(shard.index - 1) * len(chunks) // shard.count : shard.index * len(chunks) // shard.count]
