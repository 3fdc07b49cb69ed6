"""What is given to a question: a user's own description or vector, another's, or the mean of all."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import steerx_cli.stages.generate as stage
from scorers import REVIEW, Row, beside, generate, history, profile, query, save_model, vector, write
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import PROFILES, VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.lm.steer import Steering
from steerx_cli.stages.generate.givers import Asked, Direction, Donors, Giver, Mean, others, own
from steerx_cli.stages.generate.settings import Settings

STEERX = Settings("steerx-cos", REVIEW.task, lams=(0.5,), prompt_format="plain", max_new_tokens=2)
OTHERS = replace(STEERX, profiles_of="other")
CAS = Settings("steerx-cas", REVIEW.task, gamma2s=(0.5,), steering=Steering(2))
USERS = [f"user {number}" for number in range(40)]


# --- donors -----------------------------------------------------------------------------------------------------------


def all_of(users: list[str]) -> dict[str, list[str]]:
    """A description of each."""
    return {user: [f"Of {user}."] for user in users}


def given(donors: Giver, users: list[str]) -> dict[str, str]:
    return {user: str(donors.given(Asked(user, "q", 0))[0]) for user in users}


def gifts(donors: Giver, user: str, count: int) -> list[Any]:
    """For a user's first queries."""
    return [donors.given(Asked(user, "q", number)) for number in range(count)]


@pytest.mark.parametrize("count", [2, 3, 7, 40])
@pytest.mark.parametrize("seed", [0, 1, 5])
def test_everybody_s_description_goes_to_one_other_user(count: int, seed: int) -> None:
    donors = given(Donors(all_of(USERS[:count]), seed, "description"), USERS[:count])
    assert sorted(donors.values()) == sorted(USERS[:count])
    assert all(user != donor for user, donor in donors.items())


