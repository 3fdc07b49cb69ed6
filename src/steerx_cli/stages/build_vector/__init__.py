"""`steerx build-vector`: the direction in which a user's histories and descriptions part from what a model writes by
itself, at a layer of the model (Eq. 4, 5 and 17)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import GENERATIONS, PROFILES, RETRIEVED, VECTORS
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source, find_files, refuse_partial
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import Build, ModelRequest, build_of, no_such_layer, pinned
from steerx_cli.stages.build_vector.settings import NEUTRAL, Mix, Settings

STAGE = "build-vector"


@dataclass(frozen=True)
class Inputs:
    """Where the texts are."""

    retrieved: Path
    neutral: Path
    profiles: Path

    def sources(self, settings: Settings) -> dict[str, Source]:
        """Those that are read, the one whose users are worked on first."""
        if not any(path.exists() for path in find_files(self.neutral)):
            raise SteerxError(f"{self.neutral} does not exist: `{NEUTRAL}` writes the neutral texts")
        read = {"retrieved": Source(RETRIEVED, self.retrieved), "neutral": Source(GENERATIONS, self.neutral)}
        if settings.needs_descriptions:
            read["profiles"] = Source(PROFILES, self.profiles)
        return read


def refuse_answers(neutral: Source) -> None:
    """Neutral texts answer the histories' own inputs."""
    if neutral.footer.record.parameters.get("over") != "histories":
        raise SteerxError(f"{neutral.where} has answers to queries: name what `{NEUTRAL}` writes, with --neutral")


def refuse_layers(settings: Settings, model: ModelRequest, build: Build) -> None:
    """Refuse a layer that the model does not have before it is loaded, where its config tells how many there are."""
    if build.layers is not None and max(settings.layers) > build.layers:
        raise no_such_layer(model.name, build.layers, max(settings.layers))


def prepare(model: ModelRequest, settings: Settings) -> Compute:
    """Load the model, and give what is done with each chunk."""
    from steerx_cli.lm.causal import CausalLM
    from steerx_cli.stages.build_vector.vectors import Builder

    return Builder(CausalLM.load(model), settings)


def run(settings: Settings, model: ModelRequest, inputs: Inputs, scope: Scope, progress: Progress) -> Summary:
    """Read texts, read hidden states, write vectors."""
    sources = inputs.sources(settings)
    refuse_answers(sources["neutral"])
    refuse_partial(sources["retrieved"], [source for role, source in sources.items() if role != "retrieved"], scope)
    model, record = pinned(model, download=not scope.dry_run)
    build = build_of(model, download=not scope.dry_run)
    refuse_layers(settings, model, build)
    parameters = {**settings.parameters(), "architecture": build.kind}
    work = Work(STAGE, VECTORS, "retrieved", sources, parameters, {"generator": record})
    summary = Job(work, scope).run(partial(prepare, model, settings), progress)
    return replace(summary, notes=(*summary.notes, *notes(sources, settings, record), *sizes(summary)))


def remix(gamma1: float, normalize: bool | None, vectors: Path, scope: Scope, progress: Progress) -> Summary:
    """Mix the parts of vectors that are there in another way: no model is needed."""
    source = Source(VECTORS, vectors)
    record = source.footer.record
    mix = Mix(gamma1, record.parameters["normalize"] if normalize is None else normalize)
    if mix.gamma1 != 1 and "described_by" not in record.parameters:
        raise SteerxError(
            f"{source.where} was made with --gamma1 1, and so without descriptions: build the vectors again"
        )
    scope = replace(scope, limit=scope.limit or record.parameters["limit"])  # there are no more users than that
    kept = {name: value for name, value in record.parameters.items() if name not in ("chunk_users", "limit")}
    work = Work(STAGE, VECTORS, "vectors", {"vectors": source}, {**kept, **mix.parameters()}, record.models)

    def mixing() -> Compute:
        from steerx_cli.stages.build_vector.mixing import remixed

        return partial(remixed, mix=mix)

    summary = Job(work, scope).run(mixing, progress)
    return replace(summary, notes=(*summary.notes, *sizes(summary)))


# --- what the summary tells -------------------------------------------------------------------------------------------


def notes(sources: Mapping[str, Source], settings: Settings, model: Mapping[str, str]) -> Iterator[str]:
    """What may be meant, and may be a mistake."""
    neutral, retrieved = sources["neutral"].footer.record, sources["retrieved"].footer.record
    if neutral.models.get("generator", {}).get("weights") != model["weights"]:
        yield f"{sources['neutral'].where} was written by another model than the one that reads it"
    if not settings.is_worded_as(neutral.parameters):
        yield f"{sources['neutral'].where} was written with another --task or --prompt-format"
    if settings.scope == "user" and retrieved.parameters.get("retriever") != "all":
        yield "a user's vector is made from what was retrieved for the user's queries: all of it is --retriever all's"


def sizes(summary: Summary) -> Iterator[str]:
    """How large the vectors are: one of the wrong size does nothing, or breaks the text, and says so nowhere else."""
    if summary.status == "would run":
        return
    found: dict[int, list[Mapping[str, Any]]] = {}
    for batch in Source(VECTORS, Path(summary.output), one_shard=True).batches():
        for row in batch.select(["layer", "norm", "stream_norm", "cosine"]).to_pylist():
            if row["norm"] is not None:
                found.setdefault(row["layer"], []).append(row)
    for layer, rows in sorted(found.items()):
        norm, stream = (median(row[name] for row in rows) for name in ("norm", "stream_norm"))
        share, cosine = (median(values) for values in (_shares(rows), [row["cosine"] for row in rows]))
        yield (
            f"layer {layer}: vectors of norm {norm:.3g}, {share:.3g} of the residual stream's {stream:.3g}, "
            f"cosine to it {cosine:.2g} (medians of {len(rows):,})"
        )


def _shares(rows: list[Mapping[str, Any]]) -> list[float]:
    return [row["norm"] / row["stream_norm"] if row["stream_norm"] else 0.0 for row in rows]
