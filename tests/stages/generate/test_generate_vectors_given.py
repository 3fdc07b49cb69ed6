"""Whose vector steers: one's own, or the user's; none; another user's, or the mean of all."""

from dataclasses import replace
from pathlib import Path

import pytest

from scorers import SHORT, Plain, generate, save_model
from steered import BOTH, CAS, ENDS, EVERYONE, RAG, STEERX, answers, check, of, put, same
from steerx_cli.core.errors import SteerxError
from steerx_cli.stages.generate.settings import Settings

WITHOUT_HISTORIES = "answers without histories, as by non-perso"
WITHOUT_VECTOR = "answers without a vector, as by rag"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=ENDS)


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture
def data(model: Path, tmp_path: Path) -> Path:
    return put(tmp_path, model)


# --- what is lacking --------------------------------------------------------------------------------------------------


@BOTH
def test_without_histories_it_is_non_perso_and_without_a_vector_rag(how: Settings, model: Path, data: Path) -> None:
    rows, counts = generate(data, model, how)
    bare, rag = (generate(data, model, replace(RAG, method=method))[0] for method in ("non-perso", "rag"))
    assert answers(of(rows, "e")) == [ids for ids in answers(of(bare, "e")) for _ in how.gamma2s]
    without = [row for row in rows if row["basis"] == "rag"]
    assert {(row["user_id"], row["query_id"]) for row in without} == {("c", "1"), ("d", "0"), ("d", "1")}
    told = {(row["user_id"], row["query_id"]): row["token_ids"] for row in rag}
    assert answers(without) == [told[row["user_id"], row["query_id"]] for row in without]
    assert (counts[WITHOUT_VECTOR], counts[WITHOUT_HISTORIES]) == (6, 4)
    assert not {WITHOUT_HISTORIES, WITHOUT_VECTOR} & {*generate(data, model, replace(RAG, method="non-perso"))[1]}


@BOTH
def test_who_lacks_a_vector_is_named_if_it_is_not_let_pass(how: Settings, model: Path, tmp_path: Path) -> None:
    tables = {name: of(rows, "c") for name, rows in EVERYONE.items()}
    with pytest.raises(SteerxError) as refused:
        generate(put(tmp_path, model, tables), model, replace(how, missing="error"))
    assert str(refused.value) == ("query '1' of user 'c' has no vector, and --missing error does not let it pass")
    tables["vectors"] = [row for row in tables["vectors"] if row["query_id"] == "0"]
    with pytest.raises(SteerxError, match=r"^the vectors lack query '1' of user 'c': build them from the same retriev"):
        generate(put(tmp_path, model, tables), model, how)


# --- another's vector, and the mean of all ----------------------------------------------------------------------------


@BOTH
def test_another_s_vector_steers_as_one_s_own_would(how: Settings, model: Path, data: Path, plain: Plain) -> None:
    how = replace(how, vectors_of="other", seed=3)
    rows, counts = generate(data, model, how)
    check(rows, how, plain)
    donors = {row["user_id"]: row["donor_id"] for row in rows}
    assert sorted(donors[user] for user in "abc") == [*"abc"]
    assert all(user != donor for user, donor in donors.items())
    assert (donors["d"] in {*"abc"}, donors["e"]) == (True, None)
    assert WITHOUT_VECTOR not in counts


@BOTH
def test_the_mean_of_all_users_vectors_steers_all_alike(how: Settings, model: Path, data: Path, plain: Plain) -> None:
    how = replace(how, vectors_of="mean")
    rows, counts = generate(data, model, how)
    check(rows, how, plain)
    assert {row["donor_id"] for row in rows} == {None}
    assert WITHOUT_VECTOR not in counts
    assert not same(rows, generate(data, model, replace(how, vectors_of="own"))[0])


@BOTH
def test_whose_histories_do_not_fit_is_not_steered(how: Settings, tmp_path: Path) -> None:
    """That is non-perso, whatever vector there is."""
    model = save_model(tmp_path / "narrow", "gpt2", window=128, ends=ENDS)
    tables = {name: of(rows, "a") for name, rows in EVERYONE.items()}
    full = [{**row, "fields": [{"name": "title", "value": " ".join(SHORT)}]} for row in tables["queries"]]
    data, how = put(tmp_path, model, tables | {"queries": full}), replace(how, max_new_tokens=30)
    rows, counts = generate(data, model, how)
    bare, _ = generate(data, model, replace(RAG, method="non-perso", max_new_tokens=30))
    assert answers(rows) == [ids for ids in answers(bare) for _ in how.gamma2s]
    assert {(row["basis"], row["history_cut"] > 0) for row in rows} == {("non-perso", True)}
    assert counts[WITHOUT_HISTORIES] == 4


def test_a_vector_without_descriptions_is_cas_and_told_of(data: Path, model: Path) -> None:
    """What SteerX adds to CAS is not there: its row must not be taken for SteerX's."""
    plain_cas = [{**row, "basis": "cas"} if row["user_id"] == "a" else row for row in EVERYONE["vectors"]]
    put(data, model, {**EVERYONE, "vectors": plain_cas})
    rows, counts = generate(data, model, STEERX)
    of_a = [row for row in rows if row["user_id"] == "a"]
    assert {row["basis"] for row in of_a} == {"cas"}
    assert counts["answers without a description in their vector, as by cas"] == len(of_a)
    assert {row["basis"] for row in generate(data, model, CAS)[0] if row["user_id"] == "a"} == {"cas"}
    only_a = {name: [row for row in rows if row["user_id"] == "a"] for name, rows in EVERYONE.items()}
    put(data, model, {**only_a, "vectors": [row for row in plain_cas if row["user_id"] == "a"]})
    with pytest.raises(SteerxError, match="of user 'a' has no description in its vector, and --missing error does not"):
        generate(data, model, replace(STEERX, missing="error"))
