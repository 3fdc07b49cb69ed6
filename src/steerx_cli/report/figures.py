"""The figures: bars of systems, curves along a setting, a histogram of effects, dots of runs. The same numbers give the
same bytes. Nothing else draws."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from math import ceil, isfinite, log10, nan
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from steerx_cli.core.methods import CONTROLS, SETTINGS
from steerx_cli.core.text import visible
from steerx_cli.report.curves import Line
from steerx_cli.report.histogram import Effects, binned
from steerx_cli.report.looks import (
    ANCHORS,
    CONTROL,
    GRID,
    INK,
    QUIET,
    TOKENS,
    Axis,
    Look,
    axis_of,
    colour_of,
    have_room,
    in_lines,
    is_light,
    looks_of,
    paler,
)
from steerx_cli.report.spread import Run, by_name, number
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Column, Row, Table

_WIDE, _NARROW = 8.0, 5.5  # inches, of two panels or more and of one: 800 and 550 points of a screen
_FONT = "DejaVu Sans"  # it comes with matplotlib, so a figure is the same everywhere
_FEW = 12  # systems that have room for two panels beside one another, with numbers at the bars
_STEPS = [1, 2, 5, 10]
_NONE = 0.5  # of tokens, which on a logarithmic axis has a place, out of sight
_SMALL: dict[str, Any] = {"fontsize": 7.5, "color": QUIET}
_STYLE: dict[Any, Any] = {
    "font.family": _FONT,
    "font.size": 8.5,
    "text.parse_math": False,  # a name may hold a $
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,  # inches
    "figure.constrained_layout.w_pad": 0.09,
    "path.simplify": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # no reader's fonts decide where a name ends
    "svg.hashsalt": "steerx",
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "steerx"},
    "pdf": {"CreationDate": None, "Creator": "steerx"},
    "png": {"Software": "steerx"},
}


# --- the figures ------------------------------------------------------------------------------------------------------


def bars(table: Table, ending: str) -> bytes:
    """A panel for each score, a bar for each system with its interval (Figures 4 and 7)."""
    columns = table.of_kind("score")
    with _styled():
        figure, panels = _beside_names(columns, [row.name for row in table.rows])
        for column, panel in zip(columns, panels, strict=True):
            _bars(panel, table, column, numbers=len(table.rows) <= _FEW)
        dotted = f"; dotted: {_drawable(table.against)}" if table.against else ""
        figure.supxlabel(_caption(table, "lines") + dotted, x=0.01, ha="left", **_SMALL)
        return _saved(figure, ending, f"Scores of {len(table.rows)} systems")


def curves(table: Table, lines: Sequence[Line], along: str, ending: str) -> bytes:
    """A panel for each score, a line for each method along a setting, its interval as a band (Figure 5)."""
    columns, looks = table.of_kind("score"), looks_of(lines)
    across = min(2, len(columns))
    down, beside = ceil(len(columns) / across), across + 1  # panels, and entries of the legend
    with _styled():
        size = _WIDE if across > 1 else _NARROW, 2.35 * down + 0.25 * ceil(len(lines) / beside) + 0.3
        figure = Figure(figsize=size)
        for column, panel in zip(columns, _panels(figure, down, across, len(columns)), strict=True):
            _curves(panel, column, lines, looks, along)
        keys = [
            Line2D([], [], **look.of_line, label=_shown(line.name, 34)) for line, look in zip(lines, looks, strict=True)
        ]
        legend = figure.legend(
            handles=keys,
            loc="outside lower left",
            ncols=beside,
            handlelength=2.6,
            title=_caption(table, "bands"),
            title_fontsize=_SMALL["fontsize"],
            alignment="left",
        )
        legend.get_title().set_color(QUIET)
        return _saved(figure, ending, f"Scores along {SETTINGS[along]}")


def histogram(effects: Effects, tau: float | None, ending: str) -> bytes:
    """How many tokens have which Δ, on a logarithmic axis, with τ (Figure 6)."""
    with _styled():
        figure = Figure(figsize=(_WIDE, 3.3))
        panel = figure.add_subplot()
        _histogram(panel, effects, tau)
        if tau is not None:
            _mark(panel, effects, tau)
        return _saved(figure, ending, "Causal effects of tokens")


def dots(runs: Sequence[Run], ending: str) -> bytes:
    """A panel for each score, a dot for each run of a system, and their mean."""
    systems, columns = by_name(runs), runs[0].table.of_kind("score")
    with _styled():
        figure, panels = _beside_names(columns, [rows[0].name for rows in systems])
        for column, panel in zip(columns, panels, strict=True):
            _dots(panel, systems, column)
        figure.supxlabel(f"dots: {len(runs)} runs; line: their mean", x=0.01, ha="left", **_SMALL)
        return _saved(figure, ending, f"Scores of {len(runs)} runs")


@contextmanager
def _styled() -> Iterator[None]:
    """Our own style on matplotlib's defaults, whatever a person's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _saved(figure: Figure, ending: str, title: str) -> bytes:
    file = BytesIO()
    figure.savefig(file, format=ending, dpi=200, metadata={**_METADATA[ending], "Title": title})
    drawn = file.getvalue()
    return re.sub(rb"\n +", b"\n", drawn) if ending == "svg" else drawn  # a tenth of it would be indentation


