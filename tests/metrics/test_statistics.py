"""Intervals, tests and gains, against simulated chance, enumeration, plain loops and the paper's own table."""

import math
import random
import statistics as plain
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.significance import _compute_p_value

from steerx_cli.metrics import bleu, statistics
from steerx_cli.metrics.statistics import (
    IMPROVED,
    Numbers,
    Swapped,
    Value,
    holm,
    improvement,
    interval,
    resampled,
    user_sums,
)

USERS, SWAPS, PAIRS = 40, 499, 1500
Drawn = Callable[[np.random.Generator], tuple[Numbers, Numbers, list[int]]]


def mean(sums: Numbers) -> Numbers:
    return sums[..., 0] / sums[..., 1]


def ones(scores: Numbers) -> Numbers:
    """Each score, and a 1 that counts it."""
    return np.stack([scores, np.ones_like(scores)], 1)


def p_of(one: Numbers, other: Numbers, trials: int = SWAPS, seed: int = 0, value: Value = mean) -> float:
    return Swapped(trials, seed).p_values(one, other, {"m": (slice(None), value)})["m"]


def worlds(seed: int, taste: float) -> Drawn:
    """Two systems that are equally good: users who differ, and like the one or the other, have 1 to 6 examples each."""
    number = np.random.default_rng(seed).integers(1, 7, USERS)
    users = np.repeat(np.arange(USERS), number)

    def draw(chance: np.random.Generator) -> tuple[Numbers, Numbers, list[int]]:
        both = chance.normal(0, 1, USERS)
        one, other = (
            both[users] + chance.normal(0, taste, USERS)[users] + chance.normal(0, 0.5, len(users)) for _ in range(2)
        )
        return one, other, users.tolist()

    return draw


# --- swaps ------------------------------------------------------------------------------------------------------------


def test_a_difference_that_is_not_defined_has_no_p() -> None:
    one, other = ones(np.array([1.0, 2, 3])), ones(np.array([1.0, np.inf, 3]))
    ways: Mapping[str, tuple[slice, Value]] = {"m": (slice(None), mean), "n": (slice(1, 2), lambda sums: sums[..., 0])}
    with np.errstate(all="ignore"):
        assert Swapped(99, 0).p_values(other, other, ways) == {"n": 1.0}
        assert Swapped(99, 0).p_values(one, other, {"m": ways["m"]}) == {}


