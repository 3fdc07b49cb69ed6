"""The table of an artifact of scores."""

from pathlib import Path
from typing import cast

import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer
from steerx_cli.core.schemas import METRICS
from steerx_cli.core.sources import Source
from steerx_cli.metrics.scorers import UNTRAINED
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import Table, Told, tabulate

# The model that ships with the demo: it knows one small world, and is no judge of texts.
DEMO_WEIGHTS = "590f8c9b3a021feb2b15235d11990547a0dbb7881f53fc4abfea93a305ea1501"


def read_table(metrics: Path, asked: Asked) -> Table:
    """Compare what is scored in a file, or in its shards."""
    return table_of(Source(METRICS, metrics), asked)


def table_of(source: Source, asked: Asked) -> Table:
    """Compare what is scored there."""
    if not source.footer.rows:
        raise SteerxError(f"{source.where} has no scores in it: there is nothing to compare")
    rows = cast(pl.DataFrame, pl.from_arrow(source.read(0, source.footer.rows)))
    parameters, why = source.footer.record.parameters, _no_judge(source.footer)
    shown = [name for name in parameters["metrics"] if name != "bertscore" or not why]
    signatures = [of for of in parameters["signatures"] if of.partition("[")[0] != "bertscore" or not why]
    counts = source.footer.counts.items()
    notes = [f"{name}: {count:,}" for name, count in counts if name != UNTRAINED]
    split = parameters["split"]
    told = Told(
        about="all that have a reference" if split == "all" else f"split {split}",
        signatures=signatures,
        notes=[*notes, *([f"BERTScore is left out: {why}"] if why else [])],
    )
    return tabulate(rows, shown, parameters.get("labels", ()), asked, told)


def scored_table(source: Source, asked: Asked) -> Table:
    """The same, if there is a score in it."""
    table = table_of(source, asked)
    if not table.of_kind("score"):
        why = "".join(f" ({note})" for note in table.notes if note.startswith("BERTScore is left out"))
        raise SteerxError(f"{source.where} has no score to show{why}: score by another --metric, too")
    return table


def _no_judge(footer: Footer) -> str:
    """Why a model's BERTScore means nothing, where it does not."""
    if footer.record.models.get("bertscore", {}).get("weights") == DEMO_WEIGHTS:
        return "its model is the demo's, which knows one small world"
    return "nobody trained its model, all of whose norms are ones" if footer.counts.get(UNTRAINED) else ""
