"""What a person sees: progress, one summary, errors on stderr; `--json` and `show` on stdout."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from steerx_cli import scored, shading
from steerx_cli import tried as trying
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Progress, Silent
from steerx_cli.core.provenance import typed
from steerx_cli.core.summary import Summary
from steerx_cli.core.text import visible

if TYPE_CHECKING:
    from steerx_cli.report.grids import Page
    from steerx_cli.tools.show import Ancestor, View
    from steerx_cli.tools.try_ import Tried


def _stderr() -> Console:
    return Console(stderr=True, highlight=False)


def say(label: str, sentence: str, style: str) -> None:
    """One sentence on stderr, never wrapped where a program reads it."""
    line = Text.assemble((f"{label} ", style), visible(sentence))
    _stderr().print(line, soft_wrap=True)


# --- progress ---------------------------------------------------------------------------------------------------------


class _Rate(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f} {task.fields['unit']}/s" if task.speed else "")


class _Bar:
    """Progress on the terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total, completed=done, unit=unit)

    def advance(self, amount: int) -> None:
        assert self._task is not None
        self._bars.advance(self._task, amount)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A bar with rate and remaining time where somebody watches, silence elsewhere."""
    console = _stderr()
    if quiet or not console.is_terminal:
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Bar(bars)


# --- summaries --------------------------------------------------------------------------------------------------------


class Telling(Protocol):
    """The options that say how much is told."""

    @property
    def quiet(self) -> bool: ...
    @property
    def as_json(self) -> bool: ...


def telling(
    how: Telling, work: Callable[[Progress], Summary], first: Mapping[str, str | None] = MappingProxyType({})
) -> None:
    """Do a command's work under a progress bar, and tell how it ended: as lines, or as one JSON object.

    `first` is what the command itself has to tell, the preset in force.
    """
    with progress(how.quiet or how.as_json) as bar:
        summary = work(bar)
    if how.as_json:
        with _readers_may_leave():
            print(json.dumps({**first, **asdict(summary)}))  # noqa: T201
    elif not how.quiet:
        _tell([(name, value or "none") for name, value in first.items()] + list(_entries(summary)))


def _tell(entries: list[tuple[str, str]]) -> None:
    """Two columns: what, and how much."""
    longest = max(len(name) for name, _ in entries)
    for name, value in entries:
        _stderr().print(Text.assemble((f"{name.ljust(longest)}  ", "dim"), visible(value)), soft_wrap=True)


def _entries(summary: Summary) -> Iterator[tuple[str, str]]:
    yield summary.command, summary.status
    for role, place in summary.inputs.items():
        yield f"read {role}", place
    yield ("wrote" if summary.status == "finished" else "output"), summary.output
    if summary.parameters:
        yield "with", _settings(summary.parameters)
    for role, model in summary.models.items():
        yield f"{role} model", _model(model)
    yield "rows, users", f"{'?' if summary.rows is None else f'{summary.rows:,}'}, {summary.users:,}"
    yield "time", _time(summary)
    yield "peak memory", f"{summary.peak_memory / 2**20:,.0f} MiB"
    for name, number in summary.counts.items():
        yield "note", f"{name}: {number:,}"
    for note in summary.notes:
        yield "note", note


def _settings(parameters: Mapping[str, object]) -> str:
    """Parameters as a person types them."""
    return ", ".join(
        f"{name.replace('_', '-')} {typed(value)}" for name, value in parameters.items() if value is not None
    )


def _model(record: Mapping[str, str]) -> str:
    """Its name first, whatever the order in which a file has them."""
    return ", ".join(record[name] for name in ("id", "revision", "weights", "dtype") if name in record)


def _time(summary: Summary) -> str:
    rate = f", {summary.users_now / summary.seconds:,.1f} users/s" if summary.users_now and summary.seconds else ""
    return f"{summary.seconds:,.1f} s{rate}"


# --- show -------------------------------------------------------------------------------------------------------------


class _Stdout(Console):
    """A console that leaves it to the caller what to do when nobody reads any more; rich's own ends the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """`steerx show FILE | head` is no error, and a full disk is none of ours."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
    except OSError as error:
        _write_no_more()
        raise SteerxError(f"what there is to show cannot be written: {error.strerror}: send it elsewhere") from error


def _write_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(view: "View", with_chain: bool, as_json: bool) -> None:
    """An artifact on stdout, as wide as the terminal."""
    with _readers_may_leave():
        _show(view, with_chain, as_json)


