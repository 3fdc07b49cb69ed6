"""Writing a file whole or not at all, and seeing that one was changed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is replaced (the first) or written to (the others)."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def replacing(path: Path, is_all: bool = True) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` only once it is whole and on the disk. One writer at a time.

    Where it is not all there is to do, it is dated long ago: make starts whatever dies then once more.
    """
    path = path.resolve() if path.is_symlink() else path  # a link stays one, and what it points to is replaced
    temporary = path.with_name(f".{path.name}.tmp")  # always the same: what a killed run left is written over
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if not is_all:
                os.utime(temporary, (0, 0))
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where the folder can be read and its file system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
