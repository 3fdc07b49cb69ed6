"""`steerx merge`: its options and its help."""

from pathlib import Path
from typing import Annotated

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, DryRun, Overwrite, Telling, bundled


@bundled
def merge(
    telling: Telling,
    shards: Annotated[list[Path], typer.Argument(help="The shards: files, a folder of them, or a pattern.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; else the shards' name.", rich_help_panel=FILES),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Join the shards of one run to the file that the run would have written whole, byte for byte.

    Example: steerx merge runs/default/retrieved-*-of-00002.parquet
    """
    from steerx_cli.tools.merge import run

    console.telling(telling, lambda progress: run(shards, output, overwrite, dry_run, progress))
