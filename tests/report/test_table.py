"""The table of systems: its numbers against plain means, slow resampling and enumeration, marks, baseline."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pytest
import sacrebleu
from numpy.typing import NDArray

from reported import FOUR, PAPER, cell, compare, counts, frame, paper, rows_of, several, system, together, users
from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics.bleu import Bleu
from steerx_cli.metrics.statistics import Swapped, holm
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Table, Told, baseline

pytestmark = pytest.mark.filterwarnings("error")

Numbers: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Values: TypeAlias = dict[str, list[float]]
Statistic: TypeAlias = Callable[[Sequence[int]], float]  # of the places of examples

UNEVEN = [f"u{user}" for user in (0, 1, 0, 2, 2, 0, 3, 4, 4, 5, 6, 7, 7, 7, 0)]  # whose the examples are
ANSWERS = [
    "the quiet film is a slow film",
    "a loud book of the year",
    "it is a film that I like",
    "the end",
    "a b c d e",
]
REFERENCES = [
    "the quiet film is slow",
    "a loud book of the last year",
    "it is a film I like a lot",
    "an end",
    "a b c d",
]
LABELS = ["drama", "horror", "war"]


def drawn(samples: int, of: int, seed: int = 0) -> Counts:
    """How often each user is in each sample."""
    found: Counts = np.random.default_rng([seed, 1]).multinomial(of, np.full(of, 1 / of), samples)
    return found


def places(whose: Sequence[str], times: Sequence[int]) -> list[int]:
    """The examples of users who are there so many times."""
    return [
        at
        for user, many in zip(dict.fromkeys(whose), times, strict=True)
        for _ in range(many)
        for at, other in enumerate(whose)
        if other == user
    ]


def slowly(whose: Sequence[str], statistic: Statistic, samples: int = 200, confidence: float = 0.95) -> Interval:
    """A number of the examples with its interval, each sample written out."""
    found = [statistic(places(whose, times)) for times in drawn(samples, len(set(whose)))]
    low, high = np.percentile(found, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Interval(statistic(range(len(whose))), float(low), float(high))


def is_near(found: Interval | None, plain: Interval) -> bool:
    """Whether two intervals are the same up to rounding."""
    assert found is not None
    return np.allclose(
        [found.value, found.low, found.high], [plain.value, plain.low, plain.high], rtol=1e-9, atol=1e-12
    )


def width(found: Interval | None) -> float:
    """How wide an interval is."""
    assert found is not None
    return found.high - found.low


def of_means(names: Sequence[str], values: Any, whose: Sequence[str], **how: Any) -> Table:
    """The table of systems with these METEORs."""
    rows = frame(*(system(name, whose, meteor=list(map(float, own))) for name, own in zip(names, values, strict=True)))
    return compare(rows, "meteor", **how)


def best(table: Table, measure: str) -> list[str]:
    """The systems that are marked as the best."""
    return [row.name for row in table.rows if measure in row.cells and row.cells[measure].best]


def alike(table: Table, measure: str) -> list[str]:
    """The systems that are marked as like the best."""
    return [row.name for row in table.rows if measure in row.cells and row.cells[measure].like_the_best]


def swapped(one: Numbers, other: Numbers, signs: Counts) -> Numbers:
    """How far the means are apart when some users' answers change sides."""
    return np.array([np.where(sign, other - one, one - other).mean() for sign in signs])


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["rouge1", "rougeL", "meteor", "bertscore"])
def test_a_score_is_the_mean_of_all_answers_whoever_wrote_them(metric: str) -> None:
    scores = together([0.3, 0.4], len(UNEVEN))
    table = compare(
        frame(*(system(name, UNEVEN, **{metric: scores[at].tolist()}) for at, name in enumerate("ab"))), metric
    )
    assert [cell(table, name, metric).score.value for name in "ab"] == pytest.approx(scores.mean(1).tolist(), rel=1e-12)
    assert (table.examples, table.users) == (15, 8)


