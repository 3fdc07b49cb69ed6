"""`steerx build-vector`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, Common, Model, PromptFormat, Task, Telling, bundled, needed, refuse_typed

VECTOR = "How it is mixed"
STATES = "Which hidden states"
WITH_A_MODEL = (
    *("model", "revision", "dtype", "device", "batch_tokens", "trust_remote_code", "pickled", "prompt_format", "task"),
    *("layer", "scope", "pool", "text", "described_by", "select_by_description", "retrieved", "neutral", "profiles"),
)


@bundled
def build_vector(
    typed: typer.Context,
    model: Model,
    common: Common,
    telling: Telling,
    gamma1: Annotated[
        float | None,
        typer.Option(
            "--gamma1",
            help="γ1, how much the histories count beside their descriptions; 1 is CAS.",
            show_default=False,
            rich_help_panel=VECTOR,
        ),
    ] = None,
    normalize: Annotated[
        bool | None,
        typer.Option(
            "--normalize/--no-normalize",
            help="Give each vector the length 1. With --vectors, as they are if it is not said.",
            show_default="no-normalize",
            rich_help_panel=VECTOR,
        ),
    ] = None,
    described_by: Annotated[
        Literal["history", "query"],
        typer.Option(
            "--described-by",
            help="s_i: the description of each history, or that of its query's histories together.",
            rich_help_panel=VECTOR,
        ),
    ] = "history",
    select_by_description: Annotated[
        int | None,
        typer.Option(
            "--select-by-description",
            help="Keep the M histories that point most to where their descriptions do.",
            metavar="M",
            min=1,
            show_default=False,
            rich_help_panel=VECTOR,
        ),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="ℓ: the decoder block, from 1, behind which states are read. Several make a row each, in one pass.",
            show_default=False,
            rich_help_panel=STATES,
        ),
    ] = None,
    scope: Annotated[
        Literal["query", "user"],
        typer.Option(
            "--scope",
            help="A vector for each query from its retrieved histories, or for each user from all of the user's.",
            rich_help_panel=STATES,
        ),
    ] = "query",
    pool: Annotated[
        Literal["last", "mean"],
        typer.Option("--pool", help="A text's state: at its last token, or the mean of all.", rich_help_panel=STATES),
    ] = "last",
    text: Annotated[
        Literal["prompted", "alone"],
        typer.Option("--text", help="Texts stand behind their inputs' prompts, or alone.", rich_help_panel=STATES),
    ] = "prompted",
    task: Task = None,
    prompt_format: PromptFormat = "chat",
    vectors: Annotated[
        Path | None,
        typer.Option(
            "--vectors", help="Mix these again, with another --gamma1: no model is loaded.", rich_help_panel=FILES
        ),
    ] = None,
    retrieved: Annotated[
        Path | None, typer.Option("--retrieved", help="The histories of each query.", rich_help_panel=FILES)
    ] = None,
    neutral: Annotated[
        Path | None,
        typer.Option(
            "--neutral", help="What generate --method non-perso --over histories writes.", rich_help_panel=FILES
        ),
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="The descriptions; not with γ1 = 1.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Build the direction in which a user's texts part from what the model writes by itself.

    a = 1/n · Σ γ1 · (h_i − h̄_i) + (1 − γ1) · (s_i − h̄_i)   (Eq. 17; with γ1 = 1 it is Eq. 5, CAS)

    h_i   the hidden state of a history's text behind its input x_i, at decoder block ℓ
    s_i   that of its description in the same place
    h̄_i   that of the model's own neutral answer

    Example: steerx build-vector --layer 2 --layer 3 --gamma1 0.4
    """
    from steerx_cli.lm.templates import load_task
    from steerx_cli.stages.build_vector import Inputs, remix, run
    from steerx_cli.stages.build_vector.settings import Mix, Settings

    weight = needed(gamma1, "--gamma1", "a γ1 (--gamma1 0.4)")
    place = common.scope("vectors")
    if vectors is not None:
        refuse_unused(typed)
        console.telling(
            telling,
            lambda progress: remix(weight, normalize, vectors, place, progress),
            first={"preset": common.preset},
        )
        return
    settings = Settings(
        task=load_task(needed(task, "--task", "a task (--task review)")),
        layers=tuple(needed(layer or None, "--layer", "a layer (--layer 20)")),
        mix=Mix(weight, bool(normalize)),
        scope=scope,
        pool=pool,
        text=text,
        described_by=described_by,
        select=select_by_description,
        prompt_format=prompt_format,
        batch_tokens=model.batch_tokens,
    )
    inputs = Inputs(
        retrieved=common.input("retrieved", retrieved),
        neutral=common.input("neutral", neutral),
        profiles=common.input("profiles", profiles),
    )
    request = model.request("Qwen/Qwen3-8B")
    console.telling(
        telling, lambda progress: run(settings, request, inputs, place, progress), first={"preset": common.preset}
    )


def refuse_unused(typed: typer.Context) -> None:
    """Nothing of what a vector was read with can be changed afterwards."""
    refuse_typed(typed, WITH_A_MODEL, "--vectors mixes what was read, and {} is for reading: leave one of them out")
