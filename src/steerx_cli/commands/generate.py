"""`steerx generate`: its options and its help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import (
    FILES,
    WRITING,
    BatchSize,
    Common,
    MaxNewTokens,
    Model,
    PromptFormat,
    Seed,
    Task,
    Telling,
    bundled,
    is_typed,
    needed,
    refuse_typed,
)
from steerx_cli.core.errors import SteerxError

if TYPE_CHECKING:
    from steerx_cli.stages.generate.settings import Settings

STEERING = "How it is steered"


@bundled
def generate(
    typed: typer.Context,
    model: Model,
    common: Common,
    telling: Telling,
    method: Annotated[
        Literal["non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"] | None,
        typer.Option("--method", help="As above.", show_default=False, rich_help_panel=STEERING),
    ] = None,
    lam: Annotated[
        list[float] | None,
        typer.Option(
            "--lam",
            help="λ of CoS, how much the user counts. Several make a row each, and read the prompts once.",
            show_default=False,
            rich_help_panel=STEERING,
        ),
    ] = None,
    gamma2: Annotated[
        list[float] | None,
        typer.Option(
            "--gamma2",
            help="γ2 of CAS, how much of the vector is added. Several likewise.",
            show_default=False,
            rich_help_panel=STEERING,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            "--layer",
            help="The decoder block, from 1, behind which the vector is added: one that the vectors were built for.",
            min=1,
            show_default="the only one of the vectors",
            rich_help_panel=STEERING,
        ),
    ] = None,
    positions: Annotated[
        Literal["generated", "strict", "all", "last"],
        typer.Option(
            "--positions",
            help="At which tokens the vector is added, as above.",
            rich_help_panel=STEERING,
        ),
    ] = "generated",
    profiles_of: Annotated[
        Literal["own", "other"],
        typer.Option(
            "--profiles-of",
            help="With other, as a control: each user gets another one's description, by --seed.",
            rich_help_panel=STEERING,
        ),
    ] = "own",
    described_by: Annotated[
        Literal["query", "history"],
        typer.Option(
            "--described-by",
            help="S: the description of all histories together, or those of each, a line each.",
            rich_help_panel=STEERING,
        ),
    ] = "query",
    vectors_of: Annotated[
        Literal["own", "other", "mean"],
        typer.Option(
            "--vectors-of",
            help="As a control: another user's vector, by --seed, or the mean of all users'.",
            rich_help_panel=STEERING,
        ),
    ] = "own",
    missing: Annotated[
        Literal["fallback", "error"],
        typer.Option(
            "--missing",
            help="Without histories: as non-perso; without a description or vector: as rag. Or an error.",
            rich_help_panel=STEERING,
        ),
    ] = "fallback",
    task: Task = None,
    over: Annotated[
        Literal["queries", "histories"],
        typer.Option(
            "--over",
            help="What is answered: queries, or (by non-perso) the inputs of retrieved histories.",
            rich_help_panel=WRITING,
        ),
    ] = "queries",
    prompt_format: PromptFormat = "chat",
    max_new_tokens: MaxNewTokens = 512,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            help="0 takes the most probable token; above it, tokens are drawn, by --seed.",
            min=0,
            rich_help_panel=WRITING,
        ),
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(
            "--top-p",
            help="With --temperature: from the most probable that have this share.",
            rich_help_panel=WRITING,
        ),
    ] = 1.0,
    seed: Seed = 0,
    batch_size: BatchSize = 32,
    queries: Annotated[Path | None, typer.Option("--queries", help="What is asked.", rich_help_panel=FILES)] = None,
    retrieved: Annotated[
        Path | None, typer.Option("--retrieved", help="The histories of each query.", rich_help_panel=FILES)
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="With steerx-cos: the descriptions.", rich_help_panel=FILES)
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option("--vectors", help="With cas and steerx-cas: the vectors.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Write for the user: plainly, or with logits or hidden states that are steered.

    x is the query, H its histories, S the user's description, ∅ nothing of the user, a a vector from build-vector

    non-perso   logits(x, ∅)
    rag         logits(x, H)
    cos         logits(x, H) + λ · (logits(x, H) − logits(x, ∅))   (Eq. 2, 3)
    steerx-cos  logits(x, H) + λ · (logits(x, S) − logits(x, ∅))   (Eq. 15, 16)
    cas         hidden(x, H) + γ2 · a, a from the histories alone  (Eq. 5, 6)
    steerx-cas  hidden(x, H) + γ2 · a, a from descriptions, too    (Eq. 17, 18)

    --positions   generated: all that is written, and the prompt's last token, which foretells the first of it
    strict: the same without that one; all: the whole prompt, too; last: the prompt's last token alone

    Example: steerx generate --method cos --lam 0.7
    """
    from steerx_cli.lm.sampling import Sampling
    from steerx_cli.lm.steer import Steering
    from steerx_cli.lm.templates import load_task
    from steerx_cli.stages.generate import Inputs, run
    from steerx_cli.stages.generate.settings import BY_LOGITS, BY_VECTOR, Settings

    chosen = needed(method, "--method", "a method (--method rag)")
    refuse_unused(typed, chosen)
    by_vector = chosen in BY_VECTOR
    settings = Settings(
        method=chosen,
        task=load_task(needed(task, "--task", "a task (--task review)")),
        lams=tuple(needed(lam or None, "--lam", "a λ (--lam 0.7)")) if chosen in BY_LOGITS else (None,),
        gamma2s=tuple(needed(gamma2 or None, "--gamma2", "a γ2 (--gamma2 0.4)")) if by_vector else (None,),
        steering=Steering(layer or 0, positions) if by_vector else None,
        over=over,
        profiles_of=profiles_of,
        described_by=described_by,
        vectors_of=vectors_of if by_vector else "own",
        missing=missing,
        prompt_format=prompt_format,
        max_new_tokens=max_new_tokens,
        sampling=Sampling(temperature, top_p) if temperature else None,
        seed=seed,
        batch_size=batch_size,
        batch_tokens=model.batch_tokens,
    )
    inputs = Inputs(
        queries=common.input("queries", queries),
        retrieved=common.input("retrieved", retrieved),
        profiles=common.input("profiles", profiles),
        vectors=common.input("vectors", vectors),
    )
    request, scope = model.request("Qwen/Qwen3-8B"), common.scope(name_of(settings))
    console.telling(
        telling, lambda progress: run(settings, request, inputs, scope, progress), first={"preset": common.preset}
    )