def scored_texts(name: str, whose: Sequence[str], answers: Sequence[str], references: Sequence[str]) -> Any:
    """A system's rows with the BLEU of its texts."""
    found = [Bleu().score(answer, reference) for answer, reference in zip(answers, references, strict=True)]
    return system(name, whose, bleu=[one.bleu for one in found], bleu_counts=[one.counts for one in found])


def test_bleu_is_the_corpus_bleu_of_sacrebleu_to_the_last_bit() -> None:
    table = compare(
        frame(
            scored_texts("a", users(5), ANSWERS, REFERENCES),
            scored_texts("b", users(5), ANSWERS[::-1], REFERENCES),
        ),
        "bleu",
    )
    for name, answers in (("a", ANSWERS), ("b", ANSWERS[::-1])):
        assert cell(table, name, "bleu").score.value == sacrebleu.corpus_bleu(answers, [REFERENCES]).score
    own = [sacrebleu.sentence_bleu(*pair) for pair in zip(ANSWERS, [[text] for text in REFERENCES], strict=True)]
    assert cell(table, "a", "sentence-bleu").score.value == pytest.approx(np.mean([one.score for one in own]))


def test_errors_of_ratings_and_scores_of_labels_are_those_computed_by_hand() -> None:
    rows = frame(
        system(
            "a",
            users(4),
            rating=[1.0, 5.0, 3.0, 2.5],
            true_rating=[2.0, 5.0, 5.0, 2.0],
            label=["drama", None, "war", "war"],
            true_label=["drama", "drama", "war", "horror"],
        )
    )
    found = rows_of(compare(rows, "mae", "rmse", "accuracy", "macro-f1", "mcc", labels=LABELS))["a"].cells
    assert found["mae"].score.value == pytest.approx(3.5 / 4)
    assert found["rmse"].score.value == pytest.approx((5.25 / 4) ** 0.5)
    assert found["accuracy"].score.value == 0.5
    assert found["macro-f1"].score.value == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert found["mcc"].score.value == pytest.approx((2 * 4 - 4) / ((16 - 6) * (16 - 6)) ** 0.5)


def test_what_the_answers_look_like_is_told_of_every_system() -> None:
    rows = frame(
        system(
            "a",
            users(4),
            meteor=0.5,
            finish=["end", "limit", "window", "failed"],
            empty=[False, False, False, True],
            words=[10, 20, 30, 0],
            reference_words=[10, 10, 10, 20],
            repeated4=[0.1, 0.2, 0.3, 0.0],
            distinct2=[0.9, 0.7, None, None],
        )
    )
    table = compare(rows, "meteor")
    found = {column.name: cell(table, "a", column.name).score.value for column in table.of_kind("shape")}
    assert found == pytest.approx(
        {"words": 15, "length": 1.2, "cut": 0.5, "empty": 0.25, "failed": 0.25, "repeated4": 0.15, "distinct2": 0.8}
    )
    assert table.rows[0].cells["words"].p is None


def test_a_shape_that_no_answer_has_is_not_defined_and_warns_of_nothing() -> None:
    table = compare(
        frame(*(system(name, users(8), meteor=0.5, distinct2=None) for name in ("non-perso", "b"))), "meteor"
    )
    for name in ("non-perso", "b"):
        score = cell(table, name, "distinct2").score
        assert np.isnan([score.value, score.low, score.high]).all()


def test_systems_stand_in_the_order_in_which_they_appear_and_each_has_its_own_rows() -> None:
    z, a, m = (system(name, UNEVEN, meteor=value, lam=value) for name, value in (("z", 0.5), ("a", 0.3), ("m", 0.4)))
    assert [(row.name, row.lam) for row in compare(frame(z, a, m), "meteor").rows] == [
        ("z", 0.5),
        ("a", 0.3),
        ("m", 0.4),
    ]
    mixed = [row for three in zip(m, z, a, strict=True) for row in three]
    rows = compare(frame(mixed), "meteor").rows
    assert [row.name for row in rows] == ["m", "z", "a"]
    assert [row.cells["meteor"].score.value for row in rows] == pytest.approx([0.4, 0.5, 0.3])


