"""Texts on disk until all are read, then person by person: memory does not grow with their number."""

import errno
import json
import marshal
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple, Self

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.text import is_utf8
from steerx_cli.tools.import_.texts import Item, Split, Text

_AT_ONCE = 1024  # rows between two steps to the disk,
_SIZE_AT_ONCE = 2**22  # or so many bytes, for texts can be long
_CACHE_KIB = 64 * 1024
_MOST = 2**63 - 1  # of anything, to a database

_TABLES = (
    "CREATE TABLE texts (place BLOB, name TEXT, body BLOB)",
    "CREATE TABLE items (id TEXT PRIMARY KEY, fields TEXT) WITHOUT ROWID",
    "CREATE TABLE rejects (file BLOB, line INTEGER, entry INTEGER, reason TEXT)",
    "CREATE TABLE chosen (name TEXT PRIMARY KEY, user TEXT, histories INTEGER, lot BLOB, split TEXT) WITHOUT ROWID",
)
_IN_ORDER = "CREATE TABLE sorted AS SELECT name, body FROM texts ORDER BY place, name, rowid"


class Reject(NamedTuple):
    """What could not be used: where it stands, and why, without a word of it."""

    file: str
    line: int
    entry: int | None  # of the row's own list, from 1
    reason: str


class Person(NamedTuple):
    """A user under the name that they are written by, and their texts as they were read."""

    name: str
    texts: list[Text]
    split: Split | None = None  # that they were drawn for


class Candidate(NamedTuple):
    """A user who may be kept."""

    name: str
    user_id: str  # their own: another name changes nothing about who is kept
    histories: int
    lot: bytes  # the first ones drawn are those with the smallest


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say what the database says of the disk as the system would."""
    try:
        yield
    except sqlite3.Error as error:
        full = "full" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, f"the sorting failed: {error}", str(folder)) from error


class Spool:
    """A database without a name: the system removes it with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Keep everything in files that lie beside the result, where there is room for it anyway."""
        self._folder = folder
        place = str(folder.absolute()).replace("'", "''")
        if not is_utf8(place):
            raise SteerxError(f"{folder.absolute()} has bytes in its name that are not UTF-8: name another folder")
        with _told(folder):
            self._base = sqlite3.connect("", isolation_level=None)
            # Temporary files go to the system's own place otherwise, which is often small, or memory.
            self._set(f"temp_store_directory = '{place}'")
            for setting in ("temp_store = FILE", f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF"):
                self._set(setting)
            for table in _TABLES:
                self._base.execute(table)
            self._base.execute("BEGIN")  # and never committed: nobody else reads it, and nothing outlives it
        self._waiting: list[tuple[bytes, str, bytes]] = []
        self._size = 0  # of their bodies, in bytes
        self.has_queries = False  # whether a text with a split has come

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the disk."""
        self._set("temp_store_directory = ''")  # it is the whole process's
        self._base.close()

    # --- what is read -------------------------------------------------------------------------------------------------

    def add(self, text: Text, name: str) -> None:
        """Keep one text of the user who will be called `name`."""
        self.has_queries |= text.split is not None
        body = marshal.dumps(tuple(vars(text).values()))  # read by this very process
        self._waiting.append((*user_order(name), body))
        self._size += len(body)
        if len(self._waiting) >= _AT_ONCE or self._size >= _SIZE_AT_ONCE:
            self._put_down()

    def _put_down(self) -> None:
        self._write("INSERT INTO texts VALUES (?, ?, ?)", self._waiting)
        self._waiting, self._size = [], 0

    def describe(self, item: Item) -> bool:
        """Keep what the metadata say of an item; an item that was described before keeps what it has."""
        row = (item.item_id, json.dumps(dict(item.fields)))
        return self._write("INSERT OR IGNORE INTO items VALUES (?, ?)", [row]) == 1

    def reject(self, reject: Reject) -> None:
        """Keep where something stood that cannot be used."""
        file = os.fsencode(reject.file)  # the name of a file need not be UTF-8
        self._write("INSERT INTO rejects VALUES (?, ?, ?, ?)", [(file, *reject[1:])])

    def sort(self) -> None:
        """Put the texts in the order of users that all artifacts share, a user's own as they were read."""
        self._put_down()
        with _told(self._folder):
            self._base.execute(_IN_ORDER)
            self._base.execute("DROP TABLE texts")

    # --- what is kept of it -------------------------------------------------------------------------------------------

    def people(self) -> Iterator[Person]:
        """Every user, in the shared order."""
        return self._people("SELECT name, body, NULL FROM sorted ORDER BY rowid")

    def choose(self, users: Iterable[Candidate]) -> None:
        """Say which users are kept."""
        self._write("INSERT INTO chosen VALUES (?, ?, ?, ?, NULL)", users)

    def keep_longest(self, count: int) -> int:
        """Keep only the users with the most histories, equal ones by id; tell how many others there were."""
        longest = "SELECT name FROM chosen ORDER BY histories DESC, user LIMIT ?"
        return self._write(f"DELETE FROM chosen WHERE name NOT IN ({longest})", [(min(count, _MOST),)])

    @property
    def users(self) -> int:
        """How many are kept."""
        return int(next(self._rows("SELECT count(*) FROM chosen"))[0])

    def draw(self, split: Split, count: int) -> None:
        """Give the first `count` users, as lots are drawn, to a split."""
        drawn = "SELECT name FROM chosen ORDER BY lot, user LIMIT ?"
        self._write(f"UPDATE chosen SET split = ? WHERE name IN ({drawn})", [(split, count)])

    def chosen(self) -> Iterator[Person]:
        """The users that are kept, in the shared order."""
        return self._people(
            "SELECT sorted.name, body, split FROM sorted CROSS JOIN chosen USING (name) ORDER BY sorted.rowid"
        )

    def item(self, item_id: str) -> Mapping[str, str] | None:
        """What the metadata say of an item."""
        with _told(self._folder):
            found = self._base.execute("SELECT fields FROM items WHERE id = ?", (item_id,)).fetchone()
        fields: Mapping[str, str] | None = json.loads(found[0]) if found else None
        return fields

    def rejects(self) -> Iterator[Reject]:
        """What could not be used, as it was read."""
        for file, *where in self._rows("SELECT * FROM rejects ORDER BY rowid"):
            yield Reject(os.fsdecode(file), *where)

    # --- the disk -----------------------------------------------------------------------------------------------------

    def _set(self, setting: str) -> None:
        self._base.execute(f"PRAGMA {setting}")

    def _people(self, query: str) -> Iterator[Person]:
        for name, rows in groupby(self._rows(query), key=lambda row: row[0]):
            some = list(rows)
            yield Person(name, [Text(*marshal.loads(body)) for _, body, _ in some], some[0][2])

    def _rows(self, query: str) -> Iterator[tuple]:  # type: ignore[type-arg]
        with _told(self._folder):
            rows = self._base.execute(query)
            while some := list(islice(rows, _AT_ONCE)):
                yield from some

    def _write(self, query: str, rows: Iterable[tuple]) -> int:  # type: ignore[type-arg]
        with _told(self._folder):
            return self._base.executemany(query, rows).rowcount
