"""`steerx score-tokens`: which tokens of a text are there because of its user (sections 4.2 and 4.3).

`effects` is measured with a language model and carries no threshold; `scores` are cut from it without one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.outputs import Output
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import EFFECTS, GENERATIONS, HISTORIES, QUERIES, RETRIEVED, SCORES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary, together
from steerx_cli.lm.models import ModelRequest, pinned
from steerx_cli.stages.score_tokens.cut import Cut, cut
from steerx_cli.stages.score_tokens.texts import Measure

STAGE = "score-tokens"


@dataclass(frozen=True)
class Inputs:
    """Where the texts and their contexts are."""

    retrieved: Path
    histories: Path
    queries: Path
    generations: Path | None = None  # where they are what is measured

    def sources(self, measure: Measure) -> dict[str, Source]:
        """Those that a measurement reads, the one whose users are worked on first."""
        if measure.over == "generations":
            assert self.generations
            read = {"generations": (GENERATIONS, self.generations), "retrieved": (RETRIEVED, self.retrieved)}
        else:
            read = {"retrieved": (RETRIEVED, self.retrieved)}
        if measure.context == "all":
            read["histories"] = HISTORIES, self.histories
        if measure.over == "generations" or measure.effect_context == "query":
            read["queries"] = QUERIES, self.queries
        return {role: Source(*source) for role, source in read.items()}


@dataclass(frozen=True)
class Measurement:
    """What to measure, with which model, and where the effects go."""

    measure: Measure
    model: ModelRequest
    inputs: Inputs
    scope: Scope


class Wanted(NamedTuple):
    """One file of scores."""

    cut: Cut
    scope: Scope


def measured(asked: Measurement, wanted: Sequence[Wanted], progress: Progress) -> Summary:
    """Write `effects`, once nothing stands in the way of the scores that are wanted of them."""
    sources = asked.inputs.sources(asked.measure)
    refuse_single(asked.measure, sources["retrieved"])
    model, record = pinned(asked.model, download=not asked.scope.dry_run)
    work = Work(STAGE, EFFECTS, next(iter(sources)), sources, asked.measure.parameters(), {"scorer": record})
    job = Job(work, asked.scope)
    paths = [path for source in sources.values() for path in source.paths]
    for each in wanted:
        refuse_place(each, work.record(asked.scope), [*paths, asked.scope.output])
    return job.run(partial(prepare, model, asked.measure), progress)


def refuse_place(wanted: Wanted, effects: Record, inputs: Sequence[Path]) -> None:
    """Refuse scores that could not be written, or would replace others unasked, before an hour of measuring."""
    output = Output(wanted.scope.output, SCORES, wanted.scope.overwrite, "--output or --run")
    output.check_place(*inputs)
    if wanted.scope.overwrite or not output.path.exists():
        return
    footer = read_footer(output.path, SCORES)
    cut_from = footer.record.inputs["effects"]
    same = footer.lineage()[cut_from]["record"] == asdict(effects)
    record = replace(
        footer.record,
        version=effects.version,
        parameters=Work(STAGE, SCORES, "effects", {}, wanted.cut.parameters()).record(wanted.scope).parameters,
        inputs={"effects": cut_from if same else "to be measured"},
    )
    output.is_finished(record, wanted.scope.shard)


def refuse_single(measure: Measure, retrieved: Source) -> None:
    """One history a query leaves nothing to measure it by, in all rows."""
    if (measure.over, measure.context) != ("histories", "retrieved"):
        return
    if retrieved.footer.record.parameters.get("top_k") == 1:
        raise SteerxError(
            f"{retrieved.where} has one history a query, and each is measured by the others: "
            "retrieve with --top-k 2 or more, or use --context all"
        )


def prepare(model: ModelRequest, measure: Measure) -> Compute:
    """Load the model, and give what is done with each chunk."""
    from steerx_cli.lm.causal import CausalLM
    from steerx_cli.stages.score_tokens.effects import Effects

    return Effects(CausalLM.load(model), measure)


def chosen(effects: Path, wanted: Wanted, progress: Progress) -> Summary:
    """Write `scores`."""
    work = Work(STAGE, SCORES, "effects", {"effects": Source(EFFECTS, effects)}, wanted.cut.parameters())
    summary = Job(work, wanted.scope).run(lambda: lambda tables: cut(tables["effects"], wanted.cut), progress)
    return replace(summary, notes=(*summary.notes, *notes(wanted.cut)))


def notes(how: Cut) -> Iterator[str]:
    """What is taken otherwise than a lexicon means it."""
    if how.lexicon and how.lexicon.conditional:
        entries = f"{how.lexicon.conditional} entries of the lexicon {how.lexicon.name}"
        yield f"{entries} hang on the words beside them; they are taken as if those were always there"


def run(asked: Measurement | None, effects: Path, wanted: Sequence[Wanted], progress: Progress) -> Summary:
    """Measure, if that is asked for, and cut; effects that would only be measured now cannot be cut in a dry run."""
    summaries = [measured(asked, wanted, progress)] if asked else []
    if not summaries or summaries[0].status != "would run":
        found = [chosen(effects, each, progress) for each in wanted]
        summaries += found if len(found) == 1 else [told_apart(*pair) for pair in zip(found, wanted, strict=True)]
    return together(summaries)


def told_apart(summary: Summary, wanted: Wanted) -> Summary:
    """The counts of one τ among several."""
    return replace(summary, counts={f"tau {wanted.cut.tau}, {name}": number for name, number in summary.counts.items()})
