"""`steerx show`: its options and its help."""

from pathlib import Path
from typing import Annotated

import typer

from steerx_cli import console


def show(
    file: Annotated[Path, typer.Argument(help="An artifact: a file, a folder of shards, or a pattern.")],
    rows: Annotated[int, typer.Option("--rows", help="How many rows to print.", min=0)] = 3,
    chain: Annotated[bool, typer.Option("--chain", help="The whole ancestry, back to the data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Columns and provenance as one JSON object.")] = False,
) -> None:
    """Print what an artifact holds and where it came from.

    Texts whose tokens have effects are shaded by them, with the anchors underlined.

    Example: steerx show runs/default/retrieved.parquet --chain
    """
    from steerx_cli.tools.show import run

    console.show(run(file, rows), chain, as_json)