def name_of(settings: "Settings") -> str:
    """Each method, and each control of it, has a file of its own; what nobody's histories are in is neutral."""
    if settings.over == "histories":
        return "neutral"
    of = {"steerx-cos": settings.profiles_of, "cas": settings.vectors_of, "steerx-cas": settings.vectors_of}
    control = of.get(settings.method, "own")
    return f"generations-{settings.method}" + (f"-{control}" if control != "own" else "")


# Which options belong to which methods, and how a sentence calls what the others lack.
OF = {
    "lam": (("cos", "steerx-cos"), "λ"),
    "profiles_of": (("steerx-cos",), "description"),
    "described_by": (("steerx-cos",), "description"),
    "profiles": (("steerx-cos",), "description"),
    "gamma2": (("cas", "steerx-cas"), "γ2"),
    "layer": (("cas", "steerx-cas"), "vector"),
    "positions": (("cas", "steerx-cas"), "vector"),
    "vectors_of": (("cas", "steerx-cas"), "vector"),
    "vectors": (("cas", "steerx-cas"), "vector"),
}


def refuse_unused(typed: typer.Context, method: str) -> None:
    """An option that is typed and would change nothing is a mistake; a preset's is for the methods that have it."""
    for name, (methods, what) in OF.items():
        if method not in methods:
            instead = " or ".join(methods)
            refuse_typed(typed, [name], f"--method {method} has no {what}: leave {{}} out, or name --method {instead}")
    if not typed.params["temperature"] and is_typed(typed, "top_p"):
        raise SteerxError("--top-p is given and nothing is drawn: name a --temperature above 0, too")
