"""How Δ is distributed: each number by another computation, and what is left out."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measured import Deltas, save_effects
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.schemas import EFFECTS, SCORES, Artifact
from steerx_cli.core.sources import Source
from steerx_cli.report.grids import Page
from steerx_cli.report.histogram import Effects, binned, page, read_effects, skewness

DRAWN = np.random.default_rng(3).normal(0.1, 0.6, 2001).astype(np.float32)


def save(path: Path, texts: Sequence[Deltas], artifact: Artifact = EFFECTS, **parameters: Any) -> Source:
    """An artifact of texts with these effects."""
    save_effects(path, texts, artifact, **parameters)
    return Source(artifact, path)


def effects(*deltas: float) -> Effects:
    return Effects(np.array(deltas, np.float32), 1)


def texts_of(shown: Page, title: str) -> dict[str, list[str]]:
    """A grid's numbers by the names of their rows."""
    (grid,) = (grid for grid in shown.grids if grid.title == title)
    return {name: [entry.text for entry in row] for name, row in zip(grid.names, grid.entries, strict=True)}


# --- what is read -----------------------------------------------------------------------------------------------------


def test_tokens_are_taken_from_all_texts_that_were_measured(tmp_path: Path) -> None:
    texts: list[Deltas] = [[0.5, -1.0], None, [], [2.0], None]
    source = save(tmp_path / "effects.parquet", texts)
    found = read_effects(source)
    assert found.deltas.tolist() == [0.5, -1.0, 2.0]
    assert (found.texts, found.alone, found.tokens_alone, found.undefined, found.tau) == (3, 2, 4, 0, None)
    few = Source(replace(EFFECTS, rows_per_group=2), tmp_path / "effects.parquet")
    assert len([*few.batches()]) == 3
    again = read_effects(few)
    assert (again.deltas.tolist(), again.texts, again.alone, again.tokens_alone) == ([0.5, -1.0, 2.0], 3, 2, 4)


def test_what_is_no_number_is_left_out_and_told_of(tmp_path: Path) -> None:
    found = read_effects(save(tmp_path / "e.parquet", [[float("nan"), 1.0, float("-inf")], [float("inf")], None]))
    assert found.deltas.tolist() == [1.0]
    told = page(found).told
    assert "1 tokens of 2 texts; a text under two queries is measured under each" in told
    assert "left out: 3 tokens whose Δ is no number" in told
    assert ("left out: 1 texts (2 tokens) that were not measured, since their users wrote no other") in told
    assert not [line for line in page(effects(1.0)).told if line.startswith("left out")]


def test_only_scores_have_a_threshold_of_their_own(tmp_path: Path) -> None:
    assert read_effects(save(tmp_path / "s.parquet", [[1.0]], SCORES, tau=0.7)).tau == 0.7
    assert read_effects(save(tmp_path / "p.parquet", [[1.0]], SCORES, top_percent=10)).tau is None
    assert read_effects(save(tmp_path / "e.parquet", [[1.0]], tau=0.7)).tau is None


@pytest.mark.parametrize("texts", [[], [None], [[]], [[float("nan")]]])
def test_a_file_without_any_effect_is_refused(tmp_path: Path, texts: list[Deltas]) -> None:
    with pytest.raises(SteerxError, match=r"e\.parquet has no Δ in it: there is nothing to draw"):
        read_effects(save(tmp_path / "e.parquet", texts))


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_quantiles_the_mean_and_the_ends_are_those_of_the_tokens() -> None:
    shown = texts_of(page(Effects(DRAWN, 7)), "effects of tokens")
    values = sorted(map(float, DRAWN))
    for percent in (1, 5, 25, 50, 75, 95, 99):  # 2001 tokens: each quantile is one of them
        assert shown[f"{percent} %"] == [f"{values[20 * percent]:.4f}"]
    assert shown["lowest"] == [f"{values[0]:.4f}"]
    assert shown["highest"] == [f"{values[-1]:.4f}"]
    assert shown["mean"] == [f"{statistics.fmean(values):.4f}"]
    mean, sd = statistics.fmean(values), statistics.pstdev(values)
    assert shown["skewness"] == [f"{statistics.fmean(((value - mean) / sd) ** 3 for value in values):z.4f}"]


