"""Each method against the strongest of its controls: is it what is the user's own that does it?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from steerx_cli.core.methods import ALL_TOKENS, CONTROLS, SETTINGS
from steerx_cli.metrics.statistics import holm
from steerx_cli.report.sums import Interval, Scored


@dataclass(frozen=True)
class Rival:
    """The strongest of a system's controls by one measure, and how far the system is above it."""

    name: str  # the control's
    difference: Interval
    p_holm: float | None  # over all of the system's controls
    p_values: Sequence[float] = ()  # of all of these, as they are, the strongest first


def controls_of(systems: Sequence[Mapping[str, Any]], one: int) -> list[int]:
    """The systems that are a method, as it is set, with what knows nothing of the causal effect in the user's place.

    None where several systems are the method as it is set: what parts them may part their controls, too.
    """
    same = [each for each in systems if each["variant"] is None and _alike(each, systems[one])]
    if systems[one]["variant"] is not None or len(same) > 1:
        return []
    return [at for at, each in enumerate(systems) if each["variant"] in CONTROLS and _alike(each, systems[one])]


def _alike(control: Mapping[str, Any], system: Mapping[str, Any]) -> bool:
    """Whether they are set alike; all tokens are the same at every τ."""
    hangs = [name for name in SETTINGS if name != "tau" or control["variant"] != ALL_TOKENS]
    return all(control[name] == system[name] for name in ("method", *hangs))


def rivals_of(scored: Scored, systems: pl.DataFrame, judged: Sequence[str]) -> Iterator[dict[str, Rival]]:
    """For each system its strongest control by each measure, and whether chance explains what parts the two."""
    named = systems.to_dicts()
    for one in scored.systems:
        controls = controls_of(named, one)
        p = scored.p_values(one, judged, controls) if controls else {}
        yield {
            name: _rival(scored, name, (one, at), named[at]["variant"], p[name])
            for name in (judged if controls else ())
            if (at := scored.strongest(name, controls)) is not None
        }


def _rival(scored: Scored, measure: str, pair: tuple[int, int], name: str, p: Mapping[int, float]) -> Rival:
    one, control = pair
    value, drawn = scored.totals[measure], scored.drawn[measure]
    difference = scored.between(value[one] - value[control], drawn[:, one] - drawn[:, control])
    first = sorted(p, key=lambda at: at != control)
    return Rival(name, difference, holm(p).get(control), [p[at] for at in first])