def test_a_row_says_its_method_and_strength_and_a_column_what_it_is() -> None:
    rows = frame(
        system(
            "steerx-cas γ2 1",
            users(6),
            "steerx-cas",
            gamma2=1.0,
            rating=1.0,
            true_rating=2.0,
            bleu_counts=[counts(2)] * 6,
        ),
        system("cos λ 0.5", users(6), "cos", lam=0.5, rating=1.0, true_rating=2.0, bleu_counts=[counts(2)] * 6),
    )
    table = compare(rows, "mae", "bleu", told=Told("split test", ["mae[LaMP|1-5]"], ["empty: 1"]))
    assert [(row.name, row.method, row.lam, row.gamma2) for row in table.rows] == [
        ("steerx-cas γ2 1", "steerx-cas", None, 1.0),
        ("cos λ 0.5", "cos", 0.5, None),
    ]
    assert [(column.name, column.kind) for column in table.columns if column.kind != "shape"] == [
        ("mae", "score"),
        ("bleu", "score"),
        ("sentence-bleu", "more"),
    ]
    assert [(column.title, column.decimals, column.lower_is_better) for column in table.of_kind("score")] == [
        ("MAE", 4, True),
        ("BLEU", 2, False),
    ]
    assert (table.about, table.signatures, table.notes) == ("split test", ["mae[LaMP|1-5]"], ["empty: 1"])


# --- intervals --------------------------------------------------------------------------------------------------------


def test_intervals_are_those_of_samples_of_whole_users_written_out() -> None:
    scores = together([0.3, 0.4, 0.42], len(UNEVEN), own=0.1)
    names = ["non-perso", "b", "c"]
    table = of_means(names, scores, UNEVEN)
    for at, name in enumerate(names):
        plain = slowly(UNEVEN, lambda chosen, of=scores[at]: float(np.mean(of[chosen])))  # type: ignore[misc]
        assert is_near(cell(table, name, "meteor").score, plain)
        if at:
            apart = scores[at] - scores[0]
            plain = slowly(UNEVEN, lambda chosen, of=apart: float(np.mean(of[chosen])))  # type: ignore[misc]
            assert is_near(cell(table, name, "meteor").difference, plain)
    assert cell(table, "non-perso", "meteor").difference is None


def test_intervals_of_bleu_are_those_of_corpora_of_the_drawn_users() -> None:
    whose = ["u0", "u1", "u0", "u2", "u3"]

    def of(answers: Sequence[str]) -> Statistic:
        return lambda chosen: (
            sacrebleu.corpus_bleu([answers[at] for at in chosen], [[REFERENCES[at] for at in chosen]]).score
        )

    first, second = of(ANSWERS), of(REFERENCES)
    table = compare(
        frame(scored_texts("a", whose, ANSWERS, REFERENCES), scored_texts("b", whose, REFERENCES, REFERENCES)),
        "bleu",
        against="a",
        samples=100,
    )
    assert is_near(cell(table, "a", "bleu").score, slowly(whose, first, 100))
    plain = slowly(whose, lambda chosen: second(chosen) - first(chosen), 100)
    assert is_near(cell(table, "b", "bleu").difference, plain)


