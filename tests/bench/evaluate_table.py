"""The table of all answers: statistics of them beside their scoring, and BLEU's beside sacrebleu's paired test."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import polars as pl

from bench.evaluate_inputs import REFERENCE, SYSTEMS, Many, passages
from bench.evaluate_turns import Line, Turns, Values
from steerx_cli.core.job import table_of
from steerx_cli.core.schemas import METRICS
from steerx_cli.metrics import meteor, punkt, rouge, scorers, wordnet
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import tabulate

SAMPLES, USERS, EXAMPLES = 10_000, 100, 1000


@dataclass(frozen=True)
class OfTable:
    """What statistics take."""

    scoring: Mapping[str, float]  # seconds by metric
    whole: float  # seconds of a table of all metrics of text
    line: Line  # BLEU alone, from texts


def of_table(runs: int) -> OfTable:
    """Statistics of many answers, which are scored first."""
    references = passages(EXAMPLES, *REFERENCE, seed=1)
    texts = Many.of(references)
    split = "punkt" if punkt.find_model() is not None else "simple"
    wordnet.load()
    ways: dict[str, scorers.Scorer] = {
        "shape": scorers.shapes,
        "ROUGE": scorers.each(rouge1=rouge.rouge1, rougeL=rouge.rouge_l),
        "METEOR": scorers.each(meteor=meteor.Meteor(split).score),
        "BLEU": scorers.by_bleu("13a"),
    }
    scoring, columns = dict[str, float](), dict[str, Sequence[object]]()
    for name, scorer in ways.items():
        start = time.process_time()
        columns |= scorer(texts.answers, texts.references, Counter())
        scoring[name] = time.process_time() - start
    columns["bertscore"] = np.random.default_rng(0).uniform(0.8, 0.9, len(texts.answers)).tolist()
    rows = _rows(columns)
    taken = []
    for _ in range(runs):
        start = time.process_time()
        tabulate(rows, ("rouge1", "rougeL", "meteor", "bleu", "bertscore"), (), Asked(samples=SAMPLES))
        taken.append(time.process_time() - start)
    return OfTable(scoring, median(taken), _bleu_table(texts, rows))


def _rows(columns: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """Rows of `metrics`."""
    empty = table_of(METRICS, [])
    count = EXAMPLES * SYSTEMS
    methods = ["non-perso", *(f"method-{system}" for system in range(1, SYSTEMS))]
    query = [at // SYSTEMS for at in range(count)]
    known: dict[str, Sequence[object]] = {
        "user_id": [f"user-{at * USERS // EXAMPLES:03d}" for at in query],
        "query_id": [f"query-{at:04d}" for at in query],
        **dict.fromkeys(("system", "method", "basis"), methods * EXAMPLES),
        "finish": ["end"] * count,
        **columns,
    }
    made = pl.DataFrame(known, schema={name: empty.schema[name] for name in known})
    return pl.concat([empty, made], how="diagonal").select(empty.columns)


def _bleu_table(texts: Many, rows: pl.DataFrame) -> Line:
    """From texts to the BLEU of each system with intervals and p, once; the values are the BLEUs."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    def own() -> Values:
        columns = scorers.by_bleu("13a")(texts.answers, texts.references, Counter())
        made = pl.DataFrame(columns, schema={name: rows.schema[name] for name in columns})
        table = tabulate(rows.with_columns(*made), ("bleu",), (), Asked(samples=SAMPLES))
        return [row.cells["bleu"].score.value for row in table.rows]

    def other() -> Values:
        systems: list[tuple[str, Sequence[str]]] = [(str(at), texts.of_system(at)[0]) for at in range(SYSTEMS)]
        wanted = [texts.of_system(0)[1]]
        found = PairedTest(systems, {"BLEU": BLEU()}, wanted, "ar", SAMPLES, SAMPLES)()[1]
        return [result.score for result in found["BLEU"]]  # type: ignore[union-attr]  # the names are under another

    what = f"BLEU with intervals and p, {SYSTEMS} systems, {EXAMPLES:,} queries"
    return Turns(1).compare(what, own, "sacrebleu's paired test", other)
