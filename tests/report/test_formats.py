"""The table as programs and pages read it: nothing is lost in CSV and JSON, nothing breaks Markdown and LaTeX."""

import csv
import io
import json
import re
from dataclasses import asdict
from math import isnan
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt

from reported import (
    FOUR,
    HOSTILE,
    NAMES,
    NOTES,
    SIGNATURES,
    TOLD,
    compare,
    controlled,
    frame,
    rows_of,
    several,
    system,
    users,
)
from steerx_cli.report.formats import FORMATS, as_json, comma_separated, latex, markdown
from steerx_cli.report.grids import explained, grids, page
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Table, Told

pytestmark = pytest.mark.filterwarnings("error")

HEADER = (
    "system,method,lam,gamma2,tau,gamma1,layer,variant,measure,value,low,high,"
    "against,difference,difference_low,difference_high,p,p_holm,best,like_the_best,"
    "control,control_difference,control_difference_low,control_difference_high,control_p_holm,answers,users,signature"
)
LINES = "rag\nand $x$ & more | \r\n\n# head"


class Place(NamedTuple):
    """What a page shows in one place of a table."""

    text: str
    bold: bool


@pytest.fixture(scope="module")
def table() -> Table:
    """Six systems and four scores."""
    return compare(several(), *FOUR, told=TOLD)


@pytest.fixture(scope="module")
def controls() -> Table:
    """A method, its controls, and others."""
    return compare(controlled(), "rouge1", "meteor")


@pytest.fixture(scope="module")
def undefined() -> Table:
    """Two systems, and an improvement over nothing."""
    rows = frame(
        system("non-perso", users(8), meteor=0.0, distinct2=None), system("b", users(8), "cos", lam=0.5, meteor=0.5)
    )
    return compare(rows, "meteor")


def shown(text: str) -> tuple[list[list[list[Place]]], list[str], list[str]]:
    """The tables, the items of lists and the paragraphs of a page, as a reader sees them."""
    tables: list[list[list[Place]]] = []
    items: list[str] = []
    paragraphs: list[str] = []
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    depth = 0
    for at, token in enumerate(tokens):
        depth += {"bullet_list_open": 1, "bullet_list_close": -1}.get(token.type, 0)
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline":
            place = inline(token.children or [])
            before = tokens[at - 1].type
            if before in ("td_open", "th_open"):
                tables[-1][-1].append(place)
            else:
                (items if depth else paragraphs).append(place.text)
        else:
            assert re.fullmatch(
                "(table|thead|tbody|tr|th|td|paragraph|bullet_list|list_item)_(open|close)", token.type
            ), token
    return tables, items, paragraphs


def inline(tokens: Any) -> Place:
    """The text of a line in which nothing but breaks and fat letters may be."""
    text, bold = "", False
    for token in tokens:
        if token.type == "html_inline":
            assert token.content == "<br>"
            text += "\n"
        elif token.type in ("strong_open", "strong_close"):
            bold = True
        else:
            assert token.type in ("text", "text_special"), token
            text += token.content
    return Place(text, bold)


