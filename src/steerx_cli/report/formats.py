"""The table for papers, pages and programs: Markdown, LaTeX, CSV, JSON."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from steerx_cli.core.methods import SETTINGS
from steerx_cli.core.text import visible
from steerx_cli.report.grids import Entry, Grid, Page, page
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Table

_OF_CONTROLS = ("control_difference", "control_difference_low", "control_difference_high")
_COLUMNS: tuple[str, ...] = (
    *("system", "method", *SETTINGS, "variant", "measure", "value", "low", "high", "against"),
    *("difference", "difference_low", "difference_high", "p", "p_holm", "best", "like_the_best"),
    *("control", *_OF_CONTROLS, "control_p_holm", "answers", "users", "signature"),
)
_TEX: dict[str, str] = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
_TEX |= {
    "λ": r"$\lambda$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "÷": r"$\div$",
    "…": r"\dots{}",
    "–": "--",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row it would be an option of the row before
    "⏎": " ",
}


# --- for readers ------------------------------------------------------------------------------------------------------


def markdown(page: Page) -> str:
    """Tables and a list."""

    def entry(entry: Entry) -> str:
        text = f"**{entry.text}**" if entry.best else f"= {entry.text}" if entry.like_the_best else entry.text
        return " ".join([text, *(f"<br>{line}" for line in entry.below)])

    def lines(grid: Grid) -> Iterator[str]:
        yield f"**{_plain(grid.title[:1].upper() + grid.title[1:])}**"
        yield ""
        yield "| " + " | ".join(["", *map(_plain, grid.head)]) + " |"
        yield "|---" + "|---:" * len(grid.head) + "|"
        for name, entries in zip(grid.names, grid.entries, strict=True):
            yield "| " + " | ".join([_plain(name), *map(entry, entries)]) + " |"
        yield ""

    parts = [line for grid in page.grids for line in lines(grid)]
    return "\n".join([*parts, *(f"- {_plain(sentence)}" for sentence in page.told)]) + "\n"


def _plain(text: str) -> str:
    """A text with nothing in it that Markdown would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", visible(text))


def latex(page: Page) -> str:
    r"""Tables for \usepackage{booktabs}, with what the numbers are as a comment above."""

    def entry(entry: Entry, line: int) -> str:
        if line:
            return rf"{{\scriptsize {_tex_number(entry.below[line - 1])}}}" if line <= len(entry.below) else ""
        text = _tex_number(entry.text)
        return rf"\textbf{{{text}}}" if entry.best else rf"$=$ {text}" if entry.like_the_best else text

    def lines(grid: Grid) -> Iterator[str]:
        yield f"% {visible(grid.title)}"
        yield rf"\begin{{tabular}}{{l{'r' * len(grid.head)}}}"
        yield r"\toprule"
        yield " & ".join(["", *map(_tex, grid.head)]) + r" \\"
        yield r"\midrule"
        for row, (name, entries) in enumerate(zip(grid.names, grid.entries, strict=True)):
            if row:
                yield r"\addlinespace"
            for line in range(1 + max((len(each.below) for each in entries), default=0)):
                yield " & ".join(["" if line else _tex(name), *(entry(each, line) for each in entries)]) + r" \\"
        yield r"\bottomrule"
        yield r"\end{tabular}"
        yield ""

    told = [f"% {visible(sentence)}" for sentence in page.told]
    return "\n".join([*told, "", *(line for grid in page.grids for line in lines(grid))])


def _tex_number(text: str) -> str:
    """A number, an interval or a p, whose minus is no hyphen."""
    return _tex(text.replace("-", "−"))


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in visible(text))


# --- for programs -----------------------------------------------------------------------------------------------------


def cells(table: Table) -> Iterator[dict[str, Any]]:
    """A row for each measure of each system, with everything that is known of it."""
    signatures = {signature.partition("[")[0]: signature for signature in table.signatures}
    for row in table.rows:
        of = {"system": row.name, "method": row.method}
        of |= {name: getattr(row, name) for name in (*SETTINGS, "variant")}
        for name, cell in row.cells.items():
            rival = row.rivals.get(name)
            against = table.against if cell.difference or name.startswith("impr") else None
            yield {
                **of,
                "measure": name,
                **_interval(cell.score, "value", "low", "high"),
                "against": against,
                **_interval(cell.difference, "difference", "difference_low", "difference_high"),
                "p": cell.p,
                "p_holm": cell.p_holm,
                "best": cell.best,
                "like_the_best": cell.like_the_best,
                "control": None if rival is None else rival.name,
                **_interval(None if rival is None else rival.difference, *_OF_CONTROLS),
                "control_p_holm": None if rival is None else rival.p_holm,
                "answers": table.examples,
                "users": table.users,
                "signature": signatures.get(name),
            }


def _interval(found: Interval | None, *names: str) -> dict[str, float | None]:
    values = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {
        name: value if value is not None and isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }


def comma_separated(table: Table) -> str:
    """One line for each measure of each system, in full precision."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells(table))
    return text.getvalue()


def as_json(table: Table) -> str:
    """The same as one object, with what the numbers are."""
    document = {
        "answers": table.examples,
        "users": table.users,
        "about": table.about,
        **asdict(table.asked),
        "against": table.against,
        "columns": [asdict(column) for column in table.columns],
        "cells": list(cells(table)),
        "signatures": list(table.signatures),
        "notes": list(table.notes),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Table], str]] = {
    "markdown": lambda table: markdown(page(table)),
    "csv": comma_separated,
    "latex": lambda table: latex(page(table)),
    "json": as_json,
}