# --- names and panels -------------------------------------------------------------------------------------------------


def _shown(name: str, width: int = 30) -> str:
    return in_lines(_drawable(name), width)


def _drawable(name: str) -> str:
    """A name without signs that the font lacks."""
    has = _font().get_char_index
    return "".join(sign if has(ord(sign)) else f"\\u{ord(sign):04x}" for sign in visible(name))


@cache
def _font() -> FT2Font:
    return get_font(findfont(FontProperties(family=_FONT)))


def _panels(figure: Figure, down: int, across: int, count: int, *, sharey: bool = False) -> list[Axes]:
    """So many panels, row by row."""
    panels = [panel for row in figure.subplots(down, across, squeeze=False, sharey=sharey) for panel in row]
    for unused in panels[count:]:
        unused.remove()
    return panels[:count]


def _beside_names(columns: Sequence[Column], names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Panels in whose rows the systems stand below one another, their names at the left."""
    across = min(len(columns), 2 if len(names) <= _FEW else 4)
    down = ceil(len(columns) / across)
    shown = [_shown(name) for name in names]
    row = 0.14 * (1 + max(name.count("\n") for name in shown)) + 0.07  # inches
    width = _WIDE if across > 1 else _NARROW
    figure = Figure(figsize=(width, down * (row * len(names) + 0.55) + 0.25))
    panels = _panels(figure, down, across, len(columns), sharey=True)
    for at, (column, panel) in enumerate(zip(columns, panels, strict=True)):
        panel.set_title(_title(column))
        panel.set_yticks(range(len(names)), shown)
        panel.tick_params("y", length=0, labelleft=at % across == 0)
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.xaxis.set_major_locator(MaxNLocator(6 if across < 3 else 3, steps=_STEPS, min_n_ticks=3))
    return figure, panels


def _title(column: Column) -> str:
    return f"{column.title} (lower is better)" if column.lower_is_better else column.title


def _caption(table: Table, what: str) -> str:
    asked, about = table.asked, table.about and f", {table.about}"
    drawn = f"{asked.samples:,} bootstrap samples of {table.users:,} users"
    return f"{what}: {100 * asked.confidence:g} % intervals, {drawn}; {table.examples:,} answers of each system{about}"


# --- bars -------------------------------------------------------------------------------------------------------------


def _bars(panel: Axes, table: Table, column: Column, *, numbers: bool) -> None:
    scores = [row.cells[column.name].score for row in table.rows]
    axis = axis_of(scores)
    panel.set_xlim(axis.low, axis.high)
    for at, (row, score) in enumerate(zip(table.rows, scores, strict=True)):
        if not isfinite(score.value):
            panel.text(axis.base, at, " –", va="center", color=QUIET)
            continue
        (bar,) = panel.barh(at, score.value - axis.base, 0.68, axis.base, linewidth=0, **_fill(row))
        bar.set_gid(f"{column.name}-{at}")
        if isfinite(score.low) and isfinite(score.high):
            (line,) = panel.plot([score.low, score.high], [at, at], color=INK, linewidth=1, solid_capstyle="butt")
            line.set_path_effects([withStroke(linewidth=2.4, foreground="white", alpha=0.7)])
            line.set_gid(f"{column.name}-{at}-interval")
        if numbers:
            _write_number(panel, axis, score, at, row, column)
    base = next((score.value for row, score in zip(table.rows, scores, strict=True) if row.name == table.against), nan)
    if isfinite(base):
        panel.axvline(base, color=INK, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0.9)


def _fill(row: Row) -> dict[str, Any]:
    if row.variant in CONTROLS:
        return {"facecolor": paler(CONTROL, 0.65), "hatch": "////", "edgecolor": paler(CONTROL, 0.45)}
    return {"facecolor": colour_of(row.method, row.variant)}


def _write_number(panel: Axes, axis: Axis, score: Interval, at: int, row: Row, column: Column) -> None:
    """The score at its bar's foot, or behind a bar that is too short, or whose interval reaches there."""
    ends = [end for end in (score.value, score.low, score.high) if isfinite(end)]
    away = -1 if score.value < axis.base else 1
    inside = axis.share(min(away * (end - axis.base) for end in ends)) > 0.17
    panel.annotate(
        number(score.value, column).replace("-", "−"),  # as on the axes
        (axis.base if inside else max(ends, key=lambda end: away * end), at),
        (3 * away, 0),
        textcoords="offset points",
        ha="left" if away > 0 else "right",
        va="center_baseline",
        fontsize=_SMALL["fontsize"],
        color="white" if inside and not is_light(_fill(row)["facecolor"]) else INK,
    )


def _dots(panel: Axes, systems: Sequence[Sequence[Row]], column: Column) -> None:
    values = [[row.cells[column.name].score.value for row in rows] for rows in systems]
    axis = axis_of([Interval(value, nan, nan) for own in values for value in own], room=0.06)
    panel.set_xlim(axis.low, axis.high)
    for at, (rows, own) in enumerate(zip(systems, values, strict=True)):
        places = [at + 0.5 * (run / max(1, len(own) - 1) - 0.5) for run in range(len(own))]  # below one another
        colour = colour_of(rows[0].method, rows[0].variant)
        (drawn,) = panel.plot(own, places, "o", color=colour, markersize=4, alpha=0.75, markeredgewidth=0)
        drawn.set_gid(f"{column.name}-{at}")
        if all(map(isfinite, own)):
            mean = sum(own) / len(own)
            panel.plot([mean, mean], [at - 0.36, at + 0.36], color=INK, linewidth=1.1)


# --- curves -----------------------------------------------------------------------------------------------------------


def _curves(panel: Axes, column: Column, lines: Sequence[Line], looks: Sequence[Look], along: str) -> None:
    panel.set_title(_title(column))
    panel.set_xlabel(f"{SETTINGS[along]}, in nats" if along == "tau" else SETTINGS[along])
    panel.grid(axis="y")
    panel.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, min_n_ticks=3))
    _setting_axis(panel, sorted({at for line in lines for at, _ in line.points if at is not None}))
    for place, (line, look) in enumerate(zip(lines, looks, strict=True)):
        _curve(panel, column, line, look, f"{column.name}-{place}")


