"""Files → the spool: every record of them, or where it stands and why it cannot be used."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Progress
from steerx_cli.lm.templates import check_placeholders
from steerx_cli.tools.import_.choose import Counts
from steerx_cli.tools.import_.files.rows import columns_of, read_rows
from steerx_cli.tools.import_.formats.format import Reader, Reading
from steerx_cli.tools.import_.pseudonyms import pseudonyms
from steerx_cli.tools.import_.records import Bad, Row, Values
from steerx_cli.tools.import_.request import Request, split_of
from steerx_cli.tools.import_.spool import Reject, Spool
from steerx_cli.tools.import_.texts import Item, Split, Text

Found = TypeVar("Found")
Makes = Callable[[Values], Iterable[Found | Bad]]

_ANSWERS = "golds"  # the list in LaMP's files of answers
_ROWS_TOLD = 1000  # at once to whoever watches
_LONGEST_NAME, _MOST_NAMES = 32, 50  # of columns, in a sentence
_DESCRIBED = "items of the metadata left out, described before"


def read_all(request: Request, spool: Spool, progress: Progress) -> Counts:
    """Read every file of a request."""
    return _Reading(request, spool, progress).all()


def usable(row: Row, make: Makes[Found]) -> Iterator[Found | Bad]:
    """What is made of a row, and what is wrong with the rest of it."""
    if isinstance(row.values, Bad):
        yield row.values
        return
    try:
        yield from make(row.values)
    except Bad as bad:
        yield bad


def check_options(request: Request) -> None:
    """Refuse what its format does not look at, or cannot do without."""
    its = request.its_format
    for given, flag, looked_at in (
        (request.columns, "--column", its.has_columns),
        (request.task, "--task", its.has_tasks),
        (request.metadata, "--metadata", its.item is not None),
    ):
        if given and not looked_at:
            raise SteerxError(f"{flag} says nothing to the format {request.format}: leave it out")
    if request.input_text is not None:
        check_placeholders("--input-text", request.input_text)
    its.reader(Reading(request.task, request.columns))


def check_columns(request: Request) -> None:
    """Refuse a mapping from columns that a file does not have, before anything is read."""
    for file in request.files:
        there = columns_of(file, request.how)
        missing = [] if there is None else [name for name in request.columns.values() if name not in there]
        if missing:
            raise SteerxError(f"{file} has no column {missing[0]!r}: its columns are {_listed(there or [])}")


def _listed(columns: Sequence[str]) -> str:
    """Names of columns, for a sentence: where a file has no header they are a person's texts, so none is said whole."""
    names = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…" for name in columns]
    return ", ".join([*names[:_MOST_NAMES], *(["…"] if len(names) > _MOST_NAMES else [])])


class _Reading:
    """One pass through the files."""

    def __init__(self, request: Request, spool: Spool, progress: Progress) -> None:
        self._request = request
        self._spool = spool
        self._progress = progress
        self._counts: Counts = Counter()

    def all(self) -> Counts:
        its, request = self._request.its_format, self._request
        answering = [file for file in request.files if its.is_answers(file)]
        asking = [(file, self._split(file)) for file in request.files if file not in answering]
        self._progress.start("import: reading", None, "rows")
        answers = dict(self._answers(answering))
        self._items(request.metadata)
        reader = its.reader(Reading(request.task, request.columns, answers))
        for file, split in asking:
            self._texts(file, reader, split)
        return self._counts

    def _split(self, file: Path) -> Split:
        if self._request.its_format.own_queries and self._request.rules.last is None:
            return split_of(file, self._request.split)
        return self._request.split or "test"

    def _answers(self, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
        answer = self._request.its_format.answer
        for file in files:
            assert answer is not None
            yield from self._each(file, lambda values: [answer(values)], _ANSWERS)

    def _items(self, files: Iterable[Path]) -> None:
        item = self._request.its_format.item
        for file in files:
            assert item is not None
            found: Iterator[Item] = self._each(file, lambda values: [item(values)])
            self._counts[_DESCRIBED] += sum(not self._spool.describe(one) for one in found)

    def _texts(self, file: Path, reader: Reader, split: Split) -> None:
        key = self._request.key
        rename = pseudonyms(key) if key else str
        texts: Iterator[Text] = self._each(file, lambda values: reader(values, split))
        for text in texts:
            self._spool.add(replace(text, user_id=rename(text.user_id)) if key else text)

    def _each(self, file: Path, make: Makes[Found], within: str | None = None) -> Iterator[Found]:
        """What is made of a file's rows; the rest is put down, and counted."""
        for number, row in enumerate(read_rows(file, self._request.how, within), 1):
            for found in usable(row, make):
                if isinstance(found, Bad):
                    self._put_down(row, found)
                else:
                    yield found
            if number % _ROWS_TOLD == 0:
                self._progress.advance(_ROWS_TOLD)

    def _put_down(self, row: Row, bad: Bad) -> None:
        if self._request.strict:
            entry = f", entry {bad.entry}" if bad.entry else ""
            raise SteerxError(
                f"{row.file}, line {row.line}{entry}: {bad.reason}: mend it, or leave --strict out to go on without it"
            )
        self._counts[f"rows left out, {bad.reason}"] += 1
        self._spool.reject(Reject(str(row.file), row.line, bad.entry, bad.reason))
