"""What is drawn: as many marks as there are numbers, as long as these say, whatever the names; the same bytes again."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log10, nan
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from reported import HOSTILE
from steerx_cli.report.curves import lines_of
from steerx_cli.report.figures import bars, curves, dots, histogram
from steerx_cli.report.histogram import Effects, binned
from steerx_cli.report.looks import (
    CONTROL,
    axis_of,
    colour_of,
    have_room,
    in_lines,
    is_light,
    looks_of,
    paler,
)
from steerx_cli.report.spread import Run
from steerx_cli.report.sums import Asked, Interval
from steerx_cli.report.table import Cell, Column, Row, Table

pytestmark = pytest.mark.filterwarnings("error")

Point = tuple[float, float]
METEOR = Column("meteor", "METEOR", "score", 4)
BLEU = Column("bleu", "BLEU", "score", 2)
MAE = Column("mae", "MAE", "score", 4, lower_is_better=True)
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


# --- what is drawn, and how it is found again ------------------------------------------------------------------------


def row(name: str, *scores: Interval, columns: Sequence[Column] = (METEOR, BLEU), **of: Any) -> Row:
    of = {"method": "steerx-cos", "lam": None, "gamma2": None, **of}
    return Row(name, cells={column.name: Cell(score) for column, score in zip(columns, scores, strict=False)}, **of)


def table(*rows: Row, columns: Sequence[Column] = (METEOR,), against: str | None = None) -> Table:
    return Table(columns, rows, 36, 12, Asked(), against, "split test", (), ())


def at(value: float, by: float = 0.02) -> Interval:
    return Interval(value, value - by, value + by)


def groups(drawn: bytes) -> dict[str, ElementTree.Element]:
    """What has a name."""
    found = [each for each in ElementTree.fromstring(drawn).iter(f"{SVG}g") if each.get("id")]
    assert len({each.get("id") for each in found}) == len(found)
    return {str(each.get("id")): each for each in found}


def points(group: ElementTree.Element) -> list[Point]:
    """The corners of its first path: what comes after it are markers."""
    path = next(each for each in group.iter(f"{SVG}path") if each.get("d"))
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", str(path.get("d")))]


def marks(group: ElementTree.Element) -> list[Point]:
    """Where its markers are."""
    return [(float(str(each.get("x"))), float(str(each.get("y")))) for each in group.iter(f"{SVG}use")]


def named(drawn: bytes) -> list[str]:
    """What is written, as matplotlib notes it beside the outlines."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", drawn.decode(), re.DOTALL)]


def straight(found: Sequence[float], wanted: Sequence[float]) -> None:
    """The places are on one line with the numbers that they stand for, not all at one place."""
    slope, start = np.polyfit(wanted, found, 1)
    assert abs(slope) > 1
    assert found == pytest.approx([slope * value + start for value in wanted], abs=1e-2)


# --- bars -------------------------------------------------------------------------------------------------------------


def test_every_system_has_a_bar_as_long_as_its_score_and_its_interval() -> None:
    scores = [(Interval(0.2, 0.18, 0.21), at(1.0)), (Interval(0.25, 0.19, 0.3), at(3.0)), (at(0.31), at(2.0))]
    found = groups(
        bars(table(*(row(name, *own) for name, own in zip("abc", scores, strict=True)), columns=(METEOR, BLEU)), "svg")
    )
    for place, measure in enumerate(("meteor", "bleu")):
        ends, wanted = [], []
        for system in range(3):
            bar, line = points(found[f"{measure}-{system}"]), points(found[f"{measure}-{system}-interval"])
            score = scores[system][place]
            ends += [max(x for x, _ in bar), line[0][0], line[1][0]]
            wanted += [score.value, score.low, score.high]
            middle = sum(y for _, y in bar) / len(bar)
            assert [y for _, y in line] == pytest.approx([middle, middle], abs=1e-3)
        straight(ends, wanted)
        starts = {min(x for x, _ in points(found[f"{measure}-{system}"])) for system in range(3)}
        assert len(starts) == 1
        tops = [min(y for _, y in points(found[f"{measure}-{system}"])) for system in range(3)]
        assert tops == sorted(tops)


