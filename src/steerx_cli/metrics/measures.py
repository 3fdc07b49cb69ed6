"""What is made of all answers of a system: each measure from sums over them, so that any users' sums give it too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from steerx_cli.metrics import bleu, labels
from steerx_cli.metrics.statistics import Numbers

Parts: TypeAlias = Callable[[pl.DataFrame], Numbers]  # rows of `metrics` → [rows, parts]


@dataclass(frozen=True)
class Measure:
    """One number of a system."""

    name: str
    title: str
    columns: tuple[str, ...]  # of `metrics`, that it is made of
    parts: Parts
    value: Callable[[Numbers], Numbers]  # of summed parts, for many sums at once
    exact: Callable[[Sequence[float]], float] | None = None  # of one sum, where another's code has it to the last bit
    decimals: int = 4
    lower_is_better: bool = False
    percent: bool = False

    def of(self, sums: Numbers) -> float:
        """The number of all answers."""
        return float(self.value(sums)) if self.exact is None else self.exact(sums.tolist())


def _ratio(sums: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def _root_ratio(sums: Numbers) -> Numbers:
    return np.sqrt(_ratio(sums))


def _mean_of(*columns: str, by: Callable[[pl.DataFrame], pl.Series] | None = None) -> Parts:
    """The mean of a column, or of what is made of the rows, over those that have it."""

    def parts(rows: pl.DataFrame) -> Numbers:
        values = (rows[columns[0]] if by is None else by(rows)).cast(pl.Float64)
        return np.stack([values.fill_null(0).to_numpy(), values.is_not_null().to_numpy().astype(np.float64)], 1)

    return parts


def _counts(rows: pl.DataFrame) -> Numbers:
    return np.array(rows["bleu_counts"].to_list(), np.float64).reshape(len(rows), bleu.COUNTS)


def _error(rows: pl.DataFrame) -> pl.Series:
    return (rows["rating"] - rows["true_rating"]).abs()


def _scores(name: str, title: str) -> Measure:
    return Measure(name, title, (name,), _mean_of(name), _ratio)


def _of_ratings(
    name: str, title: str, by: Callable[[pl.DataFrame], pl.Series], value: Callable[[Numbers], Numbers]
) -> Measure:
    columns = ("rating", "true_rating")
    return Measure(name, title, columns, _mean_of(by=by), value, lower_is_better=True)


def _of_labels(name: str, title: str, value: Callable[[Numbers], Numbers], parts: Parts) -> Measure:
    return Measure(name, title, ("label", "true_label"), parts, value)


def score_measures(known_labels: Sequence[str] = ()) -> dict[str, Measure]:
    """All that `--metric` names; those of labels need to know which there are."""

    def table(rows: pl.DataFrame) -> Numbers:
        return labels.table(rows["label"].to_list(), rows["true_label"].to_list(), known_labels)

    found = (
        _scores("rouge1", "ROUGE-1"),
        _scores("rougeL", "ROUGE-L"),
        _scores("meteor", "METEOR"),
        Measure("bleu", "BLEU", ("bleu_counts",), _counts, bleu.of_corpora, bleu.of_corpus, decimals=2),
        _scores("bertscore", "BERTScore"),
        _of_labels("accuracy", "Accuracy", labels.accuracy, table),
        _of_labels("macro-f1", "Macro F1", labels.macro_f1, table),
        _of_labels("mcc", "MCC", labels.matthews, table),
        _of_ratings("mae", "MAE", _error, _ratio),
        _of_ratings("rmse", "RMSE", lambda rows: _error(rows) ** 2, _root_ratio),
    )
    return {measure.name: measure for measure in found}


def _relative_length(rows: pl.DataFrame) -> Numbers:
    return rows.select("words", "reference_words").to_numpy().astype(np.float64)


def _share(name: str, title: str, column: str, by: Callable[[pl.DataFrame], pl.Series] | None = None) -> Measure:
    return Measure(name, title, (column,), _mean_of(column, by=by), _ratio, decimals=1, percent=True)


SHAPES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("words", "words", ("words",), _mean_of("words"), _ratio, decimals=1),
        Measure("length", "÷ ref.", ("words", "reference_words"), _relative_length, _ratio, decimals=2),
        _share("cut", "cut", "finish", lambda rows: rows["finish"].is_in(["limit", "window"])),
        _share("empty", "empty", "empty"),
        _share("failed", "failed", "finish", lambda rows: rows["finish"] == "failed"),
        _share("repeated4", "repeats", "repeated4"),
        _share("distinct2", "distinct", "distinct2"),
    )
}
SENTENCE_BLEU = Measure("sentence-bleu", "sentence BLEU", ("bleu",), _mean_of("bleu"), _ratio, decimals=2)
