"""`steerx smooth`: its options and its help."""

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
    Task,
    Telling,
    bundled,
    is_typed,
    needed,
    refuse_typed,
)
from steerx_cli.core.errors import SteerxError

if TYPE_CHECKING:
    from steerx_cli.stages.smooth import Smoother

DESCRIBING = "What is described"
SERVER = "On a server"
ON_A_SERVER = ("revision", "dtype", "device", "batch_tokens", "batch_size", "trust_remote_code", "pickled")
BY_A_MODEL = ("model", "endpoint", "of", "task", "smoothing", "max_new_tokens", "prompt_format", *ON_A_SERVER)


@bundled
def smooth(
    typed: typer.Context,
    model: Model,
    common: Common,
    telling: Telling,
    mode: Annotated[
        Literal["llm", "join", "raw"],
        typer.Option("--mode", help="As above.", rich_help_panel=DESCRIBING),
    ] = "llm",
    of: Annotated[
        Literal["anchors", "texts"],
        typer.Option("--of", help="With llm: the anchors, or the whole texts.", rich_help_panel=DESCRIBING),
    ] = "anchors",
    unit: Annotated[
        Literal["span", "word", "token"],
        typer.Option(
            "--unit",
            help="Anchors as neighbours joined, as whole words, or as the scorer's tokens.",
            rich_help_panel=DESCRIBING,
        ),
    ] = "span",
    describe: Annotated[
        Literal["both", "query", "history"],
        typer.Option(
            "--describe",
            help="Each query's histories together (for CoS), each history by itself (for vectors), or both.",
            rich_help_panel=DESCRIBING,
        ),
    ] = "both",
    task: Task = None,
    smoothing: Annotated[
        Path | None,
        typer.Option(
            "--smoothing", help="A smoothing prompt of your own, in TOML, in place of ours.", rich_help_panel=WRITING
        ),
    ] = None,
    prompt_format: PromptFormat = "chat",
    max_new_tokens: MaxNewTokens = 256,
    batch_size: BatchSize = 32,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            help="An OpenAI-compatible server that writes, with its --model. STEERX_API_KEY holds its key.",
            metavar="URL",
            show_default=False,
            rich_help_panel=SERVER,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", help="Most requests under way at once.", min=1, rich_help_panel=SERVER)
    ] = 8,
    attempts: Annotated[
        int,
        typer.Option(
            "--attempts",
            help="How often a request is made, later and later, before giving up.",
            min=1,
            rich_help_panel=SERVER,
        ),
    ] = 6,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds for one answer.", min=1, max=86_400, rich_help_panel=SERVER)
    ] = 600.0,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="The texts and their anchors.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Turn anchors into a short description of their user.

    s = Coherence(anchors)   (Eq. 14)

    llm   a language model says what the anchors show; if it says nothing, they are joined
    join  the anchors themselves, with … between them (the paper's "w/o smoothing")
    raw   the whole texts as they are (the paper's "w/o personalized token")

    Example: steerx smooth --unit word
    """
    from steerx_cli.lm.templates import load_smoothing, load_task
    from steerx_cli.stages.smooth import run
    from steerx_cli.stages.smooth.settings import Settings, Wording

    refuse_unused(typed, mode, of, endpoint)
    wording = None
    if mode == "llm":
        named = load_task(needed(task, "--task", "a task (--task review)"))
        wording = Wording(named, load_smoothing(str(smoothing) if smoothing else None), prompt_format, max_new_tokens)
    settings = Settings(mode, wording, of, unit, describe)
    if mode == "llm" and endpoint is not None:
        refuse_folder(typed, model)
    smoother = smoother_of(mode, model, endpoint, prompt_format, (concurrency, attempts, timeout), batch_size)
    place, scope = common.input("scores", scores), common.scope("profiles")
    console.telling(
        telling, lambda progress: run(settings, smoother, place, scope, progress), first={"preset": common.preset}
    )


def smoother_of(
    mode: str,
    model: Model,
    endpoint: str | None,
    prompt_format: Literal["plain", "chat"],
    patience: tuple[int, int, float],
    batch_size: int,
) -> "Smoother":
    """Who describes: nobody, a model on this machine, or one on a server."""
    from steerx_cli.stages.smooth import Nobody, OnServer, OnThisMachine

    if mode != "llm":
        return Nobody()
    if endpoint is None:
        return OnThisMachine(model.request("Qwen/Qwen3-14B"), batch_size, model.batch_tokens)
    from steerx_cli.lm.exchange import Server

    name = needed(model.model, "--model", "the model as the server calls it (--model Qwen/Qwen3-14B)")
    return OnServer(Server(endpoint, name, prompt_format, *patience))


def refuse_folder(typed: typer.Context, model: Model) -> None:
    """A preset may name a model on this machine, which no server is to be asked for, nor told where it lies."""
    here = model.model is not None and (model.model.startswith(("/", ".", "~")) or Path(model.model).exists())
    if here and not is_typed(typed, "model"):
        raise SteerxError("the preset's model is on this machine: name the --model as the server calls it, too")


def refuse_unused(typed: typer.Context, mode: str, of: str, endpoint: str | None) -> None:
    """An option that is typed and would change nothing is a mistake; a preset's is for those that have it."""
    without = [
        (("unit",), mode == "raw", "--mode raw takes whole texts"),
        (("unit",), mode == "llm" and of == "texts", "--of texts takes whole texts"),
        (BY_A_MODEL, mode != "llm", f"--mode {mode} asks no model"),
        (ON_A_SERVER, endpoint is not None, "--endpoint leaves that to the server"),
        (("concurrency", "attempts", "timeout"), endpoint is None, "no --endpoint is named"),
    ]
    for names, unused, why in without:
        if unused:
            refuse_typed(typed, names, f"{why}: leave {{}} out")