def test_scores_below_0_have_bars_to_the_left_of_it() -> None:
    scores = [at(-0.2), at(0.3)]
    found = groups(bars(table(row("a", scores[0]), row("b", scores[1])), "svg"))
    left, right = (sorted({x for x, _ in points(found[f"meteor-{system}"])}) for system in range(2))
    assert left[1] == pytest.approx(right[0], abs=1e-3)
    straight([left[0], left[1], right[1]], [-0.2, 0, 0.3])


def test_what_has_no_score_has_no_bar_and_what_has_no_interval_no_line() -> None:
    none = Interval(nan, nan, nan)
    drawn = bars(table(row("a", at(0.2)), row("b", none), row("c", Interval(0.3, nan, nan))), "svg")
    assert {name for name in groups(drawn) if name.startswith("meteor")} == {
        "meteor-0",
        "meteor-0-interval",
        "meteor-2",
    }
    assert "–" in named(drawn)
    assert not [name for name in groups(bars(table(row("a", none)), "svg")) if name.startswith("meteor")]


def test_controls_are_grey_and_hatched() -> None:
    drawn = bars(table(row("a", at(0.2)), row("b", at(0.2), variant="random anchors")), "svg")
    own, control = (next(groups(drawn)[f"meteor-{system}"].iter(f"{SVG}path")) for system in (0, 1))
    assert "#0072b2" in str(own.get("style"))
    assert re.search(r"fill: url\(#", str(control.get("style")))
    assert drawn.count(b"<pattern") == 1


def test_numbers_stand_at_few_bars_and_the_baseline_is_told_of() -> None:
    few = table(row("non-perso", at(0.2)), row("b", at(0.31234)), against="non-perso")
    drawn = named(bars(few, "svg"))
    assert {"0.2000", "0.3123"} <= {*drawn}
    what = "95 % intervals, 10,000 bootstrap samples of 12 users; 36 answers of each system, split test"
    assert f"lines: {what}; dotted: non-perso" in drawn
    many = bars(table(*(row(f"{number}", at(0.31234)) for number in range(13))), "svg")
    assert "0.3123" not in named(many)
    assert len([name for name in groups(many) if re.fullmatch(r"meteor-\d+", name)]) == 13


def test_an_error_says_that_lower_is_better_and_a_number_without_end_is_short() -> None:
    drawn = named(bars(table(row("a", at(5e199, 1e198), columns=[MAE]), columns=[MAE]), "svg"))
    assert "MAE (lower is better)" in drawn
    assert "5e+199" in drawn


@pytest.mark.parametrize("count", [1, 2, 5])
def test_there_is_a_panel_for_each_score(count: int) -> None:
    columns = [replace(METEOR, name=f"m{number}", title=f"M{number}") for number in range(count)]
    drawn = bars(table(row("a", *[at(0.2)] * count, columns=columns), columns=columns), "svg")
    assert [text for text in named(drawn) if re.fullmatch(r"M\d+", text)] == [f"M{number}" for number in range(count)]
    assert {name for name in groups(drawn) if re.fullmatch(r"m\d+-0", name)} == {f"m{at}-0" for at in range(count)}


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_names_do_no_harm(ending: str) -> None:
    names = [*HOSTILE, "$x_1^2$", "$", "--> <!--", "]]>&amp;", "東京 🙂\x1b[31m\n\u202e", "x" * 300, "", " "]
    drawn = bars(table(*(row(name, at(0.2)) for name in names), against="$x_1^2$"), ending)
    assert drawn.startswith({"svg": b"<?xml", "pdf": b"%PDF"}[ending])
    assert b"CreationDate" not in drawn
    if ending == "svg":
        assert len([name for name in groups(drawn) if re.fullmatch(r"meteor-\d+", name)]) == len(names)
        assert {"$x_1^2$", "$", "[red]x[/red]"} <= {*named(drawn)}
        assert any(r"\u6771\u4eac" in text for text in named(drawn))
        assert b"\x1b" not in drawn


