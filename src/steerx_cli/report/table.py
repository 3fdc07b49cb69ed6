"""The table of systems: every score with what chance does to it, from the scores of single answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SETTINGS
from steerx_cli.metrics.measures import SENTENCE_BLEU, SHAPES, Measure, score_measures
from steerx_cli.metrics.statistics import IMPROVED, holm, improvement
from steerx_cli.report.rivals import Rival, rivals_of
from steerx_cli.report.sums import Asked, Interval, Scored


@dataclass(frozen=True)
class Cell:
    """One measure of one system."""

    score: Interval
    difference: Interval | None = None  # to the baseline
    p: float | None = None
    p_holm: float | None = None
    best: bool = False
    like_the_best: bool = False  # chance explains the difference


@dataclass(frozen=True)
class Row:
    """One system."""

    name: str
    method: str
    lam: float | None
    gamma2: float | None
    cells: Mapping[str, Cell]  # by measure; those of Impr. too
    tau: float | None = None
    gamma1: float | None = None
    layer: int | None = None
    variant: str | None = None  # how it is not the method itself
    rivals: Mapping[str, Rival] = field(default_factory=dict)  # by measure; of a method whose controls are there


@dataclass(frozen=True)
class Column:
    """One measure: of the scores, of the paper's improvement, or of the answers' shape."""

    name: str
    title: str
    kind: str  # score, improvement, shape, or more, which only programs are told
    decimals: int
    percent: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True)
class Told:
    """What stands below a table."""

    about: str = ""  # which examples
    signatures: Sequence[str] = ()
    notes: Sequence[str] = ()


NOTHING = Told()


@dataclass(frozen=True)
class Table:
    """All of it."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    examples: int
    users: int
    asked: Asked
    against: str | None
    about: str
    signatures: Sequence[str]
    notes: Sequence[str]

    def of_kind(self, *kinds: str) -> list[Column]:
        """The columns of some kinds."""
        return [column for column in self.columns if column.kind in kinds]


# --- the numbers ------------------------------------------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")  # a rating may be as large as a float, and its square without end
def tabulate(
    rows: pl.DataFrame, metrics: Sequence[str], labels: Sequence[str], asked: Asked, told: Told = NOTHING
) -> Table:
    """The table of what `metrics` holds, with these measures, and with what is to be told below it."""
    known = score_measures(labels)
    scores = {name: known[name] for name in metrics}
    systems = rows.select("system", "method", *SETTINGS, "variant").unique("system", maintain_order=True)
    names = systems["system"].to_list()
    more = {SENTENCE_BLEU.name: SENTENCE_BLEU} if "bleu" in scores else {}
    scored = Scored.of(rows, names, {**scores, **SHAPES, **more}, asked)
    base = baseline([*zip(names, systems["method"], strict=True)], asked.against)
    cells = _cells(scored, base, [*scores])
    rivals = rivals_of(scored, systems, [*scores])
    columns = [_column(measure, "score") for measure in scores.values()]
    if base is not None and len(names) > 1:
        columns += _improve(scored, base, cells)
    return Table(
        columns=[
            *columns,
            *(_column(measure, "shape") for measure in SHAPES.values()),
            *(_column(measure, "more") for measure in more.values()),
        ],
        rows=[
            Row(**of, cells=own, rivals=against)
            for of, own, against in zip(_named(systems), cells, rivals, strict=True)
        ],
        examples=len(rows) // len(names),
        users=len(scored.sums),
        asked=asked,
        against=None if base is None else names[base],
        about=told.about,
        signatures=told.signatures,
        notes=[*told.notes, *_too_few(scored), *_gaps(columns, cells, asked)],
    )


def _named(systems: pl.DataFrame) -> list[dict[str, Any]]:
    return systems.rename({"system": "name"}).to_dicts()


def baseline(systems: Sequence[tuple[str, str]], against: str | None) -> int | None:
    """Which of (name, method) the others are compared with: the one named, or non-perso where there is one of it."""
    wanted = "non-perso" if against is None else against
    by_name = [at for at, (name, _) in enumerate(systems) if name == wanted]
    by_method = [at for at, (_, method) in enumerate(systems) if method == wanted]
    found = by_name or by_method
    if len(found) == 1 or against is None:
        return found[0] if len(found) == 1 else None
    raise SteerxError(
        f"{len(found) or 'no'} systems are called {against!r}: name one of these with --against: "
        + "; ".join(name for name, _ in systems)
    )


def _column(measure: Measure, kind: str) -> Column:
    return Column(measure.name, measure.title, kind, measure.decimals, measure.percent, measure.lower_is_better)


def _cells(scored: Scored, base: int | None, judged: Sequence[str]) -> list[dict[str, Cell]]:
    """The cells of each system; p is asked for the judged measures only."""
    p = scored.p_values(base, judged) if base is not None else {}
    p_holm = {name: holm(of) for name, of in p.items()}
    best = {name: scored.best(name) for name in judged}
    like = scored.like_the_best(judged)

    def cell(name: str, at: int) -> Cell:
        value, drawn = scored.totals[name], scored.drawn[name]
        apart = base is not None and at != base
        return Cell(
            score=scored.between(value[at], drawn[:, at]),
            difference=scored.between(value[at] - value[base], drawn[:, at] - drawn[:, base]) if apart else None,
            p=p.get(name, {}).get(at),
            p_holm=p_holm.get(name, {}).get(at),
            best=at in best.get(name, ()),
            like_the_best=at in like.get(name, ()),
        )

    return [{name: cell(name, at) for name in scored.measures} for at in scored.systems]


def _improve(scored: Scored, base: int, cells: Sequence[dict[str, Cell]]) -> Iterator[Column]:
    """Add the paper's Impr. over the baseline to every other system's cells, with and without BLEU."""
    there = [name for name in IMPROVED if name in scored.measures]
    for name, title, without in (("impr", "Impr.", ()), ("impr-no-bleu", "Impr. w/o BLEU", ("bleu",))):
        used = [each for each in there if each not in without]
        if not used or (without and "bleu" not in there):
            continue
        for at in scored.systems:
            values, spread = (
                improvement({each: of[each][..., at] for each in used}, {each: of[each][..., base] for each in used})
                for of in (scored.totals, scored.drawn)
            )
            if at != base:
                cells[at][name] = Cell(scored.between(float(values), spread))
        possible = len(IMPROVED) - len(without)
        share = "" if len(used) == possible else f" ({len(used)} of {possible})"
        yield Column(name, f"{title}{share}", "improvement", 2, percent=True)


def _gaps(columns: Sequence[Column], cells: Sequence[Mapping[str, Cell]], asked: Asked) -> Iterator[str]:
    """Which intervals leave resamples out."""
    for column in columns:
        scores = (own[column.name].score for own in cells if column.name in own)
        if most := max((score.undefined for score in scores if isfinite(score.value)), default=0):
            yield f"{column.title}: up to {most:,} of {asked.samples:,} samples have none, and intervals leave them out"


def _too_few(scored: Scored) -> Iterator[str]:
    users = len(scored.sums)
    if users == 1:
        yield "with one user intervals say nothing"
    smallest = 2.0 ** (1 - users)
    if len(scored.systems) > 1 and smallest > 1 - scored.asked.confidence:
        of = f"{users} user{'s' if users > 1 else ''}"
        yield f"with {of} no p is below {smallest:.2g}: there are too few of them to tell systems apart"