def _curve(panel: Axes, column: Column, line: Line, look: Look, gid: str) -> None:
    scores = [row.cells[column.name].score for _, row in line.points]
    values = [score.value for score in scores]
    if line.level:
        if isfinite(values[0]):
            panel.axhline(values[0], **look.of_line).set_gid(gid)
        return
    places = [at for at, _ in line.points if at is not None]
    lows, highs = [score.low for score in scores], [score.high for score in scores]
    panel.fill_between(places, lows, highs, color=look.colour, alpha=0.13, lw=0).set_gid(f"{gid}-interval")
    (drawn,) = panel.plot(places, values, zorder=2.0 if line.variant in CONTROLS else 2.1, **look.of_line)
    drawn.set_gid(gid)
    if len(places) == 1:  # a band of one point cannot be seen
        panel.vlines(places, lows, highs, color=look.colour, linewidth=1)


def _setting_axis(panel: Axes, values: Sequence[float]) -> None:
    """A tick at each value where there is room for it, on a logarithmic axis if need be."""
    fitting = have_room(values)
    if not fitting and values[0] > 0 and have_room([log10(value) for value in values]):
        panel.set_xscale("log")
        fitting = True
    if fitting:
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticks(values, [f"{value:.6g}" for value in values])


# --- the histogram ----------------------------------------------------------------------------------------------------


def _histogram(panel: Axes, effects: Effects, tau: float | None) -> None:
    bins = binned(effects.deltas)
    low, high = float(bins.edges[0]), float(bins.edges[-1])
    if tau is not None:  # it may lie beyond all that was measured
        low, high = min(low, tau - 0.02 * (high - low)), max(high, tau + 0.02 * (high - low))
    panel.set_xlim(low, high)
    panel.set_yscale("log")
    panel.set_ylim(0.7, 2 * bins.counts.max())
    panel.set_xlabel("Δ, in nats")
    panel.set_ylabel("tokens")
    panel.grid(axis="y")
    panel.xaxis.set_major_locator(MaxNLocator(12, steps=_STEPS))
    panel.yaxis.set_major_locator(LogLocator(10, numticks=12))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    counts = bins.counts.clip(_NONE)
    panel.stairs(counts, bins.edges, fill=True, baseline=_NONE, color=TOKENS).set_gid("tokens")
    if tau is not None:
        reached = panel.stairs(counts, bins.edges, fill=True, baseline=_NONE, color=ANCHORS)
        reached.set_gid("anchors")
        # τ need not be an edge: what lies to its left is not shown.
        reached.set_clip_path(Rectangle((tau, 0), high - tau, 1, transform=panel.get_xaxis_transform()))


def _mark(panel: Axes, effects: Effects, tau: float) -> None:
    low, high = panel.get_xlim()
    place, count, gain = (tau - low) / (high - low), effects.count(tau), 100 * effects.share_of_gain(tau)
    share = f"{count:,} of {len(effects.deltas):,} tokens ({100 * count / len(effects.deltas):.3g} %)"
    panel.axvline(tau, color=INK, linewidth=0.9)
    panel.annotate(
        f"Δ ≥ τ = {tau:.6g}: {share}" + (f", {gain:.3g} % of all gains" if isfinite(gain) else ""),
        (tau, 1),
        (0, 4),
        xycoords=panel.get_xaxis_transform(),
        textcoords="offset points",
        ha="left" if place < 0.4 else "right" if place > 0.6 else "center",
        annotation_clip=False,
    )
