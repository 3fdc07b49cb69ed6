"""What came out on the demo's people: what the paper says of its methods, held against the scores of a full run."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SETTINGS
from steerx_cli.core.schemas import CHOICES, METRICS, SCORES
from steerx_cli.core.sources import Source
from steerx_cli.demo.files import place_for_table
from steerx_cli.metrics.statistics import holm
from steerx_cli.report import histogram, spread
from steerx_cli.report.formats import markdown
from steerx_cli.report.grids import Entry, Grid, Page, difference_entry, page
from steerx_cli.report.reading import read_table
from steerx_cli.report.rivals import Rival
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import Cell, Column, Row, Table

_BEGIN, _END = "<!-- the results: make demo-results -->", "<!-- end of the results -->"
TELLS = 0.05  # p below this
HOLDS, CONTRARY, UNTOLD = "holds", "contrary", "untold"
# What stands below a table of its own and is not here, or is otherwise.
NOT_SHOWN = ("Impr.", "÷ ref.", "repeats", "p:", "=:", "strongest control:")
ALIKE = "=: not told from the best score, which is bold: p, by Holm over the systems, is above 0.05"
P = (
    "p of claims: approximate randomisation, whole users swapped, two-sided, adjusted by Holm over all claims of a "
    "table and all controls, each score by itself; bold below 0.05. The strongest control is named below its difference"
)
STEERXES = ("steerx-cas", "steerx-cos")
PICTURES = ("ablations", "lexicon", "sweep-tau", "sweep-lambda", "effects", "effects-of-histories")

Who: TypeAlias = tuple[str, str | None]  # a method, and how it is not itself


@dataclass(frozen=True)
class Claim:
    """That one system does better than another."""

    better: Who
    worse: Who | None  # None: the strongest of its controls

    @property
    def words(self) -> str:
        """As a row's name."""
        return f"{_name(self.better)} > {_name(self.worse) if self.worse else 'its strongest control'}"


def _name(who: Who) -> str:
    method, variant = who
    return f"{method}, {variant}" if variant else method


# --- what is claimed --------------------------------------------------------------------------------------------------

# The order of Table 1; that what is the user's own does it; and that more could be had from knowing the user better.
OF_METHODS = (
    *(Claim((better, None), (worse, None)) for better, worse in [("rag", "non-perso"), ("cas", "rag"), ("cos", "rag")]),
    *(Claim((method, None), (worse, None)) for method, worse in [("steerx-cas", "cas"), ("steerx-cos", "cos")]),
    *(Claim((method, None), ("rag", None)) for method in STEERXES),
    *(Claim((method, None), None) for method in ("cas", *STEERXES)),
    *(Claim((method, "the true habits"), (method, None)) for method in STEERXES),
    *(Claim((method, "the true habits"), ("rag", None)) for method in STEERXES),
)
# Figure 4 and Figure 7.
OF_PARTS = tuple(
    Claim((method, better), (method, worse))
    for method in STEERXES
    for better, worse in [
        (None, "without smoothing"),
        ("without smoothing", "without tokens"),
        (None, "without tokens"),
    ]
)
OF_LEXICON = tuple(Claim((method, None), (method, "a lexicon's words")) for method in STEERXES)


# --- scores → what holds of it ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A claim held against scores: by each, the difference and p, adjusted over all comparisons of a table."""

    claim: Claim
    cells: Mapping[str, Cell]
    rivals: Mapping[str, Rival]  # where it is of controls

    def says(self, measure: str) -> str:
        """Whether it holds, its contrary does, or chance explains what there is."""
        cell = self.cells[measure]
        if cell.difference is None or cell.p_holm is None or cell.p_holm >= TELLS:
            return UNTOLD
        return HOLDS if cell.difference.value > 0 else CONTRARY


def held(claims: Sequence[Claim], metrics: Path, whole: Table) -> tuple[list[Column], list[Held]]:
    """Each claim by each score, p by Holm over all of them and all controls, each score by itself."""
    against = {name: read_table(metrics, Asked(against=name)) for name in _worse(claims, whole)}
    plain = [_plain(claim, whole, against) for claim in claims]
    columns = whole.of_kind("score")
    adjusted = {column.name: _adjusted(plain, column.name) for column in columns}
    return columns, [
        replace(each, cells={name: replace(cell, p_holm=adjusted[name].get(at)) for name, cell in each.cells.items()})
        for at, each in enumerate(plain)
    ]


def _worse(claims: Sequence[Claim], whole: Table) -> list[str]:
    return list(dict.fromkeys(_row(whole, claim.worse).name for claim in claims if claim.worse))


def _plain(claim: Claim, whole: Table, against: Mapping[str, Table]) -> Held:
    """With p as it is."""
    row = _row(whole, claim.better)
    if claim.worse is None:
        rivals = row.rivals.items()
        cells = {name: Cell(row.cells[name].score, rival.difference) for name, rival in rivals}
        return Held(claim, cells, row.rivals)
    compared = _row(against[_row(whole, claim.worse).name], claim.better)
    return Held(claim, {name: cell for name, cell in compared.cells.items() if cell.p is not None}, {})


def _adjusted(found: Sequence[Held], measure: str) -> dict[int, float]:
    """p of each claim. One of controls is as many comparisons as there are controls; the strongest is shown."""
    p = {
        (at, number): value
        for at, held in enumerate(found)
        for number, value in enumerate(
            held.rivals[measure].p_values if measure in held.rivals else [held.cells[measure].p]
        )
        if value is not None
    }
    return {at: value for (at, number), value in holm(p).items() if not number}


