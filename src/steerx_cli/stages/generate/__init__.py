"""`steerx generate`: what a model writes for a user, plainly or steered (Eq. 2, 3, 15, 16)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import GENERATIONS, PROFILES, QUERIES, RETRIEVED
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import ModelRequest, pinned
from steerx_cli.stages.generate.questions import Donors
from steerx_cli.stages.generate.settings import STREAMS, H, S, Settings

STAGE = "generate"


@dataclass(frozen=True)
class Inputs:
    """Where what is asked, and what is known of who asks, lies."""

    queries: Path
    retrieved: Path
    profiles: Path

    def sources(self, settings: Settings) -> dict[str, Source]:
        """Those that are read, the one whose users are worked on first."""
        if settings.over == "histories":
            return {"retrieved": Source(RETRIEVED, self.retrieved)}
        read = {"queries": Source(QUERIES, self.queries)}
        if H in STREAMS[settings.method]:
            read["retrieved"] = Source(RETRIEVED, self.retrieved)
        if S in STREAMS[settings.method]:
            read["profiles"] = Source(PROFILES, self.profiles)
        return read


def refuse_partial(sources: Mapping[str, Source], scope: Scope) -> None:
    """Refuse what was made for fewer users than are to be answered."""
    for role in ("retrieved", "profiles"):
        if role not in sources:
            continue
        footer = sources[role].footer
        limit = footer.record.parameters.get("limit")
        if limit is not None and footer.users >= limit and (scope.limit is None or scope.limit > limit):
            raise SteerxError(
                f"{sources[role].where} was made for the first {limit} users: make it for all, or name --limit {limit}"
            )


def notes(sources: Mapping[str, Source]) -> Iterator[str]:
    """What may be meant, and may be a mistake."""
    if "profiles" in sources:
        ancestry = sources["profiles"].footer.ancestry.items()
        made_from = {name for name, entry in ancestry if entry["record"]["artifact"] == RETRIEVED.name}
        if made_from and sources["retrieved"].footer.fingerprint not in made_from:
            yield f"{sources['profiles'].where} was made from other histories than {sources['retrieved'].where}"


def prepare(model: ModelRequest, settings: Settings, donors: Donors | None) -> Compute:
    """Load the model, and give what is done with each chunk."""
    from steerx_cli.lm.causal import CausalLM
    from steerx_cli.stages.generate.writing import Generations

    return Generations(CausalLM.load(model), settings, donors)


def run(settings: Settings, model: ModelRequest, inputs: Inputs, scope: Scope, progress: Progress) -> Summary:
    """Read, write, and write down."""
    sources, donors = inputs.sources(settings), None
    if settings.over == "queries":
        refuse_partial(sources, scope)
    if profiles := sources.get("profiles"):
        # What `smooth --mode raw` calls a description is the histories themselves, and is shown as they are.
        settings = replace(settings, raw=profiles.footer.record.parameters.get("mode") == "raw")
        donors = Donors.drawn(profiles, settings.seed) if settings.profiles_of == "other" else None
    model, record = pinned(model, download=not scope.dry_run)
    work = Work(STAGE, GENERATIONS, next(iter(sources)), sources, settings.parameters(), {"generator": record})
    summary = Job(work, scope).run(partial(prepare, model, settings, donors), progress)
    return replace(summary, notes=(*summary.notes, *notes(sources)))