def test_a_swap_after_which_nothing_is_defined_is_no_smaller_difference() -> None:
    one, other = np.array([[4.0, 1], [0, 1]]), np.array([[0.0, 1], [1, 1]])

    def log(sums: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            return np.log(sums[..., 0])

    swapped = Swapped(999, 0).p_values(one, other, {"m": (slice(None), log)})["m"]
    assert swapped == 1.0, (
        "swapped in part, one of them has the logarithm of 0; swapped in whole, they are as far apart"
    )


def test_a_seed_may_be_any_whole_number() -> None:
    sums = ones(np.arange(9.0))
    assert resampled(sums, 5, -1).shape == (5, 2)
    assert 0 < p_of(sums, sums + 1, seed=-(2**70)) <= 1


def test_chance_passes_for_a_difference_of_means_as_often_as_it_should() -> None:
    chance, draw = np.random.default_rng(10), worlds(1, taste=0.5)
    found = []
    for number in range(PAIRS):
        one, other, users = draw(chance)
        left, right = (user_sums(ones(scores), users, USERS) for scores in (one, other))
        found.append(p_of(left, right, seed=number))
    assert 0.03 <= plain.fmean(p <= 0.05 for p in found) <= 0.07
    assert 0.45 <= plain.fmean(found) <= 0.55


def test_who_ignores_users_finds_differences_where_there_are_none() -> None:
    chance, draw = np.random.default_rng(11), worlds(1, taste=1.0)
    found = []
    for number in range(300):
        one, other, _ = draw(chance)
        found.append(p_of(ones(one), ones(other), seed=number))
    assert plain.fmean(p <= 0.05 for p in found) > 0.12


def test_sacrebleu_s_paired_bootstrap_finds_twice_as_many_as_it_should() -> None:
    """Why it is not used: it takes the mean off differences without their sign, which are nearer to each other."""
    chance, examples = np.random.default_rng(13), 100
    found = []
    for _ in range(1000):
        differences = chance.normal(0, 1, examples)
        draws = chance.multinomial(examples, np.full(examples, 1 / examples), 200) @ differences / examples
        apart = np.abs(draws)
        found.append(_compute_p_value(apart - apart.mean(), abs(differences.mean())))
    assert 0.09 <= plain.fmean(p <= 0.05 for p in found) <= 0.13


def test_chance_passes_for_a_difference_of_corpus_bleu_as_often_as_it_should() -> None:
    chance, examples = np.random.default_rng(12), np.random.default_rng(2).integers(1, 5, USERS)
    found = []
    for number in range(PAIRS):
        skill = chance.beta(8, 4, USERS)
        words = 20 * examples
        lengths = [words + chance.integers(-3, 4, USERS) for _ in range(2)]
        systems = []
        for length in lengths:
            totals = np.stack([length - order * examples for order in range(bleu.ORDERS)], 1)
            share = np.clip(skill + chance.normal(0, 0.1, USERS), 0.05, 0.95)[:, None] ** np.arange(1, 5)
            systems.append(np.column_stack([length, words, chance.binomial(totals, share), totals]).astype(np.float64))
        found.append(p_of(systems[0], systems[1], seed=number, value=bleu.of_corpora))
    assert 0.03 <= plain.fmean(p <= 0.05 for p in found) <= 0.07


def exact_p(one: Numbers, other: Numbers, value: Value) -> float:
    """The share of all ways to swap that part the systems as far as they are apart."""
    real = abs(value(other.sum(0)) - value(one.sum(0)))
    reached: list[bool] = []
    for swaps in product([False, True], repeat=len(one)):
        swap = np.array(swaps)[:, None]
        left, right = np.where(swap, other, one).sum(0), np.where(swap, one, other).sum(0)
        reached.append(bool(abs(value(right) - value(left)) >= real - 1e-12))
    return plain.fmean(reached)


@pytest.mark.parametrize("seed", range(6))
def test_p_of_six_users_is_the_share_of_all_their_swaps(seed: int) -> None:
    chance = np.random.default_rng(seed)
    counts = chance.integers(1, 4, 6).astype(np.float64)
    one, other = (np.stack([chance.normal(shift, 1, 6) * counts, counts], 1) for shift in (0, 0.8))
    exact = exact_p(one, other, mean)
    trials = 20_000
    found = p_of(one, other, trials, seed)
    assert abs(found - exact) <= 4 * math.sqrt(exact * (1 - exact) / trials) + 1 / trials
    assert exact >= 2 / 64, "as they are, and all swapped"


def test_p_of_corpus_bleu_of_six_users_is_the_share_of_all_their_swaps() -> None:
    chance = np.random.default_rng(3)
    totals = np.tile([20.0, 19, 18, 17], (6, 1))
    one, other = (
        np.column_stack([np.full((6, 2), 20.0), chance.binomial(totals.astype(int), share), totals])
        for share in ([0.6, 0.4, 0.2, 0.1], [0.7, 0.5, 0.25, 0.15])
    )
    exact = exact_p(one, other, bleu.of_corpora)
    found = p_of(one, other, 20_000, value=bleu.of_corpora)
    assert abs(found - exact) <= 4 * math.sqrt(exact * (1 - exact) / 20_000) + 1 / 20_000


def test_a_difference_of_equal_ones_is_found_whatever_the_rounding() -> None:
    """Each swap that leaves a difference as large as it is reaches it, though its sum is another to the last bit."""
    one = ones(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.7, 0.1]))
    other = ones(one[:, 0] + 0.1)
    p = p_of(one, other, 50_000)
    assert abs(p - 2 / 2**8) <= 4 * math.sqrt(2 / 2**8 / 50_000)


