"""Which systems are one line along a setting, what it is called, and what is refused."""

from typing import Any

import pytest

from reported import compare, frame, system, users
from steerx_cli.core.errors import SteerxError
from steerx_cli.report.curves import Line, lines_of
from steerx_cli.report.table import Table

WHOSE = users(3)
COS = {"method": "steerx-cos", "gamma1": None, "layer": None}


def table(*systems: dict[str, Any]) -> Table:
    """Systems of some settings; where they have no name they are numbered."""
    named = [{"name": f"{at}", "meteor": 0.1 * at, **of} for at, of in enumerate(systems)]
    return compare(frame(*(system(whose=WHOSE, **of) for of in named)), "meteor", samples=100)


def shown(lines: list[Line]) -> dict[str, list[tuple[float | None, str]]]:
    """The systems of each line, by the setting's values."""
    return {line.name: [(at, row.name) for at, row in line.points] for line in lines}


def test_systems_that_differ_in_the_setting_alone_are_one_line_in_its_order() -> None:
    found = lines_of(
        table(
            {"name": "non-perso"},
            {"name": "b", **COS, "lam": 0.5, "tau": 0.7},
            {"name": "a", **COS, "lam": 0.1, "tau": 0.7},
            {"name": "c", "method": "cos", "lam": 0.1},
            {"name": "d", "method": "cos", "lam": 1.0},
        ),
        "lam",
    )
    assert shown(found) == {
        "non-perso": [(None, "non-perso")],
        "steerx-cos": [(0.1, "a"), (0.5, "b")],
        "cos": [(0.1, "c"), (1.0, "d")],
    }
    assert [line.level for line in found] == [True, False, False]


def test_variants_are_lines_of_their_own_and_called_so() -> None:
    found = lines_of(
        table(
            *({**COS, "lam": lam} for lam in (0.1, 0.2)),
            *({**COS, "lam": lam, "variant": "random anchors"} for lam in (0.1, 0.2)),
        ),
        "lam",
    )
    assert shown(found) == {
        "steerx-cos": [(0.1, "0"), (0.2, "1")],
        "steerx-cos, random anchors": [(0.1, "2"), (0.2, "3")],
    }
    assert [line.variant for line in found] == [None, "random anchors"]


def test_other_settings_part_lines_and_only_those_that_do_are_told() -> None:
    found = lines_of(
        table(*({**COS, "lam": lam, "tau": tau, "gamma1": 0.5} for lam in (0.1, 0.2) for tau in (0.7, 1.0))), "tau"
    )
    assert shown(found) == {
        "steerx-cos λ 0.1": [(0.7, "0"), (1.0, "1")],
        "steerx-cos λ 0.2": [(0.7, "2"), (1.0, "3")],
    }
    layers = lines_of(
        table(*({"method": "cas", "gamma2": g, "layer": at} for g in (1.0, 2.0) for at in (20, 3))), "layer"
    )
    assert shown(layers) == {"cas γ2 1": [(3, "1"), (20, "0")], "cas γ2 2": [(3, "3"), (20, "2")]}


def test_a_method_without_the_setting_is_level_and_one_with_one_value_is_a_point() -> None:
    found = lines_of(
        table(
            {"method": "cos", "lam": 0.1},
            {"method": "cos", "lam": 0.2},
            {"method": "cas", "gamma2": 1.0},
            *({**COS, "lam": 0.1, "tau": tau} for tau in (0.6, 0.8)),
            {"method": "steerx-cas", "gamma2": 1.0, "tau": 0.7},
        ),
        "tau",
    )
    assert shown(found) == {
        "cos λ 0.1": [(None, "0")],
        "cos λ 0.2": [(None, "1")],
        "cas": [(None, "2")],
        "steerx-cos": [(0.6, "3"), (0.8, "4")],
        "steerx-cas": [(0.7, "5")],
    }


def test_a_value_of_0_is_a_value() -> None:
    found = lines_of(table(*({**COS, "lam": lam} for lam in (0.5, 0.0, -0.5))), "lam")
    assert shown(found) == {"steerx-cos": [(-0.5, "2"), (0.0, "1"), (0.5, "0")]}
    assert not found[0].level


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        ([{"method": "cos", "lam": 0.1}, {"method": "rag"}], "score several, or leave --along out"),
        ([{**COS, "lam": 0.1}, {**COS, "lam": 0.2}], "score several, or use --along lam"),
        ([{"method": "cos", "lam": 0.1}, {**COS, "lam": 0.2}], "score several, or leave --along out"),
        (
            [*({**COS, "lam": lam, "gamma1": 0.5} for lam in (0.1, 0.2)), {**COS, "lam": 0.1, "gamma1": 0.7}],
            "score several, or use --along lam or gamma1",
        ),
    ],
)
def test_a_setting_of_which_no_system_has_two_values_is_refused(systems: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SteerxError) as error:
        lines_of(table(*systems), "tau")
    assert str(error.value) == f"no system has more than one τ: {said}"


def test_two_systems_at_one_point_are_refused() -> None:
    twice = table({"name": "a", **COS, "lam": 0.1}, {"name": "a, seed 1", **COS, "lam": 0.1})
    with pytest.raises(SteerxError) as error:
        lines_of(twice, "lam")
    assert str(error.value) == ("a and a, seed 1 would be one point of one line: score them into files of their own")
