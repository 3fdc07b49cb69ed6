"""The table of systems: every score with what chance does to it, from the scores of single answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isfinite, nan
from typing import Any

import numpy as np
import polars as pl

from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics.measures import SENTENCE_BLEU, SHAPES, Measure, Parts, score_measures
from steerx_cli.metrics.statistics import IMPROVED, Numbers, Swapped, holm, improvement, interval, resampled, user_sums


@dataclass(frozen=True)
class Asked:
    """How the scores of systems are compared."""

    against: str | None = None  # a system's name, or a method with one system; None: non-perso where it is there
    samples: int = 10_000  # resamples of users, and swaps of them
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A number, and between what it lies."""

    value: float
    low: float
    high: float
    undefined: int = 0  # resamples that have no such number, which it leaves out


@dataclass(frozen=True)
class Cell:
    """One measure of one system."""

    score: Interval
    difference: Interval | None = None  # to the baseline
    p: float | None = None
    p_holm: float | None = None
    best: bool = False
    like_the_best: bool = False  # chance explains the difference


@dataclass(frozen=True)
class Row:
    """One system."""

    name: str
    method: str
    lam: float | None
    gamma2: float | None
    cells: Mapping[str, Cell]  # by measure; those of Impr. too


@dataclass(frozen=True)
class Column:
    """One measure: of the scores, of the paper's improvement, or of the answers' shape."""

    name: str
    title: str
    kind: str  # score, improvement, shape, or more, which only programs are told
    decimals: int
    percent: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True)
class Told:
    """What stands below a table."""

    about: str = ""  # which examples
    signatures: Sequence[str] = ()
    notes: Sequence[str] = ()


NOTHING = Told()


