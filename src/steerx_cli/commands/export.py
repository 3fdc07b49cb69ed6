"""`steerx export`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, DryRun, Overwrite, Telling, bundled

CHOICE = "Which vectors"


@bundled
def export(
    telling: Telling,
    vectors: Annotated[list[Path], typer.Argument(help="The vectors: a file, a folder of shards, or a pattern.")],
    file_format: Annotated[
        Literal["safetensors", "gguf"],
        typer.Option("--format", help="gguf is llama.cpp's control vector.", show_default=False, rich_help_panel=FILES),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder for the files.", show_default=False, rich_help_panel=FILES),
    ],
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Only this user's; more than once for several.", rich_help_panel=CHOICE),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option("--query", help="Only this query's; more than once for several.", rich_help_panel=CHOICE),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="ℓ, counted from 1. Several are added all at once.",
            min=1,
            show_default=False,
            rich_help_panel=CHOICE,
        ),
    ] = None,
    gamma2: Annotated[
        float,
        typer.Option("--gamma2", help="γ2, by which the vectors are multiplied.", rich_help_panel=CHOICE),
    ] = 1.0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Write steering vectors for other programs, a file for each user and query.

    llama.cpp takes them so, γ2 being the SCALE: llama-server -m model.gguf --control-vector-scaled FILE:SCALE

    Example: steerx export runs/default/vectors.parquet --format gguf --output runs/default/control
    """
    from steerx_cli.tools.export import Wanted, run

    wanted = Wanted(file_format, user or (), query or (), layer or (), gamma2)
    console.telling(telling, lambda progress: run(vectors, wanted, output, overwrite, dry_run, progress))