def test_equal_systems_are_told_apart_by_nothing() -> None:
    sums = ones(np.random.default_rng(0).normal(0, 1, USERS))
    assert p_of(sums, sums.copy()) == 1.0
    assert p_of(ones(np.zeros(3)), ones(np.zeros(3))) == 1.0


def test_which_system_comes_first_is_all_one() -> None:
    chance = np.random.default_rng(1)
    for _ in range(20):
        one, other = ones(chance.normal(0, 1, 12)), ones(chance.normal(0.4, 1, 12))
        assert p_of(one, other) == p_of(other, one)


def test_the_smallest_p_is_that_of_the_way_they_stand() -> None:
    worse, better = ones(np.zeros(USERS)), ones(np.ones(USERS))
    assert p_of(worse, better) == 1 / (1 + SWAPS)
    assert p_of(worse[:1], better[:1]) == 1.0, "one user's swap only turns the difference round"


def test_differences_to_either_side_count() -> None:
    """One user of five makes the whole difference: it is as large in any swap."""
    one, other = ones(np.zeros(5)), ones(np.array([5.0, 0, 0, 0, 0]))
    assert p_of(one, other) == 1.0


def test_each_measure_has_its_own_columns_and_all_have_the_same_swaps() -> None:
    chance = np.random.default_rng(4)
    one, other = (np.hstack([ones(chance.normal(0, 1, 20)), ones(chance.normal(shift, 1, 20))]) for shift in (0, 0.5))
    both = Swapped(SWAPS, 7).p_values(one, other, {"a": (slice(0, 2), mean), "b": (slice(2, 4), mean)})
    assert both == {
        "a": p_of(one[:, :2], other[:, :2], seed=7),
        "b": p_of(one[:, 2:], other[:, 2:], seed=7),
    }
    assert both["a"] != both["b"]