def _show(view: "View", with_chain: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "artifact": view.artifact,
            "place": view.place,
            "footer": asdict(view.footer),
            "columns": view.columns,
        }
        print(json.dumps(document))  # noqa: T201
        return
    console = _Stdout(highlight=False)
    console.print(_heading(view))
    _print_pairs(console, view.columns)
    if view.shaded:
        _print_texts(console, view)
    else:
        _print_rows(console, view)
    console.print(Text("provenance", style="bold"))
    for ancestor in view.chain if with_chain else view.chain[:1]:
        console.print(Padding(_ancestor(ancestor), (0, 0, 0, 2 * ancestor.depth + 2), expand=False))


def page(page: "Page") -> None:
    """Tables on stdout, for a reader at the terminal."""
    with _readers_may_leave():
        console = _Stdout(highlight=False)
        for part in scored.shown(page, console.width):
            console.print(part)


def text(text: str) -> None:
    """What a program or a page reads, on stdout."""
    with _readers_may_leave():
        sys.stdout.write(text)


def tried(found: "Tried", preset: str | None, as_json: bool) -> None:
    """One person's question and its answers on stdout."""
    with _readers_may_leave():
        if as_json:
            print(json.dumps({"preset": preset, **asdict(found)}))  # noqa: T201
            return
        console = _Stdout(highlight=False)
        for part in trying.shown(found, console.width, _shades(console)):
            console.print(part)


def _heading(view: "View") -> Text:
    size = f"  {view.footer.rows:,} rows, {view.footer.users:,} users  "
    return Text.assemble((view.artifact, "bold"), size, (visible(view.place), "dim"))


def _print_rows(console: Console, view: "View") -> None:
    for number, row in enumerate(view.rows, 1):
        console.print(Text(f"row {number}", style="bold"))
        shown = {name: value for name, value in row.items() if name != view.text and value is not None}
        _print_pairs(console, [(name, readable(value)) for name, value in shown.items()])
        if view.text and row[view.text] is not None:
            _print_wrapped(console, Text("\n".join(map(visible, row[view.text].splitlines()))))


def _print_texts(console: Console, view: "View") -> None:
    """Each row's text, its tokens shaded by their effects; below it what else the row holds."""
    shades = _shades(console)
    for number, row in enumerate(view.rows, 1):
        console.print(shading.headline(number, row))
        _print_wrapped(console, shading.shaded(row, shades))
        rest = [(name, readable(value)) for name, value in shading.remaining(row).items()]
        _print_pairs(console, [("largest Δ", shading.largest(row)), *rest])
    if view.rows:
        console.print(shading.legend(shades, with_anchors="anchors" in view.rows[0]))


def _print_wrapped(console: Console, text: Text) -> None:
    """A text as wide as the terminal."""
    for line in text.wrap(console, max(console.width - 2, 1)):
        console.print(Text.assemble("  ", line), soft_wrap=True)


def _shades(console: Console) -> shading.Shades | None:
    if console.color_system is None or console.no_color:
        return None
    return shading.MANY if console.color_system in ("256", "truecolor") else shading.FEW


def _print_pairs(console: Console, pairs: list[tuple[str, str]]) -> None:
    """A line for each name and value, cut at the terminal's width."""
    longest = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        line = Text.assemble((f"  {name.ljust(longest)}  ", "dim"), value)
        line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)


def readable(value: Any) -> str:
    """Any value of a row on one line, harmless to the terminal."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and set(value[0]) == {"name", "value"}:
        return visible(" · ".join(f"{field['name']}: {field['value']}" for field in value))
    if isinstance(value, list) and value and isinstance(value[0], float):
        return ", ".join(f"{number:.3g}" for number in value)
    return "" if value is None else visible(str(value))


def _ancestor(ancestor: "Ancestor") -> Text:
    record = ancestor.record
    kind = "" if ancestor.role == record["artifact"] else visible(f"{record['artifact']} ")
    size = f"  {kind}{ancestor.fingerprint[:12]}, {ancestor.rows:,} rows"
    line = Text.assemble((visible(ancestor.role), "bold"), size)
    line.append(visible(f", by {record['stage']} of steerx {record['version']}: {_settings(record['parameters'])}"))
    for role, model in record["models"].items():
        line.append(visible(f"; {role} {_model(model)}"))
    return line
