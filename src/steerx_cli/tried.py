"""How `try` shows a question: the histories with their anchors, the description, and the answers side by side."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from steerx_cli import shading
from steerx_cli.core.methods import SIGNS
from steerx_cli.core.text import visible

if TYPE_CHECKING:
    from steerx_cli.tools.try_ import Tried

_MADE_OF = {
    "llm": "what a model says of the {}",
    "join": "the {}, joined",
    "raw": "the {} themselves",
    "fallback": "the {}, joined, for the model said nothing",
    "none": "none: there are no anchors",
}
_MUCH = {"answers", "tokens written", "tokens run through the model", "descriptions", "anchors", "tokens"}
_MUCH |= {"distinct sets of pieces that were smoothed"}
_MUCH |= {"tokens of all texts and what stands before them, in both arms"}
_NARROWEST = 26  # characters of a column; answers that have less stand below one another


def shown(tried: "Tried", width: int, shades: shading.Shades | None) -> Iterator[RenderableType]:
    """All of it, part by part."""
    yield Text.assemble((visible(tried.user), "bold"), " asks")
    yield _indented(_lines(tried.asked))
    for row in tried.histories:
        yield Text.assemble(("wrote before", "bold"), (f"  {visible(row['item_id'])}", "dim"))
        yield _indented(shading.shaded(row, shades))
    if tried.histories:
        yield _indented(shading.legend(shades, with_anchors=True))
    profile = tried.profile
    made_of = _MADE_OF[profile["basis"]].format("anchors" if profile["anchors"] else "whole texts")
    yield Text.assemble(("description", "bold"), (f"  {made_of}", "dim"))
    yield _indented(_lines(profile["description"] or ""))
    columns = [(_title(row), _answer(row)) for row in tried.answers]
    if tried.reference is not None:
        columns.append((Text("what they wrote", style="bold"), _lines(tried.reference)))
    if len(columns) * _NARROWEST <= width:
        yield _side_by_side(columns)
    else:
        for title, text in columns:
            yield title
            yield _indented(text)
    yield from (Text(f"note  {note}", "dim") for note in _notes(tried))


def _notes(tried: "Tried") -> Iterator[str]:
    """What stages told that is more than how much they did."""
    for summary in tried.stages:
        counted = (f"{name}: {number:,}" for name, number in summary["counts"].items() if name not in _MUCH)
        yield from (f"{summary['command']}: {visible(note)}" for note in (*counted, *summary["notes"]))


def _side_by_side(columns: list[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in columns:
        table.add_column(ratio=1)
    table.add_row(*(title for title, _ in columns))
    table.add_row(*(text for _, text in columns))
    return table


def _title(row: Mapping[str, Any]) -> Text:
    strength = "".join(f"  {sign} {row[name]:g}" for name, sign in SIGNS.items() if row[name] is not None)
    came_to = "" if row["basis"] == row["method"] else f"  as {row['basis']}"
    cut = {"limit": "  cut at --max-new-tokens", "window": "  cut at the window's end"}.get(row["finish"], "")
    return Text.assemble((row["method"], "bold"), (strength + came_to + cut, "dim"))


def _answer(row: Mapping[str, Any]) -> Text:
    return Text(f"failed: {visible(row['error'])}", "bold red") if row["error"] else _lines(row["response"])


def _lines(text: str) -> Text:
    """A person's or a model's text, harmless to the terminal."""
    return Text("\n".join(map(visible, text.strip().splitlines())))


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))
