"""The program: its commands in pipeline order, and the one place that turns errors into exit codes."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from steerx_cli import console
from steerx_cli.commands.build_vector import build_vector
from steerx_cli.commands.choose import choose
from steerx_cli.commands.evaluate import evaluate
from steerx_cli.commands.export import export
from steerx_cli.commands.generate import generate
from steerx_cli.commands.import_ import import_
from steerx_cli.commands.merge import merge
from steerx_cli.commands.report import report
from steerx_cli.commands.retrieve import retrieve
from steerx_cli.commands.score_tokens import score_tokens
from steerx_cli.commands.select import select
from steerx_cli.commands.show import show
from steerx_cli.commands.smooth import smooth
from steerx_cli.commands.try_ import try_
from steerx_cli.core.errors import Interrupted, SteerxError

STAGES = {
    "retrieve": retrieve,
    "score-tokens": score_tokens,
    "smooth": smooth,
    "build-vector": build_vector,
    "generate": generate,
    "evaluate": evaluate,
}
TOOLS: dict[str, Callable[..., None]] = {
    "import": import_,
    "select": select,
    "choose": choose,
    "show": show,
    "merge": merge,
    "export": export,
    "try": try_,
    "report": report,
}

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
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = int(app(words, standalone_mode=False) or 0)
    except Interrupted as interrupt:
        return _stopped(str(interrupt))
    except SteerxError as error:
        if os.environ.get("STEERX_DEBUG") == "1":
            traceback.print_exc()
        console.say("Error:", str(error), "bold red")
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        console.say("Error:", f"{os.fsdecode(error.filename)}: {error.strerror}: name another or mend it", "bold red")
        return 2
    except typer.TyperException as error:
        console.say("Error:", _usage(error, words), "bold red")
        return 2
    # Typer makes a bare Ctrl-C a code of its own; it came where no work was under way.
    return _stopped("the same command continues") if code == 130 else code


def _stopped(sentence: str) -> int:
    console.say("Stopped:", sentence, "bold yellow")
    return 130


def _usage(error: typer.TyperException, words: Sequence[str]) -> str:
    """What was typed wrong, and where the right words are."""
    command = next((f"steerx {word}" for word in words if word in {**STAGES, **TOOLS}), "steerx")
    said = error.format_message().replace("Value error, ", "").rstrip(".")  # a prefix of the checker's, not ours
    return f"{said}: see {command} --help"
