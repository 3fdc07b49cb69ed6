"""What a vector is made of → the vector (Eq. 5 and 17). No model is needed, nor what models run on."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.schemas import VECTORS
from steerx_cli.stages.build_vector.settings import Mix

Vector: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float64]  # one a history


class Parts(NamedTuple):
    """What a vector is mixed from: the means over its histories."""

    from_histories: Vector  # of h_i − h̄_i
    from_descriptions: Vector | None  # of s_i − h̄_i; None where nothing is described
    neutral: Vector  # of h̄_i


def mixed(parts: Parts, mix: Mix) -> Vector:
    """γ1 · mean(h_i − h̄_i) + (1 − γ1) · mean(s_i − h̄_i); without descriptions, the first of them (CAS)."""
    histories, descriptions = parts.from_histories, parts.from_descriptions
    vector = histories if descriptions is None else mix.gamma1 * histories + (1 - mix.gamma1) * descriptions
    length = float(np.linalg.norm(vector))
    return vector / length if mix.normalize and length else vector


def closest(histories: Vectors, towards: Vector, most: int) -> list[int]:
    """The places of the histories whose h_i − h̄_i points most into a direction, in their own order."""
    order = np.argsort([-cosine(each, towards) for each in histories], kind="stable")
    return sorted(order[:most].tolist())


def cosine(one: Vector, other: Vector) -> float:
    """0 where one of them has no direction."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


def columns_of(parts: Parts, mix: Mix) -> dict[str, Any]:
    """The vector, what it is mixed from, and how it lies beside the residual stream, which is that of neutral texts.

    All is made of the parts as they are stored, so that mixing them again later gives the same bytes.
    """
    stored = {name: None if part is None else part.astype(np.float32) for name, part in parts._asdict().items()}
    exact = _exact(stored)
    vector = mixed(exact, mix)
    return {
        "vector": vector.astype(np.float32),
        **stored,
        "basis": "cas" if parts.from_descriptions is None or mix.gamma1 == 1 else "steerx",
        "norm": float(np.linalg.norm(vector)),
        "cosine": cosine(vector, exact.neutral),
    }


def _exact(row: Mapping[str, Any]) -> Parts:
    found = (None if row[name] is None else np.asarray(row[name], np.float64) for name in Parts._fields)
    return Parts(*found)  # type: ignore[arg-type]  # null for descriptions only


# --- again ------------------------------------------------------------------------------------------------------------


def remixed(tables: Tables, mix: Mix) -> tuple[pl.DataFrame, Counts]:
    """The same rows with another γ1: the parts lie beside each vector."""
    rows = [_remixed(row, mix) for row in tables["vectors"].iter_rows(named=True)]
    return table_of(VECTORS, rows), {}


def _remixed(row: Mapping[str, Any], mix: Mix) -> dict[str, Any]:
    return dict(row) if row["vector"] is None else {**row, **columns_of(_exact(row), mix)}
