"""How `evaluate` shows a table on a terminal: numbers with what chance does to them in small below."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as Cells
from rich.text import Text

from steerx_cli.core.text import visible

if TYPE_CHECKING:
    from steerx_cli.report.grids import Entry, Grid, Page

_INDENT, _GAP, _NARROWEST = 2, 2, 8


def shown(page: "Page", width: int) -> Iterator[RenderableType]:
    """All of it, part by part."""
    for grid in page.grids:
        yield Text(visible(grid.title), style="bold")
        for columns in _fitting(grid, width):
            yield Padding(_cells(grid, columns, _name_width(grid, width)), (0, 0, 1, _INDENT), expand=False)
    yield from (Text(visible(sentence), style="dim") for sentence in page.told)


def _fitting(grid: "Grid", width: int) -> Iterator[Sequence[int]]:
    """The columns that stand beside one another; those that find no room stand below them."""
    names = _name_width(grid, width)
    block: list[int] = []
    for column in range(len(grid.head)):
        if block and _INDENT + names + sum(_GAP + _width(grid, at) for at in [*block, column]) > width:
            yield block
            block = []
        block.append(column)
    yield block


def _name_width(grid: "Grid", width: int) -> int:
    """As wide as the longest, or what the widest number leaves."""
    widest = max(_width(grid, column) for column in range(len(grid.head)))
    longest = max(cell_len(visible(name)) for name in grid.names)
    return min(longest, max(_NARROWEST, width - _INDENT - _GAP - widest))


def _width(grid: "Grid", column: int) -> int:
    """What its numbers need; a title of several words is broken."""
    entries = (entries[column] for entries in grid.entries)
    lines = [line for entry in entries for line in _entry(entry).plain.splitlines()]
    return max(map(cell_len, [*lines, *visible(grid.head[column]).split()]))


def _cells(grid: "Grid", columns: Sequence[int], names: int) -> Cells:
    cells = Cells(box=None, padding=(0, 0, 0, _GAP), pad_edge=False, header_style="")
    cells.add_column(width=names, overflow="fold")
    for column in columns:
        cells.add_column(visible(grid.head[column]), justify="right", min_width=_width(grid, column))
    for name, entries in zip(grid.names, grid.entries, strict=True):
        cells.add_row(Text(visible(name)), *(_entry(entries[column]) for column in columns))
    return cells


def _entry(entry: "Entry") -> Text:
    mark = "= " if entry.like_the_best else ""
    number = Text.assemble(mark, (entry.text, "bold" if entry.best else ""))
    return Text("\n").join([number, *(Text(line, style="dim") for line in entry.below)])
