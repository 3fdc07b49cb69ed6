"""The program: its commands in pipeline order, and the one place that turns errors into exit codes."""

import os
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from steerx_cli import console
from steerx_cli.commands.merge import merge
from steerx_cli.commands.retrieve import retrieve
from steerx_cli.commands.show import show
from steerx_cli.core.errors import Interrupted, SteerxError

STAGES = {"retrieve": retrieve}
TOOLS = {"show": show, "merge": merge}

app = typer.Typer(
    name="steerx",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in STAGES.items():
    app.command(name, rich_help_panel="Stages, in the order of the pipeline")(command)
for name, command in TOOLS.items():
    app.command(name, rich_help_panel="Tools")(command)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steerx {version('steerx')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def steerx(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Personalise a language model's writing without training (SteerX).

    Every stage reads Parquet and writes Parquet; `make` chains them.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0, 1 for our own faults, 2 for what a person can mend, 130 for Ctrl-C."""
    try:
        code = app(arguments, standalone_mode=False)
    except SteerxError as error:
        if os.environ.get("STEERX_DEBUG") == "1":
            traceback.print_exc()
        stopped = isinstance(error, Interrupted)
        console.say("Stopped:" if stopped else "Error:", str(error), "bold yellow" if stopped else "bold red")
        return 130 if stopped else 2
    except typer.TyperException as error:
        console.say("Error:", _usage(error), "bold red")
        return 2
    return int(code or 0)


def _usage(error: typer.TyperException) -> str:
    """What was typed wrong, and where the right words are."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "steerx"
    return f"{error.format_message().rstrip('.')}: see {command} --help"