def test_a_name_breaks_after_a_comma_rather_than_elsewhere() -> None:
    assert in_lines("steerx-cos λ 0.5", 30) == "steerx-cos λ 0.5"
    assert in_lines("steerx-cos λ 0.5, random anchors", 30) == "steerx-cos λ 0.5,\nrandom anchors"
    assert in_lines("a, b, c, d", 8) == "a, b, c,\nd"
    assert in_lines("one two three", 8) == "one two\nthree"
    assert in_lines("x" * 12, 5) == "xxxxx\nxxxxx\nxx"
    assert in_lines("x" * 99, 5) == "xxxxx\nxxxxx\nxxxx…"
    assert in_lines("", 5) == "–"


# --- curves -----------------------------------------------------------------------------------------------------------


def test_a_line_goes_through_its_scores_with_its_interval_as_a_band() -> None:
    values = {0.1: 0.2, 0.2: 0.26, 0.4: 0.22}
    rows = [row(f"{lam}", Interval(mean, mean - 0.01, mean + 0.03), lam=lam) for lam, mean in values.items()]
    of = table(row("rag", at(0.24), method="rag"), *rows)
    drawn = groups(curves(of, lines_of(of, "lam"), "lam", "svg"))
    assert {name for name in drawn if name.startswith("meteor")} == {"meteor-0", "meteor-1", "meteor-1-interval"}
    line = points(drawn["meteor-1"])
    straight([x for x, _ in line], [*values])
    level = points(drawn["meteor-0"])
    straight([*(y for _, y in line), level[0][1]], [*values.values(), 0.24])
    assert level[0][1] == level[1][1]
    assert level[0][0] < line[0][0] < line[-1][0] < level[1][0]
    assert marks(drawn["meteor-1"]) == line
    assert marks(drawn["meteor-0"]) == []
    band = {round(x, 3) for x, _ in points(drawn["meteor-1-interval"])}
    assert band == {round(x, 3) for x, _ in line}
    heights = [y for x, y in points(drawn["meteor-1-interval"]) if round(x, 3) == round(line[1][0], 3)]
    whole = abs(line[1][1] - line[0][1]) / 0.06  # a score of 1, in points
    assert max(heights) - min(heights) == pytest.approx(0.04 * whole, rel=1e-3)


def test_a_score_that_is_not_there_is_a_gap_and_a_single_value_a_point() -> None:
    rows = [row(f"{lam}", at(nan if lam == 0.2 else lam), lam=lam) for lam in (0.1, 0.2, 0.3)]
    of = table(*rows, row("cos", at(0.2), method="cos", lam=0.2), row("rag", at(nan), method="rag"))
    drawn = groups(curves(of, lines_of(of, "lam"), "lam", "svg"))
    assert len(marks(drawn["meteor-0"])) == 2
    assert len(marks(drawn["meteor-1"])) == 1
    assert "meteor-2" not in drawn


def test_values_that_double_have_a_logarithmic_axis_with_a_tick_at_each() -> None:
    gammas = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    of = table(*(row(f"{gamma}", at(0.2), method="cas", gamma2=gamma) for gamma in gammas))
    drawn = curves(of, lines_of(of, "gamma2"), "gamma2", "svg")
    straight([x for x, _ in points(groups(drawn)["meteor-0"])], [log10(gamma) for gamma in gammas])
    assert {"0.25", "0.5", "1", "2", "4", "8", "γ2"} <= {*named(drawn)}


def test_the_axis_of_tau_says_that_it_is_in_nats_and_the_key_names_the_lines() -> None:
    of = table(
        *(row(f"{tau}", at(0.2), tau=tau, variant=how) for tau in (0.6, 0.7) for how in (None, "random anchors"))
    )
    written = named(curves(of, lines_of(of, "tau"), "tau", "svg"))
    assert {"τ, in nats", "0.6", "0.7", "steerx-cos", "steerx-cos, random anchors"} <= {*written}


