"""Effects by hand: artifacts of texts whose tokens have them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from steerx_cli.core.artifacts import writing
from steerx_cli.core.provenance import Footer, Record, Shard
from steerx_cli.core.schemas import EFFECTS, Artifact

Deltas = Sequence[float] | None  # of a text; None where it is not measured, and has two tokens


def save_effects(
    path: Path, texts: Sequence[Deltas], artifact: Artifact = EFFECTS, shard: Shard | None = None, **parameters: Any
) -> None:
    """One user's texts, as `steerx score-tokens` leaves them."""
    rows = [_row(at, deltas) for at, deltas in enumerate(texts)]
    record = Record(artifact.name, artifact.version, "score-tokens", "0", parameters)
    with writing(path, artifact) as writer:
        writer.write(pa.Table.from_pylist(rows, schema=artifact.columns))
        content = writer.flush() if shard is None else f"{shard.index:064x}"
        writer.close(Footer(record, len(rows), 1, content, shard=shard))


def _row(at: int, deltas: Deltas) -> dict[str, Any]:
    ids = [0] * (2 if deltas is None else len(deltas))
    row: dict[str, Any] = {"user_id": "u", "query_id": "q", "item_id": f"{at}", "response": "x" * len(ids)}
    row |= {"others": [], "context_cut": 0, "response_cut": 0, "token_ids": ids, "tokens": ["x" for _ in ids]}
    row |= {"starts": ids, "ends": ids, "log_p_empty": [0.0 for _ in ids], "log_p_history": deltas, "delta": deltas}
    return row | {"anchors": [False for _ in ids], "spans": [], "basis": "causal"}
