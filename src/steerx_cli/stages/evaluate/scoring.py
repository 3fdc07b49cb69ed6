"""The scores of every answer of a chunk of users."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.schemas import METRICS
from steerx_cli.metrics import rouge
from steerx_cli.metrics.meteor import Meteor
from steerx_cli.metrics.scorers import (
    Scorer,
    Tally,
    by_bertscore,
    by_bleu,
    by_label,
    by_rating,
    each,
    foreign,
    shapes,
)
from steerx_cli.stages.evaluate.door import IDS, examples, of_system
from steerx_cli.stages.evaluate.settings import OF_LABELS, OF_RATINGS, Settings
from steerx_cli.stages.evaluate.systems import System


def scorers(settings: Settings) -> Iterator[Scorer]:
    """Load what the metrics need."""
    yield shapes
    by_words = {"rouge1": rouge.rouge1, "rougeL": rouge.rouge_l}
    if asked := {name: of for name, of in by_words.items() if name in settings.metrics}:
        yield each(**asked)
    if "meteor" in settings.metrics:
        yield each(meteor=Meteor(settings.meteor_split, settings.download_punkt).score)
    if "bleu" in settings.metrics:
        yield by_bleu(settings.tokenize)
    if settings.needs(OF_LABELS):
        yield by_label(settings.labels)
    if settings.needs(OF_RATINGS):
        yield by_rating(*settings.ratings)
    if judge := settings.bertscore:
        yield by_bertscore(judge.model, judge.layer, judge.batch_tokens)


@dataclass(frozen=True)
class Scores:
    """Chunk after chunk, every system's answers beside the references."""

    settings: Settings
    systems: Sequence[System]
    scorers: Sequence[Scorer]

    def __call__(self, tables: Tables) -> tuple[pl.DataFrame, Counts]:
        """The rows of a chunk: the queries in their order, under each the systems in theirs."""
        rows, tally = self._pairs(tables), Tally()
        tally += self._of_references(tables["queries"])
        tally["answers that failed"] += int((rows["finish"] == "failed").sum())
        tally["answers that came to another method"] += int((rows["basis"] != rows["method"]).sum())
        answers, references = rows["response"].to_list(), rows["reference"].to_list()
        if self._by_letters:
            tally += foreign("answers", answers)
        columns = {name: values for score in self.scorers for name, values in score(answers, references, tally).items()}
        nothing = table_of(METRICS, [])
        made = pl.DataFrame(columns, schema={name: nothing.schema[name] for name in columns})
        scored = pl.concat([rows, made], how="horizontal")
        return pl.concat([nothing, scored], how="diagonal").select(nothing.columns), tally

    @property
    def _by_letters(self) -> bool:
        return self.settings.needs(("rouge1", "rougeL", "bleu"))

    def _of_references(self, queries: pl.DataFrame) -> Tally:
        """What should be told of the references, each counted once."""
        of_split = queries if self.settings.split == "all" else queries.filter(pl.col("split") == self.settings.split)
        known = of_split["reference"].drop_nulls().to_list()
        tally = foreign("references", known) if self._by_letters else Tally()
        tally["queries without a reference, left out"] = len(of_split) - len(known)
        tally["blank references, against which everything scores 0"] = sum(not text.strip() for text in known)
        return tally

    def _pairs(self, tables: Tables) -> pl.DataFrame:
        asked = examples(tables["queries"], self.settings.split).select(*IDS, "reference").with_row_index("query")
        types = table_of(METRICS, []).schema
        found = [
            asked.join(of_system(tables[system.role], system), on=IDS, how="inner").with_columns(
                *(pl.lit(value, types[name]).alias(name) for name, value in system.columns.items()),
                number=pl.lit(number),
            )
            for number, system in enumerate(self.systems)
        ]
        of_systems = self.systems[0].columns
        return (
            pl.concat(found)
            .sort("query", "number")
            .select(*IDS, *of_systems, "basis", "finish", "response", "reference")
        )
