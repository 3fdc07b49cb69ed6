"""Answers to a few users' queries, in files as `steerx generate` leaves them, with all that their footers tell."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scorers import Row, generation, query
from steerx_cli.core.artifacts import read_footer, writing
from steerx_cli.core.order import user_order
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Footer, Record, Shard
from steerx_cli.core.schemas import ARTIFACTS
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.stages import evaluate as stage
from steerx_cli.stages.evaluate.settings import Settings

Parents = Mapping[str, Footer]
Text = Callable[[Row, float | None], str]  # of a query, at a strength

SIGNS = {"cos": "lam", "steerx-cos": "lam", "cas": "gamma2", "steerx-cas": "gamma2"}
WRITTEN = {"prompt_format": "chat", "max_new_tokens": 512, "batch_size": 32, "batch_tokens": 8192}


def model(name: str) -> dict[str, str]:
    """What a provenance keeps of a model."""
    return {"id": name, "revision": "local", "weights": "0" * 64, "dtype": "float32"}


def record(name: str, parents: Parents, models: Mapping[str, str], parameters: Mapping[str, Any]) -> Record:
    """What decided an artifact; models are named by what they were for."""
    artifact = ARTIFACTS[name]
    return Record(
        artifact.name,
        artifact.version,
        "test",
        "0",
        {**parameters, "chunk_users": 64, "limit": parameters.get("limit")},
        {role: parent.fingerprint for role, parent in parents.items()},
        {role: model(of) for role, of in models.items()},
    )


def lineage(parents: Parents) -> dict[str, Mapping[str, Any]]:
    """All that an artifact comes from."""
    return {name: entry for parent in parents.values() for name, entry in parent.lineage().items()}


def ancestor(name: str, parents: Parents | None = None, **parameters: Any) -> Footer:
    """An artifact that nobody reads any more; it is in the provenance of others only."""
    return Footer(record(name, parents or {}, {}, parameters), 1, 1, "0" * 64, ancestry=lineage(parents or {}))


def save(
    path: Path,
    name: str,
    rows: Iterable[Row],
    parents: Parents | None = None,
    models: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Footer:
    """An artifact in the order of users; rows whose key is there twice are written too."""
    artifact = ARTIFACTS[name]
    ordered = sorted(rows, key=lambda row: user_order(row["user_id"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, artifact) as writer:
        writer.write(pa.Table.from_pylist(ordered, schema=artifact.columns))
        made = record(name, parents or {}, models or {}, parameters)
        users = len({row["user_id"] for row in ordered})
        footer = Footer(made, writer.rows, users, writer.flush(), ancestry=lineage(parents or {}))
        writer.close(footer)
    return footer


# --- queries and answers ----------------------------------------------------------------------------------------------


def asked(user: str, name: str, reference: str | None, split: str = "test") -> Row:
    """A query, and what the user wrote."""
    return {**query(user, name), "split": split, "reference": reference}


def answer(row: Row, method: str, text: str, strength: float | None = None, **marks: Any) -> Row:
    """What was written for a query."""
    of: Row = {"method": method, "basis": method, "lam": None, "gamma2": None}
    of |= {SIGNS[method]: strength} if method in SIGNS else {}
    return {**generation(row["user_id"], row["query_id"], None, text), **of, **marks}


def answers(queries: Iterable[Row], method: str, text: Text, strengths: Sequence[float | None] = (None,)) -> list[Row]:
    """One for each query and strength."""
    return [answer(row, method, text(row, strength), strength) for row in queries for strength in strengths]


def ask(folder: Path, rows: Iterable[Row], name: str = "queries") -> Footer:
    """The file of queries."""
    return save(folder / f"{name}.parquet", "queries", rows)


def give(
    folder: Path,
    queries: Footer,
    rows: Sequence[Row],
    name: str = "",
    parents: Parents | None = None,
    generator: str = "tiny",
    **parameters: Any,
) -> Path:
    """A file of answers of one method; its strengths are those of the rows."""
    method = rows[0]["method"]
    path = folder / f"generations-{name or method}.parquet"
    sign = SIGNS.get(method)
    of = {"method": method, "over": "queries", "task": "review", **WRITTEN}
    of |= {sign: [*dict.fromkeys(row[sign] for row in rows)]} if sign else {}
    save(
        path,
        "generations",
        rows,
        {"queries": queries, **(parents or {})},
        {"generator": generator},
        **{**of, **parameters},
    )
    return path


def cut(path: Path, count: int = 2) -> list[Path]:
    """The same file in shards of whole users, which lie beside it."""
    artifact = ARTIFACTS["generations"]
    whole, rows = read_footer(path, artifact), pq.read_table(path)
    users = list(dict.fromkeys(rows["user_id"].to_pylist()))
    digests = [int(whole.content, 16) - count + 1, *[1] * (count - 1)]  # whose sum is the whole's
    found = [path.with_name(f"{path.stem}-{index:05d}-of-{count:05d}.parquet") for index in range(1, count + 1)]
    for at, place in enumerate(found):
        own = users[at * len(users) // count : (at + 1) * len(users) // count]
        some = rows.filter(pc.is_in(rows["user_id"], pa.array(own)))
        content = f"{digests[at]:064x}"
        with writing(place, artifact) as writer:
            writer.write(some)
            shard = Shard(at + 1, count)
            writer.close(replace(whole, rows=len(some), users=len(own), content=content, shard=shard))
    return found


# --- the stage --------------------------------------------------------------------------------------------------------


def evaluate(folder: Path, files: Sequence[Path], settings: Settings, output: Path, **scope: Any) -> Summary:
    """Score files of answers against the folder's queries."""
    compared = stage.Compared.open(folder / "queries.parquet", files)
    return stage.run(settings, compared, Scope(output=output, **{"chunk_users": 64, **scope}), Silent())