@dataclass(frozen=True)
class Table:
    """All of it."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    examples: int
    users: int
    asked: Asked
    against: str | None
    about: str
    signatures: Sequence[str]
    notes: Sequence[str]

    def of_kind(self, *kinds: str) -> list[Column]:
        """The columns of some kinds."""
        return [column for column in self.columns if column.kind in kinds]


# --- the numbers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """The sums that everything is computed from: [users, systems, parts], each measure with its own parts."""

    sums: Numbers
    parts: Mapping[str, slice]
    measures: Mapping[str, Measure]
    asked: Asked

    @classmethod
    def of(cls, rows: pl.DataFrame, systems: Sequence[str], measures: Mapping[str, Measure], asked: Asked) -> "_Scored":
        """Add up what is in the rows, which name the examples in one order under each system."""
        users = {user: at for at, user in enumerate(rows["user_id"].unique(maintain_order=True))}
        distinct = dict.fromkeys(
            measure.parts for measure in measures.values()
        )  # those of labels have theirs in common
        sums, places = [], dict[Parts, slice]()
        for system in systems:
            own = rows.filter(pl.col("system") == system)
            found = [parts(own) for parts in distinct]
            ends = np.cumsum([0, *(each.shape[1] for each in found)]).tolist()
            places = {parts: slice(*at) for parts, at in zip(distinct, pairwise(ends), strict=True)}
            sums.append(user_sums(np.concatenate(found, 1), [users[user] for user in own["user_id"]], len(users)))
        return cls(np.stack(sums, 1), {name: places[of.parts] for name, of in measures.items()}, measures, asked)

    @property
    def systems(self) -> range:
        """Their places."""
        return range(self.sums.shape[1])

    @cached_property
    def totals(self) -> dict[str, Numbers]:
        """Each measure of each system: [systems]."""
        whole = self.sums.sum(0)
        return {
            name: np.array([self.measures[name].of(system[at]) for system in whole]) for name, at in self.parts.items()
        }

    @cached_property
    def drawn(self) -> dict[str, Numbers]:
        """The same of the same users drawn with replacement, over and over: [samples, systems]."""
        draws = resampled(self.sums, self.asked.samples, self.asked.seed)
        return {name: self.measures[name].value(draws[..., at]) for name, at in self.parts.items()}

    def p_values(self, one: int, names: Sequence[str]) -> dict[str, dict[int, float]]:
        """For each measure whether chance explains what parts a system from each of the others."""
        ways = {name: (self.parts[name], self.measures[name].value) for name in names}
        swapped = Swapped(self.asked.samples, self.asked.seed)
        found = {at: swapped.p_values(self.sums[:, one], self.sums[:, at], ways) for at in self.systems if at != one}
        return {name: {at: p[name] for at, p in found.items() if name in p} for name in names}

    def best(self, name: str) -> list[int]:
        """The systems with the best value of a measure."""
        values, measure = self.totals[name], self.measures[name]
        if len(values) == 1 or np.isnan(values).all():
            return []
        most = np.nanmin(values) if measure.lower_is_better else np.nanmax(values)
        return [at for at, value in enumerate(values) if value == most]

    def like_the_best(self, names: Sequence[str]) -> dict[str, set[int]]:
        """For each measure the systems whose difference to the best chance explains."""
        best = {name: some for name in names if (some := self.best(name))}
        found: dict[str, set[int]] = {}
        for top in {some[0] for some in best.values()}:
            p = self.p_values(top, [name for name, some in best.items() if some[0] == top])
            for name, of in p.items():
                alike = {at for at, value in holm(of).items() if value > 1 - self.asked.confidence}
                found[name] = alike - {*best[name]}
        return found

    def between(self, value: float, drawn: Numbers) -> Interval:
        """A number with its interval; resamples in which it is not defined say nothing."""
        defined = drawn[np.isfinite(drawn)]
        undefined = drawn.size - len(defined)
        if not (isfinite(value) and len(defined)):
            return Interval(float(value), nan, nan, undefined)
        return Interval(float(value), *interval(defined, self.asked.confidence), undefined)


@np.errstate(over="ignore", invalid="ignore")  # a rating may be as large as a float, and its square without end
def tabulate(
    rows: pl.DataFrame, metrics: Sequence[str], labels: Sequence[str], asked: Asked, told: Told = NOTHING
) -> Table:
    """The table of what `metrics` holds, with these measures, and with what is to be told below it."""
    known = score_measures(labels)
    scores = {name: known[name] for name in metrics}
    systems = rows.select("system", "method", "lam", "gamma2").unique("system", maintain_order=True)
    names = systems["system"].to_list()
    more = {SENTENCE_BLEU.name: SENTENCE_BLEU} if "bleu" in scores else {}
    scored = _Scored.of(rows, names, {**scores, **SHAPES, **more}, asked)
    base = baseline([*zip(names, systems["method"], strict=True)], asked.against)
    cells = _cells(scored, base, [*scores])
    columns = [_column(measure, "score") for measure in scores.values()]
    if base is not None and len(names) > 1:
        columns += _improve(scored, base, cells)
    return Table(
        columns=[
            *columns,
            *(_column(measure, "shape") for measure in SHAPES.values()),
            *(_column(measure, "more") for measure in more.values()),
        ],
        rows=[Row(**of, cells=own) for of, own in zip(_named(systems), cells, strict=True)],
        examples=len(rows) // len(names),
        users=len(scored.sums),
        asked=asked,
        against=None if base is None else names[base],
        about=told.about,
        signatures=told.signatures,
        notes=[*told.notes, *_too_few(scored), *_gaps(columns, cells, asked)],
    )


def _named(systems: pl.DataFrame) -> list[dict[str, Any]]:
    return systems.rename({"system": "name"}).to_dicts()


def baseline(systems: Sequence[tuple[str, str]], against: str | None) -> int | None:
    """Which of (name, method) the others are compared with: the one named, or non-perso where there is one of it."""
    wanted = "non-perso" if against is None else against
    by_name = [at for at, (name, _) in enumerate(systems) if name == wanted]
    by_method = [at for at, (_, method) in enumerate(systems) if method == wanted]
    found = by_name or by_method
    if len(found) == 1 or against is None:
        return found[0] if len(found) == 1 else None
    raise SteerxError(
        f"{len(found) or 'no'} systems are called {against!r}: name one of these with --against: "
        + "; ".join(name for name, _ in systems)
    )


def _column(measure: Measure, kind: str) -> Column:
    return Column(measure.name, measure.title, kind, measure.decimals, measure.percent, measure.lower_is_better)


def _cells(scored: _Scored, base: int | None, judged: Sequence[str]) -> list[dict[str, Cell]]:
    """The cells of each system; p is asked for the judged measures only."""
    p = scored.p_values(base, judged) if base is not None else {}
    p_holm = {name: holm(of) for name, of in p.items()}
    best = {name: scored.best(name) for name in judged}
    like = scored.like_the_best(judged)

    def cell(name: str, at: int) -> Cell:
        value, drawn = scored.totals[name], scored.drawn[name]
        apart = base is not None and at != base
        return Cell(
            score=scored.between(value[at], drawn[:, at]),
            difference=scored.between(value[at] - value[base], drawn[:, at] - drawn[:, base]) if apart else None,
            p=p.get(name, {}).get(at),
            p_holm=p_holm.get(name, {}).get(at),
            best=at in best.get(name, ()),
            like_the_best=at in like.get(name, ()),
        )

    return [{name: cell(name, at) for name in scored.measures} for at in scored.systems]


def _improve(scored: _Scored, base: int, cells: Sequence[dict[str, Cell]]) -> Iterator[Column]:
    """Add the paper's Impr. over the baseline to every other system's cells, with and without BLEU."""
    there = [name for name in IMPROVED if name in scored.measures]
    for name, title, without in (("impr", "Impr.", ()), ("impr-no-bleu", "Impr. w/o BLEU", ("bleu",))):
        used = [each for each in there if each not in without]
        if not used or (without and "bleu" not in there):
            continue
        for at in scored.systems:
            values, spread = (
                improvement({each: of[each][..., at] for each in used}, {each: of[each][..., base] for each in used})
                for of in (scored.totals, scored.drawn)
            )
            if at != base:
                cells[at][name] = Cell(scored.between(float(values), spread))
        possible = len(IMPROVED) - len(without)
        share = "" if len(used) == possible else f" ({len(used)} of {possible})"
        yield Column(name, f"{title}{share}", "improvement", 2, percent=True)


def _gaps(columns: Sequence[Column], cells: Sequence[Mapping[str, Cell]], asked: Asked) -> Iterator[str]:
    """Which intervals leave resamples out."""
    for column in columns:
        scores = (own[column.name].score for own in cells if column.name in own)
        if most := max((score.undefined for score in scores if isfinite(score.value)), default=0):
            yield f"{column.title}: up to {most:,} of {asked.samples:,} samples have none, and intervals leave them out"


def _too_few(scored: _Scored) -> Iterator[str]:
    users = len(scored.sums)
    if users == 1:
        yield "with one user intervals say nothing"
    smallest = 2.0 ** (1 - users)
    if len(scored.systems) > 1 and smallest > 1 - scored.asked.confidence:
        of = f"{users} user{'s' if users > 1 else ''}"
        yield f"with {of} no p is below {smallest:.2g}: there are too few of them to tell systems apart"
