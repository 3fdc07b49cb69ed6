"""Labels and ratings: how answers are read, and what is made of them, against scikit-learn."""

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from steerx_cli.metrics.labels import accuracy, label_of, macro_f1, matthews, number_of, rating_of, table

KNOWN = ["sci-fi", "comedy", "drama", "Comedy"]


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("comedy", "comedy"),
        (" comedy\n", "comedy"),
        ("\u3000drama\t", "drama"),
        ("Comedy", "Comedy"),
        ("COMEDY", None),
        ("comedy.", None),
        ("a comedy", None),
        ("sci - fi", None),
        ("", None),
        (" ", None),
    ],
)
def test_an_answer_is_a_label_or_none_of_them(answer: str, label: str | None) -> None:
    assert label_of(answer, KNOWN) == label


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("4", 4.0), (" 4.5\n", 4.5), ("-1", -1.0), ("1e1", 10.0), ("7", 7.0), (".5", 0.5)),
        *((text, None) for text in ("", " ", "four", "4 stars", "4/5", "nan", "NaN", "inf", "-Infinity", "1e999")),
    ],
)
def test_an_answer_is_a_finite_number_or_none(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("answer", "true", "rating"),
    [
        ("2", 5, 2.0),
        (" 3.5 ", 1, 3.5),
        ("9", 1, 9.0),
        ("great", 1, 5),
        ("great", 2, 5),
        ("great", 2.9, 5),
        ("great", 3, 5),
        ("great", 3.1, 1),
        ("great", 5, 1),
        ("nan", 4, 1),
        ("inf", 2, 5),
        ("", 4, 1),
    ],
)
def test_no_rating_is_the_end_of_the_scale_that_is_farther_away(answer: str, true: float, rating: float) -> None:
    assert rating_of(answer, true, 1, 5) == rating


def test_other_scales_have_other_ends() -> None:
    assert [rating_of("?", true, 0, 10) for true in (0, 4, 5, 6, 10)] == [10, 10, 10, 0, 0]
    assert [rating_of("?", true, -3, 3) for true in (-1, 0, 1)] == [3, 3, -3]


def test_distances_are_those_of_scikit_learn() -> None:
    draw = random.Random(7)
    true = [float(draw.randint(1, 5)) for _ in range(200)]
    answers = [draw.choice(["1", "2.5", " 5 ", "none", "nan", "-inf", ""]) for _ in true]
    found = np.array([rating_of(answer, of, 1, 5) for answer, of in zip(answers, true, strict=True)])
    distance = np.abs(found - np.array(true))
    assert distance.mean() == pytest.approx(sklearn.mean_absolute_error(true, found), abs=1e-12)
    assert math.sqrt((distance**2).mean()) == pytest.approx(sklearn.root_mean_squared_error(true, found), abs=1e-12)


# --- of a corpus ------------------------------------------------------------------------------------------------------


def by_peer(said: list[str | None], true: list[str], known: list[str]) -> tuple[float, float, float]:
    given = ["no label" if label is None else label for label in said]
    f1: Any = sklearn.f1_score(true, given, labels=known, average="macro", zero_division=0)
    return sklearn.accuracy_score(true, given), float(f1), sklearn.matthews_corrcoef(true, given)


def ours(said: list[str | None], true: list[str], known: list[str]) -> tuple[float, float, float]:
    sums = table(said, true, known).sum(0)
    return float(accuracy(sums)), float(macro_f1(sums)), float(matthews(sums))


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
def test_all_answers_score_as_in_scikit_learn() -> None:
    draw = random.Random(6)
    for _ in range(100):
        known = [f"label {number}" for number in range(draw.randint(1, 5))]
        count, right = draw.choice([1, 2, 5, 40]), draw.random()
        true = draw.choices(known[: draw.randint(1, len(known))], k=count)
        said = [label if draw.random() < right else draw.choice([*known, None]) for label in true]
        found, peer = ours(said, true, known), by_peer(said, true, known)
        assert found == pytest.approx(peer, abs=1e-12), (said, true, known)
        assert found[0] == peer[0]


def test_answers_that_are_all_alike() -> None:
    assert ours(["a", "a"], ["a", "a"], ["a", "b"]) == (1.0, 0.5, 0.0)
    assert ours(["a", "a"], ["a", "b"], ["a", "b"]) == pytest.approx((0.5, 1 / 3, 0.0))
    assert ours([None, None], ["a", "b"], ["a", "b"]) == (0.0, 0.0, 0.0)
    assert ours(["a"], ["a"], ["a"]) == (1.0, 1.0, 0.0)
    assert ours(["b", "a"], ["a", "b"], ["a", "b"]) == (0.0, 0.0, -1.0)


def test_hand_counted() -> None:
    """a: 2 of 3 found, 1 false; b: 1 of 2 found, 0 false; c: nobody has it; one answer is no label."""
    said: list[str | None] = ["a", "a", None, "b", "a"]
    found = ours(said, ["a", "a", "a", "b", "b"], ["a", "b", "c"])
    assert found[0] == 0.6
    assert found[1] == pytest.approx((2 * 2 / 6 + 2 * 1 / 3 + 0) / 3)
    assert ours(said, ["a", "a", "a", "b", "b"], ["a", "b"])[1] == pytest.approx((2 * 2 / 6 + 2 * 1 / 3) / 2)
    assert found[2] == pytest.approx((3 * 5 - (3 * 3 + 2 * 1)) / math.sqrt((25 - 13) * (25 - 11)))


def test_a_table_has_a_1_for_each_answer() -> None:
    assert table(["b", None], ["a", "b"], ["a", "b"]).tolist() == [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    with pytest.raises(ValueError, match="longer"):
        table(["a"], ["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match="not in"):
        table(["a"], ["c"], ["a", "b"])


def test_no_answers_have_a_table_of_no_rows() -> None:
    assert table([], [], ["a", "b"]).shape == (0, 6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32))
def test_many_sums_at_once_score_as_each_alone(labels: int, corpora: int, seed: int) -> None:
    sums = np.random.default_rng(seed).integers(0, 5, (corpora, 2, labels * (labels + 1))).astype(np.float64)
    sums[..., 0] += 1
    for value in (accuracy, macro_f1, matthews):
        at_once = value(sums)
        assert at_once.shape == (corpora, 2)
        assert at_once.tolist() == [[float(value(one)) for one in row] for row in sums]