def test_intervals_of_errors_and_of_improvements_are_those_of_the_drawn_users() -> None:
    count = len(UNEVEN)
    one, other, true = (np.random.default_rng(seed).integers(1, 6, count).astype(float) for seed in range(3))
    scores = together([0.2, 0.25], count, own=0.05)
    table = compare(
        frame(
            system("non-perso", UNEVEN, rating=one.tolist(), true_rating=true.tolist(), meteor=scores[0].tolist()),
            system("b", UNEVEN, rating=other.tolist(), true_rating=true.tolist(), meteor=scores[1].tolist()),
        ),
        "rmse",
        "meteor",
        confidence=0.8,
    )

    def error(chosen: Sequence[int]) -> float:
        return float(np.sqrt(np.mean((other[chosen] - true[chosen]) ** 2)))

    def gain(chosen: Sequence[int]) -> float:
        return float(100 * (scores[1][chosen].mean() / scores[0][chosen].mean() - 1))

    assert is_near(cell(table, "b", "rmse").score, slowly(UNEVEN, error, confidence=0.8))
    assert is_near(cell(table, "b", "impr").score, slowly(UNEVEN, gain, confidence=0.8))


def test_intervals_agree_with_a_bootstrap_of_other_draws() -> None:
    scores = together([0.3, 0.4], 40, own=0.1)
    table = of_means(["non-perso", "b"], scores, users(40), samples=2000)
    draw = np.random.default_rng(99)
    chosen = draw.integers(0, 40, (2000, 40))
    for found, values in (
        (cell(table, "b", "meteor").score, scores[1]),
        (cell(table, "b", "meteor").difference, scores[1] - scores[0]),
    ):
        assert found is not None
        plain = np.percentile(values[chosen].mean(1), [2.5, 97.5])
        assert [found.low, found.high] == pytest.approx(plain.tolist(), abs=0.15 * width(found))


def test_systems_that_rise_and_fall_together_are_told_apart_better_than_by_their_own_intervals() -> None:
    found = cell(of_means(["non-perso", "b"], together([0.4, 0.42], 40), users(40)), "b", "meteor")
    assert width(found.difference) < width(found.score) / 2


def test_less_confidence_makes_narrower_intervals() -> None:
    scores = together([0.3, 0.4], 20)
    wide, narrow = (
        cell(of_means(["non-perso", "b"], scores, users(20), confidence=confidence), "b", "meteor")
        for confidence in (0.95, 0.5)
    )
    assert wide.score.low < narrow.score.low < narrow.score.value < narrow.score.high < wide.score.high
    assert width(narrow.difference) < width(wide.difference)


def test_a_seed_gives_its_own_samples_and_the_same_table_every_time() -> None:
    rows = several()
    assert repr(compare(rows, *FOUR)) == repr(compare(rows, *FOUR))
    first, second = (cell(compare(rows, *FOUR, seed=seed), "rag", "meteor") for seed in (0, 1))
    assert first.score.value == second.score.value
    assert first.score.low != second.score.low
    assert first.score.low == pytest.approx(second.score.low, abs=0.3 * width(first.score))
    assert first.difference != second.difference


# --- whether chance explains it ---------------------------------------------------------------------------------------


def test_p_is_that_of_every_way_of_swapping_users() -> None:
    count = 8
    scores = together([0.3, 0.31, 0.33], count, own=0.03)
    table = of_means(["non-perso", "b", "c"], scores, users(count), samples=2000)
    ways = np.array(list(product([0, 1], repeat=count)))
    for at, name in ((1, "b"), (2, "c")):
        real = abs(scores[at].mean() - scores[0].mean())
        exact = (abs(swapped(scores[0], scores[at], ways)) >= real - 1e-12).mean()
        p = cell(table, name, "meteor").p
        assert 0.004 < exact < 0.9
        assert p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 2000) ** 0.5 + 1 / 2000)


