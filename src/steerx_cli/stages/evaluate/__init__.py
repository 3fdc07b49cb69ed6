"""`steerx evaluate`: how close answers come to what the users wrote (section 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.places import whole_path
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import GENERATIONS, METRICS, QUERIES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import pinned
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
        wholes: dict[Path, list[Path]] = {}
        for file in files:
            wholes.setdefault(whole_path(file), []).append(file)  # a shell names the shards of one one by one
        return cls(Source(QUERIES, queries), roles_of([Source(GENERATIONS, *some) for some in wholes.values()]))

    @property
    def systems(self) -> list[System]:
        """Each strength of each file."""
        return systems_of(self.roles)


def prepare(settings: Settings, compared: Compared, scope: Scope) -> Compute:
    """Look all rows through, then load what the metrics need, and give what is done with each chunk."""
    from steerx_cli.stages.evaluate.scoring import Scores, scorers

    refuse_rows(compared.queries, compared.roles, compared.systems, settings, scope)
    return Scores(settings, compared.systems, list(scorers(settings)))


def run(settings: Settings, compared: Compared, scope: Scope, progress: Progress) -> Summary:
    """Read, score, write."""
    refuse_files(compared.queries, compared.roles, settings, scope)
    models = {}
    if settings.bertscore:
        model, models["bertscore"] = pinned(settings.bertscore.model, download=not scope.dry_run)
        settings = replace(settings, bertscore=replace(settings.bertscore, model=model))
    sources = {"queries": compared.queries, **compared.roles}
    job = Job(Work(STAGE, METRICS, "queries", sources, settings.parameters(), models), scope)
    if scope.dry_run:
        refuse_rows(compared.queries, compared.roles, compared.systems, settings, scope)
    return job.run(partial(prepare, settings, compared, scope), progress)
