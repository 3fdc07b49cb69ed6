"""`steerx score-tokens`: its options and its help."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import (
    FILES,
    Common,
    Model,
    PromptFormat,
    Seed,
    Task,
    Telling,
    bundled,
    needed,
    refuse_typed,
)
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.scope import Scope

EFFECT = "How the effect is measured"
ANCHORS = "Which tokens are anchors"
OF_CUTTING = ("method", "tau", "top_percent", "unit", "nothing", "alone", "lexicon", "category", "seed")


@bundled
def score_tokens(
    typed: typer.Context,
    model: Model,
    common: Common,
    telling: Telling,
    method: Annotated[
        Literal["causal", "surprisal", "random", "all", "lexicon"],
        typer.Option("--method", help="Where anchors come from, as above.", rich_help_panel=ANCHORS),
    ] = "causal",
    tau: Annotated[
        list[float] | None,
        typer.Option(
            "--tau",
            help="Anchors are the tokens with a Δ of at least this, in nats. Several write a file each.",
            show_default=False,
            rich_help_panel=ANCHORS,
        ),
    ] = None,
    top_percent: Annotated[
        float | None,
        typer.Option(
            "--top-percent",
            help="Or, in place of --tau: this share of each text's tokens, those of largest Δ.",
            rich_help_panel=ANCHORS,
        ),
    ] = None,
    unit: Annotated[
        Literal["tokens", "words"],
        typer.Option("--unit", help="With words, anchors grow to whole words.", rich_help_panel=ANCHORS),
    ] = "tokens",
    nothing: Annotated[
        Literal["largest", "empty", "error"],
        typer.Option(
            "--nothing",
            help="Where nothing reaches --tau: the word of the largest Δ, no anchors, or an error.",
            rich_help_panel=ANCHORS,
        ),
    ] = "largest",
    alone: Annotated[
        Literal["whole", "skip", "error"],
        typer.Option(
            "--alone",
            help="Where a text has no others: all of it is an anchor, nothing is, or an error.",
            rich_help_panel=ANCHORS,
        ),
    ] = "whole",
    lexicon: Annotated[
        str,
        typer.Option(
            "--lexicon",
            help="A LIWC .dic file or a list of words; style is a small one that ships.",
            rich_help_panel=ANCHORS,
        ),
    ] = "style",
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            help="Only the lexicon's words of this category. May be given again.",
            show_default=False,
            rich_help_panel=ANCHORS,
        ),
    ] = None,
    seed: Seed = 0,
    task: Task = None,
    over: Annotated[
        Literal["histories", "generations"],
        typer.Option(
            "--over", help="Measure what users wrote (Eq. 12) or what was generated (Eq. 10).", rich_help_panel=EFFECT
        ),
    ] = "histories",
    context: Annotated[
        Literal["retrieved", "all"],
        typer.Option("--context", help="A history's others: those of its query, or all.", rich_help_panel=EFFECT),
    ] = "retrieved",
    max_context_tokens: Annotated[
        int,
        typer.Option(
            "--max-context-tokens", help="With --context all: most tokens of others.", min=1, rich_help_panel=EFFECT
        ),
    ] = 8192,
    context_order: Annotated[
        Literal["given", "tree"],
        typer.Option(
            "--context-order",
            help="With --context all: as the user wrote them, or so that most is computed once.",
            rich_help_panel=EFFECT,
        ),
    ] = "given",
    effect_context: Annotated[
        Literal["own", "query", "none"],
        typer.Option(
            "--effect-context", help="C: the text's own input, the query's, or nothing.", rich_help_panel=EFFECT
        ),
    ] = "own",
    empty_arm: Annotated[
        Literal["none", "omitted"],
        typer.Option("--empty-arm", help="∅: the history block says None, or is left out.", rich_help_panel=EFFECT),
    ] = "none",
    prompt_format: PromptFormat = "plain",
    effects: Annotated[
        Path | None,
        typer.Option(
            "--effects", help="Cut these, whatever is said of measuring: no model is loaded.", rich_help_panel=FILES
        ),
    ] = None,
    measure_only: Annotated[
        bool,
        typer.Option(
            "--measure-only",
            help="Effects alone, in --output if that is given; --effects cuts them later.",
            rich_help_panel=FILES,
        ),
    ] = False,
    retrieved: Annotated[
        Path | None, typer.Option("--retrieved", help="The histories of each query.", rich_help_panel=FILES)
    ] = None,
    generations: Annotated[
        Path | None, typer.Option("--generations", help="With --over generations.", rich_help_panel=FILES)
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option("--queries", help="With --over generations or --effect-context query.", rich_help_panel=FILES),
    ] = None,
    histories: Annotated[
        Path | None, typer.Option("--histories", help="With --context all.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Find the tokens that are there because of the user.

    Δ = log p(token | the user's other histories, C) − log p(token | none, C), and anchors where Δ ≥ τ (Eq. 10 to 13)

    causal     by Δ
    surprisal  as many, those that are least probable without histories
    random     as many, by chance, by --seed
    lexicon    the words of a --lexicon
    all        every token

    Two files: effects, with no threshold, and scores, cut from it. With --shard or --measure-only effects alone.

    Example: steerx score-tokens --tau 0.7
    """
    from steerx_cli.lm.templates import load_task
    from steerx_cli.stages.score_tokens import Inputs, Measurement, Wanted, run
    from steerx_cli.stages.score_tokens.cut import MEASURED, Cut
    from steerx_cli.stages.score_tokens.lexicon import load_lexicon
    from steerx_cli.stages.score_tokens.texts import Measure

    refuse_both(typed)
    if effects and measure_only:
        raise SteerxError("--effects cuts what was measured, and --measure-only cuts nothing: leave one of them out")
    if measure_only:
        refuse_typed(typed, OF_CUTTING, "--measure-only cuts nothing: leave {} out, and give it with --effects later")
    effects_alone = measure_only or (common.shard is not None and effects is None)
    measured = effects_scope(common, effects_alone)
    wanted = []
    if not effects_alone:
        words = load_lexicon(lexicon, category or ()) if method == "lexicon" else None
        taus = taus_of(tau or [], method in MEASURED and top_percent is None)
        cuts = [Cut(method, each, top_percent, unit, nothing, alone, seed, words) for each in taus]
        wanted = [Wanted(*pair) for pair in zip(cuts, scopes_of(common, taus), strict=True)]
    measurement = None
    if effects is None:
        measure = Measure(
            task=load_task(needed(task, "--task", "a task (--task review)")),
            over=over,
            context=context,
            context_order=context_order,
            max_context_tokens=max_context_tokens,
            effect_context=effect_context,
            empty_arm=empty_arm,
            prompt_format=prompt_format,
            batch_tokens=model.batch_tokens,
        )
        inputs = Inputs(
            retrieved=common.input("retrieved", retrieved),
            histories=common.input("histories", histories),
            queries=common.input("queries", queries),
            generations=answers_of(over, generations),
        )
        measurement = Measurement(measure, model.request("Qwen/Qwen2.5-1.5B"), inputs, measured)
    place = effects or measured.output
    console.telling(
        telling, lambda progress: run(measurement, place, wanted, progress), first={"preset": common.preset}
    )


