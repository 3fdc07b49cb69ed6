"""What a figure looks like, without drawing it: colours, axes, names on lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from textwrap import wrap
from typing import Any

from steerx_cli.core.methods import CONTROLS
from steerx_cli.report.curves import Line
from steerx_cli.report.sums import Interval

INK, QUIET, GRID = "#222222", "#666666", "#e6e6e6"
CONTROL = "#929292"
# Okabe and Ito's colours, which the colour-blind tell apart: cool ones where logits are steered, warm ones where
# activations are.
_COLOURS = {
    "non-perso": "#555555",
    "rag": "#009E73",
    "cos": "#56B4E9",
    "steerx-cos": "#0072B2",
    "cas": "#E69F00",
    "steerx-cas": "#D55E00",
}
_OTHER = "#CC79A7"
_MARKERS = "osD^vPX*"
_DASHES = ((5, 2), (2, 1.5), (7, 2, 1.5, 2), (1, 1.5))
TOKENS, ANCHORS = "#a2a2a2", _COLOURS["steerx-cas"]

_NAME_LINES = 3  # of a system's name at most
_ROOM = 0.07  # of an axis: what a number at it needs


# --- colours ----------------------------------------------------------------------------------------------------------


def colour_of(method: str, variant: str | None) -> str:
    """A method's own; paler where it is varied, grey where it is a control."""
    if variant in CONTROLS:
        return CONTROL
    own = _COLOURS.get(method, _OTHER)
    return paler(own, 0.45) if variant else own


def paler(colour: str, by: float) -> str:
    """A colour so far on its way to white."""
    return "#" + "".join(f"{round(part + (255 - part) * by):02x}" for part in _parts(colour))


def is_light(colour: str) -> bool:
    """Whether dark signs are legible on it rather than white ones."""
    red, green, blue = ((part / 255) ** 2.2 for part in _parts(colour))
    return bool(0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.35)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


# --- axes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """From where to where an axis goes, and where bars start."""

    low: float
    high: float
    base: float

    def share(self, length: float) -> float:
        """How much of the axis a length is."""
        return length / (self.high - self.low)


def axis_of(found: Sequence[Interval], room: float = 0.6) -> Axis:
    """An axis that shows all intervals; differences fill most of it, whatever the size of the scores."""
    ends = [end for each in found for end in (each.value, each.low, each.high) if isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    apart = high - low or abs(high) or 1.0
    if low < 0:  # numbers stand on both sides of 0
        return Axis(low - 0.22 * apart, max(high, 0.0) + 0.22 * apart, 0.0)
    left = max(0.0, low - room * apart)
    return Axis(left, high + 0.06 * apart, left)


def have_room(values: Sequence[float]) -> bool:
    """Whether each of these, in order, has room for its number on an axis."""
    apart = (values[-1] - values[0]) or 1.0
    return all((after - before) / apart > _ROOM for before, after in pairwise(values))


def in_lines(name: str, width: int) -> str:
    """A name on lines of its own, broken after a comma rather than elsewhere; a very long one is cut."""
    lines: list[str] = []
    for part in name.split(", "):
        joined = f"{lines[-1]}, {part}" if lines else part
        if lines and len(joined) < width:
            lines[-1] = joined
        else:
            lines = [*lines[:-1], *(f"{line}," for line in lines[-1:]), *wrap(part, width)]
    cut = lines[:_NAME_LINES]
    if len(lines) > _NAME_LINES:
        cut[-1] = f"{cut[-1][: width - 1].rstrip(', ')}…"
    return "\n".join(cut) or "–"


# --- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A line's."""

    colour: str
    marker: str  # none where it is level
    dash: str | tuple[int, Sequence[float]]
    filled: str  # the marker's inside

    @property
    def of_line(self) -> dict[str, Any]:
        """As matplotlib has it."""
        marker = {"marker": self.marker, "markersize": 4.8, "markerfacecolor": self.filled}
        return {"color": self.colour, "linestyle": self.dash, "linewidth": 1.6, **marker}


def looks_of(lines: Sequence[Line]) -> list[Look]:
    """Colours of the methods, a marker for each line; those that are level are dashed, controls are hollow."""
    looks: list[Look] = []
    for line in lines:
        colour = colour_of(line.method, line.variant)
        filled = "white" if line.variant in CONTROLS else colour
        if line.level:
            like = sum(look.marker == "" and look.colour == colour for look in looks)
            looks.append(Look(colour, "", (0, _DASHES[like % len(_DASHES)]), filled))
        else:
            like = sum(look.marker != "" for look in looks)
            looks.append(Look(colour, _MARKERS[like % len(_MARKERS)], "-", filled))
    return looks