def test_lines_have_markers_of_their_own_and_controls_are_hollow() -> None:
    rows = [
        row(f"{lam} {how}", at(0.2), lam=lam, variant=how)
        for lam in (0.1, 0.2)
        for how in (None, "random anchors", "without tokens")
    ]
    of = table(*rows, row("rag", at(0.2), method="rag"), row("non-perso", at(0.2), method="non-perso"))
    looks = looks_of(lines_of(of, "lam"))
    assert [look.marker for look in looks] == ["o", "s", "D", "", ""]
    assert [look.filled == "white" for look in looks] == [False, True, False, False, False]
    assert [look.dash == "-" for look in looks] == [True, True, True, False, False]
    same = [
        Row(f"{tau}{lam}", "cos", lam, None, {}, tau=tau)
        for lam, tau in ((1.0, 0.1), (1.0, 0.2), (2.0, None), (3.0, None))
    ]
    first, second = (look.dash for look in looks_of(lines_of(table(*same), "tau")) if not look.marker)
    assert first != second


# --- the histogram ----------------------------------------------------------------------------------------------------

DELTAS = np.concatenate([np.random.default_rng(0).normal(0, 0.3, 3000), [1.5, 2.2, 2.21]]).astype(np.float32)


def test_the_histogram_is_as_high_as_its_counts_on_a_logarithmic_axis() -> None:
    found = binned(DELTAS)
    stairs = points(groups(histogram(Effects(DELTAS, 9), None, "svg"))["tokens"])
    tops = [stairs[2 * number + 1 : 2 * number + 3] for number in range(len(found.counts))]
    straight([x for (x, _), _ in tops], [*map(float, found.edges[:-1])])
    assert all(left == pytest.approx(right, abs=1e-3) for (_, left), (_, right) in tops)
    full = [at for at, count in enumerate(found.counts) if count]
    straight([tops[at][0][1] for at in full], [log10(found.counts[at]) for at in full])
    empty = {tops[at][0][1] for at, count in enumerate(found.counts) if not count}
    assert min(empty) > max(tops[at][0][1] for at in full)


def test_a_threshold_is_marked_with_what_reaches_it() -> None:
    drawn = histogram(Effects(DELTAS, 9), 1.5, "svg")
    reaching = DELTAS[DELTAS >= 1.5]
    gains = 100 * reaching.sum() / DELTAS[DELTAS > 0].sum()
    assert f"Δ ≥ τ = 1.5: 3 of 3,003 tokens (0.0999 %), {gains:.3g} % of all gains" in named(drawn)
    assert {"tokens", "anchors"} <= {*groups(drawn)}
    assert "anchors" not in groups(histogram(Effects(DELTAS, 9), None, "svg"))


def test_a_threshold_beyond_all_effects_is_seen_too() -> None:
    for tau in (40.0, -40.0):
        written = named(histogram(Effects(DELTAS, 9), tau, "svg"))
        assert any(f"{tau:g}".lstrip("-") in text for text in written if not text.startswith("Δ ≥"))
    nothing = named(histogram(Effects(np.array([-1, -2], np.float32), 1), 0.5, "svg"))
    assert "Δ ≥ τ = 0.5: 0 of 2 tokens (0 %)" in nothing


# --- dots -------------------------------------------------------------------------------------------------------------


def runs_of(*values: Sequence[float]) -> list[Run]:
    """Runs in which systems have these scores."""
    tables = [table(*(row(f"{name}", Interval(value, nan, nan)) for name, value in enumerate(of))) for of in values]
    return [Run(f"{number}", (number,), "", frozenset(), (), frozenset(), of) for number, of in enumerate(tables)]


