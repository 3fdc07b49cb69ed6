"""The spool → histories and queries, user by user."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from steerx_cli.core.order import lot
from steerx_cli.core.outputs import Whole
from steerx_cli.core.progress import Progress
from steerx_cli.lm.templates import put
from steerx_cli.tools.import_.choose import Counts, choose
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.spool import Candidate, Person, Spool
from steerx_cli.tools.import_.texts import Text

_ROWS_AT_ONCE = 1024  # on their way to the disk,
_SIZE_AT_ONCE = 2**22  # or so many characters, for texts can be long

UNKNOWN = "texts whose item the metadata do not have"
UNKNOWN_ANSWER = "queries whose answer is not known"
UNCUT = "queries taken whole, for want of a known wording of their instruction"
BLANK = "texts with a blank input"
BEYOND = "users left out, with fewer histories than those of --users"


def select(spool: Spool, request: Request) -> Counts:
    """Say who is kept: those with enough histories, of them the longest, and of these a share for development."""
    counts: Counts = Counter()

    def kept() -> Iterator[Candidate]:
        for name, texts, _ in spool.people():
            chosen, user_id = choose(texts, request.rules), texts[0].user_id
            if chosen.is_empty:
                counts.update(chosen.counts)
            else:
                yield Candidate(name, user_id, len(chosen.histories), lot(request.seed, user_id))

    spool.choose(kept())
    if request.users is not None:
        counts[BEYOND] = spool.keep_longest(request.users)
    if request.development is not None:
        spool.draw("development", round(request.development * spool.users))
    return counts


def write(spool: Spool, request: Request, histories: Whole, queries: Whole, progress: Progress) -> Counts:
    """Write what is kept of everybody who is."""
    progress.start("import: writing", spool.users if request.selects else None, "users")
    counts: Counts = Counter()
    rows = _Rows(spool, request, counts)
    written, asked = _Batches(histories), _Batches(queries)
    for person in spool.chosen() if request.selects else spool.people():
        chosen = choose(person.texts, request.rules)
        counts.update(chosen.counts)
        written.add([rows.history(person, text) for text in chosen.histories])
        asked.add([rows.query(person, text) for text in chosen.queries])
        progress.advance(1)
    written.flush()
    asked.flush()
    return counts


def size_of(row: Mapping[str, Any]) -> int:
    """How much there is to write, in characters."""
    said = row.get("response") or row.get("reference") or ""
    return len(row["input"]) + len(said) + sum([len(field["value"]) for field in row["fields"]])


class _Rows:
    """Texts as rows of the two artifacts."""

    def __init__(self, spool: Spool, request: Request, counts: Counts) -> None:
        self._spool = spool
        self._request = request
        self._counts = counts

    def history(self, person: Person, text: Text) -> dict[str, Any]:
        return {
            **self._shared(person, text),
            "item_id": text.text_id,
            "response": text.response,
            "rating": text.rating,
            "time": text.time,
        }

    def query(self, person: Person, text: Text) -> dict[str, Any]:
        split = self._request.split or text.split
        if self._request.development is not None:
            split = person.split or "test"
        self._counts[UNKNOWN_ANSWER] += text.response is None
        self._counts[UNCUT] += text.is_uncut
        return {**self._shared(person, text), "query_id": text.text_id, "reference": text.response, "split": split}

    def _shared(self, person: Person, text: Text) -> dict[str, Any]:
        fields = {**self._described(text), **text.fields}
        named = [{"name": name, "value": value} for name, value in fields.items()]
        given = self._input(text, fields)
        self._counts[BLANK] += not given.strip()
        return {"user_id": person.name, "input": given, "fields": named}

    def _described(self, text: Text) -> Mapping[str, str]:
        """What the metadata add to a text's own fields."""
        if not self._request.metadata or text.about is None:
            return {}
        known = self._spool.item(text.about)
        self._counts[UNKNOWN] += known is None
        return known or {}

    def _input(self, text: Text, fields: Mapping[str, str]) -> str:
        """The text's own input, or one made of its fields."""
        if self._request.input_text is not None:
            return put(self._request.input_text, defaultdict(str, {"input": text.input or "", **fields}))
        if text.input is not None:
            return text.input
        parts = [fields[name] for name in self._request.its_format.input_from if fields.get(name, "").strip()]
        return ": ".join(parts)


class _Batches:
    """Rows on their way into an artifact, some at a time."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._rows: list[dict[str, Any]] = []
        self._users = self._size = 0

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take all the rows of one user."""
        self._rows += rows
        self._size += sum(map(size_of, rows))
        self._users += bool(rows)
        if len(self._rows) >= _ROWS_AT_ONCE or self._size >= _SIZE_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Pass on what is there."""
        self._whole.write(pa.Table.from_pylist(self._rows, schema=self._whole.artifact.columns), self._users)
        self._rows, self._users, self._size = [], 0, 0
