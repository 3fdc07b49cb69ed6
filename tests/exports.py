"""Vectors of a few people, exporting them, and what other programs read of it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray
from safetensors import safe_open

import support
from steerx_cli.core.artifacts import writing
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Footer, Record, Shard, chunk_digest, total_digest
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.summary import Summary
from steerx_cli.tools.export import run
from steerx_cli.tools.export.vectors import Format, Wanted

Row: TypeAlias = dict[str, Any]
Vector: TypeAlias = NDArray[np.float32]
Read: TypeAlias = tuple[dict[str, Vector], dict[str, Any]]  # tensors by name, and what is said beside them

WIDTH = 11  # no multiple of what either format aligns to
MODEL = {"id": "some/model", "revision": "abc", "weights": "f" * 64, "dtype": "float32"}
PARAMETERS = {"gamma1": 0.25, "pool": "last", "normalize": False, "architecture": "qwen3"}
RECORD = Record("vectors", VECTORS.version, "build-vector", "0.1.0", PARAMETERS, {}, {"generator": MODEL})
EMPTY: Row = {  # the least that each column takes: the tool reads few of them
    column.name: None if column.nullable else [] if pa.types.is_list(column.type) else 0 for column in VECTORS.columns
}
PEOPLE = tuple(sorted(("ann", "Bob", "cleo"), key=user_order))
FORMATS: tuple[Format, Format] = ("gguf", "safetensors")


# --- vectors ----------------------------------------------------------------------------------------------------------


def numbers(*names: object) -> Vector:
    """A vector of any numbers, by the names of what it is for."""
    seed = int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)


def row(user: str, query: str | None = None, layer: int = 4, **other: Any) -> Row:
    """One vector, as the stage writes it."""
    vector = None if other.get("basis") == "none" else numbers(user, query, layer).tolist()
    return {**EMPTY, "user_id": user, "query_id": query, "layer": layer, "basis": "steerx", "vector": vector, **other}


def rows_by_user() -> list[Row]:
    """One layer for each of three people."""
    return [row(user) for user in PEOPLE]


def rows_by_query() -> list[Row]:
    """Two queries of each of three people, three layers of each."""
    return [row(user, f"q{number}", layer) for user in PEOPLE for number in (1, 2) for layer in (1, 4, 12)]


def write(path: Path, rows: Sequence[Row], shard: Shard | None = None, **parameters: Any) -> Path:
    """Vectors in the order of users, whole or one of their shards."""
    record = replace(RECORD, parameters={**PARAMETERS, "layers": sorted({row["layer"] for row in rows}), **parameters})
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


# --- exporting --------------------------------------------------------------------------------------------------------


def export(
    *places: Path, to: Path, kind: Format = "gguf", overwrite: bool = False, dry_run: bool = False, **wanted: Any
) -> Summary:
    """Run the tool."""
    return run(places, Wanted(kind, **wanted), to, overwrite, dry_run, Silent())


def refusal(*places: Path, to: Path, **given: Any) -> str:
    """What is said; nothing is written."""
    before = support.contents(to)
    with pytest.raises(SteerxError) as refused:
        export(*places, to=to, **given)
    assert support.contents(to) == before
    assert to.exists() or not before
    return str(refused.value)


# --- what is there ----------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    """All files by their names."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    """All files' names."""
    return sorted(path.name for path in folder.iterdir())


def from_gguf(path: Path) -> Read:
    """As llama.cpp's own reader has it."""
    reader = GGUFReader(path)
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == "F32"
        assert tensor.shape.tolist() == [WIDTH]
        assert tensor.data_offset % 32 == 0
    facts = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    return {tensor.name: np.array(tensor.data) for tensor in reader.tensors}, facts


def from_safetensors(path: Path) -> Read:
    """As safetensors' own reader has it."""
    with safe_open(path, framework="np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return found, dict(file.metadata())


READERS: Mapping[Format, Callable[[Path], Read]] = {"gguf": from_gguf, "safetensors": from_safetensors}


def check(path: Path, kind: Format, expected: Mapping[str, Vector]) -> None:
    """Exactly these tensors, to the bit."""
    found, _ = READERS[kind](path)
    assert {name: (some.dtype, some.tobytes()) for name, some in found.items()} == {
        name: (np.dtype(np.float32), some.tobytes()) for name, some in expected.items()
    }
