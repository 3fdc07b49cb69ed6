"""What vectors are built, against the obvious computation: one text at a time, all of the model, in float64."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import EVERYONE, HOW, build, check, described, mix_again, near, neutral, people
from scorers import SHORT, Plain, Row, save_model, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import VECTORS
from steerx_cli.lm.templates import load_task
from steerx_cli.stages.build_vector.settings import Mix

WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "mean": {"pool": "mean"},
    "alone": {"text": "alone"},
    "alone, mean": {"text": "alone", "pool": "mean"},
    "chat": {"prompt_format": "chat"},
    "chat, mean": {"prompt_format": "chat", "pool": "mean"},
    "of users": {"scope": "user"},
    "of users, by queries": {"scope": "user", "described_by": "query"},
    "by queries": {"described_by": "query", "pool": "mean"},
    "from histories": {"mix": Mix(1.0)},
    "from descriptions": {"mix": Mix(0.0)},
    "beyond both": {"mix": Mix(-2.5)},
    "of length 1": {"mix": Mix(0.4, normalize=True)},
    "the closest": {"select": 1},
    "the two closest, from histories": {"select": 2, "mix": Mix(1.0), "scope": "user"},
    "the closest, by queries": {"select": 1, "described_by": "query"},
    "of another task": {"task": load_task("lamp-1")},  # which words a history's own input otherwise than a query's
}
USUAL = replace(HOW, layers=(3, 1, 2))
FEW = ("as it is", "alone, mean", "chat, mean", "of users")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Models of three blocks, each made once."""
    folder = tmp_path_factory.mktemp("models")

    def model(family: str) -> Path:
        return folder / family if (folder / family).exists() else save_model(folder / family, family, layers=3)

    return model


@pytest.fixture(scope="module")
def model(models: Callable[[str], Path]) -> Path:
    return models("qwen3")


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), EVERYONE, over="histories")


@pytest.fixture(scope="module")
def usual(data: Path, model: Path) -> list[Row]:
    """What comes with no option changed."""
    return build(data, model, USUAL)[0]


def vectors(rows: list[Row], name: str = "vector") -> list[list[float]]:
    return [row[name] for row in rows]


# --- every way --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_every_vector_is_that_of_plain_passes(
    way: str, model: Path, data: Path, plain: Plain, usual: list[Row]
) -> None:
    how = replace(USUAL, **WAYS[way])
    rows, _ = build(data, model, how)
    check(rows, how, plain)
    assert (vectors(rows) == vectors(usual)) == (way == "as it is"), "or nothing would be shown here"


@pytest.mark.parametrize("way", FEW)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_whatever_the_family(family: str, way: str, models: Callable[[str], Path], data: Path) -> None:
    how = replace(HOW, layers=(1, 3), **WAYS[way])
    check(build(data, models(family), how)[0], how, Plain.load(models(family)))


@pytest.mark.parametrize("way", ["as it is", "alone, mean", "the closest"])
def test_with_real_weights_too(way: str, material: Path, data: Path, tmp_path: Path) -> None:
    how = replace(HOW, layers=(1, 4, 5), **WAYS[way])
    rows, _ = build(data, material / "stories260K", how, str(tmp_path / "vectors.parquet"))
    check(rows, how, Plain.load(material / "stories260K"))


# --- side by side -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_tokens", [1, 60, 10**6])
def test_texts_side_by_side_are_read_as_one_by_one(batch_tokens: int, model: Path, data: Path, plain: Plain) -> None:
    how = replace(HOW, batch_tokens=batch_tokens, pool="mean")
    rows, counts = build(data, model, how)
    check(rows, how, plain)
    assert "batches halved for memory" not in counts


def test_a_user_s_vectors_hang_on_no_other_user(model: Path, data: Path, usual: list[Row], tmp_path: Path) -> None:
    for user in "acf":
        own = {name: [row for row in rows if row["user_id"] == user] for name, rows in EVERYONE.items()}
        alone, _ = build(write(tmp_path, own, over="histories"), model, USUAL)
        near(alone, [row for row in usual if row["user_id"] == user])


def test_several_layers_at_once_are_each_of_them_alone(model: Path, data: Path, usual: list[Row]) -> None:
    for layer in USUAL.layers:
        alone, _ = build(data, model, replace(USUAL, layers=(layer,)))
        assert alone == [row for row in usual if row["layer"] == layer]


def test_a_text_that_is_there_twice_is_read_once(model: Path, data: Path) -> None:
    """Each query of a user has the same histories and neutral texts, and only the descriptions are its own."""
    counts = [
        build(data, model, replace(USUAL, mix=Mix(1.0), scope=scope))[1]["tokens run through the model"]
        for scope in ("query", "user")
    ]
    assert counts[0] == counts[1]


# --- what comes to the same -------------------------------------------------------------------------------------------


