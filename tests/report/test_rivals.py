"""A method beside its controls: which they are, which is the strongest, and whether chance explains what parts them."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reported import cell, compare, controlled, frame, rows_of, system, together, users
from steerx_cli.core.methods import CONTROLS, VARIANTS
from steerx_cli.metrics.statistics import Swapped
from steerx_cli.report.rivals import Rival, controls_of
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Table

pytestmark = pytest.mark.filterwarnings("error")

LIKE = {"method": "steerx-cas", "lam": None, "gamma2": 0.4, "tau": 1.0, "gamma1": 0.4, "layer": 20, "variant": None}
UNEVEN = [f"u{user}" for user in (0, 1, 0, 2, 2, 0, 3, 4, 4, 5, 6, 7, 7, 7, 0)]  # whose the examples are
OTHER, RANDOM, ALL = "another's description", "random anchors", "all tokens"


def of_meteor(own: Sequence[float], controls: Mapping[str, Any], whose: Sequence[str], **how: Any) -> Table:
    """The table of a method with this METEOR, and of its controls."""
    rows = [system("x", whose, "cos", meteor=[*own])]
    rows += [system(f"x, {name}", whose, "cos", variant=name, meteor=[*of]) for name, of in controls.items()]
    return compare(frame(*rows), "meteor", **how)


def rival(table: Table, measure: str = "meteor", name: str = "x") -> Rival:
    """What a method is held against."""
    return rows_of(table)[name].rivals[measure]


def of_drawn_users(whose: Sequence[str], apart: NDArray[np.float64], samples: int = 200) -> Interval:
    """The mean of some differences, and its interval from samples of whole users that are written out."""
    people, found = [*dict.fromkeys(whose)], []
    for times in np.random.default_rng([0, 1]).multinomial(len(people), np.full(len(people), 1 / len(people)), samples):
        many = dict(zip(people, times, strict=True))
        found.append(np.mean([value for user, value in zip(whose, apart, strict=True) for _ in range(many[user])]))
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(apart.mean()), float(low), float(high))


def of_every_swap(apart: NDArray[np.float64]) -> float:
    """p of a difference, each user having one of these: the share of all ways of changing sides that reach it."""
    ways = np.array(list(product([-1, 1], repeat=len(apart))))
    return float((abs(ways @ apart) >= abs(apart.sum()) - 1e-9).mean())


# --- which systems are controls ---------------------------------------------------------------------------------------


def test_controls_know_nothing_of_the_user_or_of_the_causal_effect() -> None:
    assert sorted(CONTROLS) == [
        "all tokens",
        "another's description",
        "another's vector",
        "random anchors",
        "surprisal anchors",
        "the mean vector",
    ]


def test_a_method_s_controls_are_all_that_are_set_as_it_is() -> None:
    others = [LIKE | {"variant": name} for name in sorted(CONTROLS)]
    assert controls_of([LIKE, *others], 0) == [1, 2, 3, 4, 5, 6]
    assert controls_of([*others, LIKE], 6) == [0, 1, 2, 3, 4, 5]
    twice = LIKE | {"variant": RANDOM}
    assert controls_of([twice, LIKE, twice], 1) == [0, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("method", "steerx-cos"), ("lam", 0.4), ("gamma2", 0.2), ("tau", 0.5), ("gamma1", 0.6), ("layer", 2)],
)
def test_what_is_set_in_another_way_is_no_control(name: str, value: Any) -> None:
    control = LIKE | {"variant": RANDOM}
    assert controls_of([LIKE, control | {name: value}, control], 0) == [2]
    assert controls_of([LIKE | {name: value}, control], 0) == []


def test_a_control_that_hangs_on_no_tau_is_one_at_every_tau() -> None:
    control = LIKE | {"variant": ALL, "tau": None}
    assert controls_of([LIKE, LIKE | {"tau": 0.5}, control], 0) == [2]
    assert controls_of([LIKE, LIKE | {"tau": 0.5}, control], 1) == [2]
    assert controls_of([LIKE | {"tau": None}, LIKE | {"variant": RANDOM}, control], 0) == [2]
    assert controls_of([LIKE, control | {"gamma1": None}, control | {"layer": None}], 0) == []


@pytest.mark.parametrize("variant", [None, *sorted({*VARIANTS.values()} - CONTROLS), f"{OTHER}, {RANDOM}"])
def test_no_other_variant_is_a_control(variant: str | None) -> None:
    assert controls_of([LIKE, LIKE | {"variant": variant}], 0) == []


@pytest.mark.parametrize("variant", [*sorted({*VARIANTS.values()}), f"{OTHER}, {RANDOM}"])
def test_no_variant_has_controls_of_its_own(variant: str) -> None:
    assert controls_of([LIKE | {"variant": variant}, LIKE | {"variant": RANDOM}], 0) == []


# --- the strongest ----------------------------------------------------------------------------------------------------


def test_each_score_has_a_strongest_control_of_its_own_and_only_the_method_has_any() -> None:
    rows = rows_of(compare(controlled(), "rouge1", "meteor"))
    found = {name: {of: rival.name for of, rival in row.rivals.items()} for name, row in rows.items() if row.rivals}
    assert found == {"steerx-cos λ 0.5": {"rouge1": RANDOM, "meteor": OTHER}}
    assert (rows["steerx-cos λ 0.5"].tau, rows["steerx-cos λ 0.5, all tokens"].variant) == (1.0, ALL)


def test_every_strength_has_the_controls_of_its_own() -> None:
    def of(lam: float, variant: str | None, meteor: float) -> list[dict[str, Any]]:
        return system(f"{lam} {variant}", users(8), "steerx-cos", lam=lam, tau=1.0, variant=variant, meteor=meteor)

    rows = frame(of(0.5, None, 0.3), of(1, None, 0.3), of(0.5, RANDOM, 0.2), of(1, RANDOM, 0.25), of(1, OTHER, 0.1))
    table = compare(rows, "meteor")
    for name, apart in (("0.5 None", 0.1), ("1 None", 0.05)):
        assert rival(table, name=name).name == RANDOM
        assert rival(table, name=name).difference.value == pytest.approx(apart)


def test_of_errors_the_lowest_is_the_strongest() -> None:
    rows = frame(
        system("x", users(8), "cos", rating=2.0, true_rating=1.0),
        system("x, a", users(8), "cos", variant=OTHER, rating=5.0, true_rating=1.0),
        system("x, b", users(8), "cos", variant=RANDOM, rating=4.0, true_rating=1.0),
    )
    table = compare(rows, "mae", "rmse")
    for measure in ("mae", "rmse"):
        assert rival(table, measure).name == RANDOM
        assert rival(table, measure).difference.value == pytest.approx(-2)


@pytest.mark.parametrize("names", [(OTHER, RANDOM), (RANDOM, OTHER)])
def test_of_equals_the_first_is_the_strongest(names: tuple[str, str]) -> None:
    values = [[0.2, 0.4] * 4, [0.4, 0.2] * 4]
    table = of_meteor([0.5] * 8, {**dict(zip(names, values, strict=True)), ALL: [0.1] * 8}, users(8))
    assert rival(table).name == names[0]


def test_what_has_no_value_is_never_the_strongest() -> None:
    nothing, values = [None] * 8, [0.2] * 8
    assert rival(of_meteor([0.5] * 8, {OTHER: nothing, RANDOM: values}, users(8))).name == RANDOM
    assert rows_of(of_meteor([0.5] * 8, {OTHER: nothing, RANDOM: nothing}, users(8)))["x"].rivals == {}


def test_a_score_that_no_control_has_has_no_rival_and_the_others_do() -> None:
    rows = frame(
        system("x", users(8), "cos", meteor=0.5, rouge1=0.5),
        system("x, a", users(8), "cos", variant=OTHER, meteor=None, rouge1=0.25),
    )
    found = rows_of(compare(rows, "meteor", "rouge1"))["x"].rivals
    assert {name: (of.name, of.difference.value) for name, of in found.items()} == {"rouge1": (OTHER, 0.25)}


def test_a_method_without_a_value_is_above_nothing() -> None:
    found = rival(of_meteor([None] * 8, {OTHER: [0.2] * 8}, users(8)))  # type: ignore[list-item]
    assert (found.name, found.p_holm) == (OTHER, None)
    assert np.isnan([found.difference.value, found.difference.low, found.difference.high]).all()


# --- what chance does to it -------------------------------------------------------------------------------------------


def test_the_difference_has_the_interval_of_samples_of_whole_users_written_out() -> None:
    own, other, drawn = together([0.4, 0.37, 0.38], len(UNEVEN), own=0.1)
    found = rival(of_meteor(own, {OTHER: other, RANDOM: drawn}, UNEVEN))
    strongest, name = max((other, OTHER), (drawn, RANDOM), key=lambda of: float(of[0].mean()))
    plain = of_drawn_users(UNEVEN, own - strongest)
    assert found.name == name
    assert [found.difference.value, found.difference.low, found.difference.high] == pytest.approx(
        [plain.value, plain.low, plain.high], rel=1e-9, abs=1e-12
    )


def test_the_difference_is_that_of_the_two_scores_in_the_table() -> None:
    table = compare(controlled(), "rouge1", "meteor")
    for measure in ("rouge1", "meteor"):
        found = rival(table, measure, "steerx-cos λ 0.5")
        of = (cell(table, f"steerx-cos λ 0.5{variant}", measure).score.value for variant in ("", f", {found.name}"))
        assert found.difference.value == pytest.approx(next(of) - next(of))


def test_p_is_that_of_every_way_of_swapping_users_adjusted_by_holm_over_the_controls() -> None:
    own, *others = together([0.4, 0.385, 0.37, 0.35], 8, seed=4, own=0.03)
    names = (OTHER, RANDOM, ALL)
    exact = {name: of_every_swap(own - of) for name, of in zip(names, others, strict=True)}
    largest, adjusted = 0.0, {}
    for rank, name in enumerate(sorted(names, key=exact.__getitem__)):
        largest = max(largest, min(1.0, (3 - rank) * exact[name]))
        adjusted[name] = largest
    found = rival(of_meteor(own, dict(zip(names, others, strict=True)), users(8), samples=4000))
    assert found.name == max(zip(names, others, strict=True), key=lambda of: float(of[1].mean()))[0]
    assert exact[found.name] < adjusted[found.name] < 1
    assert found.p_holm == pytest.approx(adjusted[found.name], abs=0.03)


def test_p_is_adjusted_over_all_controls_even_where_another_is_less_certain() -> None:
    own = together([0.4], 8)[0]
    near, noisy = own - 0.01, own - 0.02 + np.tile([0.3, -0.3], 4)
    sums = own[:, None], near[:, None]
    plain = Swapped(200, 0).p_values(*sums, {"meteor": (slice(0, 1), lambda parts: parts[..., 0] / 8)})["meteor"]
    assert plain < 0.05
    for controls in ({OTHER: near}, {OTHER: near, RANDOM: noisy}, {OTHER: near, RANDOM: noisy, ALL: noisy}):
        found = rival(of_meteor(own, controls, users(8)))
        assert found.name == OTHER
        assert found.p_holm == pytest.approx(len(controls) * plain)


def test_what_is_no_control_of_it_changes_nothing_for_a_method() -> None:
    rows = controlled()
    alone = rows.filter(~rows["system"].is_in(["non-perso", "steerx-cos λ 1", "steerx-cos λ 0.5, the true habits"]))
    assert len(alone) < len(rows)
    found, plain = (compare(some, "rouge1", "meteor") for some in (rows, alone))
    assert rows_of(found)["steerx-cos λ 0.5"].rivals == rows_of(plain)["steerx-cos λ 0.5"].rivals


def test_more_answers_of_the_same_users_prove_nothing_more() -> None:
    scores = together([0.4, 0.39, 0.38], 10, own=0.04)
    once, often = (
        rival(of_meteor(own, {OTHER: other, RANDOM: drawn}, users(10, each)))
        for each in (1, 4)
        for own, other, drawn in [np.repeat(scores, each, 1)]
    )
    assert (once.name, once.p_holm) == (often.name, often.p_holm)
    assert often.difference.low == pytest.approx(once.difference.low)
