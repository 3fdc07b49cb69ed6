"""A record of a file, or what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Values: TypeAlias = Mapping[str, Any]


class Bad(Exception):  # of a row, not of the program, so no SteerxError
    """Why a row, or one entry of it, cannot be used: a few words without anything of the person's in them."""

    def __init__(self, reason: str, entry: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.entry = entry  # of the row's own list (its profile), counted from 1


@dataclass(frozen=True)
class Row:
    """One record of a file: an object of a JSON file, a line of a CSV file, a row of a Parquet file."""

    file: Path
    line: int  # from 1: where the record starts; in a JSON list or a Parquet file, the number of the record
    values: Values | Bad