def test_gamma1_of_1_is_cas_and_of_0_the_descriptions_alone(model: Path, data: Path, usual: list[Row]) -> None:
    histories, descriptions = (build(data, model, replace(USUAL, mix=Mix(gamma1)))[0] for gamma1 in (1.0, 0.0))
    assert vectors(histories) == vectors(histories, "from_histories")
    assert vectors(descriptions, "from_histories") == vectors(usual, "from_histories")
    np.testing.assert_allclose(vectors(histories), vectors(usual, "from_histories"), rtol=0, atol=1e-4)
    assert {row["basis"] for row in histories} == {"cas"}
    assert vectors(histories, "from_descriptions") == [None] * len(usual), "they are not read"
    for row in descriptions:
        assert row["vector"] == (row["from_histories"] if row["user_id"] == "d" else row["from_descriptions"])
        assert row["basis"] == ("cas" if row["user_id"] == "d" else "steerx")


@pytest.mark.parametrize("gamma1", [0.0, 0.4, 1.0, 3.0, -2.0])
def test_descriptions_that_are_the_histories_are_cas(gamma1: float, model: Path, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3], "b": SHORT[2:]})
    own = {(row["user_id"], row["item_id"]): row["response"] for row in tables["retrieved"]}
    tables["profiles"] = [
        described(row["query_id"], row, own[row["user_id"], row["item_id"]]) for row in tables["retrieved"]
    ]
    rows, counts = build(write(tmp_path, tables, over="histories"), model, replace(HOW, mix=Mix(gamma1)))
    assert "vectors without any description, as by cas" not in counts
    for row in rows:
        assert (row["described"] == []) == (gamma1 == 1)
        np.testing.assert_allclose(row["vector"], row["from_histories"], rtol=1e-6)
        assert np.linalg.norm(row["vector"]) > 1


def test_neutral_texts_that_are_the_histories_leave_the_descriptions_alone(model: Path, tmp_path: Path) -> None:
    tables = people({"a": SHORT[:3]})
    tables["neutral"] = [neutral(row, row["response"]) for row in tables["retrieved"] if row["query_id"] == "0"]
    for row in build(write(tmp_path, tables, over="histories"), model, HOW)[0]:
        assert {*row["from_histories"]} == {0.0}
        np.testing.assert_allclose(row["vector"], 0.6 * np.array(row["from_descriptions"]), rtol=1e-6)


# --- mixed again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mix", [Mix(0.7), Mix(0.0), Mix(-3.0), Mix(0.4, True), Mix(0.4)])
@pytest.mark.parametrize("before", [Mix(0.4), Mix(0.1, True)])
def test_parts_that_are_mixed_again_give_the_same_bytes(
    before: Mix, mix: Mix, model: Path, data: Path, tmp_path: Path
) -> None:
    build(data, model, replace(USUAL, mix=before), str(tmp_path / "before.parquet"))
    built, _ = build(data, model, replace(USUAL, mix=mix), str(tmp_path / "built.parquet"))
    assert mix_again(tmp_path / "before.parquet", mix, tmp_path / "mixed.parquet") == built
    records = [read_footer(tmp_path / f"{name}.parquet", VECTORS).record for name in ("built", "mixed")]
    assert records[0].parameters == records[1].parameters
    assert records[0].models == records[1].models


def test_to_mix_histories_alone_leaves_what_was_said_beside_them(
    model: Path, data: Path, usual: list[Row], tmp_path: Path
) -> None:
    build(data, model, USUAL, str(tmp_path / "before.parquet"))
    mixed = mix_again(tmp_path / "before.parquet", Mix(1.0), tmp_path / "mixed.parquet")
    assert vectors(mixed) == vectors(usual, "from_histories")
    assert {row["basis"] for row in mixed} == {"cas"}
    unmixed = ("from_descriptions", "described", "stream_norm", "histories")
    assert [[row[name] for name in unmixed] for row in mixed] == [[row[name] for name in unmixed] for row in usual]
    assert mix_again(tmp_path / "mixed.parquet", USUAL.mix, tmp_path / "back.parquet") == usual


# --- which histories are kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 99])
def test_as_many_histories_are_kept_as_is_asked_for(most: int, model: Path, data: Path, usual: list[Row]) -> None:
    """In their order; where nothing is said of any, there is nothing to choose by."""
    for row, whole in zip(build(data, model, replace(USUAL, select=most))[0], usual, strict=True):
        count = most if whole["described"] else len(whole["histories"])
        assert len(row["histories"]) == min(count, len(whole["histories"]))
        assert [name for name in whole["histories"] if name in row["histories"]] == row["histories"]


def test_what_is_kept_is_what_points_where_the_descriptions_do(model: Path, tmp_path: Path) -> None:
    """All that is said is one of the texts itself."""
    tables = people({"a": SHORT}, queries=1, top=5)
    for kept in ("0", "2", "4"):
        tables["profiles"] = [
            described("0", row, row["response"] if row["item_id"] == kept else None) for row in tables["retrieved"]
        ]
        how = replace(HOW, select=1, mix=Mix(0.0))
        for row in build(write(tmp_path, tables, over="histories"), model, how)[0]:
            assert (row["histories"], row["described"]) == ([kept], [kept])
