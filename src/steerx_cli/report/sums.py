"""Scores of systems as sums over users, from which every number of a table is computed, and what chance does to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isfinite, nan

import numpy as np
import polars as pl

from steerx_cli.metrics.measures import Measure, Parts
from steerx_cli.metrics.statistics import Numbers, Swapped, holm, interval, resampled, user_sums


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
class Scored:
    """The sums that everything is computed from: [users, systems, parts], each measure with its own parts."""

    sums: Numbers
    parts: Mapping[str, slice]
    measures: Mapping[str, Measure]
    asked: Asked

    @classmethod
    def of(cls, rows: pl.DataFrame, systems: Sequence[str], measures: Mapping[str, Measure], asked: Asked) -> "Scored":
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

    def p_values(
        self, one: int, names: Sequence[str], others: Sequence[int] | None = None
    ) -> dict[str, dict[int, float]]:
        """For each measure whether chance explains what parts a system from each of the others, or from some."""
        ways = {name: (self.parts[name], self.measures[name].value) for name in names}
        swapped = Swapped(self.asked.samples, self.asked.seed)
        against = [at for at in self.systems if at != one] if others is None else others
        found = {at: swapped.p_values(self.sums[:, one], self.sums[:, at], ways) for at in against}
        return {name: {at: p[name] for at, p in found.items() if name in p} for name in names}

    def best(self, name: str) -> list[int]:
        """The systems with the best value of a measure."""
        values, measure = self.totals[name], self.measures[name]
        if len(values) == 1 or np.isnan(values).all():
            return []
        most = np.nanmin(values) if measure.lower_is_better else np.nanmax(values)
        return [at for at, value in enumerate(values) if value == most]

    def strongest(self, name: str, some: Sequence[int]) -> int | None:
        """The first of these that no other is better than; None where none has a value."""
        values = {at: self.totals[name][at] for at in some if not np.isnan(self.totals[name][at])}
        better = min if self.measures[name].lower_is_better else max
        return better(values, key=values.__getitem__) if values else None

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
