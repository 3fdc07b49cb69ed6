"""The order of users: whoever changes the hash makes every artifact of the past unreadable, so it is pinned here."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import check_order, user_order

PINNED = {
    "": "e4a6a0577479b2b4",
    "a": "40f89e395b66422f",
    "b": "8472c2e34d854f75",
    "A2SUAM1J3GNN3B": "1fbd3f8e05a3d301",
    "person-000001": "1452bf4278bb0b56",
    "é": "cb1abf8beff3192f",
    "日本語 🙂": "32a8f447d02f9342",
    "\x00": "94f6d9cdd1ea8248",
    "\ud800": "4208783e927d0d68",
}
REFUSED = "the file is not in steerx's order of users: make it again, do not sort or join it"


def test_the_hash_is_the_one_that_older_artifacts_were_written_with() -> None:
    assert {user_id: user_order(user_id)[0].hex() for user_id in PINNED} == PINNED


def test_the_order_is_the_one_that_older_artifacts_were_written_in() -> None:
    assert sorted(PINNED, key=user_order) == [
        "person-000001", "A2SUAM1J3GNN3B", "日本語 🙂", "a", "\ud800", "b", "\x00", "é", "",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_another_process_has_the_same_order(seed: str) -> None:
    code = "from steerx_cli.core.order import user_order; print(sorted(map(str, range(50)), key=user_order))"
    surroundings = {**os.environ, "PYTHONHASHSEED": seed}
    told = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True)
    assert told.stdout == f"{sorted(map(str, range(50)), key=user_order)}\n"


@settings(deadline=None)
@given(st.text(), st.text())
def test_two_users_have_the_same_place_only_if_they_are_one(one: str, other: str) -> None:
    assert (user_order(one) == user_order(other)) == (one == other)


def test_the_first_users_are_a_fair_sample_of_ids_that_count_up() -> None:
    first = sorted((f"{number:04d}" for number in range(1000)), key=user_order)[:200]
    assert 400 < sum(map(int, first)) / 200 < 600


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.integers(1)), unique_by=lambda run: run[0]))
def test_what_is_in_order_is_passed_on_as_it_is(runs: list[tuple[str, int]]) -> None:
    runs.sort(key=lambda run: user_order(run[0]))
    assert list(check_order(iter(runs), "the file")) == runs


@settings(deadline=None)
@given(st.lists(st.text(), min_size=2, unique=True), st.data())
def test_what_is_out_of_order_is_refused_where_it_first_shows(users: list[str], data: st.DataObject) -> None:
    users.sort(key=user_order)
    place = data.draw(st.integers(1, len(users) - 1))
    earlier = data.draw(st.sampled_from(users[:place]))
    passed: list[tuple[str, int]] = []
    with pytest.raises(SteerxError) as refused:
        passed.extend(check_order(((user, 1) for user in [*users[:place], earlier, *users[place:]]), "the file"))
    assert str(refused.value) == REFUSED
    assert [user for user, _ in passed] == users[:place]


def test_a_user_who_comes_again_at_once_is_refused() -> None:
    with pytest.raises(SteerxError) as refused:
        list(check_order(iter([("a", 1), ("a", 2)]), "the file"))
    assert str(refused.value) == REFUSED


def test_users_are_taken_only_as_they_are_asked_for() -> None:
    taken: list[str] = []

    def users() -> Iterator[tuple[str, int]]:
        for user_id in sorted("abcdef", key=user_order):
            taken.append(user_id)
            yield user_id, 1

    checked = check_order(users(), "the file")
    next(checked)
    next(checked)
    assert len(taken) == 2
