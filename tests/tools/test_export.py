"""`steerx export`: what other programs read is, to the bit, what was built, under names that are safe everywhere."""

import errno
import hashlib
import io
import json
import os
import signal
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open

import steerx_cli.tools.export as tool
import support
from steerx_cli.commands.export import export as command
from steerx_cli.core.artifacts import writing
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Footer, Record, Shard, chunk_digest, total_digest
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.tools.export import Format, Wanted, file_name, run

Row = dict[str, Any]

WIDTH = 11  # no multiple of what either format aligns to
MODEL = {"id": "some/model", "revision": "abc", "weights": "f" * 64, "dtype": "float32"}
PARAMETERS = {"gamma1": 0.25, "pool": "last", "normalize": False, "architecture": "qwen3"}
RECORD = Record("vectors", VECTORS.version, "build-vector", "0.1.0", PARAMETERS, {}, {"generator": MODEL})
EMPTY: Row = {  # the least that each column takes: the tool reads few of them
    column.name: None if column.nullable else [] if pa.types.is_list(column.type) else 0 for column in VECTORS.columns
}
PEOPLE = ("ann", "Bob", "cleo")
FORMATS: tuple[Format, Format] = ("gguf", "safetensors")


def numbers(*names: object) -> NDArray[np.float32]:
    """A vector of any numbers, by the names of what it is for."""
    seed = int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)


def row(user: str, query: str | None = None, layer: int = 4, **other: Any) -> Row:
    """One vector, as the stage writes it."""
    vector = None if other.get("basis") == "none" else numbers(user, query, layer).tolist()
    return {**EMPTY, "user_id": user, "query_id": query, "layer": layer, "basis": "steerx", "vector": vector, **other}


