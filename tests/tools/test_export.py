"""`steerx export`: what other programs read is, to the bit, what was built."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer

import steerx_cli.tools.export as tool
from exports import (
    FORMATS,
    MODEL,
    PEOPLE,
    check,
    export,
    files,
    from_gguf,
    names,
    numbers,
    row,
    rows_by_query,
    rows_by_user,
    write,
)
from steerx_cli.commands.export import export as command
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.tools.export.names import file_name
from steerx_cli.tools.export.vectors import Format


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_user())


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_query())


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
    assert (summary.rows, summary.users, summary.counts) == (12, 3, {"files": 6})
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


def test_both_formats_lie_in_one_folder(vectors: Path, tmp_path: Path) -> None:
    for kind in FORMATS:
        assert export(vectors, to=tmp_path / "out", kind=kind, users=["ann"]).counts == {"files": 1}
    assert names(tmp_path / "out") == ["ann.gguf", "ann.safetensors"]


# --- vectors that are not there ---------------------------------------------------------------------------------------


def test_what_has_no_vector_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row("ann"), row("bob", basis="none"), row("cleo"), row("dan", basis="none")]
    write(tmp_path / "vectors.parquet", rows)
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out")
    assert names(tmp_path / "out") == ["ann.gguf", "cleo.gguf"]
    assert (summary.rows, summary.users) == (2, 2)
    assert summary.counts == {"files": 2, "vectors left out, since there is nothing to steer by": 2}


def test_a_layer_without_a_vector_leaves_the_others(tmp_path: Path) -> None:
    rows = [row("ann", layer=layer, vector=None if layer == 5 else numbers(layer).tolist()) for layer in (4, 5, 6)]
    write(tmp_path / "vectors.parquet", rows)
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out", layers=[4, 5, 6])
    assert summary.counts == {"files": 1, "vectors left out, since there is nothing to steer by": 1}
    tensors, facts = from_gguf(tmp_path / "out" / "ann.gguf")
    assert list(tensors) == ["direction.3", "direction.5"]
    assert (facts["controlvector.layer_count"], facts["controlvector.steerx.layers"]) == (2, "[4, 6]")


@pytest.mark.parametrize("dry_run", [False, True])
def test_where_nobody_has_a_vector_nothing_is_written(tmp_path: Path, dry_run: bool) -> None:
    write(tmp_path / "vectors.parquet", [row("ann", basis="none")])
    summary = export(tmp_path / "vectors.parquet", to=tmp_path / "out", dry_run=dry_run)
    assert (summary.status, summary.rows, summary.users) == ("up to date", 0, 0)
    assert not (tmp_path / "out").exists()


# --- shards and size --------------------------------------------------------------------------------------------------


def test_shards_give_the_files_of_the_whole(layers: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "shards" / f"vectors-{index:05d}-of-00002.parquet" for index in (1, 2)]
    for index, path in enumerate(paths, 1):
        write(path, rows_by_query(), Shard(index, 2))
    export(layers, to=tmp_path / "whole", layers=[4])
    places = {"folder": [tmp_path / "shards"], "pattern": [tmp_path / "shards" / "*.parquet"], "files": paths}
    for name, some in places.items():
        assert export(*some, to=tmp_path / name, layers=[4]).users == 3
        assert files(tmp_path / name) == files(tmp_path / "whole")


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
