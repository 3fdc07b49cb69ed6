"""The options that commands share: one wording each, in bundles that a command takes as one argument."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from steerx_cli.commands.presets import apply_preset
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.places import artifact_path, find_input
from steerx_cli.core.provenance import Shard
from steerx_cli.core.scope import Scope

if TYPE_CHECKING:
    from steerx_cli.lm.models import ModelRequest

Given = TypeVar("Given")

FILES = "Files"
MODEL = "Model"
PART = "Which users"
TELLING = "Reporting"
WRITING = "How it is written"
TABLE = "The table"


def parse_shard(given: str) -> Shard:
    """Read I/N."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", str(given))  # a preset may hold a number
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{given} is not I/N with I from 1 to N, such as 1/4")
    return Shard(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Telling:
    """How a command tells what it did."""

    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no summary.", rich_help_panel=TELLING)
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="The summary as one JSON object on stdout.", rich_help_panel=TELLING)
    ] = False


@dataclass(frozen=True)
class Model:
    """Which model a stage runs, and how."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="A Hugging Face id, or a local folder.", metavar="ID_OR_PATH", rich_help_panel=MODEL
        ),
    ] = None
    revision: Annotated[
        str | None, typer.Option("--revision", help="A branch, tag or commit of the id.", rich_help_panel=MODEL)
    ] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="Number format; auto is the model's own.", rich_help_panel=MODEL),
    ] = "auto"
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, or one GPU such as cuda:0.", rich_help_panel=MODEL)
    ] = "auto"
    batch_tokens: Annotated[
        int,
        typer.Option(
            "--batch-tokens", help="Most tokens in one forward pass, padding included.", min=1, rich_help_panel=MODEL
        ),
    ] = 8192
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model.",
            rich_help_panel=MODEL,
        ),
    ] = False
    pickled: Annotated[
        bool,
        typer.Option(
            "--pickled/--no-pickled",
            help="Also take weights in PyTorch's own .bin files.",
            rich_help_panel=MODEL,
        ),
    ] = False

    def request(self, example: str) -> "ModelRequest":
        """The model to look for; `example` is one that a person could name."""
        from steerx_cli.lm.models import ModelRequest

        name = needed(self.model, "--model", f"a model (--model {example})")
        return ModelRequest(name, self.revision, self.dtype, self.device, self.trust_remote_code, self.pickled)


DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything, say what would be done, and do nothing.", rich_help_panel=TELLING
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an output that was made with other settings.", rich_help_panel=FILES),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="The wording of the prompts: review, topic, … or a TOML file of your own.",
        metavar="NAME|FILE",
        show_default=False,
    ),
]
PromptFormat = Annotated[
    Literal["plain", "chat"],
    typer.Option(
        "--prompt-format", help="The model's chat format, or bare text for base models.", rich_help_panel=MODEL
    ),
]
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", help="Most tokens of a text that is written.", min=1, rich_help_panel=WRITING)
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", help="Most texts that are written at once.", min=1, rich_help_panel=WRITING)
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        help="The system that the others are compared with: its name, or a method.",
        metavar="SYSTEM",
        show_default="non-perso, where it is there",
        rich_help_panel=TABLE,
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        "--samples", help="How often users are drawn, and swapped.", min=100, max=100_000, rich_help_panel=TABLE
    ),
]
Confidence = Annotated[
    float,
    typer.Option(
        "--confidence",
        help="Of the intervals; 1 minus it is where p tells.",
        min=0.5,
        max=0.999,
        rich_help_panel=TABLE,
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]


Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="Settings by name, or from a TOML file; flags override them. The default in a checkout is demo.",
        metavar="NAME|FILE",
        is_eager=True,
        callback=apply_preset,
        show_default=False,
    ),
]
Run = Annotated[
    Path,
    typer.Option(
        "--run", help="The folder in which each artifact has its name.", envvar="STEERX_RUN", rich_help_panel=FILES
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Where histories and queries are, if not in the run folder.", rich_help_panel=FILES),
]
DEFAULT_RUN = Path("runs/default")


@dataclass(frozen=True)
class Common:
    """What every stage takes."""

    preset: Preset = None
    run: Run = DEFAULT_RUN
    data: Data = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, if not in the run folder.", rich_help_panel=FILES),
    ] = None
    overwrite: Overwrite = False
    limit: Annotated[
        int | None, typer.Option("--limit", help="Only the first N users.", metavar="N", min=1, rich_help_panel=PART)
    ] = None
    shard: Annotated[
        Shard | None,
        typer.Option(
            "--shard",
            help="Only the I-th of N shares of the users; steerx merge joins them.",
            metavar="I/N",
            parser=parse_shard,
            rich_help_panel=PART,
        ),
    ] = None
    chunk_users: Annotated[
        int,
        typer.Option(
            "--chunk-users",
            help="Users in one chunk: it is kept when finished, and nothing crosses it.",
            min=1,
            rich_help_panel=PART,
        ),
    ] = 64
    dry_run: DryRun = False

    def input(self, name: str, given: Path | None = None) -> Path:
        """Where an input is: as given, else in the run folder, else (histories and queries) in the data folder."""
        return find_input(name, given, self.run, self.data)

    def scope(self, name: str) -> Scope:
        """The part of the work, and the place of the artifact that it makes."""
        return Scope(
            output=self.output or artifact_path(self.run, name, self.shard),
            chunk_users=self.chunk_users,
            limit=self.limit,
            shard=self.shard,
            overwrite=self.overwrite,
            dry_run=self.dry_run,
        )


def needed(value: Given | None, flag: str, example: str) -> Given:
    """A setting that has no default of its own: without a preset it has to be named."""
    if value is None:
        raise SteerxError(f"neither {flag} nor a preset that sets it is given: name {example}, or use --preset")
    return value


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line; else its value is a preset's, or its own default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_typed(context: typer.Context, names: Iterable[str], sentence: str) -> None:
    """Refuse options that would change nothing, if they are typed; a preset's are for whoever has them.

    The sentence has a place for the flag.
    """
    for name in names:
        if is_typed(context, name):
            raise SteerxError(sentence.format(f"--{name.replace('_', '-')}"))


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of the dataclasses among its parameters."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    bundles: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @functools.wraps(command)
    def with_bundles(**given: Any) -> None:
        made = {
            name: bundle(**{field.name: given.pop(field.name) for field in fields(bundle)})
            for name, bundle in bundles.items()
        }
        command(**made, **given)

    own = [parameter for name, parameter in signature.parameters.items() if name not in bundles]
    shared = [option for bundle in bundles.values() for option in _options_of(bundle)]
    everything = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *shared]]
    with_bundles.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    with_bundles.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
    del with_bundles.__wrapped__  # typer must not look behind the new signature
    return with_bundles


def _options_of(bundle: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(bundle, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(bundle)
    ]
