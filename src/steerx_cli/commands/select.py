"""`steerx select`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import (
    DEFAULT_RUN,
    FILES,
    PART,
    Data,
    DryRun,
    Overwrite,
    Preset,
    Run,
    Telling,
    bundled,
    parse_shard,
    refuse_typed,
)
from steerx_cli.core.places import find_input
from steerx_cli.core.provenance import Shard
from steerx_cli.core.scope import Scope


@bundled
def select(
    typed: typer.Context,
    telling: Telling,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The folder for the part of the data.", show_default=False, rich_help_panel=FILES
        ),
    ],
    split: Annotated[
        Literal["development", "test", "all"],
        typer.Option("--split", help="Which queries, and so whose.", rich_help_panel=PART),
    ] = "all",
    draw: Annotated[
        Shard | None,
        typer.Option(
            "--draw",
            help="Only the I-th of N shares of these users, drawn by lot. No user is in two.",
            metavar="I/N",
            parser=parse_shard,
            rich_help_panel=PART,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of that draw.", rich_help_panel=PART)] = 0,
    preset: Preset = None,
    run: Run = DEFAULT_RUN,
    data: Data = None,
    histories: Annotated[
        Path | None, typer.Option("--histories", help="What the users wrote before.", rich_help_panel=FILES)
    ] = None,
    queries: Annotated[Path | None, typer.Option("--queries", help="What they ask.", rich_help_panel=FILES)] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Take a part of the data, in a folder that every stage takes as --data.

    Users without a query that is kept are left out, with all that they wrote.

    Example: steerx select --split development --output runs/development
    """
    from steerx_cli.tools import select as tool

    if draw is None:
        refuse_typed(typed, ["seed"], "without --draw nothing is drawn: leave {} out, or name a share (--draw 1/2)")
    inputs = find_input("queries", queries, run, data), find_input("histories", histories, run, data)
    choice, scope = tool.Choice(split, draw, seed), Scope(output, overwrite=overwrite, dry_run=dry_run)
    console.telling(telling, lambda progress: tool.run(choice, *inputs, scope, progress), first={"preset": preset})
