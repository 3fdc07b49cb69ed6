"""What `steerx export` refuses before it writes anything, and what it leaves alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import support
from exports import (
    FORMATS,
    PEOPLE,
    RECORD,
    check,
    export,
    names,
    numbers,
    refusal,
    row,
    rows_by_query,
    rows_by_user,
    write,
)
from steerx_cli.core.artifacts import writing
from steerx_cli.core.files import state_of
from steerx_cli.core.provenance import Footer
from steerx_cli.core.schemas import VECTORS
from steerx_cli.tools.export.vectors import Format


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_user())


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_query())


# --- what cannot be meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_several_layers_are_never_taken_unasked(layers: Path, tmp_path: Path, kind: Format) -> None:
    assert refusal(layers, to=tmp_path / "out", kind=kind) == (
        f"{layers} was built for layers 1, 4, 12, and a program adds all that a file holds: "
        "name one with --layer, or several if that is meant"
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"users": ["ann", "bob"]}, "--user bob is not in {}: name one that is, or leave --user out"),
        ({"queries": ["q1", "q3"]}, "--query q3 is not in {}: name one that is, or leave --query out"),
        (
            {"users": ["ann"], "queries": ["q3"]},
            "--query q3 is not in {} for this --user: name one that is, or leave --query out",
        ),
        ({"layers": [4, 5]}, "{} was built for layers 1, 4, 12, not 5: name a --layer that it has"),
        ({"users": ["\udcff"]}, "--user has bytes that are not UTF-8: type it in UTF-8"),
    ],
)
def test_what_is_not_there_is_refused(layers: Path, tmp_path: Path, wanted: dict[str, Any], said: str) -> None:
    assert refusal(layers, to=tmp_path / "out", **{"layers": [4], **wanted}) == said.format(layers)


def test_another_layer_than_the_only_one_is_refused(vectors: Path, tmp_path: Path) -> None:
    said = f"{vectors} was built for layer 4, not 5: name a --layer that it has"
    assert refusal(vectors, to=tmp_path / "out", layers=[5]) == said


def test_a_query_of_another_user_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "vectors.parquet", [row("ann", "q1"), row("bob", "q2")])
    said = refusal(tmp_path / "vectors.parquet", to=tmp_path / "out", users=["ann"], queries=["q2"])
    assert said.startswith("--query q2 is not in ")


def test_where_vectors_are_of_users_no_query_is_there(vectors: Path, tmp_path: Path) -> None:
    assert refusal(vectors, to=tmp_path / "out", queries=["None"]).startswith("--query None is not in ")


@pytest.mark.parametrize("chosen", [[4, 1], [1]])
def test_llama_cpp_cannot_take_the_first_layer(layers: Path, tmp_path: Path, chosen: Sequence[int]) -> None:
    said = (
        "llama.cpp cannot steer layer 1 and refuses a file that has it (as direction.0): use another layer, "
        "or --format safetensors"
    )
    assert refusal(layers, to=tmp_path / "out", layers=chosen) == said
    assert refusal(write(tmp_path / "one.parquet", [row("ann", layer=1)]), to=tmp_path / "out") == said


@pytest.mark.parametrize(
    ("gamma2", "shown"), [(float("nan"), "nan"), (float("-inf"), "-inf"), (1e300, "1e+300"), (-10_001, "-10001")]
)
def test_a_gamma2_that_leaves_no_numbers_is_refused(vectors: Path, tmp_path: Path, gamma2: float, shown: str) -> None:
    assert refusal(vectors, to=tmp_path / "out", gamma2=gamma2) == (
        f"--gamma2 {shown} cannot be weighed in float32: choose one from -10000 to 10000"
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 3e38])
def test_a_vector_that_is_not_finite_is_refused_before_anything_is_written(
    tmp_path: Path, kind: Format, bad: float
) -> None:
    rows = [row(user, vector=[bad, 1.0] if user == PEOPLE[-1] else [1.0, 2.0]) for user in PEOPLE]
    path = write(tmp_path / "vectors.parquet", rows)
    assert refusal(path, to=tmp_path / "out", kind=kind, gamma2=2.0) == (
        f"{path} has a vector of user {PEOPLE[-1]}, layer 4, that is not finite: make it again with "
        "`steerx build-vector`"
    )


def test_users_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    with writing(path, VECTORS) as writer:
        writer.write(pa.Table.from_pylist(rows_by_user()[::-1], schema=VECTORS.columns))
        writer.close(Footer(RECORD, 3, 3, "0"))
    assert "is not in steerx's order of users" in refusal(path, to=tmp_path / "out")


def test_another_artifact_is_refused(data: Path, tmp_path: Path) -> None:
    place = data / "queries.parquet"
    said = f"{place} holds queries, not vectors: `steerx build-vector` writes vectors"
    assert refusal(place, to=tmp_path / "out") == said
    assert refusal(tmp_path / "none", to=tmp_path / "out").startswith(f"{tmp_path / 'none'} does not exist: ")


# --- files that are there already -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_there_already_is_left_alone(vectors: Path, tmp_path: Path, kind: Format) -> None:
    folder = tmp_path / "out"
    export(vectors, to=folder, kind=kind)
    before = {path: state_of(path) for path in folder.iterdir()}
    for overwrite in (False, True):
        for dry_run in (False, True):
            summary = export(vectors, to=folder, kind=kind, overwrite=overwrite, dry_run=dry_run)
            assert (summary.status, summary.rows, summary.users, summary.users_now) == ("up to date", 3, 3, 0)
            assert summary.counts == {"files": 3, "files that were there already": 3}
    assert {path: state_of(path) for path in folder.iterdir()} == before


def test_only_what_is_missing_is_written(vectors: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(vectors, to=folder)
    expected = support.contents(folder)
    kept = (folder / "cleo.gguf").stat().st_ino
    (folder / "ann.gguf").unlink()
    summary = export(vectors, to=folder)
    assert (summary.status, summary.rows, summary.users, summary.users_now) == ("finished", 3, 3, 1)
    assert summary.counts == {"files": 3, "files that were there already": 2}
    assert support.contents(folder) == expected
    assert (folder / "cleo.gguf").stat().st_ino == kept


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_made_otherwise_is_replaced_only_when_asked(vectors: Path, tmp_path: Path, kind: Format) -> None:
    folder = tmp_path / "out"
    export(vectors, to=folder, kind=kind, users=["ann"], gamma2=0.5)
    place = folder / f"ann.{kind}"
    said = f"{place} is there already and was made otherwise: name another --output, or replace it with --overwrite"
    assert refusal(vectors, to=folder, kind=kind) == said
    assert refusal(vectors, to=folder, kind=kind, dry_run=True) == said
    assert names(folder) == [place.name]
    summary = export(vectors, to=folder, kind=kind, overwrite=True)
    assert summary.counts == {"files": 3}
    check(place, kind, {"direction.3": numbers("ann", None, 4)})


def test_a_file_with_another_byte_is_not_the_same(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out")
    place = tmp_path / "out" / "cleo.gguf"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    assert refusal(vectors, to=tmp_path / "out").startswith(f"{place} is there already and was made otherwise: ")


def test_a_dry_run_writes_nothing(vectors: Path, tmp_path: Path) -> None:
    summary = export(vectors, to=tmp_path / "new" / "out", dry_run=True)
    assert (summary.status, summary.rows, summary.users, summary.users_now) == ("would run", 3, 3, 0)
    assert names(tmp_path) == ["vectors.parquet"]
