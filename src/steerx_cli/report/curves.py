"""Scores along a setting (Figure 5): which systems are one line, and which have no such setting."""

from collections.abc import Sequence
from dataclasses import dataclass

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SETTINGS
from steerx_cli.report.table import Row, Table


@dataclass(frozen=True)
class Line:
    """A method as it is otherwise set."""

    name: str
    method: str
    variant: str | None
    points: Sequence[tuple[float | None, Row]]  # by the setting's values; None alone where it has no such setting

    @property
    def level(self) -> bool:
        """Whether it is the same along the setting."""
        return self.points[0][0] is None


def lines_of(table: Table, along: str) -> list[Line]:
    """Systems that differ in the setting only are one line, in the order of the table."""
    groups = _grouped(table, along)
    if max(map(len, groups)) < 2:
        _refuse(table, along)
    return [
        Line(name, rows[0].method, rows[0].variant, sorted(_points(rows, along), key=lambda point: point[0] or 0))
        for name, rows in zip(_names(groups, along), groups, strict=True)
    ]


def _grouped(table: Table, along: str) -> list[list[Row]]:
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in table.rows:
        otherwise = row.method, row.variant, *(getattr(row, name) for name in SETTINGS if name != along)
        found.setdefault(otherwise, []).append(row)
    return [*found.values()]


def _points(rows: Sequence[Row], along: str) -> list[tuple[float | None, Row]]:
    points: dict[float | None, Row] = {}
    for row in rows:
        at = getattr(row, along)
        if at in points:
            raise SteerxError(
                f"{points[at].name} and {row.name} would be one point of one line: score them into files of their own"
            )
        points[at] = row
    return [*points.items()]


def _names(groups: Sequence[Sequence[Row]], along: str) -> list[str]:
    """The method, how it is not itself, and the settings that tell its lines apart."""
    names = []
    for rows in groups:
        first = rows[0]
        alike = [each[0] for each in groups if (each[0].method, each[0].variant) == (first.method, first.variant)]
        parting = [
            f" {SETTINGS[name]} {getattr(first, name):.15g}"
            for name in SETTINGS
            if name != along and getattr(first, name) is not None and len({getattr(row, name) for row in alike}) > 1
        ]
        names.append(f"{first.method}{','.join(parting)}{f', {first.variant}' if first.variant else ''}")
    return names


def _refuse(table: Table, along: str) -> None:
    """Say along which settings there is something to see."""
    others = [name for name in SETTINGS if max(map(len, _grouped(table, name))) > 1]
    cure = f"use --along {' or '.join(others)}" if others else "leave --along out"
    raise SteerxError(f"no system has more than one {SETTINGS[along]}: score several, or {cure}")
