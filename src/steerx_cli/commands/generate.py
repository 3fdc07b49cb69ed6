"""`steerx generate`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, Common, Model, Seed, Task, Telling, bundled, needed
from steerx_cli.core.errors import SteerxError

STEERING = "How it is steered"
WRITING = "How it is written"
STEERED = ("cos", "steerx-cos")


@bundled
def generate(
    typed: typer.Context,
    model: Model,
    common: Common,
    telling: Telling,
    method: Annotated[
        Literal["non-perso", "rag", "cos", "steerx-cos"] | None,
        typer.Option("--method", help="As above.", show_default=False, rich_help_panel=STEERING),
    ] = None,
    lam: Annotated[
        list[float] | None,
        typer.Option(
            "--lam",
            help="λ, how much the user counts. Several make a row each, and read the prompts once.",
            show_default=False,
            rich_help_panel=STEERING,
        ),
    ] = None,
    profiles_of: Annotated[
        Literal["own", "other"],
        typer.Option(
            "--profiles-of",
            help="With other, as a control: each user gets another one's description, by --seed.",
            rich_help_panel=STEERING,
        ),
    ] = "own",
    missing: Annotated[
        Literal["fallback", "error"],
        typer.Option(
            "--missing",
            help="Without histories: as non-perso; without a description: as rag. Or an error.",
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
    prompt_format: Annotated[
        Literal["plain", "chat"],
        typer.Option(
            "--prompt-format",
            help="The model's chat format, or bare text for base models.",
            rich_help_panel=WRITING,
        ),
    ] = "chat",
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="The longest answer.", min=1, rich_help_panel=WRITING)
    ] = 512,
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
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Most answers that are written at once.", min=1, rich_help_panel=WRITING)
    ] = 32,
    queries: Annotated[Path | None, typer.Option("--queries", help="What is asked.", rich_help_panel=FILES)] = None,
    retrieved: Annotated[
        Path | None, typer.Option("--retrieved", help="The histories of each query.", rich_help_panel=FILES)
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="With steerx-cos: the descriptions.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Write for the user: plainly, or with logits that are steered.

    x is the query, H its histories, S the user's description, ∅ nothing of the user

    non-perso   logits(x, ∅)
    rag         logits(x, H)
    cos         logits(x, H) + λ · (logits(x, H) − logits(x, ∅))   (Eq. 2, 3)
    steerx-cos  logits(x, H) + λ · (logits(x, S) − logits(x, ∅))   (Eq. 15, 16)

    Example: steerx generate --method cos --lam 0.7
    """
    from steerx_cli.lm.sampling import Sampling
    from steerx_cli.lm.templates import load_task
    from steerx_cli.stages.generate import Inputs, run
    from steerx_cli.stages.generate.settings import Settings

    chosen = needed(method, "--method", "a method (--method rag)")
    refuse_unused(typed, chosen, profiles_of, temperature)
    settings = Settings(
        method=chosen,
        task=load_task(needed(task, "--task", "a task (--task review)")),
        lams=tuple(needed(lam or None, "--lam", "a λ (--lam 0.7)")) if chosen in STEERED else (None,),
        over=over,
        profiles_of=profiles_of,
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
    )
    request, scope = model.request("Qwen/Qwen3-8B"), common.scope(name_of(chosen, over, profiles_of))
    console.telling(
        telling, lambda progress: run(settings, request, inputs, scope, progress), first={"preset": common.preset}
    )


def name_of(method: str, over: str, profiles_of: str) -> str:
    """Each method has a file of its own; what nobody's histories are in is neutral."""
    if over == "histories":
        return "neutral"
    others = method == "steerx-cos" and profiles_of == "other"
    return f"generations-{method}" + ("-other" if others else "")


def refuse_unused(typed: typer.Context, method: str, profiles_of: str, temperature: float) -> None:
    """An option that is typed and would change nothing is a mistake; a preset's is for the methods that have it."""
    without = {
        "lam": (method not in STEERED, f"--method {method} has no λ: leave --lam out"),
        "profiles_of": (
            profiles_of == "other" and method != "steerx-cos",
            f"--method {method} has no description: leave --profiles-of out, or name --method steerx-cos",
        ),
        "top_p": (not temperature, "--top-p is given and nothing is drawn: name a --temperature above 0, too"),
    }
    for name, (unused, sentence) in without.items():
        source = typed.get_parameter_source(name)
        if unused and source is not None and source.name == "COMMANDLINE":
            raise SteerxError(sentence)
