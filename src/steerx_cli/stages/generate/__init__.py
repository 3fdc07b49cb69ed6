"""`steerx generate`: what a model writes for a user, plainly or steered (Eq. 2, 3, 6, 15, 16, 18)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import GENERATIONS, PROFILES, QUERIES, RETRIEVED, VECTORS
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source, refuse_partial
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import ModelRequest, pinned
from steerx_cli.stages.generate import givers
from steerx_cli.stages.generate.givers import Giver
from steerx_cli.stages.generate.settings import NEEDS, VECTOR, H, S, Settings

STAGE = "generate"


@dataclass(frozen=True)
class Inputs:
    """Where what is asked, and what is known of who asks, lies."""

    queries: Path
    retrieved: Path
    profiles: Path
    vectors: Path

    def sources(self, settings: Settings) -> dict[str, Source]:
        """Those that are read, the one whose users are worked on first."""
        if settings.over == "histories":
            return {"retrieved": Source(RETRIEVED, self.retrieved)}
        read = {"queries": Source(QUERIES, self.queries)}
        needs = NEEDS[settings.method]
        if H in needs:
            read["retrieved"] = Source(RETRIEVED, self.retrieved)
        if S in needs:
            read["profiles"] = Source(PROFILES, self.profiles)
        if VECTOR in needs:
            read["vectors"] = Source(VECTORS, self.vectors)
        return read


def at_layer(settings: Settings, vectors: Source) -> Settings:
    """The layer is one that the vectors were built for: where there is only one, it need not be named."""
    assert settings.steering
    layers, asked = vectors.footer.record.parameters["layers"], settings.steering.layer
    if not asked and len(layers) == 1:
        return replace(settings, steering=replace(settings.steering, layer=layers[0]))
    if asked not in layers:
        built = ", ".join(map(str, layers))
        raise SteerxError(
            f"{vectors.where} was built for the layers {built}: name one of them with --layer"
            if not asked
            else f"{vectors.where} was built for the layers {built}, not {asked}: name one of them with --layer, or "
            f"build vectors with `steerx build-vector --layer {asked}`"
        )
    return settings


def refuse_other_model(vectors: Source, model: Mapping[str, str]) -> None:
    """What is read in one model's hidden states means nothing in another's."""
    built = vectors.footer.record.models["generator"]
    if built["weights"] != model["weights"]:
        raise SteerxError(
            f"{vectors.where} was built with another model ({built['id']} {built['weights'][:12]}) than the one that "
            f"is to write ({model['id']} {model['weights'][:12]}): build the vectors with it, or name that --model"
        )


def notes(sources: Mapping[str, Source], settings: Settings) -> Iterator[str]:
    """What may be meant, and may be a mistake."""
    for role in ("profiles", "vectors"):
        if role not in sources:
            continue
        ancestry = sources[role].footer.ancestry.items()
        made_from = {name for name, entry in ancestry if entry["record"]["artifact"] == RETRIEVED.name}
        if made_from and sources["retrieved"].footer.fingerprint not in made_from:
            yield f"{sources[role].where} was made from other histories than {sources['retrieved'].where}"
    built = sources["vectors"].footer.record.parameters if "vectors" in sources else {}
    if settings.method == "steerx-cas" and built.get("gamma1") == 1:
        yield f"{sources['vectors'].where} was built with γ1 = 1: this is cas"
    worded = {"task_fingerprint": settings.task.fingerprint, "prompt_format": settings.prompt_format}
    if any(built.get(name, mine) != mine for name, mine in worded.items()):
        yield f"{sources['vectors'].where} was built with another --task or --prompt-format"


def prepare(model: ModelRequest, settings: Settings, others: Giver | None) -> Compute:
    """Load the model, and give what is done with each chunk."""
    from steerx_cli.lm.causal import CausalLM
    from steerx_cli.stages.generate.writing import Generations

    return Generations(CausalLM.load(model), settings, others)


def run(settings: Settings, model: ModelRequest, inputs: Inputs, scope: Scope, progress: Progress) -> Summary:
    """Read, write, and write down."""
    sources = inputs.sources(settings)
    driver = next(iter(sources))
    refuse_partial(sources[driver], [source for role, source in sources.items() if role != driver], scope)
    if profiles := sources.get("profiles"):
        # What `smooth --mode raw` calls a description is the histories themselves, and is shown as they are.
        settings = replace(settings, raw=profiles.footer.record.parameters.get("mode") == "raw")
    if vectors := sources.get("vectors"):
        unit = settings.method == "cas" and bool(vectors.footer.record.parameters.get("normalize"))
        settings = replace(at_layer(settings, vectors), unit=unit)
    others = givers.others(sources, settings)
    model, record = pinned(model, download=not scope.dry_run)
    if vectors:
        refuse_other_model(vectors, record)
    work = Work(STAGE, GENERATIONS, driver, sources, settings.parameters(), {"generator": record})
    summary = Job(work, scope).run(partial(prepare, model, settings, others), progress)
    return replace(summary, notes=(*summary.notes, *notes(sources, settings)))