def test_a_seed_gives_the_same_p_and_another_another() -> None:
    chance = np.random.default_rng(5)
    one, other = ones(chance.normal(0, 1, 30)), ones(chance.normal(0.3, 1, 30))
    found = [p_of(one, other, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len(set(found)) > 1
    assert all(abs(p - found[0]) < 0.1 for p in found)


# --- resamples --------------------------------------------------------------------------------------------------------


def test_resampled_sums_are_spread_as_theory_has_it() -> None:
    sums = np.random.default_rng(6).normal(3, 2, (25, 2))
    drawn = resampled(sums, 20_000, 0)
    assert drawn.shape == (20_000, 2)
    deviation = np.sqrt(25 * sums.var(0))
    assert (np.abs(drawn.mean(0) - sums.sum(0)) < 4 * deviation / math.sqrt(20_000)).all()
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.03)


def test_intervals_are_those_of_a_plain_loop() -> None:
    chance, draw = np.random.default_rng(7), random.Random(8)
    counts = chance.integers(1, 6, 15).astype(np.float64)
    sums = np.stack([chance.normal(1, 1, 15) * counts, counts], 1)
    rows = sums.tolist()
    loop = []
    for _ in range(6000):
        some = draw.choices(rows, k=len(rows))
        loop.append(sum(score for score, _ in some) / sum(number for _, number in some))
    found = mean(resampled(sums, 6000, 0))
    assert found.mean() == pytest.approx(plain.fmean(loop), abs=0.02)
    assert found.std() == pytest.approx(plain.pstdev(loop), rel=0.05)
    cuts = plain.quantiles(loop, n=40)
    assert interval(found, 0.95) == pytest.approx((cuts[0], cuts[-1]), abs=0.05)


def test_an_interval_leaves_out_as_much_on_either_side() -> None:
    values = np.array(random.Random(9).sample(range(101), 101), np.float64)
    assert interval(values, 0.95) == pytest.approx((2.5, 97.5))
    assert interval(values, 0.5) == (25, 75)
    assert interval(values, 0.9) == pytest.approx((5, 95))
    cuts = plain.quantiles(values.tolist(), n=40, method="inclusive")
    assert interval(values, 0.95) == pytest.approx((cuts[0], cuts[-1]))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    chance, covered = np.random.default_rng(10), 0
    for number in range(400):
        low, high = interval(mean(resampled(ones(chance.normal(2, 1, USERS)), 400, number)), 0.95)
        covered += low <= 2 <= high
    assert 0.90 <= covered / 400 <= 0.98


def test_a_seed_draws_the_same_users_for_any_system() -> None:
    sums = np.random.default_rng(11).normal(0, 1, (30, 3))
    np.testing.assert_array_equal(resampled(sums, 50, 3), resampled(sums, 50, 3))
    assert not np.array_equal(resampled(sums, 50, 3), resampled(sums, 50, 4))
    np.testing.assert_allclose(resampled(sums + 5, 50, 3), resampled(sums, 50, 3) + 30 * 5, atol=1e-9)
    np.testing.assert_allclose(resampled(sums * 2, 50, 3), resampled(sums, 50, 3) * 2, atol=1e-9)


def test_several_systems_are_resampled_together() -> None:
    sums = np.random.default_rng(12).normal(0, 1, (30, 4, 3))
    drawn = resampled(sums, 50, 3)
    assert drawn.shape == (50, 4, 3)
    for system in range(4):
        np.testing.assert_allclose(drawn[:, system], resampled(sums[:, system], 50, 3), atol=1e-12)


def test_one_user_is_drawn_every_time() -> None:
    np.testing.assert_array_equal(resampled(np.array([[2.0, 1.0]]), 4, 0), [[2.0, 1.0]] * 4)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(13)
    one, other = ones(chance.normal(0, 1, USERS)), ones(chance.normal(0.3, 1, USERS))
    drawn, p = resampled(one, 100, 0), p_of(one, other)
    for at_once in (1, USERS, 3 * USERS, 7 * USERS + 1):
        monkeypatch.setattr(statistics, "_AT_ONCE", at_once)
        np.testing.assert_allclose(resampled(one, 100, 0), drawn, rtol=0, atol=1e-9)
        assert p_of(one, other) == p


def test_blocks_add_up_to_all_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_AT_ONCE", 100)
    assert list(statistics._blocks(10, 30)) == [3, 3, 3, 1]
    assert list(statistics._blocks(9, 30)) == [3, 3, 3]
    assert list(statistics._blocks(2, 1000)) == [1, 1]
    assert list(statistics._blocks(2, 0)) == [2]
    one = ones(np.zeros(7))
    assert p_of(one, ones(np.ones(7)), trials=1000) <= (1 + 35) / 1001


# --- sums of users ----------------------------------------------------------------------------------------------------


def test_users_sums() -> None:
    parts = np.array([[1.0, 1], [2, 1], [3, 1], [4, 1]])
    assert user_sums(parts, [2, 0, 2, 2], 4).tolist() == [[2, 1], [0, 0], [8, 3], [0, 0]]
    assert user_sums(np.zeros((0, 2)), [], 2).tolist() == [[0, 0], [0, 0]]


# --- many tests -------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.5, "b": 0.6, "c": 0.01}) == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.03})
    assert holm({"a": 0.2}) == {"a": 0.2}
    assert holm({}) == {}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values: list[float]) -> None:
    found = holm(dict(enumerate(p_values)))
    for one, p in enumerate(p_values):
        assert p <= found[one] <= min(1.0, len(p_values) * p)
        assert all(found[one] <= found[other] for other, larger in enumerate(p_values) if p <= larger)
    assert min(found.values()) == min(1.0, len(p_values) * min(p_values))
    for level in (0.01, 0.05, 0.5):
        refused = 0
        while refused < len(p_values) and sorted(p_values)[refused] * (len(p_values) - refused) <= level:
            refused += 1
        assert sum(p <= level for p in found.values()) == refused, "Holm's own step-down"


# --- the paper's gain -------------------------------------------------------------------------------------------------

