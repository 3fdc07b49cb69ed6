"""How far scores are apart from run to run: over seeds, over draws of the users, and over both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer, typed
from steerx_cli.core.sources import Source
from steerx_cli.report.grids import NOTHING, Entry, Grid, Page
from steerx_cli.report.reading import scored_table
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import Column, Row, Table

_SEEDED = {  # whose seeds are a run's, and what each decides where nothing is sampled
    "retrieve": "which histories are retrieved at random",
    "score-tokens": "which anchors are random",
    "generate": "whose description or vector is another's",
}
# What decides no number: how much is done at once; what has a place of its own here; names of contents.
_NO_DIFFERENCE = ("chunk_users", "batch_size", "batch_tokens", "signatures")
_NAMED = 4  # systems in a sentence
FEW = 100  # samples, where no interval is shown


@dataclass(frozen=True)
class Run:
    """What tells one run from the others."""

    where: str
    seeds: tuple[int, ...]  # all that something was drawn by
    draw: str  # which share of the users, such as 2/3; empty for all of them
    decided: frozenset[str]  # by a seed: stages
    temperatures: tuple[float, ...]  # that texts were sampled at; none where they were written greedily
    rest: frozenset[tuple[str, str]]  # whatever else its numbers come from
    table: Table

    @property
    def seed(self) -> int | None:
        """Its one seed."""
        return self.seeds[0] if len(self.seeds) == 1 else None


@dataclass(frozen=True)
class Spread:
    """One number over all runs."""

    values: tuple[float, ...]  # of each run
    over_seeds: float | None = None  # standard deviation of the seeds' means over the draws,
    over_draws: float | None = None  # and of the draws' means over the seeds, where each seed has each draw

    @property
    def mean(self) -> float:
        """Not defined where it is not in every run."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        """The standard deviation of all runs, by n − 1."""
        return float(np.std(self.values, ddof=1))

    @property
    def known(self) -> bool:
        """Whether every run has this number."""
        return all(map(isfinite, self.values))


# --- where a run comes from -------------------------------------------------------------------------------------------


def run_of(footer: Footer, where: str, table: Table) -> Run:
    """Read it from the provenance of its scores."""
    records = [entry["record"] for entry in footer.lineage().values()]
    seeded = [record for record in records if record["stage"] in _SEEDED and "seed" in record["parameters"]]
    drawn = {_draw(record) for record in records if record["stage"] == "select" and "draw" in record["parameters"]}
    return Run(
        where,
        tuple(sorted({record["parameters"]["seed"] for record in seeded})),
        " and ".join(sorted(drawn)),
        frozenset(record["stage"] for record in seeded),
        tuple(sorted({record["parameters"]["temperature"] for record in _sampled(records)})),
        frozenset(_rest(footer)),
        table,
    )


def runs_of(sources: Sequence[Source], against: str | None = None) -> list[Run]:
    """One for each file, by draw, then by seed."""
    known: dict[str, str] = {}
    for source in sources:
        if (other := known.setdefault(source.footer.fingerprint, source.where)) != source.where:
            raise SteerxError(f"{other} and {source.where} are the same run, to the last number: name one of them")
    runs = [
        run_of(source.footer, source.where, scored_table(source, Asked(against, samples=FEW))) for source in sources
    ]
    refuse_unlike(runs)
    return sorted(runs, key=lambda run: (run.draw, run.seeds))


def _sampled(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for record in records if record["stage"] == "generate" and "temperature" in record["parameters"]]


def _draw(record: Mapping[str, Any]) -> str:
    """A share of the users, with the seed of its lot where that is not the usual one."""
    seed = record["parameters"].get("seed")
    return f"{record['parameters']['draw']}{f' by seed {seed}' if seed else ''}"


def _rest(footer: Footer) -> Iterator[tuple[str, str]]:
    """What else decides the numbers, each with its name: parameters, models, and the data that nobody made."""
    for name, entry in footer.lineage().items():
        record, parameters = entry["record"], entry["record"]["parameters"]
        stage = record["stage"]
        if not record["inputs"]:
            yield "the data", name
        if stage == "select":
            parameters = {"split": split} if (split := parameters.get("split", "all")) != "all" else {}
        yield "the version of steerx", record["version"]
        yield from ((f"the {role} model", model.get("weights", "")) for role, model in record["models"].items())
        for key, value in parameters.items():
            seed = key == "seed" and stage in _SEEDED
            if not (seed or key in _NO_DIFFERENCE or key.endswith("fingerprint")):
                yield f"{key.replace('_', '-')} of {stage}", typed(value)


# --- numbers over runs ------------------------------------------------------------------------------------------------


def crossing(runs: Sequence[Run]) -> list[list[int]] | None:
    """The places of the runs, [seeds][draws], where several seeds each have several draws once; else None."""
    seeds, draws = list(dict.fromkeys(run.seed for run in runs)), list(dict.fromkeys(run.draw for run in runs))
    places = {(run.seed, run.draw): at for at, run in enumerate(runs)}
    whole = len(places) == len(runs) == len(seeds) * len(draws)
    if None in seeds or min(len(seeds), len(draws)) < 2 or not whole:
        return None
    return [[places[seed, draw] for draw in draws] for seed in seeds]


def spread(values: Sequence[float], crossed: Sequence[Sequence[int]] | None) -> Spread:
    """One number over runs, which are crossed or not."""
    if crossed is None:
        return Spread(tuple(values))
    by_both = np.array(values)[np.array(crossed)]
    over_seeds, over_draws = (float(np.std(by_both.mean(axis), ddof=1)) for axis in (1, 0))
    return Spread(tuple(values), over_seeds, over_draws)


def refuse_unlike(runs: Sequence[Run]) -> None:
    """The same systems by the same scores, each run once."""
    first = runs[0]
    for run in runs[1:]:
        scores, others = ([column.title for column in of.table.of_kind("score")] for of in (first, run))
        if scores != others:
            raise SteerxError(
                f"{first.where} has {', '.join(scores) or 'no score'}, and {run.where} {', '.join(others) or 'none'}: "
                "score all runs by the same --metric"
            )
        if unlike := {*first.table.signatures} ^ {*run.table.signatures}:
            raise SteerxError(
                f"{first.where} and {run.where} have scores of other kinds ({', '.join(sorted(unlike))}): score all "
                "runs in the same way"
            )
        _refuse_other_systems(first, run)


def _refuse_other_systems(first: Run, run: Run) -> None:
    for one, other in ((first, run), (run, first)):
        there = {row.name for row in other.table.rows}
        if missing := [row.name for row in one.table.rows if row.name not in there]:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise SteerxError(
                f"{'; '.join(missing[:_NAMED])}{more} {'is' if len(missing) == 1 else 'are'} in {one.where}, not in "
                f"{other.where}: score the same systems in every run"
            )


# --- for readers ------------------------------------------------------------------------------------------------------


def page(runs: Sequence[Run]) -> Page:
    """The spread of the scores, and of the differences that a table has."""
    crossed = crossing(runs)
    return Page([*_grids(runs, crossed)], [*_told(runs, crossed)])


def by_name(runs: Sequence[Run]) -> list[list[Row]]:
    """The rows of each system, in the order of the runs."""
    rows = [{row.name: row for row in run.table.rows} for run in runs]
    return [[of[row.name] for of in rows] for row in runs[0].table.rows]


def _grids(runs: Sequence[Run], crossed: Sequence[Sequence[int]] | None) -> Iterator[Grid]:
    table, systems = runs[0].table, by_name(runs)
    columns, against = table.of_kind("score"), table.against

    def grid(title: str, some: list[list[Row]], entry: Callable[[Sequence[Row], Column], Entry]) -> Grid:
        entries = [[entry(rows, column) for column in columns] for rows in some]
        return Grid(title, [column.title for column in columns], [rows[0].name for rows in some], entries)

    def score(rows: Sequence[Row], column: Column) -> Entry:
        return _entry(spread([row.cells[column.name].score.value for row in rows], crossed), column)

    def difference(rows: Sequence[Row], column: Column) -> Entry:
        found = [row.cells[column.name].difference for row in rows]
        return _difference(spread([nan if each is None else each.value for each in found], crossed), column)

    def above_rival(rows: Sequence[Row], column: Column) -> Entry:
        rivals = [row.rivals.get(column.name) for row in rows]
        found = spread([nan if rival is None else rival.difference.value for rival in rivals], crossed)
        names = [rival.name for rival in rivals if rival is not None]
        often = sorted({*names}, key=lambda name: (-names.count(name), name))
        told = [f"{name} {names.count(name)}" for name in often] if len(often) > 1 else often
        return _difference(found, column, told)

    yield grid(f"scores over {len(runs)} runs", systems, score)
    if against is not None and len(systems) > 1:
        others = [rows for rows in systems if rows[0].name != against]
        yield grid(f"differences to {against}", others, difference)
    if compared := [rows for rows in systems if all(row.rivals for row in rows)]:
        yield grid("differences to the strongest control", compared, above_rival)


def _entry(found: Spread, column: Column, sign: str = "", below: Sequence[str] = ()) -> Entry:
    if not found.known:
        return Entry(NOTHING)
    lowest, highest = (number(of, column, sign) for of in (min(found.values), max(found.values)))
    lines = [f"sd {number(found.sd, column)}", f"{lowest}…{highest}"]
    lines += [
        f"{name} {number(of, column)}"
        for name, of in (("seeds", found.over_seeds), ("draws", found.over_draws))
        if of is not None
    ]
    return Entry(number(found.mean, column, sign), (*lines, *below))


def _difference(found: Spread, column: Column, below: Sequence[str] = ()) -> Entry:
    better = sum(value < 0 if column.lower_is_better else value > 0 for value in found.values)
    return _entry(found, column, "+", [f"{better} of {len(found.values)}", *below])


def number(value: float, column: Column, sign: str = "") -> str:
    """A score with its decimals, or a few digits of one that is very large."""
    return f"{value:{sign}z.{column.decimals}f}" if abs(value) < 1e6 else f"{value:{sign}.3g}"


def _told(runs: Sequence[Run], crossed: Sequence[Sequence[int]] | None) -> Iterator[str]:
    table = runs[0].table
    yield f"{len(runs)} runs: {'; '.join(_which(runs))}"
    yield f"in each run {_between(run.table.examples for run in runs)} answers of each system, for " + (
        f"{_between(run.table.users for run in runs)} users{table.about and f': {table.about}'}"
    )
    yield "sd: the standard deviation over the runs, by n − 1; a…b: the lowest and the highest"
    if crossed:
        yield (
            f"seeds: the sd of the {len(crossed)} seeds' means, each over all draws; draws: of the {len(crossed[0])} "
            "draws' means, each over all seeds"
        )
    yield from _counted(table)
    yield from _decided(runs, crossed is not None)
    if differing := _differing(runs):
        yield f"the runs differ in more than seeds and draws: {', '.join(differing)}"
    yield from dict.fromkeys(
        note for run in runs for note in run.table.notes if note.startswith("BERTScore is left out")
    )
    shown = {column.name for column in table.of_kind("score")}
    yield from (of for of in table.signatures if of.partition("[")[0] in shown)


def _counted(table: Table) -> Iterator[str]:
    """What is counted below a difference, if there is one."""
    rivals = any(row.rivals for row in table.rows)
    if (table.against is None or len(table.rows) < 2) and not rivals:
        return
    lower = [column.title for column in table.of_kind("score") if column.lower_is_better]
    below = f", of {' and '.join(lower)} below it" if lower else ""
    yield f"n of m: in so many runs the difference is above 0{below}"
    if rivals:
        yield "strongest control: in each run the one that is best there by that score, and how often which was it"


def _which(runs: Sequence[Run]) -> Iterator[str]:
    """Seeds and draws."""
    several = [run for run in runs if len(run.seeds) > 1]
    if several:
        yield f"seeds cannot be told apart, since {several[0].where} has {', '.join(map(str, several[0].seeds))}"
    elif seeds := sorted({run.seed for run in runs if run.seed is not None}):
        without = sum(run.seed is None for run in runs)
        yield f"{_few('seed', seeds)}{f', {without} without any' if without else ''}"
    else:
        yield "nothing in them hangs on a seed"
    draws = sorted({run.draw for run in runs})
    yield "all users" if draws == [""] else f"{_few('draw', [draw or 'all' for draw in draws])} of the users"


def _few(what: str, values: Sequence[object]) -> str:
    return f"{what}{'s' if len(values) > 1 else ''} {', '.join(map(str, values))}"


def _decided(runs: Sequence[Run], crossed: bool) -> Iterator[str]:
    """What a seed does, where it does less than one may think."""
    if temperatures := sorted({temperature for run in runs for temperature in run.temperatures}):
        drawn = ", ".join(f"{temperature:g}" for temperature in temperatures)
        yield f"texts were sampled, at temperature {drawn}: they are others than those that are written greedily"
        return
    decided = [what for stage, what in _SEEDED.items() if any(stage in run.decided for run in runs)]
    if decided:
        alike = "; where seeds is 0, the runs of one draw are one and the same" if crossed else ""
        yield f"texts were written greedily: a seed decides {' and '.join(decided)}, and nothing else{alike}"
    else:
        yield "texts were written greedily: no seed decides anything"


def _differing(runs: Sequence[Run]) -> list[str]:
    common = frozenset.intersection(*(run.rest for run in runs))
    return sorted({name for run in runs for name, _ in run.rest - common})


def _between(values: Iterator[int]) -> str:
    found = sorted({*values})
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
