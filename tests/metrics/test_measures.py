"""Numbers of a system, by hand, and from any users' sums."""

import math
import random
from typing import Any

import numpy as np
import polars as pl
import pytest
import sacrebleu

from steerx_cli.metrics.bleu import Bleu
from steerx_cli.metrics.measures import SHAPES, Measure, score_measures

KNOWN = ("a", "b", "c")
PAIRS = [("the cat sat on the mat", "the cat sat on a mat"), ("", "a dog"), ("a dog ran off", "a dog ran away fast")]
ROWS: dict[str, list[Any]] = {
    "rouge1": [0.5, 0.0, 1.0, None],
    "rougeL": [0.25, 0.0, 0.5, 0.25],
    "meteor": [0.125, 0.0, 0.5, None],
    "bertscore": [None, 0.5, 0.75, 0.25],
    "label": ["a", "a", None, "b"],
    "true_label": ["a", "b", "b", "b"],
    "rating": [1.0, 4.0, 5.0, 2.0],
    "true_rating": [2.0, 4.0, 3.0, None],
    "finish": ["stop", "limit", "window", "failed"],
    "empty": [False, True, False, True],
    "words": [6, 0, 4, 0],
    "reference_words": [6, 2, 5, 3],
    "repeated4": [0.0, 0.0, 0.5, None],
    "distinct2": [1.0, None, 0.5, None],
}
VALUES = {
    "rouge1": 0.5,
    "rougeL": 0.25,
    "meteor": 0.625 / 3,
    "bertscore": 0.5,
    "accuracy": 0.5,
    "macro-f1": (2 * 1 / 3 + 2 * 1 / 4 + 0) / 3,
    "mcc": (2 * 4 - (1 * 2 + 3 * 1)) / math.sqrt((16 - 10) * (16 - 6)),
    "mae": 1.0,
    "rmse": math.sqrt(5 / 3),
    "words": 2.5,
    "length": 10 / 16,
    "cut": 0.5,
    "empty": 0.5,
    "failed": 0.25,
    "repeated4": 0.5 / 3,
    "distinct2": 0.75,
}


def frame() -> pl.DataFrame:
    """A few rows, the last of an answer that failed."""
    counts = [Bleu().score(*pair).counts for pair in PAIRS] + [[0, 3, *[0] * 8]]
    schema = {"rating": pl.Float64, "true_rating": pl.Float64, "words": pl.UInt32, "reference_words": pl.UInt32}
    return pl.DataFrame({**ROWS, "bleu_counts": counts}, schema_overrides=schema)


def measures() -> dict[str, Measure]:
    return {**score_measures(KNOWN), **SHAPES}


def number(measure: Measure, rows: pl.DataFrame) -> float:
    return measure.of(measure.parts(rows.select(measure.columns)).sum(0))


@pytest.mark.parametrize("name", VALUES)
def test_a_number_of_a_few_rows_is_the_one_by_hand(name: str) -> None:
    measure = measures()[name]
    assert number(measure, frame()) == pytest.approx(VALUES[name], abs=1e-15)
    sums = measure.parts(frame()).sum(0)
    assert measure.of(sums) == pytest.approx(float(measure.value(sums)), abs=1e-15)


def test_bleu_is_that_of_the_corpus_to_the_last_bit() -> None:
    some = [*PAIRS, ("", "one two three")]
    peer = sacrebleu.corpus_bleu([one for one, _ in some], [[other for _, other in some]]).score
    measure = measures()["bleu"]
    assert number(measure, frame()) == peer > 0
    assert float(measure.value(measure.parts(frame()).sum(0))) == pytest.approx(peer, abs=1e-9)


def test_all_measures_are_tried_here() -> None:
    assert measures().keys() == {*VALUES, "bleu"}
    assert all(name == measure.name for name, measure in measures().items())


@pytest.mark.parametrize("name", measures())
def test_parts_of_any_users_add_up_to_those_of_all(name: str) -> None:
    measure, draw, rows = measures()[name], random.Random(0), pl.concat([frame()] * 5)
    parts = measure.parts(rows)
    assert parts.shape[0] == len(rows)
    assert parts.dtype == np.float64
    assert not np.isnan(parts).any()
    for _ in range(5):
        group = np.array([draw.randrange(4) for _ in range(len(rows))])
        sums = np.stack([measure.parts(rows.filter(pl.Series(group == one))).sum(0) for one in set(group.tolist())])
        np.testing.assert_allclose(sums.sum(0), parts.sum(0), rtol=0, atol=1e-12)
        np.testing.assert_allclose(measure.of(sums.sum(0)), measure.of(parts.sum(0)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", measures())
def test_many_sums_have_a_number_each(name: str) -> None:
    measure = measures()[name]
    parts = np.stack([measure.parts(frame()).sum(0), 3 * measure.parts(frame()).sum(0)])
    found = measure.value(np.stack([parts] * 4))
    assert found.shape == (4, 2)
    assert found[1] == pytest.approx([measure.of(parts[0])] * 2, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in measures() if name not in ("accuracy", "macro-f1", "mcc")])
def test_no_rows_have_no_parts(name: str) -> None:
    measure = measures()[name]
    assert measure.parts(frame().head(0)).shape == (0, measure.parts(frame()).shape[1])


@pytest.mark.parametrize("name", ["accuracy", "macro-f1", "mcc"])
def test_no_rows_of_labels_have_no_parts(name: str) -> None:
    assert measures()[name].parts(frame().head(0)).shape == (0, len(KNOWN) * (len(KNOWN) + 1))


@pytest.mark.parametrize("name", ["rouge1", "rougeL", "meteor", "bertscore", "mae", "rmse", *SHAPES])
def test_no_rows_have_no_number(name: str) -> None:
    assert math.isnan(measures()[name].of(np.zeros(2)))


def test_what_has_none_of_a_column_counts_neither_way() -> None:
    rows = frame().with_columns(distinct2=pl.Series([None, None, None, None], dtype=pl.Float64))
    assert math.isnan(number(measures()["distinct2"], rows))
    assert measures()["rouge1"].parts(frame()).tolist() == [[0.5, 1], [0, 1], [1, 1], [0, 0]]


def test_only_distances_are_better_where_they_are_lower() -> None:
    assert {name for name, measure in measures().items() if measure.lower_is_better} == {"mae", "rmse"}


def test_how_numbers_are_told() -> None:
    found = {(measure.decimals, measure.percent) for measure in SHAPES.values()}
    assert found == {(1, False), (2, False), (1, True)}
    assert {name for name, measure in measures().items() if measure.percent} == {
        "cut", "empty", "failed", "repeated4", "distinct2",
    }  # fmt: skip
    assert {name: measure.decimals for name, measure in score_measures().items() if measure.decimals != 4} == {
        "bleu": 2
    }
