"""A hundred thousand mangled rows of every format: tables in order or a sentence, every row accounted for."""

import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sources
from anything import spoilt
from mangle import LONG_TEXT, Account, Mangled, Record, mangled, mangled_json_value
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.core.schemas import HISTORIES, QUERIES
from steerx_cli.core.sources import Source
from steerx_cli.tools.import_.choose import ANSWERS, Rules
from steerx_cli.tools.import_.request import Request
from steerx_cli.tools.import_.work import REJECTS, Import

WANTED = 100_000  # mangled rows of each format
ROWS = 2_500  # of a file
WHOLE = 10  # of so many rows one is left as it is, but for what befalls the file
SECRET = "Xanadu-7731"
ALL = Rules(last=None, min_chars=1, min_histories=0, unique=False)  # no text is left out for what it is not
COLUMNS = {
    **{"user_id": "author", "response": "body", "input": "prompt"},
    **{"rating": "stars", "time": "when", "subject": "topic"},
}

_WORDING = (
    " is missing| is blank| is no text| is no list| is no object| is no number| is no time"
    "| has characters that cannot be stored"
)
_NAMES = (
    "author|body|prompt|stars|when|topic|reviewerID|asin|overall|reviewText|summary|unixReviewTime|title|description"
    "|user_id|data|profile|rating|text|timestamp|input|output|id|content|abstract|name|reviewerId|year|tag|score|date"
    "|an entry"
)
REASON = re.compile(
    f"({_NAMES})({_WORDING})|description is no list of texts"
    "|no JSON|no JSON object|a number with too many digits|nested too deeply|no JSON from here to the end of the file"
    "|bytes that are not utf-8|the gz file is damaged from here on|values that cannot be read"
    "|quotes that are not closed, or not doubled|other columns than the header"
)
UNREAD = ("no JSON from here to the end of the file", "the gz file is damaged from here on")

Cells: TypeAlias = frozenset[tuple[str, str]]
Said: TypeAlias = tuple[str, ...]  # a user, a text, and its input where the row has one of its own


@dataclass(frozen=True)
class Kind:
    """A format in one kind of file."""

    format: str
    rows: Callable[[int], list[Record]]  # from a seed
    suffix: str  # also the kind of file, but for lines of JSON, which Amazon calls .json
    share: int  # of the format's rows: this many parts
    said: Callable[[Record], Iterator[Said]]
    task: str | None = None
    lines: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    answers: Callable[[int], list[Record]] | None = None
    metadata: Callable[[int], list[Record]] | None = None

    def __str__(self) -> str:
        return f"{self.task or self.format} {'lines as ' if self.lines else ''}{self.suffix}"

    @property
    def has_profile(self) -> bool:
        """Whether a row holds several texts."""
        return self.format not in ("generic", "amazon")


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def secret() -> Iterator[None]:
    """Every text of a person's has a word in it that nothing may say again."""
    with pytest.MonkeyPatch.context() as patch:
        plain = sources.words
        patch.setattr(sources, "words", lambda draw, most=30: f"{SECRET} {plain(draw, min(most, 8))}")
        yield


