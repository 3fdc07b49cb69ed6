"""The table on a terminal: as wide as it is, each number whole, and no name that does it harm."""

import io
import re
from collections import Counter
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from reported import FOUR, HOSTILE, NAMES, NOTES, SIGNATURES, TOLD, compare, controlled, frame, several, system, users
from steerx_cli import console
from steerx_cli.core.text import visible
from steerx_cli.report.formats import FORMATS
from steerx_cli.report.grids import explained, grids, page
from steerx_cli.report.table import Table, Told
from steerx_cli.scored import shown

pytestmark = pytest.mark.filterwarnings("error")

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b]")
ODD = (
    "[red]x[/red]",
    "[/]",
    "a\x1b[31mb\x07",
    "two\nlines",
    "$(rm) \u202ereversed",
    "<b>fat</b>",
    ":smile:",
    "今回 の作品",
)


def printed(table: Table, width: int, colours: bool = False) -> str:
    """What a terminal of some width is sent."""
    file = io.StringIO()
    found = Console(
        file=file,
        width=width,
        highlight=False,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
        no_color=False,
        _environ={},
    )
    for part in shown(page(table), width):
        found.print(part)
    return file.getvalue()


@pytest.fixture(scope="module")
def table() -> Table:
    """Six systems and four scores."""
    return compare(several(), *FOUR, told=TOLD)


@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
@pytest.mark.parametrize("names", [NAMES, HOSTILE, ODD])
def test_no_line_is_wider_than_the_terminal(width: int, names: Sequence[str]) -> None:
    text = printed(compare(several(names), *FOUR, told=TOLD, samples=100), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", [40, 80])
def test_the_strongest_controls_are_named_whole_on_a_narrow_terminal(width: int) -> None:
    text = printed(compare(controlled(), "rouge1", "meteor"), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    part = text[text.index("differences to the strongest control") : text.index("the answers")]
    assert ["random anchors" in part, "another's description" in part] == [True, True]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_names_are_unbroken(table: Table, width: int) -> None:
    lines = printed(table, width).splitlines()
    for grid in grids(table):
        start = lines.index(grid.title)
        for name in grid.names:
            assert any(re.match(rf"  {re.escape(name)}  ", line) for line in lines[start:])


@pytest.mark.parametrize(
    "table",
    [
        compare(several(), *FOUR, told=TOLD),
        compare(several(), "rouge1", "rougeL", "meteor", "bertscore", told=TOLD),
        compare(controlled(), "rouge1", "meteor", told=TOLD),
    ],
)
@pytest.mark.parametrize("width", [100, 200])
def test_every_number_and_every_interval_is_whole(width: int, table: Table) -> None:
    left = iter(printed(table, width).splitlines())
    for grid in grids(table):
        assert next(line for line in left if line.strip()) == grid.title
        assert re.split(r" {2,}", next(left).strip()) == grid.head
        for name, entries in zip(grid.names, grid.entries, strict=True):
            numbers = [f"{'= ' if entry.like_the_best else ''}{entry.text}" for entry in entries]
            assert re.split(r" {2,}", next(left).strip()) == [name, *numbers]
            for line in range(len(entries[0].below)):
                assert re.split(r" {2,}", next(left).strip()) == [entry.below[line] for entry in entries]
    assert " ".join(left).split() == " ".join(explained(table)).split()


@pytest.mark.parametrize("width", [30, 40, 60])
def test_columns_that_find_no_room_stand_below_the_others(width: int) -> None:
    table = compare(several(), *FOUR, told=TOLD)
    lines = [re.split(r" {2,}", line.strip()) for line in printed(table, width).splitlines()]
    shown = Counter(part for line in lines for part in line)
    for grid in grids(table):
        for entries in grid.entries:
            for entry in entries:
                assert shown[f"{'= ' if entry.like_the_best else ''}{entry.text}"] >= 1
                assert all(shown[line] >= 1 for line in entry.below)
    assert sum(line[0] == "non-perso" for line in lines) > sum("non-perso" in grid.names for grid in grids(table))


def test_numbers_stand_one_below_the_other_at_the_right(table: Table) -> None:
    lines = printed(table, 100).splitlines()
    first = lines[lines.index("scores") + 1 : lines.index("differences to non-perso") - 1]
    assert len({len(line.rstrip()) for line in first}) == 1


def test_the_best_is_bold_and_what_is_like_it_is_marked_and_the_rest_is_dim(table: Table) -> None:
    text = printed(table, 200, colours=True)
    bold = re.findall(r"\x1b\[1m(\S+)\x1b\[0m", text)
    scores = next(iter(grids(table)))
    best = [entry.text for entries in scores.entries for entry in entries if entry.best]
    assert sorted(number for number in bold if number[0].isdigit()) == sorted(best)
    for entries in scores.entries:
        for entry in entries:
            assert (f"= {entry.text}" in text) == entry.like_the_best
            assert f"\x1b[2m{entry.below[0]}\x1b[0m" in text
    assert "\x1b[1mscores\x1b[0m" in text
    assert f"\x1b[2m{SIGNATURES[0]}\x1b[0m" in text


def test_what_is_told_stands_below(table: Table) -> None:
    text = printed(table, 200)
    for told in (*SIGNATURES, *NOTES):
        assert told in text[text.index("the answers") :].splitlines()


@pytest.mark.parametrize("colours", [False, True])
def test_no_name_does_a_terminal_harm(colours: bool) -> None:
    hostile = compare(several(ODD), *FOUR, told=TOLD, against=ODD[2], samples=100)
    text = printed(hostile, 200, colours)
    own = re.sub(r"\x1b\[[12]?m|\x1b\[0m", "", text)
    assert not CONTROL.search(own)
    for name in ODD:
        assert any(line.startswith(f"  {visible(name)}  ") for line in own.splitlines())
    assert f"differences to {visible(ODD[2])}" in own.splitlines()


def test_what_is_told_of_a_file_does_a_terminal_no_harm() -> None:
    rows = several(["rag", "cos"])
    told = printed(compare(rows, "meteor", told=Told("split \x1b[31m", ["meteor[red]x\x07"], ["a\nb [/]"])), 200)
    assert not CONTROL.search(told)
    for line in ("meteor[red]x␇", "a⏎b [/]", "36 answers of each system, for 12 users: split ␛[31m"):
        assert line in told.splitlines()


def test_what_is_not_defined_is_a_dash() -> None:
    rows = frame(system("non-perso", users(8), meteor=0.0), system("b", users(8), meteor=0.5, distinct2=None))
    lines = printed(compare(rows, "meteor"), 100).splitlines()
    assert [line.split() for line in lines[lines.index("improvement over non-perso") :][1:3]] == [
        ["Impr.", "(1", "of", "4)"],
        ["b", "–"],
    ]


def test_the_console_writes_the_table_for_a_reader_or_in_a_format(
    table: Table, alone: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    console.page(page(table))
    assert capsys.readouterr() == (printed(table, 100), "")
    for written in FORMATS.values():
        console.text(written(table))
        assert capsys.readouterr() == (written(table), "")
