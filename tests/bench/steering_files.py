"""What `steerx export` writes, read back by the programs that it is written for."""

import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.score_inputs import SMALL
from bench.steering_inputs import vectors
from bench.steering_peers import repeng
from scorers import vector, write
from steerx_cli.lm.steer import Vector
from steerx_cli.lm.templates import load_task
from steerx_cli.stages.build_vector.settings import Mix, Settings

USERS, LAYERS = [f"user-{number}" for number in range(16)], (2, 4, 7)
FAMILY = "qwen3"
BUILT = {**Settings(load_task("review"), LAYERS, Mix(gamma1=1.0)).parameters(), "architecture": FAMILY}
MODEL = {"id": "random", "revision": "none", "weights": "0" * 64, "dtype": "float32"}

Directions = Mapping[str, Any]


def read_back() -> tuple[int, int]:
    """How many files were written, and how many of them both readers found to hold what was written, to the bit."""
    made = iter(vectors(len(USERS) * len(LAYERS), SMALL))
    own = {user: {layer: next(made) for layer in LAYERS} for user in USERS}
    rows = [vector(user, None, layer, some[layer].tolist()) for user, some in own.items() for layer in LAYERS]
    with TemporaryDirectory() as name:
        folder = write(Path(name), {"vectors": rows}, {"generator": MODEL}, **BUILT)
        files = export(folder / "vectors.parquet", folder / "files")
        return len(files), sum(_is_same(path, own[path.stem]) for path in files)


def export(table: Path, to: Path) -> Sequence[Path]:
    """As a person does; plain ids are the files' names."""
    layers = [word for layer in LAYERS for word in ("--layer", str(layer))]
    command = [sys.executable, "-m", "steerx_cli", "export", str(table), "--format", "gguf", *layers]
    subprocess.run([*command, "--output", str(to), "--quiet"], check=True)
    return [*to.iterdir()]


def _is_same(path: Path, own: Mapping[int, Vector]) -> bool:
    true = {f"direction.{layer - 1}": _bytes(some) for layer, some in own.items()}
    return all(
        true == {name: _bytes(some) for name, some in found.items()} for found in (_by_repeng(path), _by_gguf(path))
    )


def _bytes(some: Any) -> tuple[str, bytes]:
    return str(some.dtype), np.asarray(some).tobytes()


def _by_repeng(path: Path) -> Directions:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of a file that is something else
        found = repeng().ControlVector.import_gguf(path)
    if found.model_type != FAMILY:
        raise SystemExit(f"repeng takes {path.name} for a vector of {found.model_type}")
    return {f"direction.{layer}": some for layer, some in found.directions.items()}


def _by_gguf(path: Path) -> Directions:
    from gguf import GGUFReader

    return {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