def test_who_gives_is_drawn_by_the_seed() -> None:
    drawn = [given(Donors(all_of(USERS), seed, "description"), USERS) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    for one, other in ((0, 2), (0, 3), (2, 3)):
        assert sum(drawn[one][user] == drawn[other][user] for user in USERS) < 10
    assert any(drawn[0][user] != after for user, after in zip(USERS, [*USERS[1:], USERS[0]], strict=True))


def test_the_order_in_which_users_come_does_not_matter() -> None:
    mixed = [*USERS]
    Random(0).shuffle(mixed)
    assert given(Donors(all_of(mixed), 7, "description"), USERS) == given(
        Donors(all_of(USERS), 7, "description"), USERS
    )


def test_a_user_without_a_description_is_given_one_and_takes_it_from_nobody() -> None:
    some = Donors(all_of(USERS[:20]), 0, "description")
    without = given(some, USERS[20:])
    assert set(without.values()) <= set(USERS[:20])
    assert len({*without.values()}) > 5, "not all of one"
    assert sorted(given(some, USERS[:20]).values()) == sorted(USERS[:20])


def test_the_kth_query_gets_the_donor_s_kth_description_then_the_first_again() -> None:
    donors = Donors({"a": ["a0", "a1", "a2"], "b": ["b0"]}, 0, "description")
    assert gifts(donors, "b", 5) == [("a", f"a{at}") for at in (0, 1, 2, 0, 1)]
    assert gifts(donors, "a", 3) == [("b", "b0")] * 3


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_else_s_description_is_refused(count: int) -> None:
    with pytest.raises(SteerxError) as refused:
        Donors(all_of(USERS[:count]), 0, "description")
    assert str(refused.value) == (
        f"--profiles-of other takes another user's description, and {count} users have any: name profiles of more users"
    )


def drawn(folder: Path, *profiles: Row, how: Settings = OTHERS) -> Giver:
    write(folder, {"profiles": [*profiles]})
    found = others({"profiles": Source(PROFILES, folder / "profiles.parquet")}, how)
    assert found
    return found


def test_descriptions_of_single_histories_are_nobody_s_to_give(tmp_path: Path) -> None:
    of_one = {**profile("a", "0", "Of one history."), "item_id": "a0"}
    donors = drawn(tmp_path, of_one, profile("a", "0", "A"), profile("a", "1", None), profile("b", "0", "B"))
    assert gifts(donors, "b", 2) == [("a", "A")] * 2
    with pytest.raises(SteerxError, match="and 1 users have any"):
        drawn(tmp_path, of_one, profile("b", "0", "B"))


@pytest.mark.parametrize("nothing", [None, "", " ", "\n\t \u00a0"])
def test_a_description_that_says_nothing_is_nobody_s_to_give(nothing: str | None, tmp_path: Path) -> None:
    rows = [profile("a", "0", nothing), profile("a", "1", "A"), profile("b", "0", "B"), profile("c", "0", nothing)]
    donors = drawn(tmp_path, *rows)
    assert gifts(donors, "b", 1) == [("a", "A")]
    assert {*given(donors, [*"abc"]).values()} == {"a", "b"}


# --- donors, in the stage ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


def test_who_gives_hangs_on_no_chunk_shard_or_limit(model: Path, tmp_path: Path) -> None:
    users = sorted(USERS[:7], key=user_order)
    rows = [row for user in users for row in beside("q", [history(user, "one", "Well.")])]
    profiles = [profile(user, "q", f"Of {user}") for user in users]
    write(tmp_path, {"queries": [query(user, "q") for user in users], "retrieved": rows, "profiles": profiles})

    def givers(**scope: Any) -> dict[str, str]:
        return {row["user_id"]: row["donor_id"] for row in generate(tmp_path, model, OTHERS, **scope)[0]}

    whole = givers()
    assert sorted(whole.values()) == sorted(users)
    assert givers(chunk_users=2) == whole
    assert givers(limit=1, chunk_users=1) == {users[0]: whole[users[0]]}
    shards = [givers(chunk_users=1, shard=Shard(index, 3)) for index in (1, 2, 3)]
    assert {user: donor for shard in shards for user, donor in shard.items()} == whole
    assert [len(shard) for shard in shards] == [2, 2, 3]


def test_too_few_donors_are_refused_before_a_model_is_loaded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    rows = beside("q", [history("a", "one", "Well.")])
    write(tmp_path, {"queries": [query("a", "q")], "retrieved": rows, "profiles": [profile("a", "q", "A")]})
    with pytest.raises(SteerxError, match="another user's description, and 1 users have any"):
        generate(tmp_path, model, OTHERS)
    assert not (tmp_path / "generations.parquet").exists()


# --- descriptions of each history -------------------------------------------------------------------------------------


def of_each(user: str, asked: str, *said: str | None) -> list[Row]:
    """What is said of each history, and last, of all of them."""
    each = [{**profile(user, asked, text), "item_id": f"{number}"} for number, text in enumerate(said)]
    return [*each, profile(user, asked, "Of all.")]


def test_what_is_said_of_each_history_makes_a_line(tmp_path: Path) -> None:
    by_history = replace(STEERX, described_by="history")
    rows = [*of_each("a", "0", "One.", None, " ", "Two."), *of_each("a", "1", None)]
    write(tmp_path, {"profiles": rows})
    table = Source(PROFILES, tmp_path / "profiles.parquet").read(0, len(rows))
    tables = {"profiles": stage_table(table)}
    for how, first, second in ((STEERX, "Of all.", "Of all."), (by_history, "One.\nTwo.", None)):
        giver = own(tables, how)
        assert giver
        assert [giver.given(Asked("a", query_id, 0)) for query_id in "01"] == [(None, first), (None, second)]
    donors = drawn(
        tmp_path,
        *rows,
        profile("b", "0", "B"),
        {**profile("b", "1", "Of b's."), "item_id": "x"},
        how=replace(by_history, profiles_of="other"),
    )
    assert gifts(donors, "b", 2) == [("a", "One.\nTwo.")] * 2


def stage_table(table: Any) -> Any:
    """As a stage is given it."""
    import polars as pl

    return pl.from_arrow(table)


# --- vectors ----------------------------------------------------------------------------------------------------------


def vectors(folder: Path, *rows: Row) -> Source:
    write(folder, {"vectors": [*rows]})
    return Source(VECTORS, folder / "vectors.parquet")


def test_a_query_s_vector_is_that_of_the_layer_that_is_steered(tmp_path: Path) -> None:
    source = vectors(
        tmp_path, vector("a", "0", 1, [1, 1]), vector("a", "0", 2, [2, 3], [5, 6]), vector("a", "1", 2, None)
    )
    tables = {"vectors": stage_table(source.read(0, 3))}
    for how, expected in ((CAS, [2, 3]), (replace(CAS, method="cas"), [5, 6])):
        giver = own(tables, how)
        assert giver
        donor, found = giver.given(Asked("a", "0", 0))
        assert isinstance(found, Direction)
        assert (donor, found.vector.tolist()) == (None, expected)
        assert giver.given(Asked("a", "1", 1)) == (None, None)
        with pytest.raises(SteerxError) as refused:
            giver.given(Asked("a", "2", 2))
        assert str(refused.value) == (
            "the vectors lack query '2' of user 'a': build them from the same retrieved histories"
        )


def test_a_user_s_vector_is_that_of_each_query(tmp_path: Path) -> None:
    giver = own({"vectors": stage_table(vectors(tmp_path, vector("a", None, 2, [4, 5])).read(0, 1))}, CAS)
    assert giver
    assert [gift.vector.tolist() for _, gift in gifts(giver, "a", 2)] == [[4, 5]] * 2


def test_another_s_vector_and_the_mean_of_all(tmp_path: Path) -> None:
    rows = [vector("a", "0", 2, [2, 0]), vector("a", "0", 1, [9, 9]), vector("a", "1", 2, [4, 0])]
    source = vectors(tmp_path, *rows, vector("b", "0", 2, [0, 1]), vector("c", "0", 2, None))
    donors = others({"vectors": source}, replace(CAS, vectors_of="other"))
    assert donors
    found = [(donor, gift.vector.tolist()) for donor, gift in gifts(donors, "b", 3)]
    assert found == [("a", [2, 0]), ("a", [4, 0]), ("a", [2, 0])]
    mean = others({"vectors": source}, replace(CAS, vectors_of="mean"))
    assert mean
    for user in "abc":  # each user counts once, however many queries
        ((donor, gift),) = gifts(mean, user, 1)
        assert (donor, gift.vector.tolist()) == (None, [1.5, 0.5])
    assert others({"vectors": source}, CAS) is None


def test_too_few_vectors_are_refused(tmp_path: Path) -> None:
    source = vectors(tmp_path, vector("a", "0", 2, [2, 0]), vector("b", "0", 2, None))
    with pytest.raises(SteerxError) as refused:
        others({"vectors": source}, replace(CAS, vectors_of="other"))
    assert str(refused.value) == (
        "--vectors-of other takes another user's vector, and 1 users have any: name vectors of more users"
    )
    with pytest.raises(
        SteerxError, match=r"^--vectors-of mean takes the mean of all users' vectors, and there is none"
    ):
        Mean.of({})