def test_a_threshold_has_the_tokens_that_reach_it_their_share_and_what_they_hold_of_the_gains() -> None:
    shown = texts_of(page(Effects(DRAWN, 7), [1.5, 0.7]), "tokens that reach a threshold")
    assert [*shown] == ["τ 0.5", "τ 0.6", "τ 0.7", "τ 0.8", "τ 0.9", "τ 1", "τ 1.5"]
    gains = sum(max(0.0, float(value)) for value in DRAWN)
    for tau in (0.5, 0.8, 1.0, 1.5):
        reaching = [float(value) for value in DRAWN if value >= tau]
        assert shown[f"τ {tau:g}"] == [
            str(len(reaching)),
            f"{100 * len(reaching) / 2001:.2f} %",
            f"{100 * sum(reaching) / gains:.2f} %",
        ]


def test_a_negative_threshold_takes_losses_for_no_gain() -> None:
    assert effects(-1.0, -0.25, 2.0, 6.0).share_of_gain(-0.5) == 1
    assert effects(-1.0, -0.25, 2.0, 6.0).share_of_gain(3) == 0.75


def test_an_effect_is_held_to_a_threshold_in_float32_as_where_anchors_are_cut() -> None:
    assert float(np.float32(0.7)) < 0.7
    assert effects(0.7, 0.69).count(0.7) == 1
    assert effects(0.7, 0.7).share_of_gain(0.7) == 1


def test_small_effects_are_told_of() -> None:
    told = page(effects(0.1, -0.29, 0.31, -0.5)).told
    assert told[1] == "50.0 % of the tokens have |Δ| < 0.3"


def test_the_threshold_of_the_scores_is_among_those_that_are_shown() -> None:
    own = replace(effects(1.0, 3.0), tau=2.5)
    assert "τ 2.5" in texts_of(page(own), "tokens that reach a threshold")


def test_skewness_says_which_tail_is_longer() -> None:
    assert skewness(np.array([0, 0, 0, 4], np.float32)) > 1
    assert skewness(np.array([0, 0, 0, -4], np.float32)) < -1
    assert skewness(np.array([-2, -1, 1, 2], np.float32)) == 0


def test_what_is_not_defined_is_a_dash() -> None:
    shown = page(effects(-1.0, -1.0))
    assert texts_of(shown, "effects of tokens")["skewness"] == ["–"]
    assert texts_of(shown, "tokens that reach a threshold")["τ 1"] == ["0", "0.00 %", "–"]


# --- bins -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_every_token_is_in_the_one_bin_it_belongs_to(drawn: list[float]) -> None:
    found = binned(np.array(drawn, np.float32))
    assert found.counts.sum() == len(drawn)
    edges = found.edges.tolist()
    for at, count in enumerate(found.counts):
        last = at == len(found.counts) - 1
        assert count == sum(edges[at] <= value < edges[at + 1] or (last and value == edges[-1]) for value in drawn)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_bins_are_round_alike_neither_few_nor_many_and_0_is_an_edge(drawn: list[float]) -> None:
    edges = binned(np.array(drawn, np.float32)).edges
    widths = np.diff(edges)
    assert widths == pytest.approx(widths[0])
    assert f"{widths[0]:.3e}"[:5] in ("1.000", "2.000", "5.000")
    assert min(abs(edges)) == 0
    low, high = min(0.0, *drawn), max(0.0, *drawn)
    assert 80 <= len(widths) <= 203 or low == high
    assert edges[0] > low - 1.01 * widths[0]
    assert edges[-1] <= high + 1.01 * widths[0]


def test_effects_that_are_all_0_have_one_bin() -> None:
    found = binned(np.zeros(5, np.float32))
    assert (found.edges.tolist(), found.counts.tolist()) == ([0.0, 1.0], [5])
