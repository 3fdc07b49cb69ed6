"""What a server answered, kept line by line, so that after any stop nothing is asked again."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from steerx_cli.core.outputs import explained
from steerx_cli.core.provenance import fingerprint


class Journal:
    """A file of JSON lines that only grows; each line is a name and what is kept under it. One process at a time."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        with explained(path):
            self._kept, self._size = _read(path)
        self._earlier = frozenset(self._kept)

    def get(self, name: str) -> Mapping[str, Any] | None:
        """What is kept under a name."""
        return self._kept.get(name)

    def is_earlier(self, name: str) -> bool:
        """Whether that was there when the journal was opened."""
        return name in self._earlier

    def add(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep something from here on, however this process ends."""
        line = _line(name, value)
        with self._lock, explained(self._path, lambda: "what was answered is kept; the same command continues"):
            try:
                _append(self._path, line)
            except OSError:
                with suppress(OSError):  # the next line must not be written behind a piece of this one
                    os.truncate(self._path, self._size)
                raise
            self._size += len(line)
            self._kept[name] = value


def _line(name: str, value: Mapping[str, Any]) -> bytes:
    row = {"name": name, "value": value, "check": fingerprint([name, value])}
    return json.dumps(row).encode() + b"\n"  # in ASCII, so that no text can end a line


def _append(path: Path, line: bytes) -> None:
    """Without a buffer, which would keep what the disk did not take and try again later."""
    rest = memoryview(line)
    with path.open("ab", buffering=0) as file:
        while rest:
            rest = rest[file.write(rest) :]


def _read(path: Path) -> tuple[dict[str, Mapping[str, Any]], int]:
    """What is kept in a file, and its size once a line that was not written to its end is cut off."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}, 0
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return dict(row for line in data[:whole].splitlines() if (row := _row(line))), whole


def _row(line: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Name and value; none of a line that is not as it was written."""
    try:
        row = json.loads(line)
        name, value = row["name"], row["value"]
        return (name, value) if row["check"] == fingerprint([name, value]) else None
    except (ValueError, LookupError, TypeError):
        return None
