"""Cutting inputs into chunks of whole users, against plain lists."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import support
from steerx_cli.core.artifacts import File
from steerx_cli.core.chunks import Chunk, chunks_of, plan_chunks
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.provenance import Shard
from steerx_cli.core.sources import Source
from steerx_cli.stages.retrieve import Settings

ROLES = ["queries", "histories", "others"]
USERS = sorted((f"user {number}" for number in range(12)), key=user_order)


class Piece:
    """A file of nothing but user ids, given some at a time."""

    def __init__(self, user_ids: list[str], at_once: int) -> None:
        self._user_ids, self._at_once = user_ids, at_once

    def close(self) -> None:
        """Nothing is open."""

    def user_ids(self) -> Iterator[list[str]]:
        for start in range(0, len(self._user_ids), self._at_once):
            yield self._user_ids[start : start + self._at_once]


class Listed(Source):
    """A source in memory: the user of each row, cut into files anywhere."""

    def __init__(self, where: str, user_ids: list[str], per_file: int = 5, at_once: int = 3) -> None:
        self.where = where
        cuts = [user_ids[start : start + per_file] for start in range(0, len(user_ids), per_file)]
        self._files = cast("list[File]", [Piece(cut, at_once) for cut in cuts])


Rows = dict[str, list[str]]  # role → the user of each row


@st.composite
def inputs(draw: st.DrawFn) -> Rows:
    """Users who are in some of three inputs, with any number of rows in each."""
    found: Rows = {role: [] for role in ROLES}
    for user in USERS:
        for rows in found.values():
            rows += [user] * draw(st.sampled_from([0, 0, 1, 2, 5]))
    return found


def sources_of(rows: Rows, per_file: int = 5, at_once: int = 3) -> dict[str, Source]:
    return {role: Listed(f"{role}.parquet", user_ids, per_file, at_once) for role, user_ids in rows.items()}


def places(user_ids: list[str]) -> dict[str, list[int]]:
    """The rows of each user."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, user in enumerate(user_ids):
        found[user].append(place)
    return found


@settings(max_examples=300, deadline=None)
@given(
    rows=inputs(),
    chunk_users=st.integers(1, 13),
    limit=st.none() | st.integers(0, 13),
    per_file=st.integers(1, 9),
    at_once=st.integers(1, 9),
)
def test_every_user_is_in_one_chunk_with_all_their_rows(
    rows: Rows, chunk_users: int, limit: int | None, per_file: int, at_once: int
) -> None:
    chunks = plan_chunks("queries", sources_of(rows, per_file, at_once), chunk_users, limit)
    wanted = list(places(rows["queries"]))[:limit]
    groups = [wanted[start : start + chunk_users] for start in range(0, len(wanted), chunk_users)]
    assert [(chunk.index, chunk.users) for chunk in chunks] == [(i, len(group)) for i, group in enumerate(groups)]
    for chunk, group in zip(chunks, groups, strict=True):
        assert set(chunk.rows) == set(ROLES)
        for role, user_ids in rows.items():
            own = [place for user in group for place in places(user_ids)[user]]
            read = [place for start, stop in chunk.rows[role] for place in range(start, stop)]
            assert read == own, f"chunk {chunk.index} does not read just its users' rows of {role}"
            ends = [stop for _, stop in chunk.rows[role]]
            starts = [start for start, _ in chunk.rows[role]]
            assert all(end < start for end, start in zip(ends, starts[1:], strict=False)), "two ranges could be one"


@settings(deadline=None)
@given(count=st.integers(0, 60), shards=st.integers(1, 80))
def test_shards_part_the_chunks_in_order_and_evenly(count: int, shards: int) -> None:
    chunks = [Chunk(index, 1, {}) for index in range(count)]
    parts = [chunks_of(Shard(index, shards), chunks) for index in range(1, shards + 1)]
    assert [chunk for part in parts for chunk in part] == chunks
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_without_shards_all_chunks_are_done() -> None:
    chunks = [Chunk(index, 1, {}) for index in range(3)]
    assert chunks_of(None, chunks) == chunks


def test_an_input_without_rows_has_no_chunks() -> None:
    assert plan_chunks("queries", sources_of({"queries": [], "histories": USERS}), 4, None) == []


def test_a_user_whom_the_other_input_lacks_has_no_rows_there() -> None:
    histories = [user for user in USERS if user != USERS[5]]
    chunks = plan_chunks("queries", sources_of({"queries": USERS, "histories": histories}), 1, None)
    assert chunks[5].rows == {"queries": ((5, 6),), "histories": ()}


def refusal(rows: Rows, limit: int | None) -> str:
    with pytest.raises(SteerxError) as refused:
        plan_chunks("queries", sources_of(rows), 2, limit)
    return str(refused.value)


@pytest.mark.parametrize("limit", [None, 0, 1, 5, 12])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("place", [0, 6, 10])
def test_users_out_of_order_are_refused_in_every_input(role: str, place: int, limit: int | None) -> None:
    swapped = [*USERS[:place], USERS[place + 1], USERS[place], *USERS[place + 2 :]]
    rows = {**dict.fromkeys(ROLES, USERS), role: swapped}
    said = f"{role}.parquet is not in steerx's order of users: make it again, do not sort or join it"
    assert refusal(rows, limit) == said


@pytest.mark.parametrize("limit", [None, 0, 1, 5, 12])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("place", [2, 6, 12])
def test_a_user_who_comes_twice_is_refused_in_every_input(role: str, place: int, limit: int | None) -> None:
    again = [*USERS[:place], USERS[0], *USERS[place:]]
    rows = {**dict.fromkeys(ROLES, USERS), role: again}
    said = f"{role}.parquet is not in steerx's order of users: make it again, do not sort or join it"
    assert refusal(rows, limit) == said


@pytest.mark.parametrize("limit", [None, 0, 1])
@pytest.mark.parametrize("role", ["histories", "others"])
def test_the_order_of_an_input_is_checked_past_the_last_user_of_the_driver(role: str, limit: int | None) -> None:
    rows = {**dict.fromkeys(ROLES, USERS), "queries": USERS[:2], role: [*USERS[:9], USERS[11], USERS[10]]}
    assert refusal(rows, limit).startswith(f"{role}.parquet is not in steerx's order of users: ")


@pytest.mark.parametrize("role", ROLES)
def test_sorting_by_id_is_not_the_order(role: str) -> None:
    rows = {**dict.fromkeys(ROLES, USERS), role: sorted(USERS)}
    assert refusal(rows, None).startswith(f"{role}.parquet is not in steerx's order of users: ")


@pytest.mark.parametrize("retriever", ["recency", "random", "all"])
def test_no_chunk_or_shard_changes_what_a_stage_chooses(data: Path, tmp_path: Path, retriever: str) -> None:
    chosen, found = Settings(retriever, 3, seed=5), []
    for chunk_users, shards in ((1, 1), (7, 1), (64, 1), (2, 3)):
        paths = [tmp_path / f"{chunk_users} {index}.parquet" for index in range(1, shards + 1)]
        for index, path in enumerate(paths, 1):
            support.retrieve(data, path, chosen, chunk_users=chunk_users, shard=Shard(index, shards))
        found.append([row for path in paths for row in pq.read_table(path).to_pylist()])
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 20 * (5 if retriever == "all" else 3)