def test_p_is_what_the_statistics_say_of_each_measure_and_adjusted_over_the_systems() -> None:
    rows = several()
    table = compare(rows, "rouge1", "meteor", seed=3)
    for measure in ("rouge1", "meteor"):
        sums = {
            str(of["system"][0]): of.group_by("user_id", maintain_order=True)
            .agg(pl.col(measure).sum())[measure]
            .to_numpy()[:, None]
            for of in rows.partition_by("system", maintain_order=True)
        }
        plain = {
            name: Swapped(200, 3).p_values(
                sums["non-perso"], own, {measure: (slice(0, 1), lambda parts: parts[..., 0] / 36)}
            )[measure]
            for name, own in sums.items()
            if name != "non-perso"
        }
        assert {name: cell(table, name, measure).p for name in plain} == plain
        assert {name: cell(table, name, measure).p_holm for name in plain} == holm(plain)
        assert cell(table, "non-perso", measure).p is None
        assert cell(table, "non-perso", measure).p_holm is None
    assert cell(table, "rag", "words").p is None
    assert cell(table, "rag", "words").difference is not None


def test_p_is_adjusted_by_holm_as_it_is_computed_by_hand() -> None:
    table = of_means(["non-perso", *"abcd"], together([0.3, 0.3, 0.31, 0.315, 0.35], 12, own=0.03), users(12))
    p = sorted((cell(table, name, "meteor").p or 0, cell(table, name, "meteor").p_holm) for name in "abcd")
    largest = 0.0
    for rank, (raw, adjusted) in enumerate(p):
        largest = max(largest, min(1.0, (4 - rank) * raw))
        assert adjusted == pytest.approx(largest)
    assert p[0][0] < p[-1][0]


def test_more_answers_of_the_same_users_prove_nothing_more() -> None:
    scores = together([0.3, 0.31, 0.35], 10, own=0.04)
    names = ["non-perso", "b", "c"]
    once = of_means(names, scores, users(10))
    often = of_means(names, np.repeat(scores, 4, 1), users(10, 4))
    for name in names:
        one, other = cell(once, name, "meteor"), cell(often, name, "meteor")
        assert (one.p, one.p_holm, one.best, one.like_the_best) == (
            other.p,
            other.p_holm,
            other.best,
            other.like_the_best,
        )
        assert is_near(other.score, one.score)
        assert one.difference is None or is_near(other.difference, one.difference)
    assert (often.examples, often.users) == (40, 10)
    alone = of_means(names, np.repeat(scores, 4, 1), users(40))
    assert width(cell(alone, "b", "meteor").score) < 0.8 * width(cell(once, "b", "meteor").score)


def test_equal_systems_are_all_the_best_and_nothing_parts_them() -> None:
    table = of_means(["non-perso", "b", "c"], np.full((3, 8), 0.3), users(8))
    assert best(table, "meteor") == ["non-perso", "b", "c"]
    assert alike(table, "meteor") == []
    for name in "bc":
        found = cell(table, name, "meteor")
        assert found.difference == Interval(0, 0, 0)
        assert (found.p, found.p_holm) == (1, 1)
        assert width(found.score) == pytest.approx(0, abs=1e-12)


def test_constant_columns_that_differ_have_intervals_without_width() -> None:
    table = of_means(["non-perso", "b"], [[0.25] * 10, [0.5] * 10], users(10))
    found = cell(table, "b", "meteor")
    assert found.difference is not None
    assert [found.difference.low, found.difference.high] == pytest.approx([0.25, 0.25])
    assert found.p is not None
    assert found.p < 0.03


# --- which is best ----------------------------------------------------------------------------------------------------


def test_the_highest_score_is_best_and_the_lowest_error() -> None:
    rows = frame(
        *(
            system(name, users(8), meteor=value, rating=value, true_rating=1.0)
            for name, value in (("a", 0.2), ("b", 0.9), ("c", 0.5))
        )
    )
    table = compare(rows, "meteor", "mae", "rmse")
    assert [best(table, measure) for measure in ("meteor", "mae", "rmse")] == [["b"]] * 3
    worse = frame(*(system(name, users(8), rating=value, true_rating=0.0) for name, value in (("a", 0.2), ("b", 0.9))))
    assert best(compare(worse, "mae"), "mae") == ["a"]