def rows_of_latex(text: str) -> list[list[list[str]]]:
    """The rows of each of the tables, as columns."""
    return [
        [re.split(r"(?<!\\)&", line) for line in body.splitlines() if line.endswith(r"\\")]
        for body in re.findall(r"\\begin\{tabular\}.*?\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    ]


# --- CSV and JSON -----------------------------------------------------------------------------------------------------


def test_csv_has_a_stable_head_and_a_line_for_each_measure_of_each_system(table: Table) -> None:
    text = comma_separated(table)
    assert text.splitlines()[0] == HEADER
    assert "\r" not in text
    found = [(row["system"], row["measure"]) for row in csv.DictReader(io.StringIO(text))]
    shapes = ["words", "length", "cut", "empty", "failed", "repeated4", "distinct2", "sentence-bleu"]
    measures = [*FOUR, *shapes]
    assert found == [
        (name, measure)
        for name in NAMES
        for measure in (measures if name == "non-perso" else [*measures, "impr", "impr-no-bleu"])
    ]


def test_csv_has_everything_in_full_precision(table: Table) -> None:
    def number(text: str) -> float | None:
        return float(text) if text else None

    def interval(found: Interval | None) -> tuple[float | None, ...]:
        return (None, None, None) if found is None else (found.value, found.low, found.high)

    systems = rows_of(table)
    for row in csv.DictReader(io.StringIO(comma_separated(table))):
        cell = systems[row["system"]].cells[row["measure"]]
        assert tuple(number(row[name]) for name in ("value", "low", "high")) == interval(cell.score)
        parts = ("difference", "difference_low", "difference_high")
        assert tuple(number(row[name]) for name in parts) == interval(cell.difference)
        assert (number(row["p"]), number(row["p_holm"])) == (cell.p, cell.p_holm)
        assert (row["best"], row["like_the_best"]) == (str(cell.best), str(cell.like_the_best))
        assert (row["answers"], row["users"]) == ("36", "12")
        assert row["signature"] == next((of for of in table.signatures if of.startswith(f"{row['measure']}[")), "")
        compared = row["system"] != "non-perso"
        assert row["against"] == ("non-perso" if compared else "")
    assert any(row.cells["meteor"].p_holm for row in table.rows)


def test_csv_names_the_method_its_settings_and_its_variant() -> None:
    of = {"tau": 0.7, "gamma1": 0.4, "layer": 20}
    rows = frame(
        system("cos λ 0.5", users(8), "cos", lam=0.5, meteor=0.3),
        system('cas "γ2" 1, b', users(8), "cas", gamma2=1.0, meteor=0.3, variant='the "mean", b', **of),
    )
    found = csv.DictReader(io.StringIO(comma_separated(compare(rows, "meteor"))))
    columns = ("system", "method", "lam", "gamma2", "tau", "gamma1", "layer", "variant", "against")
    assert {tuple(row[column] for column in columns) for row in found} == {
        ("cos λ 0.5", "cos", "0.5", "", "", "", "", "", ""),
        ('cas "γ2" 1, b', "cas", "", "1.0", "0.7", "0.4", "20", 'the "mean", b', ""),
    }


def test_csv_has_the_strongest_control_beside_the_method_s_scores_and_no_others(controls: Table) -> None:
    columns = ("control_difference", "control_difference_low", "control_difference_high", "control_p_holm")
    named = []
    for row in csv.DictReader(io.StringIO(comma_separated(controls))):
        rival = rows_of(controls)[row["system"]].rivals.get(row["measure"])
        if rival is None:
            assert {row[column] for column in ("control", *columns)} == {""}
            continue
        named.append((row["system"], row["measure"], row["control"]))
        assert row["control"] == rival.name
        wanted = [rival.difference.value, rival.difference.low, rival.difference.high, rival.p_holm]
        assert [float(row[column]) for column in columns] == wanted
    assert named == [
        ("steerx-cos λ 0.5", "rouge1", "random anchors"),
        ("steerx-cos λ 0.5", "meteor", "another's description"),
    ]


def test_json_has_null_where_there_is_no_control_and_where_nothing_is_defined(controls: Table) -> None:
    columns = ("control", "control_difference", "control_difference_low", "control_difference_high", "control_p_holm")
    for cell in json.loads(as_json(controls))["cells"]:
        compared = cell["system"] == "steerx-cos λ 0.5" and cell["measure"] in ("rouge1", "meteor")
        assert [cell[column] is None for column in columns] == [not compared] * 5
    rows = frame(
        system("a", users(8), "cos", meteor=None), system("b", users(8), "cos", variant="all tokens", meteor=0.3)
    )
    (cell,) = (of for of in json.loads(as_json(compare(rows, "meteor")))["cells"] if of["control"])
    assert [cell[column] for column in columns] == ["all tokens", None, None, None, None]


def strings(cells: list[dict[str, Any]]) -> list[dict[str, str]]:
    """As CSV has them."""
    return [{key: "" if value is None else str(value) for key, value in cell.items()} for cell in cells]


def test_json_has_the_same_cells_of_controls(controls: Table) -> None:
    read = list(csv.DictReader(io.StringIO(comma_separated(controls))))
    assert strings(json.loads(as_json(controls))["cells"]) == read


def test_json_has_the_same_cells_and_what_is_told_below(table: Table) -> None:
    text = as_json(table)
    assert text.endswith("}\n")
    assert "γ2" in text
    document = json.loads(text)
    read = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert strings(document["cells"]) == read
    del document["cells"]
    assert document.pop("columns") == [asdict(column) for column in table.columns]
    document.pop("about", None)
    assert document == {
        "answers": 36,
        "users": 12,
        "against": "non-perso",
        "samples": 200,
        "confidence": 0.95,
        "seed": 0,
        "signatures": [*SIGNATURES],
        "notes": [*NOTES],
    }


def test_json_says_which_answers_are_compared(table: Table) -> None:
    assert json.loads(as_json(table))["about"] == "split test"


def test_what_is_not_defined_is_null_and_an_empty_field(undefined: Table) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for cell in json.loads(as_json(undefined), parse_constant=refuse)["cells"]:
        if (cell["system"], cell["measure"]) in {("b", "impr"), ("non-perso", "distinct2")}:
            assert (cell["value"], cell["low"], cell["high"]) == (None, None, None)
        else:
            assert None not in (cell["value"], cell["low"], cell["high"])
    (row,) = (row for row in csv.DictReader(io.StringIO(comma_separated(undefined))) if row["measure"] == "impr")
    assert (row["system"], row["value"], row["low"], row["high"], row["against"]) == ("b", "", "", "", "non-perso")
    assert isnan(rows_of(undefined)["b"].cells["impr"].score.value)


# --- Markdown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["table", "controls"])
def test_markdown_shows_every_part_with_its_numbers_and_marks(of: str, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(of)
    tables, items, titles = shown(FORMATS["markdown"](table))
    assert items == [*explained(table)]
    parts = [*grids(table)]
    assert titles == [grid.title[:1].upper() + grid.title[1:] for grid in parts]
    for grid, (head, *rows) in zip(parts, tables, strict=True):
        assert head == [Place(text, False) for text in ("", *grid.head)]
        for name, entries, (first, *places) in zip(grid.names, grid.entries, rows, strict=True):
            assert first == Place(name, False)
            for entry, place in zip(entries, places, strict=True):
                mark = "= " if entry.like_the_best else ""
                assert place.text.split("\n") == [
                    f"{mark}{entry.text} ".rstrip() + " " * bool(entry.below),
                    *lines(entry.below),
                ]
                assert place.bold == entry.best


def lines(below: tuple[str, ...]) -> list[str]:
    """What stands in small below a number, each line but the last with the space before the break."""
    return [*(f"{line} " for line in below[:-1]), *below[-1:]]


def test_markdown_has_as_many_places_in_every_row_as_in_the_head(table: Table) -> None:
    for block in FORMATS["markdown"](compare(several(HOSTILE), *FOUR)).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1
    assert "**0.3064**" in FORMATS["markdown"](table)
    assert re.search(r"\| = 0\.\d{4} <br>0\.\d{3}…0\.\d{3} \|", FORMATS["markdown"](table))


def test_markdown_shows_hostile_names_as_they_are() -> None:
    told = Told(notes=["> <b>", "a_b_ *c*"])
    hostile = compare(several(HOSTILE), *FOUR, told=told, against=HOSTILE[0])
    text = FORMATS["markdown"](hostile)
    tables, items, _ = shown(text)
    assert [row[0].text for row in tables[0][1:]] == [*HOSTILE]
    assert items == [*explained(hostile)]
    for sign in ("<b>", "<script>", "[to](", "[red]"):
        assert sign not in text.replace("\\" + sign[0], "")


def test_markdown_keeps_the_name_of_the_baseline_in_its_titles() -> None:
    name = "rag, model Qwen/Qwen3-8B"
    _, _, titles = shown(FORMATS["markdown"](compare(several([name, "cos"]), "meteor", against=name)))
    assert titles == ["Scores", f"Differences to {name}", f"Improvement over {name}", "The answers"]


def test_markdown_keeps_a_name_of_several_lines_on_one() -> None:
    tables, items, titles = shown(FORMATS["markdown"](compare(several([LINES, "cos"]), "meteor", against=LINES)))
    assert [len(rows) for rows in tables] == [3, 2, 2, 3]
    assert len(titles) == 4
    assert len(items) == 7
    assert tables[0][1][0].text.startswith("rag")


# --- LaTeX ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [NAMES, HOSTILE])
def test_latex_has_as_many_columns_in_every_row_as_it_declares(names: tuple[str, ...]) -> None:
    compared = compare(several(names), *FOUR, told=TOLD, against=names[0])
    text = FORMATS["latex"](compared)
    declared = re.findall(r"\\begin\{tabular\}\{(l(r+))\}", text)
    parts = [*grids(compared)]
    assert [len(columns) for columns, _ in declared] == [1 + len(grid.head) for grid in parts]
    for grid, (columns, _), rows in zip(parts, declared, rows_of_latex(text), strict=True):
        assert {len(row) for row in rows} == {len(columns)}
        assert len([row for row in rows if row[0].strip()]) == len(grid.names)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(parts)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule + "\n") == len(parts)


@pytest.mark.parametrize("names", [NAMES, HOSTILE])
def test_latex_is_ascii_and_its_braces_are_balanced(names: tuple[str, ...]) -> None:
    for line in FORMATS["latex"](compare(several(names), *FOUR, told=TOLD, against=names[0])).splitlines():
        if line.startswith("% "):
            continue
        assert line.isascii()
        bare = re.sub(r"\\[{}]", "", line)
        assert bare.count("{") == bare.count("}")
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
        assert not re.search(r"(?<!\\)[%#_~^]", line)


def test_latex_writes_what_it_would_read_as_its_own_as_signs() -> None:
    rows = rows_of_latex(FORMATS["latex"](compare(several(HOSTILE), *FOUR)))[0]
    assert [row[0].strip() for row in rows if row[0].strip()] == [
        r"a\textbar{}b*c\_d`e`\textasciitilde{}\textasciitilde{}f\textasciitilde{}\textasciitilde{}",
        "{[}red]x{[}/red]",
        r"\$(rm -r) \& 100 \% \#1 \{x\} \textasciicircum{}2 \textasciitilde{}y \textbackslash{}z",
        r"$<$b$>$fat$<$/b$>$$<$script$>$",
        "{[}to](http://there)",
        r"$\lambda$ 0.5, $\gamma$2 1, $\tau$ 0.7",
    ]


@pytest.mark.parametrize("of", ["table", "controls"])
def test_latex_shows_every_number_with_what_is_below_it(of: str, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(of)

    def number(text: str) -> str:
        signs = {"-": "$-$", "…": r"\dots{}", "–": "--", "%": r"\%", "<": "$<$"}
        return "".join(signs.get(sign, sign) for sign in text)

    text = FORMATS["latex"](table)
    for grid, rows in zip(grids(table), rows_of_latex(text), strict=True):
        left = iter([column.strip().removesuffix(r"\\").strip() for column in row] for row in rows)
        assert next(left)[0] == ""
        for entries in grid.entries:
            first, *marked = next(left)
            assert first
            for entry, found in zip(entries, marked, strict=True):
                plain = number(entry.text)
                assert found == (
                    rf"\textbf{{{plain}}}" if entry.best else f"$=$ {plain}" if entry.like_the_best else plain
                )
            for line in range(len(entries[0].below)):
                empty, *below = next(left)
                assert empty == ""
                assert below == [rf"{{\scriptsize {number(entry.below[line])}}}" for entry in entries]
        assert next(left, None) is None


def test_what_readers_are_shown_names_the_strongest_controls(controls: Table) -> None:
    tables, _, titles = shown(FORMATS["markdown"](controls))
    assert titles[3] == "Differences to the strongest control"
    (_, (name, *places)) = tables[3]
    assert (name.text, [place.text.split("\n")[-1] for place in places]) == (
        "steerx-cos λ 0.5",
        ["random anchors", "another's description"],
    )
    *_, last = rows_of_latex(FORMATS["latex"](controls))[3]
    assert [column.strip() for column in last] == [
        "",
        r"{\scriptsize random anchors}",
        r"{\scriptsize another's description} \\",
    ]


def test_latex_leaves_no_line_for_what_has_nothing_below(undefined: Table) -> None:
    improved = rows_of_latex(FORMATS["latex"](undefined))[2]
    assert [[column.strip() for column in row] for row in improved[1:]] == [["b", r"-- \\"]]


def test_latex_tells_what_the_numbers_are_in_comments(table: Table) -> None:
    text = FORMATS["latex"](table)
    comments = [line.removeprefix("% ") for line in text.splitlines() if line.startswith("%")]
    assert comments == [*explained(table), *(grid.title for grid in grids(table))]
    assert text.index(r"\begin") > text.index(SIGNATURES[-1])


def test_latex_lets_no_name_of_several_lines_out_of_its_comment() -> None:
    text = FORMATS["latex"](compare(several([LINES, "cos"]), "meteor", against=LINES))
    for line in re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", text, flags=re.DOTALL).splitlines():
        assert not line or line.startswith("% ")
    assert {len(row) for row in rows_of_latex(text)[0]} == {2}


# --- all of them ------------------------------------------------------------------------------------------------------


def test_the_formats_are_those_that_can_be_asked_for() -> None:
    table = compare(several(), *FOUR)
    assert {name: written(table) for name, written in FORMATS.items()} == {
        "markdown": markdown(page(table)),
        "csv": comma_separated(table),
        "latex": latex(page(table)),
        "json": as_json(table),
    }


@pytest.mark.parametrize("name", ["markdown", "latex", "json"])
def test_signatures_and_notes_are_told(table: Table, name: str) -> None:
    text = FORMATS[name](table).replace("\\", "")
    assert text.endswith("\n")
    for told in (*SIGNATURES, *NOTES):
        assert told in text


@pytest.mark.parametrize("name", FORMATS)
def test_one_system_alone_and_nothing_defined_can_be_written(undefined: Table, name: str) -> None:
    for table in (undefined, compare(several(["non-perso"]), *FOUR), compare(several(["rag", "cos"]), "rougeL")):
        text = FORMATS[name](table)
        assert not re.search(r"\b(nan|NaN|inf|Infinity)\b", text)
