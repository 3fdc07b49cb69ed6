"""What is asked, and whose description goes with it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import polars as pl
import pyarrow as pa
import pytest

from scorers import REVIEW, Row, beside, history, profile, query
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Tables
from steerx_cli.core.schemas import ARTIFACTS
from steerx_cli.stages.generate.givers import Donors
from steerx_cli.stages.generate.questions import Question, questions_of
from steerx_cli.stages.generate.settings import Settings

STEERX = Settings("steerx-cos", REVIEW.task, lams=(0.5,), prompt_format="plain", max_new_tokens=2)
OTHERS = replace(STEERX, profiles_of="other")
USERS = [f"user {number}" for number in range(40)]


def tables(**rows: list[Row]) -> Tables:
    """As the stage is given them."""
    return {
        name: pl.DataFrame(pa.Table.from_pylist(some, schema=ARTIFACTS[name].columns)) for name, some in rows.items()
    }


def asked(profiles: list[Row], how: Settings = STEERX, queries: int = 3, *, lacks: str = "") -> list[Question]:
    """What becomes of some queries of each user, all but `lacks` with two histories."""
    users = list(dict.fromkeys(row["user_id"] for row in profiles))
    wanted = [query(user, f"{number}") for user in users for number in range(queries)]
    own = {user: [history(user, name, f"{user}'s {name}") for name in ("first", "second")] for user in users}
    retrieved = [
        row for each in wanted if each["user_id"] != lacks for row in beside(each["query_id"], own[each["user_id"]])
    ]
    return questions_of(tables(queries=wanted, retrieved=retrieved, profiles=profiles), how, None)


# --- one's own --------------------------------------------------------------------------------------------------------


def test_a_query_has_its_own_histories_and_its_own_description() -> None:
    found = asked([profile(user, f"{at}", f"{user}{at}") for user in "ab" for at in range(3)])
    assert [(each.user_id, each.query_id, each.description) for each in found] == [
        (user, f"{at}", f"{user}{at}") for user in "ab" for at in range(3)
    ]
    for each in found:
        assert each.history_ids == ("first", "second")
        assert [one.response for one in each.histories] == [f"{each.user_id}'s first", f"{each.user_id}'s second"]
        assert (each.item.values["title"], each.donor_id, each.item_id) == (f"Next {each.query_id}", None, None)


@pytest.mark.parametrize("nothing", [None, "", " ", "\n\t \u00a0"])
def test_a_description_that_says_nothing_is_none(nothing: str | None) -> None:
    found = asked([profile("a", "0", nothing), profile("a", "1", " A ")], queries=2)
    assert [each.description for each in found] == [None, " A "]


def test_a_description_of_one_history_is_none_of_a_query() -> None:
    of_one = {**profile("a", "0", "Of one history."), "item_id": "first"}
    assert asked([of_one, profile("a", "0", "A")], queries=1)[0].description == "A"


OF_ONE = {**profile("a", "1", "Of one."), "item_id": "first"}


@pytest.mark.parametrize("said", [[], [OF_ONE], [profile("b", "1", "B")]], ids=["nothing", "of one", "of another"])
def test_profiles_of_another_run_are_refused(said: list[Row]) -> None:
    with pytest.raises(SteerxError) as refused:
        asked([profile("a", "0", "A"), *said], queries=2)
    assert str(refused.value) == (
        "the profiles lack query '1' of user 'a': smooth the scores of the same retrieved histories, "
        "with --describe both"
    )


def test_whoever_has_no_histories_needs_no_profile() -> None:
    found = asked([profile("a", "0", "A"), profile("b", "0", "B")], queries=1, lacks="b")
    assert [(each.description, each.histories != ()) for each in found] == [("A", True), (None, False)]
    found = questions_of(tables(queries=[query("b", "0")], retrieved=[], profiles=[]), STEERX, None)
    assert [each.description for each in found] == [None]


def test_whoever_has_no_histories_is_given_nobody_s_description() -> None:
    wanted = [query("a", "0"), query("b", "0")]
    read = tables(queries=wanted, retrieved=beside("0", [history("a", "one", "Well.")]), profiles=[])
    found = questions_of(read, OTHERS, Donors({"a": ["A"], "b": ["B"]}, 0, "description"))
    assert [(each.donor_id, each.description) for each in found] == [("b", "B"), (None, None)]


def test_the_k_th_query_gets_the_donor_s_k_th_description() -> None:
    wanted = [query("a", f"{number}") for number in range(4)]
    retrieved = [row for number in range(4) for row in beside(f"{number}", [history("a", "one", "Well.")])]
    read = tables(queries=wanted, retrieved=retrieved, profiles=[])
    found = questions_of(read, OTHERS, Donors({"a": ["A"], "b": ["B0", "B1", "B2"]}, 0, "description"))
    assert [each.description for each in found] == ["B0", "B1", "B2", "B0"]


@pytest.mark.parametrize("method", ["rag", "cos", "steerx-cos"])
def test_histories_that_were_retrieved_for_other_queries_are_refused(method: str) -> None:
    read = tables(
        queries=[query("a", "one"), query("a", "two")],
        retrieved=beside("two", [history("a", "x", "Well.")]),
        profiles=[profile("a", "two", "A")],
    )
    said = (
        "the retrieved histories lack query 'one' of user 'a', who has some for other queries: retrieve for the same "
    )
    with pytest.raises(SteerxError, match=said):
        questions_of(read, replace(STEERX, method=method), None)


@pytest.mark.parametrize(("method", "histories", "description"), [("non-perso", False, False), ("cos", True, False)])
def test_a_method_is_told_what_it_looks_at_alone(method: str, histories: bool, description: bool) -> None:
    found = asked([profile("a", "0", "A")], replace(STEERX, method=method), queries=1)
    assert [(each.histories != (), each.description is not None) for each in found] == [(histories, description)]


# --- histories' own inputs --------------------------------------------------------------------------------------------


def test_over_histories_each_is_asked_once_with_nothing_of_its_user(shuffled: Callable[[list[Row]], list[Row]]) -> None:
    own = {user: [history(user, name, f"{user} {name}") for name in "xyz"] for user in "ab"}
    retrieved = [row for user in "ab" for name in ("0", "1", "2") for row in beside(name, shuffled(own[user]))]
    found = questions_of(tables(retrieved=retrieved), Settings("non-perso", REVIEW.task, over="histories"), None)
    assert Counter((each.user_id, each.item_id) for each in found) == Counter((u, n) for u in "ab" for n in "xyz")
    assert [each.item_id for each in found[:3]] == [row["item_id"] for row in retrieved[:3]]
    for each in found:
        assert (each.query_id, each.histories, each.history_ids, each.description) == (None, (), (), None)
        assert each.own
        assert each.item.values["title"] == f"Film {each.item_id}"


@pytest.fixture
def shuffled() -> Callable[[list[Row]], list[Row]]:
    draw = Random(0)
    return lambda rows: draw.sample(rows, len(rows))
