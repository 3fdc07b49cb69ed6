"""The places of a review where a person's habits show, and the chances of every choice there.

One function, `Slot.chances`, is both what the generator draws from and what the exact Δ is computed with.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import combinations, product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from steerx_cli.demo import words

Floats: TypeAlias = npt.NDArray[np.float64]
Habit: TypeAlias = tuple[int, ...]  # the indices of a person's own values in a slot

FAITHFUL = 0.88  # how often a person follows a habit; otherwise the choice is one that is not the person's own


class Slot:
    """Where one of several values stands, some of which are a person's own.

    Values of one group (three words for the music) exclude each other within a person's own; with `fresh`, a review
    names no group twice.
    """

    def __init__(self, name: str, groups: Sequence[Sequence[str]], own: int, *, fresh: bool = False) -> None:
        """`own` is how many of the values are a person's."""
        self.name, self.own, self.fresh = name, own, fresh
        self.values = tuple(value for group in groups for value in group)
        self.group = np.array([number for number, group in enumerate(groups) for _ in group])

    def __repr__(self) -> str:
        return f"Slot({self.name})"

    @cached_property
    def habits(self) -> list[Habit]:
        """Everything that a person's own values can be, all equally likely."""
        members = [np.flatnonzero(self.group == number).tolist() for number in range(int(self.group[-1]) + 1)]
        chosen = combinations(range(len(members)), self.own)
        return [habit for groups in chosen for habit in product(*(members[group] for group in groups))]

    def in_words(self, habit: Habit) -> list[str]:
        """A habit's values."""
        return [self.values[value].strip() for value in habit]

    def indicator(self, habits: Iterable[Habit]) -> npt.NDArray[np.bool_]:
        """Habits as rows of "is this value one of mine"."""
        rows = list(habits)
        mine = np.zeros((len(rows), len(self.values)), dtype=bool)
        mine[np.arange(len(rows))[:, None], np.array(rows)] = True
        return mine

    def chances(self, mine: npt.NDArray[np.bool_], before: Sequence[int]) -> Floats:
        """The chance of each value for persons whose own values are `mine`, after the choices `before` it."""
        used = [self.group[value] for value in before] if self.fresh else []
        free = ~np.isin(self.group, used)
        liked, other = mine & free, ~mine & free
        likes, others = liked.sum(-1, keepdims=True), other.sum(-1, keepdims=True)
        faithful = np.where(likes > 0, FAITHFUL, 0.0)
        return np.asarray(liked * faithful / np.maximum(likes, 1) + other * (1 - faithful) / others)


class Lengths(Slot):
    """How many sentences a person gives to what was good or bad, told step by step: one more, or enough."""

    MORE, ENOUGH = 0, 1
    LONGEST = 5

    def __init__(self, name: str) -> None:
        """The values are those of one step; a habit is the number at which a person stops."""
        super().__init__(name, [["more"], ["enough"]], 1)

    @cached_property
    def habits(self) -> list[Habit]:
        """The numbers of sentences, from one."""
        return [(number,) for number in range(1, self.LONGEST + 1)]

    def in_words(self, habit: Habit) -> list[str]:
        """A habit's number."""
        return [str(number) for number in habit]

    def indicator(self, habits: Iterable[Habit]) -> npt.NDArray[np.bool_]:
        """Habits as rows of "is this number mine"."""
        return np.array([[number == own for number in range(1, self.LONGEST + 1)] for (own,) in habits])

    def chances(self, mine: npt.NDArray[np.bool_], before: Sequence[int]) -> Floats:
        """The chances of one more sentence and of no more, after `before` (which is all "more")."""
        whole = np.where(mine, FAITHFUL, (1 - FAITHFUL) / (self.LONGEST - 1))
        written = len(before) + 1
        enough = whole[..., written - 1] / whole[..., written - 1 :].sum(-1)
        return np.stack([1 - enough, enough], axis=-1)


def _each(values: Sequence[str]) -> list[list[str]]:
    return [[value] for value in values]


SLOTS = {
    slot.name: slot
    for slot in (
        Slot("opener", _each(words.OPENERS), 1),
        Slot("aspect", words.ASPECTS, 3, fresh=True),
        Slot("intensifier", _each(words.INTENSIFIERS), 2),
        Slot("praise", _each(words.PRAISE), 3),
        Slot("fault", _each(words.FAULT), 2),
        Lengths("length"),
        Slot("hedge", _each(words.HEDGES), 1),
        Slot("triumph", _each(words.TRIUMPHS), 2),
        Slot("failure", _each(words.FAILURES), 2),
        Slot("mark", _each(words.MARKS), 1),
        Slot("closer", _each(words.CLOSERS), 1),
    )
}