def amazon(seed: int) -> list[Record]:
    return list(sources.amazon(ROWS // 10, 10, seed))


def amazon_said(row: Record) -> Iterator[Said]:
    yield row["reviewerID"], row["reviewText"]


def generic(seed: int) -> list[Record]:
    return list(sources.generic(ROWS // 10, 10, seed))


def generic_said(row: Record) -> Iterator[Said]:
    yield row["author"], row["body"], row["prompt"]


def small_profiles(rows: list[Record], seed: int) -> list[Record]:
    """The same with up to three entries each, of what was made for all."""
    draw, entries = Random(seed), [entry for row in rows for entry in row["profile"]]
    return [{**row, "profile": draw.sample(entries, draw.choice([0, 0, 0, 1, 1, 3]))} for row in rows]


def dpl(seed: int) -> list[Record]:
    return small_profiles(list(sources.dpl(ROWS, 1, seed)), seed)


def dpl_said(row: Record) -> Iterator[Said]:
    for review in (*row["profile"], row["data"]):
        yield row["user_id"], review["text"]


def longlamp(task: str) -> Callable[[int], list[Record]]:
    return lambda seed: small_profiles(list(sources.longlamp(task, ROWS, 1, seed)), seed)


def longlamp_said(row: Record) -> Iterator[Said]:
    user = next(row[name] for name in ("author", "reviewerId", "name") if name in row)
    yield user, row["output"]
    for entry in row["profile"]:
        yield user, next(entry[name] for name in ("content", "reviewText", "abstract") if name in entry)


def lamp(task: str) -> Callable[[int], list[Record]]:
    return lambda seed: small_profiles(sources.lamp(task, ROWS, 1, seed)[0], seed)


def lamp_answers(task: str) -> Callable[[int], list[Record]]:
    return cache(lambda seed: sources.lamp(task, ROWS, 1, seed)[1])


def lamp_said(row: Record) -> Iterator[Said]:
    """A question's profile; its answer is elsewhere."""
    for entry in row["profile"]:
        yield row["id"], next(entry[name] for name in ("tag", "score", "title", "text") if name in entry)


LAMP_TASKS = [f"lamp-{number}" for number in range(1, 8)]
KINDS = [
    *(Kind("amazon", amazon, suffix, 1, amazon_said, lines=True) for suffix in ("json", "json.gz", "jsonl")),
    Kind("amazon", amazon, "json", 1, amazon_said, metadata=lambda seed: list(sources.amazon_metadata(500, seed))),
    *(Kind("generic", generic, suffix, 1, generic_said, columns=COLUMNS) for suffix in ("jsonl", "json", "csv", "tsv")),
    *(Kind("generic", generic, suffix, 1, generic_said, columns=COLUMNS) for suffix in ("json.gz", "tsv.gz")),
    Kind("generic", generic, "parquet", 2, generic_said, columns=COLUMNS),
    Kind("dpl", dpl, "parquet", 1, dpl_said),
    Kind("dpl", dpl, "jsonl", 1, dpl_said, metadata=lambda seed: list(sources.dpl_metadata(seed))),
    *(
        Kind("longlamp", longlamp(task), suffix, 1, longlamp_said, task)
        for task in ("topic", "review", "abstract")
        for suffix in ("parquet", "jsonl")
    ),
    *(Kind("lamp", lamp(task), "json", 1, lamp_said, task, answers=lamp_answers(task)) for task in LAMP_TASKS),
]
PARTS = {name: sum(kind.share for kind in KINDS if kind.format == name) for name in {kind.format for kind in KINDS}}


# --- files ------------------------------------------------------------------------------------------------------------


class Given(NamedTuple):
    """The rows that all files of a kind are made of, by their cells too, and their types in a table."""

    rows: list[Record]
    by_cells: Mapping[Cells, Record]
    schema: pa.Schema


def given_of(kind: Kind) -> Given:
    rows = kind.rows(0)
    return Given(rows, {cells(row): row for row in rows}, pa.Table.from_pylist([dict(row) for row in rows]).schema)


def mangled_file(made: Given, kind: Kind, seed: int) -> Mangled:
    """Nearly every row mangled, and some of the file; `account` has the rows that nothing befell."""
    draw = Random(seed)
    if kind.suffix == "parquet" and kind.has_profile:
        return typed_parquet(draw, made)
    some = [row if number % WHOLE == 0 else mangled_json_value(draw, row) for number, row in enumerate(made.rows)]
    name = kind.suffix.replace("json", "jsonl") if kind.lines and "jsonl" not in kind.suffix else kind.suffix
    found = mangled_list(draw, some) if name == "json" and seed % 8 else mangled(some, name, seed)
    whole = {number: made.by_cells.get(cells(row)) for number, row in found.account.items()}
    return Mangled(found.data, {number: row for number, row in whole.items() if row is not None})


def cells(row: Record) -> Cells:
    """A row however a table has put it."""
    texts = ((name, part if isinstance(part, str) else json.dumps(part)) for name, part in row.items())
    return frozenset((name, text) for name, text in texts if text not in ("", "null"))


def mangled_list(draw: Random, rows: list[Any]) -> Mangled:
    """A list that is read to its end, whatever is in it: where its brackets are broken, the rest of it is lost."""
    escaped, start, comma = draw.random() < 0.5, draw.choice(["", "\ufeff"]), draw.choice([", ", ",\n", "\r\n,"])
    text = f"{start}[{comma.join(json.dumps(row, ensure_ascii=escaped) for row in rows)}]"
    account: Account = {number: row for number, row in enumerate(rows, 1) if isinstance(row, dict)}
    return Mangled(text.encode("utf-8", "surrogatepass"), account)


def typed_parquet(draw: Random, made: Given) -> Mangled:
    """A table whose columns have their right types, for with others it could hold no profile."""
    rows, columns = made.rows, list(made.schema)
    some = [dict(row) if number % WHOLE == 0 else odd_row(draw, row, columns) for number, row in enumerate(rows)]
    file = io.BytesIO()
    size = draw.choice([99, 10_000])
    pq.write_table(pa.Table.from_pylist(some, made.schema), file, row_group_size=size, compression="zstd")
    data = file.getvalue()
    if draw.random() < 0.9:
        return Mangled(data, {number + 1: rows[number] for number in range(0, len(rows), WHOLE)})
    place = draw.randrange(len(data))
    return Mangled(data[:place] + draw.randbytes(3) + data[place + 3 :], {})


def odd_row(draw: Random, row: Record, columns: list[pa.Field]) -> dict[str, Any]:
    column = draw.choice(columns)
    return {**row, column.name: odd_value(draw, row[column.name], column.type)}


ODD_TEXTS: list[Any] = [
    "",
    " ",
    "4",
    "nul \0",
    "\u2028\x85\x0b\x1c",
    "\ufeff",
    '"',
    "a\r\nb\rc\n",
    "{x} %s \\1",
    "text " * 5_000,
]
ODD_NUMBERS: dict[str, list[Any]] = {
    "double": [math.nan, math.inf, -math.inf, -0.0, 1e300, 5e-324],
    "int64": [0, -1, 2**63 - 1, -(2**63)],
}


def odd_value(draw: Random, value: Any, kind: pa.DataType) -> Any:
    """Another value of the same type, or none."""
    if draw.random() < 0.1:
        return None
    if pa.types.is_struct(kind):
        part = draw.choice(list(kind))
        return {**(value or {}), part.name: odd_value(draw, (value or {}).get(part.name), part.type)}
    if pa.types.is_list(kind):
        place = draw.randrange(len(value) + 1)
        before = value[place - 1] if place else None
        return [*value[: max(0, place - 1)], odd_value(draw, before, kind.value_type), *value[place:]]
    odd: list[Any] = ODD_NUMBERS.get(str(kind), ODD_TEXTS)
    return draw.choice(odd)


class Size(NamedTuple):
    """What is known of a file from its bytes: its last line, or record; and how many records it has."""

    last: int | None
    records: int | None


def size_of(data: bytes, suffix: str, lines: bool) -> Size:
    if suffix == "parquet":
        try:
            count = pq.read_metadata(io.BytesIO(data)).num_rows
        except (OSError, pa.ArrowException):
            return Size(None, None)
        return Size(count, count)
    if suffix.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return Size(None, None)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    found = re.split(r"\r\n?|\n", text)
    if lines or "jsonl" in suffix:
        return Size(len(found), sum(bool(line.strip()) for line in found))
    return Size(len(found), None) if "json" not in suffix else list_size(text)


def list_size(text: str) -> Size:
    try:
        count = len(json.loads(text))
    except (ValueError, RecursionError):
        return Size(text.count(",") + 2, None)
    return Size(count, count)


# --- what comes out ---------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """An import that ended well."""

    histories: pa.Table
    queries: pa.Table
    rejects: list[dict[str, Any]]
    counts: Mapping[str, int]


def imported(request: Request, folder: Path) -> Outcome | str:
    """What becomes of the files: tables, or a sentence. Nothing that is said has a word of anybody's in it."""
    rejects = folder / REJECTS
    said, counts = work(request, folder)
    text = rejects.read_text() if rejects.exists() else ""
    assert SECRET not in said + text
    if counts is None:
        return said
    tables = [Source(artifact, folder / f"{artifact.name}.parquet") for artifact in (HISTORIES, QUERIES)]
    for source in tables:
        assert sum(rows for _, rows in source.users()) == source.footer.rows  # and users are in order
    histories, queries = (source.read(0, source.footer.rows) for source in tables)
    return Outcome(histories, queries, [json.loads(line) for line in text.splitlines()], counts)


def work(request: Request, folder: Path) -> tuple[str, Mapping[str, int] | None]:
    try:
        summary = Import(request, folder, True).run(False, Silent())
    except SteerxError as error:
        return str(error), None
    return str(summary), summary.counts


def check_rejects(outcome: Outcome, sizes: Mapping[str, Size]) -> None:
    """Each says where and why; all of them are in the summary."""
    for reject in outcome.rejects:
        assert REASON.fullmatch(reject["reason"]), reject["reason"]
        last = sizes[reject["file"]].last
        assert reject["line"] >= 1
        assert last is None or reject["line"] <= last, reject
        assert reject["entry"] is None or reject["entry"] >= 1
    told = sum(number for what, number in outcome.counts.items() if what.startswith("rows left out, "))
    assert told == len(outcome.rejects)


def check_account(outcome: Outcome, kind: Kind, file: str, size: Size) -> bool:
    """No row of the file is lost without a word."""
    if size.records is None:
        return False
    refused = sum(reject["file"] == file and reject["entry"] is None for reject in outcome.rejects)
    used = len(outcome.queries)
    if not kind.has_profile:
        used += len(outcome.histories) + outcome.counts.get(ANSWERS, 0)
    assert used + refused == size.records
    return True


def check_whole(outcome: Outcome, kind: Kind, account: Mapping[int, Record]) -> None:
    """What nothing befell is there as it was."""
    found = {*said_in(outcome.histories, "response"), *said_in(outcome.queries, "reference")}
    wide = 3 if kind.format == "generic" else 2
    found = {some[:wide] for some in found}
    answers = set(zip(outcome.queries["user_id"].to_pylist(), outcome.queries["reference"].to_pylist(), strict=True))
    for row in account.values():
        for said in kind.said(row):
            # A history that is the answer to a query of the same user's is left out, and its text is there in that.
            assert said in found or said[:2] in answers, said


def said_in(rows: pa.Table, text: str) -> Iterator[Said]:
    return zip(*(rows[name].to_pylist() for name in ("user_id", text, "input")), strict=True)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_hundred_thousand_mangled_rows_end_without_a_traceback(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: None)  # what is on the disk after a power cut is not looked at here
    wanted = WANTED * kind.share // PARTS[kind.format]
    made, seed = given_of(kind), 0
    done = well = accounted = exact = 0
    while done < wanted:
        found = mangled_file(made, kind, seed)
        file = tmp_path / f"test_{seed}.{kind.suffix}"
        file.write_bytes(found.data)
        request, size = request_of(kind, file, seed), size_of(found.data, kind.suffix, kind.lines)
        outcome = imported(request, tmp_path / "data")
        if isinstance(outcome, Outcome):
            others = {other.name: Size(None, None) for other in (*request.files[1:], *request.metadata)}
            check_rejects(outcome, {**others, file.name: size})
            accounted += check_account(outcome, kind, file.name, size)
            check_whole(outcome, kind, found.account)
            exact += len(found.account)
            well += 1
            if not any(reject["reason"] in UNREAD for reject in outcome.rejects):
                done += len(made.rows) - len(made.rows[::WHOLE])
        file.unlink()
        seed += 1
    assert well > seed / 2
    assert exact > done / 100
    assert accounted > 0 or kind.suffix.startswith(("csv", "tsv")), "no file could be counted"


def request_of(kind: Kind, file: Path, seed: int) -> Request:
    """The files beside it mangled too: a LaMP's answers (in two files of three), and metadata."""
    files, metadata = [Path(file.name)], []
    if kind.answers is not None and seed % 3:
        files.append(Path(f"test_outputs_{seed % 2}.json"))
        files[1].write_bytes(mangled(kind.answers(seed % 2)[:500], "json", seed, "golds").data)
    if kind.metadata is not None:
        metadata = [Path("metadata.jsonl")]
        metadata[0].write_bytes(mangled(kind.metadata(0)[:500], "jsonl", seed).data)
    return Request(kind.format, tuple(files), tuple(metadata), task=kind.task, columns=kind.columns, rules=ALL)


# --- by hand ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """Three good rows of a format, and where in the second something may be put."""

    format: str
    name: str  # of a file of its own kind
    rows: Callable[[], list[Record]]
    text: str  # the name of a person's text,
    entry: int | None  # in the row, or in this entry of its profile
    user: str
    task: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def with_text(self, value: Any) -> list[Record]:
        """The rows, the second with another text."""
        first, row, third = self.rows()
        if self.entry is None:
            return [first, {**row, self.text: value}, third]
        profile = [dict(entry) for entry in row["profile"]]
        profile[self.entry - 1][self.text] = value
        return [first, {**row, "profile": profile}, third]

    def with_user(self, value: Any) -> list[Record]:
        """The rows, the second with another user."""
        first, row, third = self.rows()
        return [first, {**row, self.user: value}, third]

    def written(self, rows: list[Record], path: Path) -> Path:
        """The rows in a file of the format's kind."""
        return sources.write_list(path, rows) if self.is_list else sources.write_lines(path, rows)

    @property
    def is_list(self) -> bool:
        return self.format == "lamp"


def made_of_longlamp(task: str, text: str, user: str) -> Made:
    return Made("longlamp", "test.jsonl", lambda: list(sources.longlamp(task, 3, 2)), text, 2, user, task)


def made_of_lamp(task: str, text: str) -> Made:
    return Made("lamp", "test.json", lambda: sources.lamp(task, 3, 2)[0], text, 2, "id", task)


MADE = {
    "generic": Made("generic", "test.jsonl", lambda: generic(0)[:3], "body", None, "author", columns=COLUMNS),
    "amazon": Made("amazon", "Movies.json", lambda: amazon(0)[:3], "reviewText", None, "reviewerID"),
    "dpl": Made("dpl", "test.jsonl", lambda: list(sources.dpl(3, 2)), "text", 2, "user_id"),
    "topic": made_of_longlamp("topic", "content", "author"),
    "review": made_of_longlamp("review", "reviewText", "reviewerId"),
    "abstract": made_of_longlamp("abstract", "abstract", "name"),
    "lamp-2": made_of_lamp("lamp-2", "tag"),
    "lamp-4": made_of_lamp("lamp-4", "title"),
    "lamp-7": made_of_lamp("lamp-7", "text"),
}
# What stands where a text should, and why it cannot be used.
WRONG_TEXTS: dict[str, tuple[Any, str]] = {
    "NaN": (math.nan, "is missing"),
    "null": (None, "is missing"),
    "nested nulls": ([None, [None, {"a": None}]], "is no text"),
    "a number": (4, "is no text"),
    "true": (True, "is no text"),
    "an object": ({SECRET: SECRET}, "is no text"),
    "blank": (" \t\u2028", "is blank"),
    "half of a pair": (f"{SECRET} \ud800", "has characters that cannot be stored"),
}
RIGHT_TEXTS = {
    "NUL": f"{SECRET}\0nul",
    "ten megabytes": LONG_TEXT,
    "line ends": "a\r\nb\rc\nd",
    "line ends of Unicode": "a\u2028b\x85c\x0bd\x1ce",
    "a BOM": "\ufeffa\ufeff",
    "quotes and braces": '"} ] {x} \\u0041 \\',
    "a pair as two escapes": "🙂",
    "more digits than a number has": "9" * 5000,
}
# What stands where a row's user should, and why the row cannot be used.
WRONG_USERS: dict[str, tuple[Any, str]] = {
    "a list": ([SECRET], "is no text"),
    "null": (None, "is missing"),
    "false": (False, "is no text"),
    "a half": (0.5, "is no text"),
    "blank": ("", "is blank"),
    "half of a pair": ("\udfff", "has characters that cannot be stored"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def import_made(made: Made, path: Path) -> Outcome | str:
    request = Request(made.format, (Path(path.name),), task=made.task, columns=made.columns, rules=ALL)
    return imported(request, path.parent / "data")


def ends_well(made: Made, path: Path) -> Outcome:
    outcome = import_made(made, path)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def texts_of(outcome: Outcome) -> list[str]:
    return [*outcome.histories["response"].to_pylist(), *outcome.queries["reference"].to_pylist()]


@pytest.mark.parametrize("case", WRONG_TEXTS)
@pytest.mark.parametrize("name", MADE)
def test_a_text_that_is_none_is_left_out_alone(name: str, case: str, here: Path) -> None:
    made, (value, why) = MADE[name], WRONG_TEXTS[case]
    outcome = ends_well(made, made.written(made.with_text(value), here / made.name))
    assert outcome.rejects == [
        {"file": made.name, "line": 2, "entry": made.entry, "reason": f"{made.text} {why}"},
    ]
    whole = ends_well(made, made.written(made.rows(), here / made.name))
    assert len(texts_of(outcome)) == len(texts_of(whole)) - 1


@pytest.mark.parametrize("case", RIGHT_TEXTS)
@pytest.mark.parametrize("name", MADE)
def test_a_strange_text_stays_as_it_is(name: str, case: str, here: Path) -> None:
    made = MADE[name]
    outcome = ends_well(made, made.written(made.with_text(RIGHT_TEXTS[case]), here / made.name))
    assert outcome.rejects == []
    assert RIGHT_TEXTS[case] in texts_of(outcome)


@pytest.mark.parametrize("case", WRONG_USERS)
@pytest.mark.parametrize("name", MADE)
def test_a_row_without_a_user_is_left_out(name: str, case: str, here: Path) -> None:
    made, (value, why) = MADE[name], WRONG_USERS[case]
    outcome = ends_well(made, made.written(made.with_user(value), here / made.name))
    assert outcome.rejects == [{"file": made.name, "line": 2, "entry": None, "reason": f"{made.user} {why}"}]
    assert len({*outcome.queries["user_id"].to_pylist()}) == len({row[made.user] for row in made.rows()[::2]})


@pytest.mark.parametrize(
    ("profile", "rejects"),
    [
        (None, [(None, "profile is missing")]),
        (SECRET, [(None, "profile is no list")]),
        ({SECRET: []}, [(None, "profile is no list")]),
        ([], []),
        (
            [SECRET, [], None],
            [(1, "an entry is no object"), (2, "an entry is no object"), (3, "an entry is no object")],
        ),
    ],
)
@pytest.mark.parametrize("name", [name for name in MADE if MADE[name].entry])
def test_a_profile_that_is_none(name: str, profile: Any, rejects: list[tuple[int | None, str]], here: Path) -> None:
    made = MADE[name]
    first, row, third = made.rows()
    outcome = ends_well(made, made.written([first, {**row, "profile": profile}, third], here / made.name))
    assert [(reject["line"], reject["entry"], reject["reason"]) for reject in outcome.rejects] == [
        (2, entry, reason) for entry, reason in rejects
    ]


@pytest.mark.parametrize("name", MADE)
def test_the_same_row_again_is_another_text_of_the_same_user(name: str, here: Path) -> None:
    made = MADE[name]
    row = made.rows()[0]
    outcome = ends_well(made, made.written([row] * 4, here / made.name))
    assert outcome.rejects == []
    assert outcome.queries["user_id"].to_pylist() == [row[made.user]] * (4 if made.entry else 1)
    for rows, column in ((outcome.histories, "item_id"), (outcome.queries, "query_id")):
        assert len({*rows[column].to_pylist()}) == len(rows)
    if made.entry:
        assert len(outcome.histories) + outcome.counts.get(ANSWERS, 0) == 4 * len(row["profile"])


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "a BOM": lambda data: b"\xef\xbb\xbf" + data,
    "blank lines": lambda data: b"\n \n" + data.replace(b"\n", b"\n\n\t\n"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("name", MADE)
def test_line_ends_and_a_mark_at_the_start_are_no_matter(name: str, case: str, here: Path) -> None:
    made, path = MADE[name], here / MADE[name].name
    made.written(made.rows(), path)
    plain = ends_well(made, path)
    path.write_bytes(DAMAGED[case](path.read_bytes()))
    outcome = ends_well(made, path)
    assert (outcome.histories, outcome.queries, outcome.rejects) == (plain.histories, plain.queries, [])


@pytest.mark.parametrize("name", MADE)
def test_truncated_json_costs_its_own_row(name: str, here: Path) -> None:
    made, path = MADE[name], here / MADE[name].name
    made.written(made.rows()[:2], path)
    size = path.stat().st_size
    made.written(made.rows(), path)
    path.write_bytes(path.read_bytes()[: size + 60])
    outcome = ends_well(made, path)
    reason = "no JSON from here to the end of the file" if made.is_list else "no JSON"
    assert outcome.rejects == [{"file": made.name, "line": 3, "entry": None, "reason": reason}]
    path.write_bytes(path.read_bytes()[: size // 4])
    said = f"nothing in the files can be used: rows left out, {reason} (1): see "
    assert str(import_made(made, path)).startswith(said)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\0", b"\xef\xbb\xbf", b"null", b"[]", b"{}", b'"', b"\xff\xfe{\0", b"\x1f\x8b\x08"]
)
@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "tsv", "parquet", "json.gz", "csv.gz"])
@pytest.mark.parametrize("name", ["generic", "amazon", "dpl", "topic", "lamp-4"])
def test_a_file_of_nothing_is_a_sentence(name: str, suffix: str, data: bytes, here: Path) -> None:
    (here / f"test.{suffix}").write_bytes(data)
    assert isinstance(import_made(MADE[name], here / f"test.{suffix}"), str)


GENTLE = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("name", MADE)
@GENTLE
@given(data=st.data())
def test_anything_in_any_place_is_rows_or_a_sentence(name: str, data: st.DataObject, here: Path) -> None:
    made, path = MADE[name], here / MADE[name].name
    rows = [data.draw(spoilt(row)) for row in islice(cycle(made.rows()), data.draw(st.integers(1, 4)))]
    text = [json.dumps(row, default=str, skipkeys=True) for row in rows]
    path.write_text(f"[{', '.join(text)}]" if made.is_list else "\n".join(text))
    outcome = import_made(made, path)
    if isinstance(outcome, Outcome):
        check_rejects(outcome, {path.name: Size(len(rows), len(rows))})
        refused = sum(reject["entry"] is None for reject in outcome.rejects)
        if made.entry:
            assert len(outcome.queries) + refused == len(rows)
