"""`steerx try`: its options and its help."""

import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from steerx_cli import console
from steerx_cli.commands.options import DEFAULT_RUN, FILES, Data, Preset, Run, Task, Telling, bundled, needed
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.places import find_input


@bundled
def try_(
    typed: typer.Context,
    telling: Telling,
    user: Annotated[str, typer.Option("--user", help="Who asks: a user of the histories.", show_default=False)],
    query: Annotated[
        str,
        typer.Option(
            "--query", help="What is asked: any text, or the id of one of the user's queries.", show_default=False
        ),
    ],
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            help="A named field of the question, such as rating=5. May be given again.",
            metavar="NAME=TEXT",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="How it is answered, as in generate. Several stand side by side.",
            show_default="rag, steerx-cos, steerx-cas",
        ),
    ] = None,
    lam: Annotated[float | None, typer.Option("--lam", help="λ, if not the preset's.", show_default=False)] = None,
    gamma2: Annotated[
        float | None, typer.Option("--gamma2", help="γ2, if not the preset's.", show_default=False)
    ] = None,
    task: Task = None,
    preset: Preset = None,
    run: Run = DEFAULT_RUN,
    data: Data = None,
    histories: Annotated[
        Path | None, typer.Option("--histories", help="What the users wrote before.", rich_help_panel=FILES)
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Queries that can be named by id.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Answer one person's question by several methods, and show the anchors and the description behind them.

    retrieve → score-tokens → smooth → build-vector → generate, for this question alone, with the preset's settings

    A text that is no id stands in the first field of the task's input that no --field names.

    Example: steerx try --user person-54 --query "Silver Compass" --field rating=5 --method rag --method steerx-cos
    """
    from steerx_cli.core.presets import load_preset
    from steerx_cli.lm.templates import load_task
    from steerx_cli.tools import try_ as tool

    named = needed(task, "--task", "a task (--task review)")
    methods = list(dict.fromkeys(method or ("rag", "steerx-cos", "steerx-cas")))
    strengths = {name: value for name, value in (("lam", lam), ("gamma2", gamma2)) if value is not None}
    question = tool.Question(user, query, fields_of(field or []), load_task(named), methods, named, strengths)

    def run_command(step: Sequence[str], folder: Path) -> Mapping[str, Any]:
        """A stage as it would be typed."""
        assert typed.parent
        given = [*step, "--run", str(folder), "--preset", str(folder / "preset.toml"), "--json"]
        with redirect_stdout(StringIO()) as told:
            typed.parent.command.main(given, prog_name="steerx", standalone_mode=False)
        summary: Mapping[str, Any] = json.loads(told.getvalue())
        return summary

    places = find_input("histories", histories, run, data), find_input("queries", queries, run, data)
    with console.progress(telling.quiet or telling.as_json) as progress:
        tried = tool.run(question, load_preset(preset) if preset else None, *places, run_command, progress)
    console.tried(tried, preset, telling.as_json)


def fields_of(given: Sequence[str]) -> dict[str, str]:
    """Read NAME=TEXT."""
    pairs = [each.partition("=") for each in given]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise SteerxError(f"--field {name!r} is not NAME=TEXT, such as rating=5: correct it")
    return {name: value for name, _, value in pairs}