# Table 1: ROUGE-1, METEOR, BLEU, BERTScore and Impr., of reviews and of topics.
Row = tuple[float, float, float, float]
BASELINES: Mapping[str, tuple[Row, Row]] = {
    "8B": ((0.2903, 0.1911, 1.9381, 0.4646), (0.2380, 0.1649, 1.1104, 0.4448)),
    "14B": ((0.2835, 0.1884, 1.8485, 0.4641), (0.2648, 0.1952, 1.8238, 0.4509)),
}
TABLE_1: Mapping[tuple[str, str], tuple[tuple[Row, float], tuple[Row, float]]] = {
    ("8B", "RAG"): (((0.3061, 0.2090, 2.8455, 0.4810), 16.29), ((0.2527, 0.1913, 2.5582, 0.4587), 38.92)),
    ("8B", "CAS"): (((0.3119, 0.2099, 2.8429, 0.4880), 17.25), ((0.2554, 0.1896, 2.6874, 0.4581), 41.83)),
    ("8B", "SteerX (CAS)"): (((0.3118, 0.2140, 3.1307, 0.4898), 21.59), ((0.2624, 0.1940, 2.6344, 0.4600), 42.14)),
    ("8B", "COS"): (((0.3149, 0.2168, 3.1092, 0.4839), 21.63), ((0.2625, 0.2086, 3.0324, 0.4604), 53.35)),
    ("8B", "SteerX (COS)"): (((0.3156, 0.2238, 3.5912, 0.4848), 28.87), ((0.2658, 0.2089, 3.2097, 0.4617), 57.81)),
    ("14B", "RAG"): (((0.3143, 0.2184, 2.8731, 0.4845), 21.65), ((0.2893, 0.2221, 2.4741, 0.4701), 15.74)),
    ("14B", "CAS"): (((0.3205, 0.2199, 2.9782, 0.4847), 23.83), ((0.2918, 0.2148, 2.5982, 0.4711), 15.48)),
    ("14B", "SteerX (CAS)"): (((0.3209, 0.2191, 3.0231, 0.4861), 24.44), ((0.2937, 0.2154, 2.5961, 0.4728), 17.12)),
    ("14B", "COS"): (((0.3146, 0.2184, 3.1719, 0.4838), 25.68), ((0.2861, 0.2237, 2.0095, 0.4674), 9.12)),
    ("14B", "SteerX (COS)"): (((0.3201, 0.2243, 3.5787, 0.4855), 32.54), ((0.3063, 0.2329, 3.6407, 0.4749), 34.98)),
}


def gain(row: Row, baseline: Row) -> float:
    values, base = (
        {name: np.array(value) for name, value in zip(IMPROVED, numbers, strict=True)} for numbers in (row, baseline)
    )
    return float(improvement(values, base))


def test_the_papers_gains_are_those_of_its_own_cells_but_one() -> None:
    wrong, seen = {}, 0
    for (model, method), tasks in TABLE_1.items():
        for task, (row, printed), baseline in zip(("review", "topic"), tasks, BASELINES[model], strict=True):
            found = gain(row, baseline)
            seen += 1
            if abs(found - printed) > 0.01:
                wrong[model, method, task] = printed, round(found, 2)
    assert seen == 20
    assert wrong == {("14B", "CAS", "topic"): (15.48, 16.79)}


def test_the_papers_measures() -> None:
    assert IMPROVED == ("rouge1", "meteor", "bleu", "bertscore")


def test_a_gain_over_nothing_is_no_number_and_spoils_no_other() -> None:
    values = {"a": np.array([2.0, 3.0, 1.0]), "b": np.array([3.0, 3.0, 0.0])}
    baseline = {"a": np.array([1.0, 0.0, 2.0]), "b": np.array([2.0, 1.0, 1.0])}
    found = improvement(values, baseline)
    assert found[0] == 100 * (1 + 0.5) / 2
    assert math.isnan(found[1])
    assert found[2] == 100 * (-0.5 - 1) / 2
    assert gain((1, 1, 1, 1), (1, 1, 1, 1)) == 0.0


def test_gains_are_of_the_measures_that_are_given() -> None:
    base = {"a": np.array(2.0), "b": np.array(4.0)}
    assert float(improvement({"a": np.array(3.0)}, base)) == 50.0
