"""`steerx choose`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import DEFAULT_RUN, FILES, Overwrite, Preset, Run, Telling, bundled, needed
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.places import find_input


@bundled
def choose(
    telling: Telling,
    method: Annotated[
        Literal["cos", "steerx-cos", "cas", "steerx-cas"] | None,
        typer.Option("--method", help="Whose settings are chosen.", show_default=False),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Argument(
            help="What evaluate writes with --split development.",
            metavar="[FILE]",
            show_default="the run folder's metrics.parquet",
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="The score that decides.", metavar="METRIC")] = "meteor",
    preset: Preset = None,
    run: Run = DEFAULT_RUN,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The folder for METHOD.parquet, all that was tried, and METHOD.toml, a preset.",
            show_default="tuned, in the run folder",
            rich_help_panel=FILES,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Choose a method's settings among those that were tried, by a score on the development split.

    λ of cos; λ, τ of steerx-cos; γ2, ℓ of cas; γ2, ℓ, γ1, τ of steerx-cas: as far as several were tried

    The preset that is written extends --preset, and sets what was chosen.

    Example: steerx choose --method cos
    """
    from steerx_cli.tools.choose import Wanted
    from steerx_cli.tools.choose import run as choose_settings

    whose = needed(method, "--method", "a method (--method cos)")
    if preset is None:
        raise SteerxError("there is no preset to change: name the one that the answers were made with, by --preset")
    wanted, place = Wanted(whose, by, preset, output or run / "tuned"), find_input("metrics", metrics, run, None)
    console.telling(telling, lambda _: choose_settings(place, wanted, overwrite), first={"preset": preset})
