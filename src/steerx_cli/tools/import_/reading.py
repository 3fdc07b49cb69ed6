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
from steerx_cli.tools.import_.files.rows import check_readable, columns_of, read_rows
from steerx_cli.tools.import_.formats.format import Reader, Reading
from steerx_cli.tools.import_.pseudonyms import pseudonyms
from steerx_cli.tools.import_.records import Bad, Row, Values
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.spool import Reject, Spool
from steerx_cli.tools.import_.texts import Item, Split, Text

Found = TypeVar("Found")
Makes = Callable[[Values], Iterable[Found | Bad]]

LEFT_OUT = "rows left out"
_ANSWERS = "golds"  # the list in LaMP's files of answers
_ROWS_TOLD = 1000  # at once to whoever watches
_NEEDED = ("user_id", "response")  # in a table of one's own
_UNASKED = "answers left out, to no question that was read"
_ANSWERED = "answers left out, to questions answered before"
_FLAWED = "titles of items left out, pieces of a page's script"
_DESCRIBED = "items of the metadata left out, described before"


def read_all(request: Request, spool: Spool, progress: Progress) -> Counts:
    """Read every file of a request."""
    return _Reading(request, spool, progress).everything()


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
    if request.split is not None and request.development is not None:
        raise SteerxError("--split is of all queries, and --development draws them: leave one out")
    if request.input_text is not None:
        check_placeholders("--input-text", request.input_text)
    its.reader(Reading(request.task, request.columns))


def check_files(request: Request) -> None:
    """Refuse what cannot be read, and a mapping from columns that a table does not have, before anything is read."""
    for file in (*request.files, *request.metadata):
        check_readable(file, request.how)
    if not request.its_format.has_columns:
        return
    wanted = {name: request.columns.get(name, name) for name in (*_NEEDED, *request.columns)}
    for file in request.files:
        there = columns_of(file, request.how)
        missing = [name for name, theirs in wanted.items() if theirs and there is not None and theirs not in there]
        if missing:
            raise SteerxError(_missing(file, missing[0], wanted[missing[0]], there or []))


def _missing(file: Path, name: str, theirs: str, there: Sequence[str]) -> str:
    """What to say: without the columns' names, which are a person's texts where a file has no header."""
    like = next((column for column in there if _letters(column) == _letters(theirs)), None)
    near = f", but {like!r}" if like else ""
    return (
        f"{file} has no column {theirs!r} among its {len(there)}{near}: say with --column {name}=COLUMN which it is "
        "(the first line is the header, and --delimiter stands between the names)"
    )


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


class _Reading:
    """One pass through the files."""

    def __init__(self, request: Request, spool: Spool, progress: Progress) -> None:
        self._request = request
        self._spool = spool
        self._progress = progress
        self._counts: Counts = Counter()
        self._asked: set[str] = set()  # the questions whose answers are in other files

    def everything(self) -> Counts:
        its, request = self._request.its_format, self._request
        answering = [file for file in request.files if its.is_answers(file)]
        asking = [(file, request.split_of(file)) for file in request.files if file not in answering]
        self._progress.start("import: reading", None, "rows")
        answers: dict[str, str] = {}
        for question, answer in self._answers(answering):
            self._counts[_ANSWERED] += question in answers
            answers.setdefault(question, answer)
        self._items(request.metadata)
        reader = its.reader(Reading(request.task, request.columns, answers))
        for file, split in asking:
            self._texts(file, reader, split)
        self._counts[_UNASKED] += len(answers.keys() - self._asked) if answers else 0
        return self._counts

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
            for one in found:
                self._counts[_DESCRIBED] += not self._spool.describe(one)
                self._counts[_FLAWED] += one.is_flawed

    def _texts(self, file: Path, reader: Reader, split: Split) -> None:
        rename = pseudonyms(self._request.key) if self._request.key else str
        texts: Iterator[Text] = self._each(file, lambda values: reader(values, split))
        for text in texts:
            if self._request.its_format.answer and text.split is not None:
                self._asked.add(text.text_id)
            name = rename(text.user_id)
            # A benchmark's question is its own user: the one's other name is the other's.
            named = replace(text, text_id=name) if text.text_id == text.user_id != name else text
            self._spool.add(named, name)

    def _each(self, file: Path, make: Makes[Found], within: str | None = None) -> Iterator[Found]:
        """What is made of a file's rows; the rest is rejected, and counted."""
        for number, row in enumerate(read_rows(file, self._request.how, within), 1):
            for found in usable(row, make):
                if isinstance(found, Bad):
                    self._reject(row, found)
                else:
                    yield found
            if number % _ROWS_TOLD == 0:
                self._progress.advance(_ROWS_TOLD)

    def _reject(self, row: Row, bad: Bad) -> None:
        if self._request.strict:
            entry = f", entry {bad.entry}" if bad.entry else ""
            raise SteerxError(
                f"{row.file}, line {row.line}{entry}: {bad.reason}: mend it, or leave --strict out to go on without it"
            )
        self._counts[f"{LEFT_OUT}, {bad.reason}"] += 1
        self._spool.reject(Reject(str(row.file), row.line, bad.entry, bad.reason))
