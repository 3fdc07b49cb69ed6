"""What a command tells when it ends; `console` prints it, `--json` gives it as one object."""

import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Summary:
    """One run of one command, in figures."""

    command: str
    status: str  # finished, up to date, or would run
    output: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: int | None = None
    users: int = 0
    users_now: int = 0  # done by this run; the others by an earlier one that was stopped
    seconds: float = 0.0
    peak_memory: int = field(default_factory=lambda: peak_memory())  # bytes, of this process
    counts: Mapping[str, int] = field(default_factory=dict)  # fall-backs and rejected rows, by name
    notes: tuple[str, ...] = ()


def together(summaries: Sequence[Summary]) -> Summary:
    """One command's several pieces of work, as one."""
    last, statuses = summaries[-1], [summary.status for summary in summaries]
    return replace(
        last,
        status=next((status for status in ("would run", "finished") if status in statuses), last.status),
        output=", ".join(summary.output for summary in summaries),
        inputs=_joined(summary.inputs for summary in summaries),
        parameters=_joined(summary.parameters for summary in summaries),
        models=_joined(summary.models for summary in summaries),
        users_now=max(summary.users_now for summary in summaries),
        seconds=sum(summary.seconds for summary in summaries),
        counts=_joined(summary.counts for summary in summaries),
        notes=tuple(note for summary in summaries for note in summary.notes),
    )


def _joined(mappings: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {name: value for mapping in mappings for name, value in mapping.items()}


def peak_memory() -> int:
    """The most memory that this process held at once, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