def test_equals_at_the_top_are_all_best() -> None:
    table = of_means("abc", [[0.5, 0.25] * 5, [0.25, 0.5] * 5, [0.125] * 10], users(10))
    assert (best(table, "meteor"), alike(table, "meteor")) == (["a", "b"], [])


def test_what_equals_the_best_up_to_noise_is_marked_and_what_is_far_away_is_not() -> None:
    scores = together([0.2, 0.4, 0.4], 20, own=0.02)
    scores[2] = scores[1] + np.tile([0.02, -0.021], 10)
    table = of_means(["far", "top", "near"], scores, users(20))
    assert (best(table, "meteor"), alike(table, "meteor")) == (["top"], ["near"])


def test_like_the_best_is_what_holm_leaves_of_the_test_against_it() -> None:
    names = [*"abcdefgh"]
    scores = together([0.40, 0.405, 0.41, 0.415, 0.418, 0.42, 0.422, 0.425], 12, seed=16, own=0.012)
    whose = users(12)
    marked = {}
    for confidence in (0.95, 0.5):
        table = of_means(names, scores, whose, confidence=confidence, seed=5)
        (top,) = (names.index(name) for name in best(table, "meteor"))
        assert top == int(scores.mean(1).argmax())
        plain = {
            name: Swapped(200, 5).p_values(
                scores[top][:, None],
                scores[at][:, None],
                {"meteor": (slice(0, 1), lambda parts: parts[..., 0] / 12)},
            )["meteor"]
            for at, name in enumerate(names)
            if at != top
        }
        level = 1 - confidence
        marked[confidence] = alike(table, "meteor")
        assert set(marked[confidence]) == {name for name, p in holm(plain).items() if p > level}
        if confidence == 0.95:
            assert set(marked[confidence]) != {name for name, p in plain.items() if p > level}
    assert set(marked[0.5]) < set(marked[0.95])


def test_the_best_of_each_measure_is_compared_by_itself() -> None:
    rising, falling = together([0.2, 0.3], 12), together([0.3, 0.2], 12)
    near = rising[1] + np.tile([0.02, -0.021], 6)
    rows = frame(
        *(
            system(name, users(12), rouge1=one.tolist(), meteor=other.tolist())
            for name, one, other in (
                ("a", rising[0], falling[0]),
                ("b", rising[1], falling[1]),
                ("c", near, falling[1]),
            )
        )
    )
    table = compare(rows, "rouge1", "meteor")
    assert (best(table, "rouge1"), alike(table, "rouge1")) == (["b"], ["c"])
    assert (best(table, "meteor"), alike(table, "meteor")) == (["a"], [])


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_both_the_best_and_like_it_and_something_is_the_best(seed: int) -> None:
    table = compare(several(seed=seed), *FOUR, "rougeL", samples=100)
    for column in table.columns:
        assert not {*best(table, column.name)} & {*alike(table, column.name)}
        assert bool(best(table, column.name)) == (column.kind == "score")


def test_one_system_alone_is_neither_the_best_nor_like_it() -> None:
    table = compare(several(["non-perso"]), *FOUR)
    (row,) = table.rows
    assert not any(found.best or found.like_the_best or found.p or found.difference for found in row.cells.values())
    assert "impr" not in row.cells


# --- Impr. ------------------------------------------------------------------------------------------------------------


def test_the_papers_improvement_follows_from_its_scores() -> None:
    table = compare(paper(*FOUR), *FOUR)
    for name, (*scores, told) in PAPER.items():
        if told is None:
            assert not {"impr", "impr-no-bleu"} & {*rows_of(table)[name].cells}
            continue
        assert cell(table, name, "impr").score.value == pytest.approx(told, abs=0.02)
        gains = [100 * (one / zero - 1) for one, zero in zip(scores, PAPER["non-perso"], strict=False)]  # type: ignore[operator]
        assert cell(table, name, "impr").score.value == pytest.approx(np.mean(gains), abs=1e-3)
        del gains[2]
        without = cell(table, name, "impr-no-bleu")
        assert without.score.value == pytest.approx(np.mean(gains))
        assert (without.difference, without.p, without.best, without.like_the_best) == (None, None, False, False)
    assert [column.title for column in table.of_kind("improvement")] == ["Impr.", "Impr. w/o BLEU"]
    assert all((column.decimals, column.percent) == (2, True) for column in table.of_kind("improvement"))


