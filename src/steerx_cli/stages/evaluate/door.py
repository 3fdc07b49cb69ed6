"""What is to be scored, looked through before anything is: ids are matched, never places, and nothing is left out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import polars as pl

from steerx_cli.core.chunks import plan_chunks
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SIGNS
from steerx_cli.core.schemas import QUERIES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source, refuse_partial
from steerx_cli.metrics import labels
from steerx_cli.stages.evaluate.settings import OF_LABELS, OF_RATINGS, Settings
from steerx_cli.stages.evaluate.systems import System

IDS = ("user_id", "query_id")


def refuse_files(queries: Source, roles: Mapping[str, Source], settings: Settings, scope: Scope) -> None:
    """Refuse what the files' own provenance tells: answers to something else, or in other words, or of fewer users."""
    for file in roles.values():
        record = file.footer.record
        if record.parameters.get("over") != "queries":
            raise SteerxError(f"{file.where} has answers to histories' inputs: name answers to queries")
        asked = record.inputs.get(QUERIES.name)
        if asked != queries.footer.fingerprint:
            raise SteerxError(
                f"{file.where} answers other queries than those in {queries.where}: name its own with --queries, or "
                "write the answers again"
            )
        task = settings.task
        if settings.needs((*OF_LABELS, *OF_RATINGS)) and task and record.parameters["task"] != task.name:
            raise SteerxError(
                f"{file.where} was written for the task {record.parameters['task']}, not {task.name}: name that --task"
            )
    refuse_partial(queries, roles.values(), scope)


def examples(queries: pl.DataFrame, split: str) -> pl.DataFrame:
    """The queries of a split whose true answer is known."""
    wanted = queries if split == "all" else queries.filter(pl.col("split") == split)
    return wanted.filter(pl.col("reference").is_not_null())


def refuse_rows(
    queries: Source, roles: Mapping[str, Source], systems: Sequence[System], settings: Settings, scope: Scope
) -> None:
    """Refuse answers that are missing, second, or to no query, and true answers that are none, with their counts."""
    asked, read, faults = 0, Counter[str](), Counter[str]()
    for tables in _chunks(queries, roles, scope):
        wanted = examples(tables["queries"], settings.split)
        asked += len(wanted)
        read.update({role: len(tables[role]) for role in roles})
        faults["references that are none of the task's labels, or no rating"] += _wrong(wanted, settings)
        for system in systems:
            faults.update(_faults(system, wanted, tables[system.role]))
        for role in roles:
            faults[f"{role}: answers to no query"] += len(tables[role].join(tables["queries"], on=IDS, how="anti"))
    for role, file in roles.items() if scope.limit is None else ():
        faults[f"{role}: answers to no query"] += file.footer.rows - read[role]
    if found := "; ".join(f"{name}: {count:,}" for name, count in faults.items() if count):
        raise SteerxError(
            f"what is to be scored does not fit {queries.where} ({found}): every system needs one answer to each "
            "query; write the answers again, or leave a file out"
        )
    if not asked:
        of = "" if settings.split == "all" else f" of the split {settings.split}"
        raise SteerxError(
            f"{queries.where} has no query{of} with a reference, so there is nothing to compare answers with: name "
            "another --split, or import what the users wrote"
        )


def _chunks(queries: Source, roles: Mapping[str, Source], scope: Scope) -> Iterator[Mapping[str, pl.DataFrame]]:
    sources = {"queries": queries, **roles}
    for chunk in plan_chunks("queries", sources, scope.chunk_users, scope.limit):
        yield {
            role: cast(pl.DataFrame, pl.from_arrow(source.read_ranges(chunk.rows[role])))
            for role, source in sources.items()
        }


def _wrong(wanted: pl.DataFrame, settings: Settings) -> int:
    references = wanted["reference"].to_list()
    if settings.needs(OF_LABELS):
        return sum(labels.label_of(text, settings.labels) is None for text in references)
    if settings.needs(OF_RATINGS):
        return sum(labels.number_of(text) is None for text in references)
    return 0


def _faults(system: System, wanted: pl.DataFrame, answers: pl.DataFrame) -> Mapping[str, int]:
    own = of_system(answers, system)
    return {
        f"{system.name}: queries without an answer": len(wanted.join(own, on=IDS, how="anti")),
        f"{system.name}: second answers": len(own) - len(own.unique(IDS)),
    }


def of_system(answers: pl.DataFrame, system: System) -> pl.DataFrame:
    """The answers of one strength."""
    return answers.filter(*(pl.col(name).eq_missing(pl.lit(getattr(system, name), pl.Float64)) for name in SIGNS))
