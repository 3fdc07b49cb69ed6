"""`steerx report`: figures of scores and of effects, and how far several runs are apart."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TypeAlias

from steerx_cli.core.artifacts import artifact_of
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing
from steerx_cli.core.outputs import Output, explained
from steerx_cli.core.places import whole_path
from steerx_cli.core.schemas import EFFECTS, METRICS, SCORES, Artifact
from steerx_cli.core.sources import Source, find_files
from steerx_cli.report import histogram, spread
from steerx_cli.report.curves import Line, lines_of
from steerx_cli.report.grids import Page
from steerx_cli.report.histogram import Effects
from steerx_cli.report.reading import scored_table
from steerx_cli.report.spread import Run
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import Table

HISTOGRAM, BARS, CURVES, SPREAD = "histogram", "bars", "curves", "spread"
ENDINGS = (".svg", ".pdf", ".png")


@dataclass(frozen=True)
class Wanted:
    """What is asked."""

    along: str | None = None  # a setting
    tau: float | None = None  # nats
    asked: Asked = field(default_factory=Asked)


@dataclass(frozen=True)
class Distribution:
    """Effects, with the threshold that is marked."""

    effects: Effects
    tau: float | None


@dataclass(frozen=True)
class Curves:
    """Scores along a setting."""

    table: Table
    along: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Runs:
    """Several tables of the same systems."""

    runs: Sequence[Run]


Found: TypeAlias = Distribution | Table | Curves | Runs


# --- what the files are -----------------------------------------------------------------------------------------------


def opened(places: Sequence[Path]) -> list[Source]:
    """The files, all of one kind; the shards of one, which a shell names one by one, are one."""
    wholes: dict[Path, list[Path]] = {}
    for place in places:
        found = find_files(place)
        if not found:
            raise SteerxError(f"{place} has no Parquet file in it: name effects or scores")
        for path in found:
            same = wholes.setdefault(whole_path(path), [])
            if path in same:
                raise SteerxError(f"{path} is named twice: name it once")
            same.append(path)
    artifact = _kind([path for same in wholes.values() for path in same])
    return [Source(artifact, *same) for same in wholes.values()]


def _kind(paths: Sequence[Path]) -> Artifact:
    kinds = [artifact_of(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        if kind not in (EFFECTS, SCORES, METRICS):
            raise SteerxError(f"{path} holds {kind.name}: name effects or scores, or metrics of `steerx evaluate`")
        if kind != kinds[0]:
            raise SteerxError(f"{paths[0]} holds {kinds[0].name}, and {path} {kind.name}: name files of one kind")
    return kinds[0]


def form_of(sources: Sequence[Source], along: str | None) -> str:
    """What is made of these files."""
    if sources[0].artifact != METRICS:
        if len(sources) > 1:
            raise SteerxError(f"a histogram is of one file, not of {sources[0].where} and {sources[1].where}: name one")
        return HISTOGRAM
    return SPREAD if len(sources) > 1 else CURVES if along else BARS


# --- what there is to tell and to draw --------------------------------------------------------------------------------


def found_in(form: str, sources: Sequence[Source], wanted: Wanted) -> Found:
    """Compute all numbers."""
    if wanted.tau is not None and not isfinite(wanted.tau):
        raise SteerxError(f"--tau {wanted.tau} is no number of nats: name one, such as 0.7")
    if form == HISTOGRAM:
        effects = histogram.read_effects(sources[0])
        return Distribution(effects, effects.tau if wanted.tau is None else wanted.tau)
    if form == SPREAD:
        return Runs(spread.runs_of(sources, wanted.asked.against))
    table = scored_table(sources[0], wanted.asked)
    return Curves(table, wanted.along, lines_of(table, wanted.along)) if wanted.along else table


def page_of(found: Found) -> Page | None:
    """What there is to read: the table of single scores is that of `steerx evaluate`."""
    if isinstance(found, Distribution):
        return histogram.page(found.effects, [] if found.tau is None else [found.tau])
    return spread.page(found.runs) if isinstance(found, Runs) else None


def drawn(found: Found, ending: str) -> bytes:
    """The figure in a format; only here is matplotlib loaded."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its list of fonts is nobody's concern
    from steerx_cli.report import figures

    if isinstance(found, Distribution):
        return figures.histogram(found.effects, found.tau, ending)
    if isinstance(found, Curves):
        return figures.curves(found.table, found.lines, found.along, ending)
    return figures.dots(found.runs, ending) if isinstance(found, Runs) else figures.bars(found, ending)


# --- reading and writing ----------------------------------------------------------------------------------------------


def check_output(output: Path | None, form: str, sources: Sequence[Source]) -> None:
    """Refuse a place that cannot take the figure; bars and curves are nothing but a figure."""
    if output is None:
        if form in (BARS, CURVES):
            raise SteerxError(
                f"{form} are a figure: name its file, as in --output {form}.svg; the scores as a table are shown by "
                "`steerx evaluate --metrics`"
            )
        return
    if output.suffix.lower() not in ENDINGS:
        raise SteerxError(
            f"{output} ends neither in {', '.join(ENDINGS[:-1])} nor in {ENDINGS[-1]}: name one that does"
        )
    Output(output, sources[0].artifact).check_place(*(path for source in sources for path in source.paths))


def run(form: str, sources: Sequence[Source], wanted: Wanted, output: Path | None) -> Page | None:
    """Read, compute, draw; a figure that is there already is replaced."""
    check_output(output, form, sources)
    found = found_in(form, sources, wanted)
    if output is not None:
        figure = drawn(found, output.suffix.lower().removeprefix("."))
        with explained(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            with replacing(output) as file:
                file.write(figure)
    return page_of(found)
