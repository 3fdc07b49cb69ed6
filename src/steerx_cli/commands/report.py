"""`steerx report`: its options and its help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, Against, Confidence, Samples, Seed, is_typed, refuse_typed
from steerx_cli.core.errors import SteerxError

if TYPE_CHECKING:
    from steerx_cli.report.grids import Page

USED = {  # what changes each form; the place of the figure always does
    "histogram": ("a histogram of effects", {"tau", "output_format"}),
    "bars": ("bars", {"against", "samples", "confidence", "seed"}),
    "curves": ("curves", {"along", "samples", "confidence", "seed"}),
    "spread": ("the spread of several runs", {"against", "output_format"}),
}


def report(
    typed: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Effects, scores, or metrics; several metrics are several runs.", metavar="FILE"),
    ],
    along: Annotated[
        Literal["lam", "gamma2", "tau", "gamma1", "layer"] | None,
        typer.Option(
            "--along",
            help="The setting along which curves go: lam, gamma2, tau, gamma1 or layer.",
            metavar="SETTING",
            show_default=False,
        ),
    ] = None,
    tau: Annotated[
        float | None,
        typer.Option("--tau", help="The threshold that is marked, in nats.", show_default="that of the scores"),
    ] = None,
    against: Against = None,
    output_format: Annotated[
        Literal["terminal", "markdown", "latex"],
        typer.Option("--format", help="How numbers are written to stdout."),
    ] = "terminal",
    samples: Samples = 10_000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The figure, an .svg, .pdf or .png; one that is there is replaced.",
            show_default=False,
            rich_help_panel=FILES,
        ),
    ] = None,
) -> None:
    """Draw scores and effects, and tell how far several runs are apart.

    effects, scores    how Δ is distributed, and a histogram (as in Figure 6)
    metrics            bars of systems, a panel for each score (Figures 4, 7)
    metrics, --along   curves along a setting (Figure 5)
    several metrics    the spread over seeds and draws of users, and dots

    Example: steerx report runs/default/effects.parquet
    """
    from steerx_cli.report.sums import Asked
    from steerx_cli.tools import report as tool

    sources = tool.opened(files)
    form = tool.form_of(sources, along)
    name, used = USED[form]
    unused = [each for each in ("along", "tau", "against", "samples", "confidence", "seed") if each not in used]
    refuse_typed(typed, unused, f"{{}} changes nothing in {name}: leave it out")
    if "output_format" not in used and is_typed(typed, "output_format"):
        raise SteerxError(f"--format is of numbers, and {name} are a figure only: leave it out")
    page = tool.run(form, sources, tool.Wanted(along, tau, Asked(against, samples, confidence, seed)), output)
    if output is not None:
        console.say("wrote", str(output), "dim")
    if page is not None:
        _show(page, output_format)


def _show(page: "Page", output_format: str) -> None:
    from steerx_cli.report.formats import latex, markdown

    if output_format == "terminal":
        console.page(page)
    else:
        console.text({"markdown": markdown, "latex": latex}[output_format](page))