def _row(table: Table, who: Who) -> Row:
    found = [row for row in table.rows if (row.method, row.variant) == who]
    if len(found) != 1:
        raise SteerxError(f"{len(found)} systems are {_name(who)}, where one is to be compared: `make demo-results`")
    return found[0]


def grid_of(columns: Sequence[Column], found: Sequence[Held]) -> Grid:
    """A claim a row, a score a column; what can be told is bold."""
    return Grid(
        "what is claimed, and how far the first is above the second",
        [column.title for column in columns],
        [each.claim.words for each in found],
        [[_entry(each, column) for column in columns] for each in found],
    )


def _entry(held: Held, column: Column) -> Entry:
    entry = difference_entry(held.cells[column.name], column)
    rival = held.rivals.get(column.name)
    return replace(entry, best=held.says(column.name) != UNTOLD, below=(*entry.below, *([rival.name] if rival else [])))


def counted(columns: Sequence[Column], found: Sequence[Held]) -> Iterator[str]:
    """What the grid says, score by score."""
    for column in columns:
        said = [each.says(column.name) for each in found]
        yield (
            f"{column.title}: of {len(found)} claims {said.count(HOLDS)} hold, of {said.count(CONTRARY)} the contrary "
            f"does, and {said.count(UNTOLD)} cannot be told"
        )


# --- the page ---------------------------------------------------------------------------------------------------------


def sections(run: Path, repeated: Sequence[Path]) -> Iterator[str]:
    """All of it as Markdown."""
    results = run / "results"
    yield from _methods("The methods, with the preset's settings", results / "table-controls.parquet")
    yield from _methods("The methods, each with settings of its own", results / "tuned-controls.parquet")
    yield from _chosen(run / "tuned")
    yield from _parts("Without a part (Figure 4)", results / "ablations.parquet", OF_PARTS)
    yield _picture("ablations", "Scores of SteerX and of SteerX without a part")
    yield from _parts("A lexicon's words for anchors (Figure 7)", results / "lexicon.parquet", OF_LEXICON)
    yield _picture("lexicon", "Scores of SteerX with anchors of the causal effect and of a lexicon")
    for name, sign in (("sweep-tau", "τ"), ("sweep-lambda", "λ")):
        yield f"### SteerX(CoS) along {sign}, on development users (Figure 5)"
        yield _picture(name, f"Scores of SteerX(CoS) along {sign}")
        yield _numbers(results / f"{name}.parquet")
    yield "### How the causal effect is spread (Figure 6)"
    for name, place, of in (
        ("effects", run / "generated/scores.parquet", "what `rag` wrote"),
        ("effects-of-histories", run / "scores.parquet", "histories, by the other one"),
    ):
        yield f"Of the tokens of {of}:"
        yield _picture(name, f"Histogram of the causal effects on the tokens of {of}")
        yield markdown(histogram.page(histogram.read_effects(Source(SCORES, place))))
    yield "### Three seeds, three draws of the users"
    yield markdown(_spread(repeated))


def _methods(title: str, metrics: Path) -> Iterator[str]:
    table = read_table(metrics, Asked())
    whole = page(table)
    columns, found = held(OF_METHODS, metrics, table)
    yield f"### {title}"
    scores = [grid for grid in whole.grids if grid.title == "scores"]
    told = [sentence for sentence in whole.told if not sentence.startswith(NOT_SHOWN)]
    yield markdown(Page([*scores, grid_of(columns, found)], [ALIKE, P, *counted(columns, found), *told]))


def _parts(title: str, metrics: Path, claims: Sequence[Claim]) -> Iterator[str]:
    columns, found = held(claims, metrics, read_table(metrics, Asked()))
    yield f"### {title}"
    yield markdown(Page([grid_of(columns, found)], [*counted(columns, found)]))


def _chosen(folder: Path) -> Iterator[str]:
    """The settings, and how many were tried."""
    yield "Chosen on development users by METEOR:"
    lines = []
    for place in sorted(folder.glob("*.parquet")):
        source = Source(CHOICES, place)
        rows = source.read(0, source.footer.rows).to_pylist()
        (chosen,) = (row for row in rows if row["chosen"])
        words = ", ".join(f"{sign} {chosen[name]:g}" for name, sign in SETTINGS.items() if chosen[name] is not None)
        lines.append(f"- {chosen['method']}: {words}, of {len(rows)} settings (METEOR {chosen['score']:.4f})")
    yield "\n".join(lines) + "\n"


def _numbers(metrics: Path) -> str:
    """The scores without what chance does to them, which the picture shows."""
    (scores,) = (grid for grid in page(read_table(metrics, Asked())).grids if grid.title == "scores")
    plain = [[Entry(entry.text, (), entry.best, entry.like_the_best) for entry in row] for row in scores.entries]
    return markdown(Page([replace(scores, entries=plain)], []))


def _spread(places: Sequence[Path]) -> Page:
    return spread.page(spread.runs_of([Source(METRICS, place) for place in places]))


def _picture(name: str, said: str) -> str:
    return f"![{said}](figures/{name}.svg)\n"


def write_results(folder: Path, run: Path, repeated: Sequence[Path]) -> None:
    """Put all of a run, and of what was repeated of it, into the world's README, and the pictures beside it."""
    put = place_for_table(folder / "README.md", _BEGIN, _END)
    text = "\n".join(sections(run, repeated))
    (folder / "figures").mkdir(exist_ok=True)
    for name in PICTURES:
        shutil.copyfile(run / "results" / f"{name}.svg", folder / "figures" / f"{name}.svg")
    put(text)