def answers_of(over: str, generations: Path | None) -> Path | None:
    """Each method's generations have a file of their own, so that one is to be named."""
    if over == "histories":
        return None
    return needed(generations, "--generations", "a file (--generations runs/default/generations-rag.parquet)")


def refuse_both(typed: typer.Context) -> None:
    """A preset's τ gives way to a share that is typed; of two that are typed, neither."""
    sources = [typed.get_parameter_source(name) for name in ("tau", "top_percent")]
    if all(source is not None and source.name == "COMMANDLINE" for source in sources):
        raise SteerxError("both --tau and --top-percent are given, and anchors are cut by one: leave the other out")


def taus_of(given: Sequence[float], looked_at: bool) -> list[float | None]:
    """One cut for each τ, and one where none is looked at: a preset may have one all the same."""
    if not looked_at and len(given) > 1:
        raise SteerxError("several --tau are given, and these anchors hang on none: leave them out")
    return [*given] if looked_at and given else [None]


def effects_scope(common: Common, alone: bool) -> Scope:
    """Effects lie in the run folder; where they are all that is written, --output may name another place."""
    own = common if alone else replace(common, output=None)
    return own.scope("effects")


def scopes_of(common: Common, taus: Sequence[float | None]) -> list[Scope]:
    """The files of scores: one alone has the plain name, several are told apart by their τ."""
    if len(taus) == 1:
        return [common.scope("scores")]
    if common.output:
        raise SteerxError(f"--output names one file, and {len(taus)} --tau write one each: leave one of them out")
    if len(set(taus)) < len(taus):
        raise SteerxError("a --tau is given twice: each writes a file of its own")
    return [common.scope(f"scores-tau-{str(tau).removesuffix('.0')}") for tau in taus]
