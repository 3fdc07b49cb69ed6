"""Two sides of a comparison of metrics, in turns within one process, and how that is printed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.score_tokens import Aim

Values = Sequence[float]
Side = Callable[[], Values]


@dataclass(frozen=True)
class Line:
    """One comparison."""

    what: str
    peer: str
    own: float  # seconds of a turn
    other: float
    ratio: float  # the median of what each turn says
    apart: float  # the values, at the most
    allowed: float = 0.0
    aim: float | None = None


def nothing() -> None:
    """What is left as it is."""


@dataclass(frozen=True)
class Turns:
    """How comparisons are made: so often, and before each side's turn its caches are cleared."""

    runs: int
    clear: Callable[[], None] = nothing

    def compare(self, what: str, own: Side, peer: str, other: Side, **told: float) -> Line:
        """Run both, one after the other, over and over."""
        taken: dict[Side, list[float]] = {own: [], other: []}
        values: dict[Side, Values] = {}
        for _ in range(self.runs):
            for side, seconds in taken.items():
                self.clear()
                start = time.process_time()
                values[side] = side()
                seconds.append(time.process_time() - start)
        ratio = median(two / one for one, two in zip(taken[own], taken[other], strict=True))
        pairs = zip(values[own], values[other], strict=True)
        farthest = max(abs(one - two) for one, two in pairs)
        return Line(what, peer, median(taken[own]), median(taken[other]), ratio, farthest, **told)


# --- the figures ------------------------------------------------------------------------------------------------------


def table(lines: Sequence[Line]) -> str:
    """A row for each comparison."""
    head = "| what | beside | steerx, cpu s | the other, cpu s | times as fast | largest difference |"
    rows = [
        f"| {of.what} | {of.peer} | {of.own:.3f} | {of.other:.2f} | {of.ratio:.2f} | {difference(of.apart)} |"
        for of in lines
    ]
    return "\n".join([head, "|---" * 6 + "|", *rows])


def difference(apart: float) -> str:
    """Of values, as it is printed."""
    return f"{apart:.1e}" if apart else "0.0"


def aims(lines: Sequence[Line]) -> str:
    """A line of a list for each that has one."""
    return "\n".join(
        str(Aim(f"Time of {of.peer} ÷ that of steerx, {of.what}", of.aim, of.ratio)) for of in lines if of.aim
    )
