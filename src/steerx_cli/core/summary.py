"""What a command tells when it ends; `console` prints it, `--json` gives it as one object."""

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


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


def peak_memory() -> int:
    """The most memory that this process held at once, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
