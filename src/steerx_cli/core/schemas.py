"""Every artifact's columns, declared once; stages/<name>/README.md explains them and a test holds the two together."""

from dataclasses import dataclass

import pyarrow as pa

from steerx_cli.core.methods import SETTINGS


@dataclass(frozen=True)
class Artifact:
    """A kind of Parquet file: its name, what is in it, which columns name a row, and which command writes it."""

    name: str
    version: int  # raised when a reader of the older columns would be wrong
    written_by: str
    columns: pa.Schema
    key: tuple[str, ...]
    rows_per_group: int = 8192  # about 10 MB of reviews: what a reader holds in memory at once


def type_name(column: pa.Field) -> str:
    """A column's type as the documentation writes it; a question mark where it may be empty."""
    kind = column.type
    if pa.types.is_list(kind):
        name = f"list<{type_name(kind.value_field)}>"
    elif pa.types.is_struct(kind):
        name = f"{{{', '.join(f'{kind.field(i).name}: {type_name(kind.field(i))}' for i in range(kind.num_fields))}}}"
    else:
        name = {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
    return name if not column.nullable else f"{name}?"


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


def _rows(name: str, *columns: pa.Field) -> pa.Field:
    return pa.field(name, pa.list_(pa.field("element", pa.struct(columns), nullable=False)), nullable=False)


def _list(name: str, kind: pa.DataType, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.list_(pa.field("element", kind, nullable=False)), nullable=nullable)


# The named fields that task templates draw on (title, description, …): a list, so that their order is kept and any
# engine reads them.
_FIELDS = _rows("fields", _text("name"), _text("value"))
_HISTORY = [
    _text("item_id"),
    _text("input"),
    _text("response"),
    pa.field("rating", pa.float64()),
    pa.field("time", pa.timestamp("ms", tz="UTC")),
    _FIELDS,
]

HISTORIES = Artifact(
    name="histories",
    version=1,
    written_by="steerx import",
    columns=pa.schema([_text("user_id"), *_HISTORY]),
    key=("user_id", "item_id"),
)
QUERIES = Artifact(
    name="queries",
    version=1,
    written_by="steerx import",
    columns=pa.schema(
        [
            _text("user_id"),
            _text("query_id"),
            _text("split"),
            _text("input"),
            pa.field("reference", pa.string()),
            _FIELDS,
        ]
    ),
    key=("user_id", "query_id"),
)
RETRIEVED = Artifact(
    name="retrieved",
    version=1,
    written_by="steerx retrieve",
    columns=pa.schema(
        [
            _text("user_id"),
            _text("query_id"),
            pa.field("rank", pa.int32(), nullable=False),
            pa.field("score", pa.float32()),
            *_HISTORY,
        ]
    ),
    key=("user_id", "query_id", "rank"),
)
_SETTINGS = [pa.field(name, pa.int32() if name == "layer" else pa.float64()) for name in SETTINGS]
# What a causal effect was measured on: a history under a query, or a generation for it.
_MEASURED = [
    _text("user_id"),
    _text("query_id"),
    pa.field("item_id", pa.string()),
    pa.field("rank", pa.int32()),
    pa.field("lam", pa.float64()),
    pa.field("gamma2", pa.float64()),
    _text("response"),
    _list("others", pa.string()),
    pa.field("context_cut", pa.int32(), nullable=False),
    pa.field("response_cut", pa.int32(), nullable=False),
    _list("token_ids", pa.int32()),
    _list("tokens", pa.string()),
    _list("starts", pa.int32()),
    _list("ends", pa.int32()),
    _list("log_p_history", pa.float32(), nullable=True),
    _list("log_p_empty", pa.float32()),
    _list("delta", pa.float32(), nullable=True),
]
_MEASURED_KEY = ("user_id", "query_id", "item_id", "lam", "gamma2")
EFFECTS = Artifact(
    name="effects",
    version=2,
    written_by="steerx score-tokens",
    columns=pa.schema(_MEASURED),
    key=_MEASURED_KEY,
)
SCORES = Artifact(
    name="scores",
    version=2,
    written_by="steerx score-tokens",
    columns=pa.schema(
        [
            *_MEASURED,
            _list("anchors", pa.bool_()),
            _rows("spans", pa.field("start", pa.int32(), nullable=False), pa.field("end", pa.int32(), nullable=False)),
            _text("basis"),
        ]
    ),
    key=_MEASURED_KEY,
)
PROFILES = Artifact(
    name="profiles",
    version=2,
    written_by="steerx smooth",
    columns=pa.schema(
        [
            _text("user_id"),
            _text("query_id"),
            pa.field("item_id", pa.string()),
            pa.field("description", pa.string()),
            _text("basis"),
            _list("histories", pa.string()),
            _list("anchors", pa.list_(pa.field("element", pa.string(), nullable=False))),
            pa.field("anchors_cut", pa.int32(), nullable=False),
            pa.field("prompt_tokens", pa.int32()),
            pa.field("tokens", pa.int32()),
            pa.field("thought", pa.bool_(), nullable=False),
            pa.field("finish", pa.string()),
            pa.field("error", pa.string()),
        ]
    ),
    key=("user_id", "query_id", "item_id"),
)
VECTORS = Artifact(
    name="vectors",
    version=1,
    written_by="steerx build-vector",
    columns=pa.schema(
        [
            _text("user_id"),
            pa.field("query_id", pa.string()),
            pa.field("layer", pa.int32(), nullable=False),
            _list("vector", pa.float32(), nullable=True),
            _list("from_histories", pa.float32(), nullable=True),
            _list("from_descriptions", pa.float32(), nullable=True),
            _list("neutral", pa.float32(), nullable=True),
            _text("basis"),
            _list("histories", pa.string()),
            _list("described", pa.string()),
            pa.field("norm", pa.float32()),
            pa.field("stream_norm", pa.float32()),
            pa.field("cosine", pa.float32()),
            pa.field("texts_cut", pa.int32(), nullable=False),
        ]
    ),
    key=("user_id", "query_id", "layer"),
    rows_per_group=1024,
)
GENERATIONS = Artifact(
    name="generations",
    version=2,
    written_by="steerx generate",
    columns=pa.schema(
        [
            _text("user_id"),
            pa.field("query_id", pa.string()),
            pa.field("item_id", pa.string()),
            _text("method"),
            pa.field("lam", pa.float64()),
            pa.field("gamma2", pa.float64()),
            pa.field("donor_id", pa.string()),
            _text("basis"),
            _list("histories", pa.string()),
            pa.field("history_cut", pa.int32(), nullable=False),
            pa.field("description_cut", pa.int32(), nullable=False),
            _list("prompt_tokens", pa.int32()),
            _text("response"),
            _list("token_ids", pa.int32()),
            pa.field("thought", pa.bool_(), nullable=False),
            _text("finish"),
            pa.field("seed", pa.int64()),
            pa.field("error", pa.string()),
        ]
    ),
    key=("user_id", "query_id", "item_id", "lam", "gamma2"),
)
METRICS = Artifact(
    name="metrics",
    version=2,
    written_by="steerx evaluate",
    columns=pa.schema(
        [
            _text("user_id"),
            _text("query_id"),
            _text("system"),
            _text("method"),
            *_SETTINGS,
            pa.field("variant", pa.string()),
            _text("basis"),
            _text("finish"),
            pa.field("rouge1", pa.float64()),
            pa.field("rougeL", pa.float64()),
            pa.field("meteor", pa.float64()),
            pa.field("bleu", pa.float64()),
            _list("bleu_counts", pa.int32(), nullable=True),
            pa.field("bertscore", pa.float64()),
            pa.field("label", pa.string()),
            pa.field("true_label", pa.string()),
            pa.field("rating", pa.float64()),
            pa.field("true_rating", pa.float64()),
            pa.field("empty", pa.bool_(), nullable=False),
            pa.field("words", pa.int32(), nullable=False),
            pa.field("reference_words", pa.int32(), nullable=False),
            pa.field("repeated4", pa.float64(), nullable=False),
            pa.field("distinct2", pa.float64()),
        ]
    ),
    key=("user_id", "query_id", "system"),
)
CHOICES = Artifact(
    name="choices",
    version=1,
    written_by="steerx choose",
    columns=pa.schema(
        [
            _text("method"),
            *_SETTINGS,
            pa.field("score", pa.float64()),
            pa.field("answers", pa.int32(), nullable=False),
            pa.field("chosen", pa.bool_(), nullable=False),
        ]
    ),
    key=("method", *SETTINGS),
)
TRUTH = Artifact(
    name="truth",
    version=1,
    written_by="make demo-world",
    columns=pa.schema(
        [
            _text("user_id"),
            _text("text_id"),
            _rows("habits", _text("slot"), _text("value")),
            _list("others", pa.string()),
            _rows(
                "spans",
                pa.field("start", pa.int32(), nullable=False),
                pa.field("end", pa.int32(), nullable=False),
                _text("source"),
                pa.field("slot", pa.string()),
                pa.field("value", pa.string()),
                pa.field("delta", pa.float64()),
            ),
        ]
    ),
    key=("user_id", "text_id"),
)

ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        HISTORIES,
        QUERIES,
        RETRIEVED,
        EFFECTS,
        SCORES,
        PROFILES,
        VECTORS,
        GENERATIONS,
        METRICS,
        CHOICES,
        TRUTH,
    )
}