@pytest.mark.parametrize(
    ("metrics", "titles"),
    [
        (("rouge1", "meteor", "bertscore"), ["Impr. (3 of 4)"]),
        (("rouge1", "meteor", "bleu"), ["Impr. (3 of 4)", "Impr. w/o BLEU (2 of 3)"]),
        (("meteor", "bleu"), ["Impr. (2 of 4)", "Impr. w/o BLEU (1 of 3)"]),
        (("bleu",), ["Impr. (1 of 4)"]),
        (("rougeL",), []),
        (("rougeL", "meteor"), ["Impr. (1 of 4)"]),
    ],
)
def test_the_improvement_says_how_many_of_the_four_it_has(metrics: tuple[str, ...], titles: list[str]) -> None:
    table = compare(several(), *metrics, samples=100)
    assert [column.title for column in table.of_kind("improvement")] == titles
    there = [name for name in metrics if name in FOUR]
    if there:
        gains = [
            cell(table, "rag", name).score.value / cell(table, "non-perso", name).score.value - 1 for name in there
        ]
        assert cell(table, "rag", "impr").score.value == pytest.approx(100 * np.mean(gains))


def test_the_improvement_over_nothing_is_not_defined_and_warns_of_nothing() -> None:
    rows = frame(
        system("non-perso", users(8), meteor=0.0, rouge1=0.5), system("b", users(8), meteor=[0.0, 0.5] * 4, rouge1=0.5)
    )
    score = cell(compare(rows, "meteor", "rouge1"), "b", "impr").score
    assert np.isnan([score.value, score.low, score.high]).all()


def test_samples_in_which_the_baseline_has_nothing_say_nothing_of_the_improvement() -> None:
    rows = frame(
        system("non-perso", users(2), meteor=[0.0, 0.5]),
        system("b", users(2), meteor=[0.25, 1.0]),
    )
    score = cell(compare(rows, "meteor"), "b", "impr").score
    assert score.value == pytest.approx(150)
    assert [score.low, score.high] == pytest.approx([100, 150])


# --- the baseline -----------------------------------------------------------------------------------------------------


def test_without_a_baseline_there_is_nothing_but_scores() -> None:
    table = compare(several(["rag", "cos", "steerx-cos"]), *FOUR)
    assert table.against is None
    assert table.of_kind("improvement") == []
    for row in table.rows:
        assert all(
            found.difference is None and found.p is None and found.p_holm is None for found in row.cells.values()
        )
    assert best(table, "meteor")


def test_differences_are_to_the_baseline_that_is_named_wherever_it_stands() -> None:
    table = compare(several(), "meteor", against="steerx-cos λ 0.5")
    assert table.against == "steerx-cos λ 0.5"
    zero = cell(table, "steerx-cos λ 0.5", "meteor")
    assert (zero.difference, zero.p) == (None, None)
    for name in ("non-perso", "steerx-cos λ 0.5, random anchors"):
        found = cell(table, name, "meteor")
        assert found.difference is not None
        assert found.difference.value == pytest.approx(found.score.value - zero.score.value)
    assert cell(table, "non-perso", "impr").score.value < 0


SYSTEMS = [("non-perso", "non-perso"), ("cos λ 0.5", "cos"), ("cos λ 1", "cos"), ("rag", "rag"), ("cas γ2 1", "cas")]


