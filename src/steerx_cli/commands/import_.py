"""`steerx import`: its options and its help."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import DryRun, Overwrite, Telling, bundled
from steerx_cli.core.errors import SteerxError

SOURCE = "What the files are"
CHOICE = "Which users and texts"
QUERIES = "Which texts are queries"
PRIVACY = "Whose names"


@dataclass(frozen=True)
class Column:
    """One of our names, and what a file calls it; "" where a column that has our name is something else."""

    name: str
    theirs: str


def parse_column(given: str) -> Column:
    """Read NAME=COLUMN."""
    name, equals, theirs = str(given).partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{given} is not NAME=COLUMN, such as response=body")
    return Column(name, theirs)


def by_name(columns: list[Column]) -> dict[str, str]:
    """The mapping that they make together."""
    found: dict[str, str] = {}
    for column in columns:
        if column.name in found:
            raise SteerxError(f"--column {column.name} is given twice: name one column for it")
        found[column.name] = column.theirs
    return found


@bundled
def import_(
    telling: Telling,
    source: Annotated[
        Literal["generic", "amazon", "dpl", "longlamp", "lamp"],
        typer.Argument(metavar="FORMAT", help="What the files are.", show_default=False),
    ],
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files (JSON, CSV, Parquet, also .gz), folders of them, or a data set's id on Hugging Face.",
            metavar="FILE|ID...",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="The folder for histories and queries.", show_default=False)],
    task: Annotated[
        str | None,
        typer.Option("--task", help="longlamp: topic, review, abstract; lamp: lamp-1 to -7.", rich_help_panel=SOURCE),
    ] = None,
    columns: Annotated[
        list[Column] | None,
        typer.Option(
            "--column",
            help="generic: our name and the file's (user_id, item_id, input, response, rating, time, split, or a "
            "field of your own); more than once.",
            metavar="NAME=COLUMN",
            parser=parse_column,
            rich_help_panel=SOURCE,
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", help="amazon, dpl: files of titles and descriptions; more than once.", rich_help_panel=SOURCE
        ),
    ] = None,
    input_text: Annotated[
        str | None,
        typer.Option("--input-text", help="How an input is made of {fields}.", rich_help_panel=SOURCE),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", help="Of a data set or a folder: which part.", rich_help_panel=SOURCE),
    ] = None,
    encoding: Annotated[
        str, typer.Option("--encoding", help="Of text files; a BOM is no matter.", rich_help_panel=SOURCE)
    ] = "utf-8",
    delimiter: Annotated[
        str, typer.Option("--delimiter", help="Between the values of .csv files.", rich_help_panel=SOURCE)
    ] = ",",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop at the first row that cannot be used.", rich_help_panel=SOURCE),
    ] = False,
    users: Annotated[
        int | None,
        typer.Option(
            "--users", help="Only the N users with the most histories.", min=1, metavar="N", rich_help_panel=CHOICE
        ),
    ] = None,
    min_chars: Annotated[
        int, typer.Option("--min-chars", help="Shortest text, in characters.", min=1, rich_help_panel=CHOICE)
    ] = 1,
    min_histories: Annotated[
        int, typer.Option("--min-histories", help="Fewest histories of a user.", min=0, rich_help_panel=CHOICE)
    ] = 1,
    unique: Annotated[
        bool,
        typer.Option(
            "--unique/--no-unique", help="Of a user's equal texts, keep the latest only.", rich_help_panel=CHOICE
        ),
    ] = True,
    last: Annotated[
        int | None,
        typer.Option(
            "--last",
            help="Each user's last K texts. Without it the source's own queries; where it has none, 1.",
            metavar="K",
            min=0,
            rich_help_panel=QUERIES,
        ),
    ] = None,
    split: Annotated[
        Literal["development", "test"] | None,
        typer.Option(
            "--split", help="Of all queries; else what the source says, or a file's name.", rich_help_panel=QUERIES
        ),
    ] = None,
    development: Annotated[
        float | None,
        typer.Option(
            "--development",
            help="The share of users whose queries are for development.",
            min=0,
            max=1,
            rich_help_panel=QUERIES,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of that draw.", rich_help_panel=QUERIES)] = 0,
    pseudonymous: Annotated[
        bool,
        typer.Option("--pseudonyms", help="Give users other names, by a hash with a key.", rich_help_panel=PRIVACY),
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="The file with that key; else STEERX_KEY holds it.", rich_help_panel=PRIVACY),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Make histories and queries of real people's texts.

    data/README.md says what each format reads, and what becomes of it.

    Example: steerx import generic posts.jsonl --column user_id=author --column response=body --data data/mine
    """
    from steerx_cli.tools.import_.choose import Rules
    from steerx_cli.tools.import_.files.places import find_data
    from steerx_cli.tools.import_.files.rows import How
    from steerx_cli.tools.import_.formats import FORMATS
    from steerx_cli.tools.import_.pseudonyms import read_key
    from steerx_cli.tools.import_.request import Request
    from steerx_cli.tools.import_.work import Import

    request = Request(
        format=source,
        files=find_data(files, config, split, training=not FORMATS[source].own_queries, download=not dry_run),
        metadata=find_data(metadata or [], config, training=True, download=not dry_run),
        how=How(encoding, delimiter.replace("\\t", "\t")),
        task=task and task.lower().replace("_", "-"),  # as in LaMP_4
        columns=by_name(columns or []),
        input_text=input_text,
        split=split,
        rules=Rules(last, min_chars, min_histories, unique),
        users=users,
        development=development,
        seed=seed,
        key=read_key(key_file, os.environ.get("STEERX_KEY")) if pseudonymous or key_file else None,
        strict=strict,
    )
    console.telling(telling, lambda progress: Import(request, data, overwrite).run(dry_run, progress))
