"""How long work reports itself, so that nothing below the commands knows about terminals."""

from typing import Protocol


class Progress(Protocol):
    """One piece of long work: its size is told once, then how much of it is done."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin `what`, and be done with what was before.

        `total` and `done` count in `unit` (users, texts); `done` was finished by an earlier run. No total: not known.
        """

    def advance(self, amount: int) -> None:
        """`amount` more are done."""


class Silent:
    """Progress that nobody watches."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""
