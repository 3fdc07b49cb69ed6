"""The exact Δ of every choice of a review, computed from the generator: what a perfect scorer would find.

A person's own values are unknown and all equally likely at first; every choice that is seen tells of them, by Bayes'
rule. Δ is the gain in log probability of a choice from seeing the person's other reviews, as in Eq. 12; the choices
before it in the same review are seen in both arms. Slots are independent of each other, and films and ratings, which
both arms tell, of habits; so each slot stands alone. Values differ in their first word, so that the first token of a
choice carries its whole Δ.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from steerx_cli.demo.slots import SLOTS, Floats
from steerx_cli.demo.world import Review


def exact_deltas(review: Review, others: Sequence[Review]) -> list[float | None]:
    """Δ of each piece of a review, in nats, given other reviews of the same person; None where nothing was chosen."""
    per_slot = {slot: iter(_deltas(slot, review, others)) for slot in SLOTS}
    return [None if piece.slot is None else next(per_slot[piece.slot]) for piece in review.pieces]


def _deltas(slot: str, review: Review, others: Sequence[Review]) -> list[float]:
    chances = _chances_of(slot, tuple(review.choices(slot)))
    nothing = np.zeros(len(SLOTS[slot].habits))
    seen = sum((np.log(_chances_of(slot, tuple(other.choices(slot)))).sum(0) for other in others), start=nothing)
    informed, empty = _gains(chances, seen), _gains(chances, nothing)
    return [float(gain) for gain in informed - empty]


def _gains(chances: Floats, seen: Floats) -> Floats:
    """log p of each choice after those before it, over persons weighted by what was seen of them."""
    weights = np.cumsum(np.vstack([seen, np.log(chances)]), axis=0)  # of every possible person, before each choice
    total = np.logaddexp.reduce(weights, axis=1)
    return np.asarray(np.diff(total))


@lru_cache(maxsize=256)  # more than all reviews of one person
def _chances_of(slot: str, choices: tuple[int, ...]) -> Floats:
    """The chance of each choice (row) for each possible person (column)."""
    rows = [SLOTS[slot].chances(_everybody(slot), choices[:at])[:, value] for at, value in enumerate(choices)]
    return np.array(rows).reshape(len(choices), len(SLOTS[slot].habits))


@cache
def _everybody(slot: str) -> npt.NDArray[np.bool_]:
    return SLOTS[slot].indicator(SLOTS[slot].habits)
