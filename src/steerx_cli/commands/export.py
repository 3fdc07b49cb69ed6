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
        Literal["gguf", "safetensors"],
        typer.Option("--format", help="As above.", show_default=False, rich_help_panel=FILES),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder for the files.", show_default=False, rich_help_panel=FILES),
    ],
    gamma2: Annotated[
        float,
        typer.Option(
            "--gamma2",
            help="γ2, multiplied into the vectors; 1 leaves that to the program that reads them.",
            rich_help_panel=FILES,
        ),
    ] = 1.0,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Only this user's; several likewise.", metavar="ID", rich_help_panel=CHOICE),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option("--query", help="Only this query's; several likewise.", metavar="ID", rich_help_panel=CHOICE),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="Only this ℓ, counted from 1. Several stand in one file, and whoever reads it adds them all.",
            show_default=False,
            rich_help_panel=CHOICE,
        ),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Write steering vectors for other programs, a file for each user and query.

    gguf         llama.cpp's control vectors, whose scale is γ2:
                 llama-server -m model.gguf --control-vector-scaled FILE:0.4
    safetensors  the same tensors, for Python

    direction.N is for the output of decoder block N, counted from 0: ℓ = N + 1.
    Each file says where it is from: in controlvector.steerx.*, or as JSON in steerx.

    Example: steerx export runs/default/vectors.parquet --format gguf --output runs/default/control
    """
    from steerx_cli.tools.export import run
    from steerx_cli.tools.export.vectors import Wanted

    wanted = Wanted(file_format, user or (), query or (), layer or (), gamma2)
    console.telling(telling, lambda progress: run(vectors, wanted, output, overwrite, dry_run, progress))
