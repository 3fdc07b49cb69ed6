"""How `evaluate` shows a table on a terminal: numbers with what chance does to them in small below."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as Cells
from rich.text import Text

from steerx_cli.core.text import visible

if TYPE_CHECKING:
    from steerx_cli.report.grids import Entry, Grid
    from steerx_cli.report.table import Table


def shown(table: "Table") -> Iterator[RenderableType]:
    """All of it, part by part."""
    from steerx_cli.report.grids import explained, grids

    for grid in grids(table):
        yield Text(visible(grid.title), style="bold")
        yield Padding(_cells(grid), (0, 0, 1, 2))
    yield from (Text(visible(sentence), style="dim") for sentence in explained(table))


def _cells(grid: "Grid") -> Cells:
    cells = Cells(box=None, padding=(0, 2, 0, 0), header_style="")
    cells.add_column(no_wrap=True)
    for title in grid.head:
        cells.add_column(visible(title), justify="right")
    for name, entries in zip(grid.names, grid.entries, strict=True):
        cells.add_row(Text(visible(name)), *map(_entry, entries))
    return cells


def _entry(entry: "Entry") -> Text:
    mark = "= " if entry.like_the_best else ""
    number = Text.assemble(mark, (entry.text, "bold" if entry.best else ""))
    return Text("\n").join([number, *(Text(line, style="dim") for line in entry.below)])
