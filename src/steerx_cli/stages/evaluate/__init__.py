"""`steerx evaluate`: how close answers come to what the users wrote (section 5.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.places import whole_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import GENERATIONS, METRICS, QUERIES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source, find_files
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import ModelRequest, pinned
from steerx_cli.metrics.bleu import Bleu
from steerx_cli.metrics.punkt import punkt
from steerx_cli.stages.evaluate.door import refuse_files, refuse_rows
from steerx_cli.stages.evaluate.settings import Settings
from steerx_cli.stages.evaluate.systems import System, roles_of, systems_of

STAGE = "evaluate"


@dataclass(frozen=True)
class Compared:
    """What is scored: the queries, the files of answers by what they are, and the systems in them."""

    queries: Source
    roles: dict[str, Source]

    @classmethod
    def open(cls, queries: Path, files: Sequence[Path]) -> "Compared":
        """Look into all files' provenance."""
        if not files:
            raise SteerxError("there are no answers to score: name files that `steerx generate` writes")
        return cls(Source(QUERIES, queries), roles_of([Source(GENERATIONS, *some) for some in _together(files)]))

    @property
    def tasks(self) -> set[str]:
        """What the answers were written for."""
        return {str(file.footer.record.parameters.get("task")) for file in self.roles.values()}

    @property
    def systems(self) -> list[System]:
        """Each strength of each file."""
        return systems_of(self.roles)


def _together(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Each file with its shards, which a shell names one by one; one that is named twice stands there twice."""
    groups: dict[Path, list[Path]] = {}
    for whole, place in (named for each in files for named in _named_by(each)):
        group = groups.setdefault(whole, [])
        if place in group:
            yield [place]
        else:
            group.append(place)
    yield from groups.values()


def _named_by(place: Path) -> Iterator[tuple[Path, Path]]:
    """The files that a place stands for, each beside its whole; the shards of one stay together."""
    found = find_files(place)
    wholes = {whole_path(path) for path in found}
    if len(wholes) > 1:
        yield from ((whole_path(path), path) for path in found)
    else:
        yield next(iter(wholes), place), place


def refuse_unusable(settings: Settings) -> None:
    """Refuse what a metric needs and is not here."""
    if "bleu" in settings.metrics:
        Bleu(settings.tokenize)
    if settings.by_punkt and not settings.download_punkt:
        punkt()


def prepare(settings: Settings, compared: Compared, scope: Scope) -> Compute:
    """Look all rows through, then load what the metrics need, and give what is done with each chunk."""
    from steerx_cli.stages.evaluate.scoring import Scores, scorers

    refuse_rows(compared.queries, compared.roles, compared.systems, settings, scope)
    return Scores(settings, compared.systems, list(scorers(settings)))


def _judge(model: ModelRequest, scope: Scope) -> tuple[ModelRequest, dict[str, str]]:
    try:
        return pinned(model, download=not scope.dry_run)
    except SteerxError as error:
        raise SteerxError(
            f"{error} with --bertscore-model; or leave bertscore out: name other scores with --metric"
        ) from error


def run(settings: Settings, compared: Compared, scope: Scope, progress: Progress) -> Summary:
    """Read, score, write."""
    refuse_files(compared.queries, compared.roles, settings, scope)
    if settings.by_punkt and settings.download_punkt and not scope.dry_run:
        punkt(download=True)  # before its signature is taken
    models = {}
    if settings.bertscore:
        model, models["bertscore"] = _judge(settings.bertscore.model, scope)
        judge = replace(settings.bertscore, model=model, name=models["bertscore"]["id"])
        settings = replace(settings, bertscore=judge)
    sources = {"queries": compared.queries, **compared.roles}
    job = Job(Work(STAGE, METRICS, "queries", sources, settings.parameters(), models), scope)
    if scope.dry_run:
        refuse_unusable(settings)
        refuse_rows(compared.queries, compared.roles, compared.systems, settings, scope)
    summary = job.run(partial(prepare, settings, compared, scope), progress)
    return replace(summary, notes=(*summary.notes, *notes(settings, compared)))


def notes(settings: Settings, compared: Compared) -> Iterator[str]:
    """What may be meant, and may be a mistake."""
    tasks = sorted(compared.tasks)
    if len(tasks) > 1:
        yield f"the answers were written for several tasks: {', '.join(tasks)}"
    elif settings.task is None:
        known = f"the task {tasks[0]} is known by its name only"
        yield f"{known}: --task FILE says whether its answers are labels or ratings"
