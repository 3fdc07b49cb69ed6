"""`steerx choose`: a method's settings, by how near its answers on the development split come to what was written."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing
from steerx_cli.core.methods import SETTINGS, STRENGTHS
from steerx_cli.core.outputs import Output, explained, writing_whole
from steerx_cli.core.presets import preset_files, preset_text
from steerx_cli.core.provenance import Footer, Record
from steerx_cli.core.schemas import CHOICES, METRICS
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.metrics.measures import Measure, score_measures

# The stages that each setting is for.
STAGES: Mapping[str, Sequence[str]] = {
    "lam": ("generate",),
    "gamma2": ("generate",),
    "tau": ("score-tokens",),
    "gamma1": ("build-vector",),
    "layer": ("build-vector", "generate"),
}

Point = Mapping[str, Any]  # a row of `choices`


@dataclass(frozen=True)
class Wanted:
    """Whose settings are chosen, by which score, and where what was found goes."""

    method: str
    by: str  # the score
    extends: str  # the preset that the new one changes
    folder: Path

    @property
    def table(self) -> Path:
        """All settings that were tried."""
        return self.folder / f"{self.method}.parquet"

    @property
    def preset(self) -> Path:
        """The chosen ones, as a preset."""
        return self.folder / f"{self.method}.toml"


# --- scores → settings ------------------------------------------------------------------------------------------------


def grid(rows: pl.DataFrame, method: str, measure: Measure) -> list[Point]:
    """Every setting of a method with its score, the least first, by λ before all; the first of the best is chosen."""
    own = rows.filter(pl.col("method") == method, pl.col("variant").is_null())
    points = own.group_by(*SETTINGS, maintain_order=True).agg(pl.col("system").n_unique())
    if (points["system"] > 1).any():
        raise SteerxError(
            f"{method} is there more than once with the same λ, γ2, τ, γ1 and ℓ: evaluate answers that only these part"
        )
    parts = list(_in_parts(own))
    scores = [measure.of(measure.parts(some).sum(0)) for _, some in parts]
    best = best_of(scores, measure.lower_is_better)
    return [
        {
            "method": method,
            **setting,
            "score": None if isnan(score) else score,
            "answers": len(some),
            "chosen": at == best,
        }
        for at, ((setting, some), score) in enumerate(zip(parts, scores, strict=True))
    ]


def _in_parts(rows: pl.DataFrame) -> Iterator[tuple[Point, pl.DataFrame]]:
    parts = rows.partition_by(*SETTINGS, as_dict=True)
    for key in sorted(parts, key=lambda key: [(of is not None, of) for of in key]):
        yield dict(zip(SETTINGS, key, strict=True)), parts[key]


def best_of(scores: Sequence[float], lower_is_better: bool = False) -> int | None:
    """The place of the best, the first of equal ones; what is not a number is none."""
    known = [at for at, score in enumerate(scores) if not isnan(score)]
    best = min if lower_is_better else max
    return best(known, key=lambda at: scores[at]) if known else None


def _chosen(points: Sequence[Point]) -> Point:
    return next(point for point in points if point["chosen"])


def _settings(point: Point) -> dict[str, Any]:
    """Those that it has."""
    return {name: point[name] for name in SETTINGS if point[name] is not None}


def chosen_settings(points: Sequence[Point]) -> dict[str, dict[str, Any]]:
    """The chosen ones as a preset has them: stage → key → value."""
    stages: dict[str, dict[str, Any]] = {}
    for name, value in _settings(_chosen(points)).items():
        for stage in STAGES[name]:
            stages.setdefault(stage, {})[name] = value
    return stages


# --- the tool ---------------------------------------------------------------------------------------------------------


def read_points(metrics: Path, wanted: Wanted) -> tuple[Source, list[Point]]:
    """The settings that were tried, if they may be chosen among."""
    if STRENGTHS.get(wanted.method) is None:
        raise SteerxError(f"{wanted.method} has no setting to choose: name one of {', '.join(_with_settings())}")
    source = Source(METRICS, metrics)
    parameters = source.footer.record.parameters
    if parameters["split"] != "development":
        raise SteerxError(
            f"{source.where} has scores of the split {parameters['split']}: settings are chosen on development users, "
            "so evaluate with --split development"
        )
    if wanted.by not in parameters["metrics"]:
        raise SteerxError(
            f"{source.where} has no {wanted.by}: evaluate with --metric {wanted.by}, or name another --by"
        )
    rows = cast(pl.DataFrame, pl.from_arrow(source.read(0, source.footer.rows)))
    points = grid(rows, wanted.method, score_measures(parameters.get("labels", ()))[wanted.by])
    if not points:
        raise SteerxError(f"{source.where} has no score of {wanted.method}: evaluate its answers, too")
    if not any(point["chosen"] for point in points):
        raise SteerxError(
            f"{wanted.by} is not defined for any answers of {wanted.method} in {source.where}: name another --by"
        )
    return source, points


def _with_settings() -> list[str]:
    return [method for method, strength in STRENGTHS.items() if strength]


def is_there(preset: Path, text: bytes, overwrite: bool) -> bool:
    """Whether the preset is there already; one that says something else is not replaced unasked."""
    with explained(preset):
        found = preset.read_bytes() if preset.exists() else None
    if found not in (None, text) and not overwrite:
        raise SteerxError(f"{preset} says something else: name another --output, or replace it with --overwrite")
    return found == text


def write(output: Output, points: Sequence[Point], record: Record, metrics: Footer) -> None:
    """Write all that was tried."""
    with writing_whole(output) as whole:
        whole.write(pa.Table.from_pylist(points, CHOICES.columns), metrics.users)
        whole.close(record, {}, metrics.lineage())


def run(metrics: Path, wanted: Wanted, overwrite: bool) -> Summary:
    """Read, choose, write both files; the preset comes last, so that where it is, all is."""
    started = time.monotonic()
    source, points = read_points(metrics, wanted)
    parameters, inputs = {"method": wanted.method, "by": wanted.by}, {"metrics": source.footer.fingerprint}
    record = Record(CHOICES.name, CHOICES.version, "choose", version("steerx"), parameters, inputs)
    output = Output(wanted.table, CHOICES, overwrite)
    for place in (wanted.table, wanted.preset):
        replace(output, path=place).check_place(*source.paths, *preset_files(wanted.extends))
    text = preset_text(wanted.extends, wanted.folder, chosen_settings(points)).encode()
    with output.locked():
        # Both are looked at before either is written: what is refused of one leaves no half of the two.
        tabled, preset = output.is_finished(record, None), is_there(wanted.preset, text, overwrite)
        if not tabled:
            write(output, points, record, source.footer)
        with explained(wanted.preset):
            if not preset:
                with replacing(wanted.preset, is_all=False) as file:
                    file.write(text)
    wanted.preset.touch()
    return Summary(
        command="choose",
        status="up to date" if tabled and preset else "finished",
        output=f"{wanted.table}, {wanted.preset}",
        inputs={"metrics": source.where},
        parameters={**parameters, **_settings(_chosen(points))},
        rows=len(points),
        users=source.footer.users,
        seconds=time.monotonic() - started,
        notes=tuple(notes(points)),
    )


def notes(points: Sequence[Point]) -> Iterator[str]:
    """What a preset cannot say, and what may have been missed."""
    for name in SETTINGS:
        if _chosen(points)[name] is None and any(point[name] is not None for point in points):
            yield f"what is best has no {name} and others have one: the preset leaves {name} as it was"
    for name in SETTINGS:
        tried = sorted({point[name] for point in points if point[name] is not None})
        if len(tried) > 2 and (chosen := _chosen(points)[name]) in (tried[0], tried[-1]):
            which = "least" if chosen == tried[0] else "largest"
            yield f"{name} {chosen:g} is the {which} that was tried: what is beyond may be better"
