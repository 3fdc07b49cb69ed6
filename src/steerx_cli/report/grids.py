"""A table as grids of texts, which every format for readers draws in its own way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from steerx_cli.report.rivals import Rival
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Cell, Column, Row, Table

_LARGE = 1e6  # from here on digits say nothing
NOTHING = "–"  # what is not defined, or not asked for


@dataclass(frozen=True)
class Entry:
    """One place of a grid: the number, smaller lines below it, and whether it is the best or chance may make it so."""

    text: str
    below: tuple[str, ...] = ()
    best: bool = False
    like_the_best: bool = False


@dataclass(frozen=True)
class Grid:
    """One of the table's parts."""

    title: str
    head: Sequence[str]
    names: Sequence[str]
    entries: Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Page:
    """What a reader is shown: grids, and sentences below them."""

    grids: Sequence[Grid]
    told: Sequence[str]


def page(table: Table) -> Page:
    """A table for readers."""
    return Page([*grids(table)], [*explained(table)])


def grids(table: Table) -> Iterator[Grid]:
    """The scores; how far they are from the baseline, and from a method's strongest control; what answers look like."""
    if scores := table.of_kind("score"):
        yield _grid("scores", table.rows, scores, _score)
    if scores and table.against is not None and len(table.rows) > 1:
        others = [row for row in table.rows if row.name != table.against]
        yield _grid(f"differences to {table.against}", others, scores, difference_entry)
        if improvements := table.of_kind("improvement"):
            yield _grid(f"improvement over {table.against}", others, improvements, _score)
    if compared := [row for row in table.rows if row.rivals]:
        yield _of_rivals(compared, scores)
    yield _grid("the answers", table.rows, table.of_kind("shape"), _shape)


def explained(table: Table) -> Iterator[str]:
    """What the numbers are, in sentences."""
    asked, share, scored = table.asked, f"{100 * table.asked.confidence:g} %", table.of_kind("score")
    yield f"{table.examples:,} answers of each system, for {table.users:,} users{table.about and f': {table.about}'}"
    if scored:
        yield (
            f"a…b: the {share} interval, percentiles of {asked.samples:,} bootstrap samples of whole users, "
            f"seed {asked.seed}"
        )
    if scored and len(table.rows) > 1:
        yield (
            f"p: approximate randomisation, whole users swapped {asked.samples:,} times, two-sided, adjusted by Holm "
            "over the systems, each score by itself"
        )
        yield f"=: not told from the best, which is bold (the same p, above {1 - asked.confidence:.2g})"
    if any(row.rivals for row in table.rows):
        yield (
            "strongest control: by each score the best of those that know nothing of the user or of the causal effect;"
            " p adjusted by Holm over all of the method's controls"
        )
    if table.of_kind("improvement"):
        yield (
            "Impr.: the mean over ROUGE-1, METEOR, BLEU and BERTScore, of those that are there, of the relative gain "
            f"over {table.against}"
        )
    yield "÷ ref.: the answers' words ÷ the references'"
    yield "repeats: of an answer's 4-grams, those it has said before; distinct: of its 2-grams, the different ones"
    yield from table.notes
    shown = {column.name for column in scored}
    yield from (of for of in table.signatures if of.partition("[")[0] in shown)


def _grid(title: str, rows: Sequence[Row], columns: Sequence[Column], entry: Callable[[Cell, Column], Entry]) -> Grid:
    entries = [
        [entry(row.cells[column.name], column) if column.name in row.cells else Entry(NOTHING) for column in columns]
        for row in rows
    ]
    return Grid(title, [column.title for column in columns], [row.name for row in rows], entries)


def _of_rivals(rows: Sequence[Row], columns: Sequence[Column]) -> Grid:
    """How far each method is above the strongest of its controls, and which that is."""

    entries = [[rival_entry(row.rivals.get(column.name), column) for column in columns] for row in rows]
    return Grid(
        "differences to the strongest control",
        [column.title for column in columns],
        [row.name for row in rows],
        entries,
    )


def rival_entry(rival: Rival | None, column: Column) -> Entry:
    """How far a method is above the strongest of its controls."""
    if rival is None:
        return Entry(NOTHING)
    below = (*_interval(rival.difference, column, "+"), *_p(rival.p_holm), rival.name)
    return Entry(_number(rival.difference.value, column, "+"), below)


def _score(cell: Cell, column: Column) -> Entry:
    return Entry(_number(cell.score.value, column), _interval(cell.score, column), cell.best, cell.like_the_best)


def difference_entry(cell: Cell, column: Column) -> Entry:
    """How far a system is from the baseline."""
    if cell.difference is None:
        return Entry(NOTHING)
    below = (*_interval(cell.difference, column, "+"), *_p(cell.p_holm))
    return Entry(_number(cell.difference.value, column, "+"), below)


def _p(p: float | None) -> tuple[str, ...]:
    return () if p is None else (f"p {readable_p(p)}",)


def _shape(cell: Cell, column: Column) -> Entry:
    scale = 100 if column.percent else 1
    return Entry(_number(scale * cell.score.value, column))


def _interval(found: Interval, column: Column, sign: str = "") -> tuple[str, ...]:
    if not (isfinite(found.value) and isfinite(found.low)):
        return ()
    decimals = max(1, column.decimals - 1)
    if max(abs(found.low), abs(found.high)) >= _LARGE:
        return (f"{found.low:{sign}.2g}…{found.high:{sign}.2g}",)
    return (f"{found.low:{sign}z.{decimals}f}…{found.high:{sign}z.{decimals}f}",)


def _number(value: float, column: Column, sign: str = "") -> str:
    unit = " %" if column.percent else ""
    if abs(value) >= _LARGE and isfinite(value):
        return f"{value:{sign}.3g}{unit}"
    return f"{value:{sign}z.{column.decimals}f}{unit}" if isfinite(value) else NOTHING


def readable_p(p: float) -> str:
    """Three decimals, or that it is smaller."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