@pytest.mark.parametrize(
    ("systems", "against", "found"),
    [
        (SYSTEMS, None, 0),
        (SYSTEMS[1:], None, None),
        ([("non-perso, model a", "non-perso"), ("rag", "rag")], None, 0),
        ([("non-perso, model a", "non-perso"), ("non-perso, model b", "non-perso")], None, None),
        ([("non-perso, model a", "non-perso"), ("non-perso, model b", "non-perso")], "non-perso, model b", 1),
        (SYSTEMS, "rag", 3),
        (SYSTEMS, "cas", 4),
        (SYSTEMS, "cos λ 1", 2),
        ([("cos λ 1", "cos"), ("cos", "cos")], "cos", 1),
        ([("non-perso", "rag"), ("other", "non-perso")], None, 0),
    ],
)
def test_the_baseline_is_named_or_the_one_of_its_method(
    systems: Sequence[tuple[str, str]], against: str | None, found: int | None
) -> None:
    assert baseline(systems, against) == found


@pytest.mark.parametrize(("against", "many"), [("cos", "2"), ("steerx-cas", "no"), ("cos λ 0.50", "no"), ("", "no")])
def test_a_baseline_that_is_not_one_system_is_refused_with_those_there_are(against: str, many: str) -> None:
    with pytest.raises(SteerxError) as refused:
        baseline(SYSTEMS, against)
    assert str(refused.value) == (
        f"{many} systems are called {against!r}: name one of these with --against: "
        "non-perso; cos λ 0.5; cos λ 1; rag; cas γ2 1"
    )


def test_the_table_of_two_systems_without_personalisation_has_no_baseline_until_one_is_named() -> None:
    names = ["non-perso, model a", "non-perso, model b"]
    rows = frame(*(system(name, users(8), "non-perso", meteor=0.5) for name in names))
    assert compare(rows, "meteor").against is None
    assert compare(rows, "meteor", against=names[1]).against == names[1]
    with pytest.raises(SteerxError, match="2 systems are called 'non-perso'"):
        compare(rows, "meteor", against="non-perso")


def test_too_few_users_to_tell_anything_are_told_of() -> None:
    def notes(count: int, names: str = "ab", confidence: float = 0.95) -> Sequence[str]:
        rows = frame(*(system(name, users(count, 3), meteor=0.5) for name in names))
        return compare(rows, "meteor", told=Told(notes=["empty: 1"]), samples=100, confidence=confidence).notes

    few = "with 5 users no p is below 0.062: there are too few of them to tell systems apart"
    assert notes(5) == ["empty: 1", few]
    assert notes(6) == ["empty: 1"]
    assert len(notes(6, confidence=0.99)) == 2
    assert notes(5, names="a") == ["empty: 1"]
    assert notes(1, names="a") == ["empty: 1", "with one user intervals say nothing"]


def test_samples_that_have_no_number_are_told_of() -> None:
    rows = frame(system("non-perso", users(3), meteor=[0.0, 0.0, 0.5]), system("rag", users(3), meteor=[0.1, 0.2, 0.9]))
    table = compare(rows, "meteor", samples=200)
    (note,) = (note for note in table.notes if note.startswith("Impr. (1 of 4): up to "))
    undefined = cell(table, "rag", "impr").score.undefined
    assert 0 < undefined < 200
    assert note == f"Impr. (1 of 4): up to {undefined} of 200 samples have none, and intervals leave them out"


def test_ratings_without_end_have_no_p_and_no_interval() -> None:
    rows = frame(
        system("non-perso", users(8), rating=[1.0] * 7 + [5e199], true_rating=3.0),
        system("rag", users(8), rating=[2.0] * 8, true_rating=3.0),
    )
    table = compare(rows, "mae", "rmse", samples=100)
    for name in ("non-perso", "rag"):
        assert cell(table, name, "rmse").p is None
        assert cell(table, name, "rmse").p_holm is None
    assert cell(table, "rag", "rmse").score.value == 1.0
    assert np.isinf(cell(table, "non-perso", "rmse").score.value)