def test_every_run_has_a_dot_at_its_score() -> None:
    values = [(0.2, 0.31), (0.22, 0.35), (0.27, nan)]
    drawn = dots(runs_of(*values), "svg")
    found = groups(drawn)
    first, second = marks(found["meteor-0"]), marks(found["meteor-1"])
    assert (len(first), len(second)) == (3, 2)
    straight([x for x, _ in [*first, *second]], [0.2, 0.22, 0.27, 0.31, 0.35])
    assert [y for _, y in first] == sorted({y for _, y in first})
    assert max(y for _, y in first) < min(y for _, y in second)
    assert "dots: 3 runs; line: their mean" in named(drawn)


# --- colours and axes -------------------------------------------------------------------------------------------------


def test_methods_have_colours_of_their_own_and_what_varies_them_paler_ones() -> None:
    methods = ("non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas", "another")
    assert len({colour_of(method, None) for method in methods}) == 7
    assert colour_of("steerx-cos", "random anchors") == colour_of("cas", "the mean vector") == CONTROL
    assert colour_of("steerx-cos", "without tokens") == paler(colour_of("steerx-cos", None), 0.45)
    assert paler("#000000", 0.5) == "#808080"
    assert paler("#0072B2", 0) == "#0072b2"
    assert is_light("#ffffff")
    assert not is_light("#0072B2")


def test_an_axis_shows_everything_and_starts_at_0_only_where_that_is_near() -> None:
    high = axis_of([Interval(0.31, 0.3, 0.33), Interval(0.4, nan, nan)])
    assert [high.low, high.base, high.high] == pytest.approx([0.24, 0.24, 0.406])
    near = axis_of([Interval(0.1, 0.05, 0.2)])
    assert (near.low, near.base) == (0, 0)
    below = axis_of([Interval(-0.1, -0.2, 0.0)])
    assert [below.low, below.base, below.high] == pytest.approx([-0.244, 0, 0.044])
    nothing = axis_of([Interval(nan, nan, nan)])
    assert [nothing.low, nothing.base, nothing.high] == pytest.approx([0, 0, 1.06])
    alone = axis_of([Interval(0.5, 0.5, 0.5)])
    assert alone.low < 0.5 < alone.high


def test_numbers_of_an_axis_need_room() -> None:
    assert have_room([0.1, 0.2, 0.3])
    assert not have_room([0.1, 0.11, 1.0])
    assert have_room([7])


# --- bytes ------------------------------------------------------------------------------------------------------------

SMALL = table(row("a", at(0.2)), row("b", at(0.3), variant="random anchors"))


def _curves(ending: str) -> bytes:
    of = table(*(row(f"{lam}", at(0.2), lam=lam) for lam in (0.1, 0.2)))
    return curves(of, lines_of(of, "lam"), "lam", ending)


@pytest.mark.parametrize(
    ("draw", "ending"),
    [
        (lambda ending: bars(SMALL, ending), "svg"),
        (lambda ending: bars(SMALL, ending), "pdf"),
        (_curves, "svg"),
        (lambda ending: histogram(Effects(DELTAS, 9), 1.0, ending), "png"),
        (lambda ending: dots(runs_of((0.2,), (0.3,)), ending), "svg"),
    ],
    ids=["bars", "bars in pdf", "curves", "histogram in png", "dots"],
)
def test_the_same_numbers_give_the_same_bytes(draw: Callable[[str], bytes], ending: str) -> None:
    assert draw(ending) == draw(ending)


def test_a_person_s_own_settings_change_nothing_and_stay_as_they_are() -> None:
    before = bars(SMALL, "svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none", "text.parse_math": True}):
        assert bars(SMALL, "svg") == before
        assert mpl.rcParams["font.size"] == 30


def test_a_figure_says_no_clock_and_no_place_and_loads_nothing() -> None:
    drawn = bars(SMALL, "svg").decode()
    assert "<dc:title>Scores of 2 systems</dc:title>" in drawn
    assert "<dc:date>" not in drawn
    links = {str(each.get(LINK)) for each in ElementTree.fromstring(drawn).iter() if each.get(LINK)}
    assert all(link.startswith("#") for link in links)