def write(path: Path, rows: Sequence[Row], shard: Shard | None = None, record: Record = RECORD) -> Path:
    """Vectors in the order of users, whole or one of their shards."""
    everyone = sorted({row["user_id"] for row in rows}, key=user_order)
    size = -(-len(everyone) // (shard.count if shard else 1))
    mine = everyone[(shard.index - 1) * size :][:size] if shard else everyone
    ordered = [row for user in mine for row in rows if row["user_id"] == user]
    content = total_digest(chunk_digest(everyone.index(user), user.encode()) for user in mine)
    path.parent.mkdir(exist_ok=True)
    with writing(path, VECTORS) as writer:
        writer.write(pa.Table.from_pylist(ordered, schema=VECTORS.columns))
        writer.close(Footer(record, len(ordered), len(mine), content, shard=shard))
    return path


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """One layer for each of three people."""
    return write(tmp_path / "vectors.parquet", [row(user) for user in PEOPLE])


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """Two queries of each of three people, three layers of each."""
    rows = [row(user, f"q{number}", layer) for user in PEOPLE for number in (1, 2) for layer in (1, 4, 12)]
    return write(tmp_path / "vectors.parquet", rows)


def export(
    *places: Path, to: Path, kind: Format = "gguf", overwrite: bool = False, dry_run: bool = False, **wanted: Any
) -> Summary:
    return run(places, Wanted(kind, **wanted), to, overwrite, dry_run, Silent())


def refusal(*places: Path, to: Path, **given: Any) -> str:
    """What is said; nothing is written."""
    before = support.contents(to)
    with pytest.raises(SteerxError) as refused:
        export(*places, to=to, **given)
    assert support.contents(to) == before
    assert to.exists() or not before
    return str(refused.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def from_gguf(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    reader = GGUFReader(path)
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == "F32"
        assert tensor.shape.tolist() == [WIDTH]
        assert tensor.data_offset % 32 == 0
    facts = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    return {tensor.name: np.array(tensor.data) for tensor in reader.tensors}, facts


def from_safetensors(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    with safe_open(path, framework="np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return found, dict(file.metadata())


READERS: Mapping[Format, Callable[[Path], tuple[dict[str, NDArray[np.float32]], dict[str, Any]]]] = {
    "gguf": from_gguf,
    "safetensors": from_safetensors,
}


def check(path: Path, kind: Format, expected: Mapping[str, NDArray[np.float32]]) -> None:
    """Exactly these tensors, to the bit."""
    found, _ = READERS[kind](path)
    assert list(found) == list(expected) or kind == "safetensors"
    assert {name: (some.dtype, some.tobytes()) for name, some in found.items()} == {
        name: (np.dtype(np.float32), some.tobytes()) for name, some in expected.items()
    }


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_for_each_user_holds_their_vector_to_the_bit(vectors: Path, tmp_path: Path, kind: Format) -> None:
    summary = export(vectors, to=tmp_path / "out", kind=kind)
    assert (summary.command, summary.status, summary.rows) == ("export", "finished", 3)
    assert (summary.users, summary.users_now, summary.counts) == (3, 3, {"files": 3})
    assert summary.inputs == {"vectors": str(vectors)}
    assert summary.models == {"generator": MODEL}
    assert len(names(tmp_path / "out")) == 3
    for user in PEOPLE:
        check(tmp_path / "out" / file_name(user, None, kind), kind, {"direction.3": numbers(user, None, 4)})


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("gamma2", [0.4, -1.5, 0.0, 1e-30])
def test_vectors_are_multiplied_in_float32_by_gamma2(
    vectors: Path, tmp_path: Path, kind: Format, gamma2: float
) -> None:
    export(vectors, to=tmp_path / "out", kind=kind, gamma2=gamma2, users=["ann"])
    expected = np.array([np.float32(gamma2) * number for number in numbers("ann", None, 4)])
    check(tmp_path / "out" / f"ann.{kind}", kind, {"direction.3": expected})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_for_each_query_holds_the_layers_that_are_chosen(layers: Path, tmp_path: Path, kind: Format) -> None:
    summary = export(layers, to=tmp_path / "out", kind=kind, layers=[12, 4, 12])
    assert (summary.rows, summary.users, summary.counts) == (6, 3, {"files": 6})
    for user in PEOPLE:
        for query in ("q1", "q2"):
            expected = {f"direction.{layer - 1}": numbers(user, query, layer) for layer in (4, 12)}
            check(tmp_path / "out" / file_name(user, query, kind), kind, expected)


def test_only_what_is_named_is_written(layers: Path, tmp_path: Path) -> None:
    summary = export(layers, to=tmp_path / "out", layers=[4], users=["ann", "cleo"], queries=["q2"])
    assert names(tmp_path / "out") == ["ann--q2.gguf", "cleo--q2.gguf"]
    assert summary.parameters == {
        "format": "gguf",
        "gamma2": 1.0,
        "user": ["ann", "cleo"],
        "query": ["q2"],
        "layer": [4],
    }


def test_the_first_layer_goes_into_safetensors(layers: Path, tmp_path: Path) -> None:
    export(layers, to=tmp_path / "out", kind="safetensors", layers=[1], users=["ann"], queries=["q1"])
    check(tmp_path / "out" / "ann--q1.safetensors", "safetensors", {"direction.0": numbers("ann", "q1", 1)})


def test_a_gguf_says_what_llama_cpp_and_others_ask_for_and_where_it_comes_from(layers: Path, tmp_path: Path) -> None:
    export(layers, to=tmp_path / "out", layers=[4, 12], gamma2=0.4)
    _, facts = from_gguf(tmp_path / "out" / "ann--q1.gguf")
    assert facts == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "qwen3",
        "controlvector.layer_count": 2,
        "controlvector.steerx.version": version("steerx"),
        "controlvector.steerx.vectors": Source(VECTORS, layers).footer.fingerprint,
        "controlvector.steerx.user": "ann",
        "controlvector.steerx.query": "q1",
        "controlvector.steerx.basis": "steerx",
        "controlvector.steerx.layers": "[4, 12]",
        "controlvector.steerx.gamma2": 0.4,
        "controlvector.steerx.gamma1": 0.25,
        "controlvector.steerx.pool": "last",
        "controlvector.steerx.normalize": False,
        "controlvector.steerx.architecture": "qwen3",
        **{f"controlvector.steerx.model.{name}": value for name, value in MODEL.items()},
    }


def test_safetensors_say_the_same_in_strings(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out", kind="safetensors")
    _, facts = from_safetensors(tmp_path / "out" / "ann.safetensors")
    assert facts == {
        "format": "pt",
        "steerx.version": version("steerx"),
        "steerx.vectors": Source(VECTORS, vectors).footer.fingerprint,
        "steerx.user": "ann",
        "steerx.basis": "steerx",
        "steerx.layers": "[4]",
        "steerx.gamma2": "1.0",
        "steerx.gamma1": "0.25",
        "steerx.pool": "last",
        "steerx.normalize": "false",
        "steerx.architecture": "qwen3",
        **{f"steerx.model.{name}": value for name, value in MODEL.items()},
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_any_id_and_any_setting_can_be_said(tmp_path: Path, kind: Format) -> None:
    user, query = 'ünï "東京"\n\t\0🙂', ""
    record = replace(RECORD, parameters={**PARAMETERS, "gamma1": 1, "pool": None, "normalize": {"to": [1, 2.5]}})
    write(tmp_path / "vectors.parquet", [row(user, query)], record=record)
    export(tmp_path / "vectors.parquet", to=tmp_path / "out", kind=kind)
    (path,) = (tmp_path / "out").iterdir()
    _, facts = READERS[kind](path)
    said = {name.removeprefix("controlvector.").removeprefix("steerx."): value for name, value in facts.items()}
    assert (said["user"], said["query"]) == (user, query)
    assert said["gamma1"] == (1 if kind == "gguf" else "1")
    assert json.loads(said["normalize"]) == {"to": [1, 2.5]}
    assert "pool" not in said


def test_the_header_of_safetensors_is_what_the_format_asks_for(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out", kind="safetensors")
    data = (tmp_path / "out" / "ann.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    assert size % 8 == 0
    assert data[8:9] == b"{"
    assert len(data) == 8 + size + 4 * WIDTH


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_vectors_give_the_same_bytes(layers: Path, tmp_path: Path, kind: Format) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        export(layers, to=folder, kind=kind, layers=[4, 12])
    other = (
        "import sys\nfrom pathlib import Path\nfrom steerx_cli.core.progress import Silent\n"
        "from steerx_cli.tools.export import Wanted, run\n"
        "run([Path(sys.argv[1])], Wanted(sys.argv[3], layers=[4, 12]), Path(sys.argv[2]), False, False, Silent())"
    )
    ended = support.python(other, str(layers), str(tmp_path / "third"), kind)
    assert ended == (0, "", "")
    found = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (*folders, tmp_path / "third")]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 6


# --- vectors that are not there ---------------------------------------------------------------------------------------


def test_what_has_no_vector_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row("ann"), row("bob", basis="none"), row("cleo", layer=4), row("dan", basis="none")]
    write(tmp_path / "vectors.parquet", rows)
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out")
    assert names(tmp_path / "out") == ["ann.gguf", "cleo.gguf"]
    assert (summary.rows, summary.users) == (2, 2)
    assert summary.counts == {"files": 2, "vectors left out, for there is nothing to steer by": 2}


def test_a_layer_without_a_vector_leaves_the_others(tmp_path: Path) -> None:
    rows = [row("ann", layer=layer, vector=None if layer == 5 else numbers(layer).tolist()) for layer in (4, 5, 6)]
    write(tmp_path / "vectors.parquet", rows)
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out", layers=[4, 5, 6])
    assert summary.counts == {"files": 1, "vectors left out, for there is nothing to steer by": 1}
    tensors, facts = from_gguf(tmp_path / "out" / "ann.gguf")
    assert list(tensors) == ["direction.3", "direction.5"]
    assert (facts["controlvector.layer_count"], facts["controlvector.steerx.layers"]) == (2, "[4, 6]")


def test_where_nobody_has_a_vector_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path / "vectors.parquet", [row("ann", basis="none")])
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out")
    assert (summary.status, summary.rows, summary.users) == ("finished", 0, 0)
    assert not (tmp_path / "out").exists()


# --- shards and size --------------------------------------------------------------------------------------------------


def test_shards_give_the_files_of_the_whole(layers: Path, tmp_path: Path) -> None:
    rows = [row(user, f"q{number}", layer) for user in PEOPLE for number in (1, 2) for layer in (1, 4, 12)]
    paths = [tmp_path / "shards" / f"vectors-{index:05d}-of-00002.parquet" for index in (1, 2)]
    for index, path in enumerate(paths, 1):
        write(path, rows, Shard(index, 2))
    export(layers, to=tmp_path / "whole", layers=[4])
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    places = {"folder": [tmp_path / "shards"], "pattern": [tmp_path / "shards" / "*.parquet"], "files": paths}
    for name, some in places.items():
        assert export(*some, to=tmp_path / name, layers=[4]).users == 3
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == expected


def test_some_rows_at_a_time_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(VECTORS, rows_per_group=4)  # pairs of three rows lie across two groups
    monkeypatch.setattr(tool, "VECTORS", small)
    rows = [row(f"u{number}", layer=layer) for number in range(30) for layer in (4, 5, 6)]
    write(tmp_path / "vectors.parquet", rows)
    sizes: list[int] = []
    real = Source.read

    def read(source: Source, start: int, stop: int) -> pa.Table:
        sizes.append(stop - start)
        return real(source, start, stop)

    monkeypatch.setattr(Source, "read", read)
    export(tmp_path / "vectors.parquet", to=tmp_path / "out", layers=[4, 6])
    assert max(sizes) == 4
    for number in range(30):
        expected = {f"direction.{layer - 1}": numbers(f"u{number}", None, layer) for layer in (4, 6)}
        check(tmp_path / "out" / f"u{number}.gguf", "gguf", expected)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_several_layers_are_never_taken_unasked(layers: Path, tmp_path: Path) -> None:
    for kind in FORMATS:
        assert refusal(layers, to=tmp_path / "out", kind=kind) == (
            f"{layers} has vectors of several layers (1, 4, 12), and all that is in one file is added at once: "
            "choose a layer with --layer, or, where that is meant, several by giving it again"
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
        ({"layers": [4, 5]}, "--layer 5 is not in {} (layers: 1, 4, 12): name one that is, or leave --layer out"),
        ({"users": ["\udcff"]}, "--user has bytes that are not UTF-8: type it in UTF-8"),
    ],
)
def test_what_is_not_there_is_refused(layers: Path, tmp_path: Path, wanted: dict[str, Any], said: str) -> None:
    assert refusal(layers, to=tmp_path / "out", **{"layers": [4], **wanted}) == said.format(layers)


def test_a_query_of_another_user_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "vectors.parquet", [row("ann", "q1"), row("bob", "q2")])
    said = refusal(tmp_path / "vectors.parquet", to=tmp_path / "out", users=["ann"], queries=["q2"])
    assert said.startswith("--query q2 is not in ")


def test_where_vectors_are_of_users_no_query_is_there(vectors: Path, tmp_path: Path) -> None:
    assert refusal(vectors, to=tmp_path / "out", queries=["None"]).startswith("--query None is not in ")


def test_llama_cpp_cannot_take_the_first_layer(layers: Path, tmp_path: Path) -> None:
    said = (
        "llama.cpp cannot steer layer 1 and refuses a file that has it (as direction.0): take another layer, "
        "or --format safetensors"
    )
    assert refusal(layers, to=tmp_path / "out", layers=[4, 1]) == said
    assert refusal(write(tmp_path / "one.parquet", [row("ann", layer=1)]), to=tmp_path / "out") == said


@pytest.mark.parametrize("gamma2", [float("nan"), float("inf"), float("-inf")])
def test_a_gamma2_that_is_no_number_is_refused(vectors: Path, tmp_path: Path, gamma2: float) -> None:
    assert refusal(vectors, to=tmp_path / "out", gamma2=gamma2) == (
        f"--gamma2 {gamma2} is no number to multiply by: name one such as 0.4"
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_vector_that_is_not_finite_is_refused_before_anything_is_written(
    tmp_path: Path, kind: Format, bad: float
) -> None:
    last = max(PEOPLE, key=user_order)
    rows = [row(user, vector=[bad, 1.0] if user == last else [1.0, 2.0]) for user in PEOPLE]
    path = write(tmp_path / "vectors.parquet", rows)
    assert refusal(path, to=tmp_path / "out", kind=kind) == (
        f"{path} has a vector of user {last}, layer 4, that is not finite when it is multiplied by 1.0: "
        "build it again, or name a smaller --gamma2"
    )


def test_a_gamma2_that_is_too_large_for_float32_is_refused(vectors: Path, tmp_path: Path) -> None:
    for gamma2 in (3e38, 1e300):
        said = refusal(vectors, to=tmp_path / "out", gamma2=gamma2)
        assert said.endswith(f"multiplied by {gamma2}: build it again, or name a smaller --gamma2")


def test_rows_that_were_put_together_otherwise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    write(path, [row("ann", "q1", 4), row("ann", "q2", 4), row("ann", "q1", 5)])
    said = f"{path} has the rows of one query apart: make it again, do not sort it"
    assert refusal(path, to=tmp_path / "out", layers=[4]) == said
    backwards = sorted((row(user) for user in PEOPLE), key=lambda one: user_order(one["user_id"]), reverse=True)
    with writing(path, VECTORS) as writer:
        writer.write(pa.Table.from_pylist(backwards, schema=VECTORS.columns))
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
    before = {path: path.stat() for path in folder.iterdir()}
    for overwrite in (False, True):
        for dry_run in (False, True):
            summary = export(vectors, to=folder, kind=kind, overwrite=overwrite, dry_run=dry_run)
            assert (summary.status, summary.rows, summary.users, summary.users_now) == ("up to date", 0, 3, 0)
            assert summary.counts == {"files": 3, "files that were there already": 3}
    assert {path: path.stat() for path in folder.iterdir()} == {
        path: os.stat_result(state) for path, state in before.items()
    }


def test_only_what_is_missing_is_written(vectors: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(vectors, to=folder)
    expected = support.contents(folder)
    kept = (folder / "cleo.gguf").stat().st_mtime_ns
    (folder / "ann.gguf").unlink()
    summary = export(vectors, to=folder)
    assert (summary.status, summary.rows, summary.users, summary.users_now) == ("finished", 1, 3, 1)
    assert summary.counts == {"files": 3, "files that were there already": 2}
    assert support.contents(folder) == expected
    assert (folder / "cleo.gguf").stat().st_mtime_ns == kept


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_something_else_is_replaced_only_when_asked(vectors: Path, tmp_path: Path, kind: Format) -> None:
    folder = tmp_path / "out"
    export(vectors, to=folder, kind=kind, users=["ann"], gamma2=0.5)
    place = folder / f"ann.{kind}"
    said = f"{place} is something else: name another --output, or replace it with --overwrite"
    assert refusal(vectors, to=folder, kind=kind) == said
    assert refusal(vectors, to=folder, kind=kind, dry_run=True) == said
    assert names(folder) == [place.name]
    summary = export(vectors, to=folder, kind=kind, overwrite=True)
    assert (summary.rows, summary.counts) == (3, {"files": 3})
    check(place, kind, {"direction.3": numbers("ann", None, 4)})


def test_a_changed_byte_is_something_else(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out")
    place = tmp_path / "out" / "cleo.gguf"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    assert refusal(vectors, to=tmp_path / "out").startswith(f"{place} is something else: ")


def test_both_formats_lie_in_one_folder(vectors: Path, tmp_path: Path) -> None:
    for kind in FORMATS:
        assert export(vectors, to=tmp_path / "out", kind=kind, users=["ann"]).rows == 1
    assert names(tmp_path / "out") == ["ann.gguf", "ann.safetensors"]


def test_a_dry_run_writes_nothing(vectors: Path, tmp_path: Path) -> None:
    summary = export(vectors, to=tmp_path / "new" / "out", dry_run=True)
    assert (summary.status, summary.rows, summary.users, summary.users_now) == ("would run", 3, 3, 0)
    assert names(tmp_path) == ["vectors.parquet"]


# --- disks, signals, others -------------------------------------------------------------------------------------------


def test_a_file_or_a_folder_in_the_way_is_said_in_a_sentence(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    where = tmp_path / "file" / file_name(min(PEOPLE, key=user_order), None, "gguf")
    assert refusal(vectors, to=tmp_path / "file") == (
        f"cannot write {where}: a file stands where a folder is needed: name another place"
    )
    (tmp_path / "out" / "ann.gguf").mkdir(parents=True)
    assert refusal(vectors, to=tmp_path / "out") == (
        f"cannot write {tmp_path / 'out' / 'ann.gguf'}: a folder stands where the file should be: name another place"
    )


def test_a_folder_that_may_not_be_written_to_is_said_in_a_sentence(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refusal(vectors, to=tmp_path / "out", users=["ann"]) == (
        f"cannot write {tmp_path / 'out' / 'ann.gguf'}: this user may not write there: "
        "name another place or change the permissions"
    )


def test_a_full_disk_keeps_what_is_whole(tmp_path: Path, small_disk: Path) -> None:
    rows = [row(user, vector=[1.0] * 25_000) for user in PEOPLE]  # 100 kB each
    path = write(tmp_path / "vectors.parquet", rows)
    first, second, third = (file_name(user, None, "gguf") for user in sorted(PEOPLE, key=user_order))
    with pytest.raises(SteerxError) as refused:
        export(path, to=small_disk)
    assert str(refused.value) == f"cannot write {small_disk / third}: the disk is full: free some space"
    assert names(small_disk) == sorted([first, second])
    export(path, to=tmp_path / "whole")
    for name in (first, second):
        assert (small_disk / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_program_s_failure_to_write_is_said_in_a_sentence(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> io.BytesIO:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(tool, "replacing", fails)
    with pytest.raises(SteerxError, match="the file system is read-only: name another place"):
        export(vectors, to=tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_two_exports_of_one_file_the_second_stops(vectors: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "ann.gguf"
    with Output(place, VECTORS).locked(), pytest.raises(SteerxError) as refused:
        export(vectors, to=tmp_path / "out", users=["ann"])
    assert str(refused.value) == f"another steerx is writing {place}: wait for it, or name another --output"
    assert export(vectors, to=tmp_path / "out").rows == 3


class Stopping(Silent):
    """Ctrl-C after so many files."""

    def __init__(self, after: int) -> None:
        self._left = after

    def advance(self, amount: int) -> None:
        self._left -= amount
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("after", "said", "files"),
    [
        (2, "nothing was finished; the same command starts over", 0),
        (4, "files written: 1; the same command writes the others", 1),
        (5, "files written: 2; the same command writes the others", 2),
    ],
)
def test_a_run_that_is_stopped_is_continued(vectors: Path, tmp_path: Path, after: int, said: str, files: int) -> None:
    with pytest.raises(Interrupted) as stopped:
        run([vectors], Wanted("gguf"), tmp_path / "out", False, False, Stopping(after))
    assert str(stopped.value) == said
    assert files == (len(names(tmp_path / "out")) if files else 0)
    summary = export(vectors, to=tmp_path / "out")
    assert (summary.rows, summary.users_now) == (3 - files, 3 - files)
    export(vectors, to=tmp_path / "whole")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_a_run_that_is_killed_anywhere_leaves_whole_files_only(vectors: Path, tmp_path: Path, kind: Format) -> None:
    export(vectors, to=tmp_path / "whole", kind=kind)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    work = partial(export, vectors, kind=kind)
    lines = support.at_line(0, support.WRITING, lambda: None, partial(work, to=tmp_path / "counted"))
    seen = set()
    for line in range(1, lines + 1, 3):
        folder = tmp_path / f"{line}"
        ended = support.forked(support.die_at_line, line, partial(work, to=folder))
        assert ended == -signal.SIGKILL
        left = {path.name: path.read_bytes() for path in folder.glob("[!.]*")}
        assert left.items() <= expected.items()
        seen.add(len(left))
        assert work(to=folder).rows == 3 - len(left)
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"} == expected
    assert seen == {0, 1, 2, 3}


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "query", "name"),
    [
        ("person-54", "person-54-next-1", "person-54--person-54-next-1.gguf"),
        ("a1_b.c", None, "a1_b.c.gguf"),
        ("a" * 44, "b" * 44, f"{'a' * 44}--{'b' * 44}.gguf"),
    ],
)
def test_a_plain_id_is_the_name(user: str, query: str | None, name: str) -> None:
    assert file_name(user, query, "gguf") == name


@pytest.mark.parametrize(
    ("user", "query", "start"),
    [
        ("Ann", None, "Ann"),  # another may be called ann
        ("a b", None, "a_b"),
        ("a/b\\c:d,e", None, "a_b_c_d_e"),
        ("é東\n", None, "___"),
        ("", None, "_"),
        ("", "", "_--"),
        (".hidden", None, "_.hidden"),
        ("..", None, "_.."),
        ("-rf", None, "_-rf"),
        ("con", None, "_con"),
        ("NUL.txt", None, "_NUL.txt"),
        ("aux.a", "b", "_aux.a--b"),
        ("com7", None, "_com7"),
        ("x" * 500, "y" * 500, f"{'x' * 44}--{'y' * 44}"),
        ("a--b", "c", "a--b--c"),
        ("a", "b--c", "a--b--c"),
        ("a-", "b", "a---b"),
        ("a", "-b", "a---b"),
        ("a--b", None, "a--b"),
        (f"a-{'0' * 16}", None, f"a-{'0' * 16}"),
    ],
)
def test_any_other_id_gets_a_hash(user: str, query: str | None, start: str) -> None:
    name = file_name(user, query, "gguf")
    assert name.startswith(f"{start}-")
    assert len(name) == len(f"{start}-") + 16 + len(".gguf")


NASTY = st.lists(
    st.sampled_from(["a", "A", "b", "-", "--", ".", "_", "con", "NUL", "/", "\\", ":", "é", "\0", "0" * 16, "x" * 43])
    | st.characters(codec="utf-8"),
    max_size=5,
).map("".join)
PAIRS = st.tuples(NASTY, st.none() | NASTY)


@settings(max_examples=500, deadline=None)
@given(st.lists(PAIRS, min_size=2, max_size=8, unique=True))
def test_names_are_safe_everywhere_and_nobody_s_are_the_same(pairs: list[tuple[str, str | None]]) -> None:
    made = [file_name(user, query, "safetensors") for user, query in pairs]
    stems = [name.removesuffix(".safetensors") for name in made]
    # Whoever's ids are another's name is somebody else, too.
    named: list[tuple[str, str | None]] = [(stem, None) for stem in stems]
    halves = [(user, query) for user, _, query in (stem.partition("--") for stem in stems)]
    distinct = {*pairs, *named, *halves}
    folded = {file_name(user, query, "safetensors").lower() for user, query in distinct}
    assert len(folded) == len(distinct)
    for name in folded:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert len(name) <= 120
        assert name[0] not in ".-"
        assert name.split(".")[0] not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@settings(max_examples=20, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=6, unique=True))
def test_people_of_any_name_get_files_of_their_own(tmp_path_factory: pytest.TempPathFactory, users: list[str]) -> None:
    folder = tmp_path_factory.mktemp("people")
    export(write(folder / "vectors.parquet", [row(user) for user in users]), to=folder / "out")
    assert len(names(folder / "out")) == len(users)
    for user in users:
        tensors, facts = from_gguf(folder / "out" / file_name(user, None, "gguf"))
        assert facts["controlvector.steerx.user"] == user
        assert tensors["direction.3"].tobytes() == numbers(user, None, 4).tobytes()


# --- as it is typed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def typed() -> Callable[..., object]:
    """Run the command in this process, as the program would."""
    app = typer.Typer()
    app.command("export")(command)
    app.callback()(lambda: None)
    return lambda *words: app(["export", *map(str, words)], standalone_mode=False)


def test_the_command_takes_all_of_it(
    layers: Path, alone: Path, typed: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--format safetensors --output out --user ann --user cleo --query q1 --layer 4 --layer 12 --gamma2 0.4"
    typed(layers, *words.split(), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"files": 2}
    assert told["parameters"] == {
        "format": "safetensors",
        "gamma2": 0.4,
        "user": ["ann", "cleo"],
        "query": ["q1"],
        "layer": [4, 12],
    }
    assert names(alone / "out") == ["ann--q1.safetensors", "cleo--q1.safetensors"]
    typed(layers, *words.split(), "--overwrite", "--dry-run", "--quiet")
    assert capsys.readouterr() == ("", "")


def test_the_command_tells_what_was_done(
    vectors: Path, alone: Path, typed: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("vectors.parquet", "--format", "gguf", "-o", "out")
    lines = capsys.readouterr().err.splitlines()
    shown = {name.strip(): value for name, _, value in (line.partition("  ") for line in lines)}
    assert shown["export"].strip() == "finished"
    assert shown["wrote"].strip() == "out"
    assert shown["with"].strip() == "format gguf, gamma2 1.0"
    assert shown["rows, users"].strip() == "3, 3"
    assert shown["note"].strip() == "files: 3"


@pytest.mark.parametrize(
    ("words", "missing"),
    [("--format gguf", "Missing option '--output'"), ("--output out", "Missing option '--format'")],
)
def test_a_format_and_a_folder_are_needed(
    vectors: Path, typed: Callable[..., object], words: str, missing: str
) -> None:
    with pytest.raises(typer.TyperException) as refused:
        typed(vectors, *words.split())
    assert refused.value.format_message().startswith(missing)
