"""The exact Δ against the obvious computation: every possible person written out, in plain Python."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from math import exp, log

import pytest

from steerx_cli.demo import words
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.world import Choice, Review, authors

PEOPLE = authors(0)[:12]
REVIEWS = [(author.next[0], author.histories[:4]) for author in PEOPLE[:3]]
NUMBER_OWN = {
    "opener": 1, "aspect": 3, "intensifier": 2, "praise": 3, "fault": 2, "hedge": 1, "triumph": 2, "failure": 2,
    "mark": 1, "closer": 1,
}  # fmt: skip
VALUES: dict[str, Sequence[str]] = {
    "opener": words.OPENERS,
    "aspect": [aspect for group in words.ASPECTS for aspect in group],
    "intensifier": words.INTENSIFIERS,
    "praise": words.PRAISE,
    "fault": words.FAULT,
    "hedge": words.HEDGES,
    "triumph": words.TRIUMPHS,
    "failure": words.FAILURES,
    "mark": words.MARKS,
    "closer": words.CLOSERS,
}
SLOTS = [*NUMBER_OWN, "length"]
MORE, ENOUGH = 0, 1


# --- the rule, once more ----------------------------------------------------------------------------------------------


def group(slot: str, value: int) -> int:
    """Three words for each aspect."""
    return value // 3 if slot == "aspect" else value


def everybody(slot: str) -> Iterator[frozenset[int]]:
    """The own values of every possible person; a length's are one number of sentences."""
    if slot == "length":
        yield from (frozenset({number}) for number in range(1, 6))
        return
    groups: dict[int, list[int]] = {}
    for value in range(len(VALUES[slot])):
        groups.setdefault(group(slot, value), []).append(value)
    for some in combinations(groups.values(), NUMBER_OWN[slot]):
        yield from map(frozenset, product(*some))


def step(own: frozenset[int], written: int, value: int) -> float:
    """One more sentence after `written` of them, or enough."""
    whole = {number: 0.88 if number in own else 0.12 / 4 for number in range(1, 6)}
    enough = whole[written] / sum(whole[number] for number in range(written, 6))
    return enough if value == ENOUGH else 1 - enough


def chance(slot: str, own: frozenset[int], before: Sequence[int], value: int) -> float:
    """88 times in 100 one of the own values, else one of the others; no aspect comes twice in a review."""
    if slot == "length":
        return step(own, len(before) + 1, value)
    used = {group(slot, other) for other in before} if slot == "aspect" else set()
    if group(slot, value) in used:
        return 0.0
    own_left = sum(group(slot, one) not in used for one in own)
    others_left = (3 if slot == "aspect" else 1) * len(used)
    others_left = len(VALUES[slot]) - others_left - own_left
    if value in own:
        return 0.88 / own_left
    return (0.12 if own_left else 1.0) / others_left


def joint(slot: str, own: frozenset[int], choices: Sequence[int]) -> float:
    """The chance that this person makes all these choices in one review."""
    whole = 1.0
    for at, value in enumerate(choices):
        whole *= chance(slot, own, choices[:at], value)
    return whole


def probability(slot: str, value: int, before: Sequence[int], others: Iterable[Sequence[int]]) -> float:
    """p of a choice after those before it, over all persons, each as likely as the other reviews make them."""
    both = [0.0, 0.0]
    others = list(others)
    for own in everybody(slot):
        weight = joint(slot, own, before)
        for choices in others:
            weight *= joint(slot, own, choices)
        both[0] += weight * chance(slot, own, before, value)
        both[1] += weight
    return both[0] / both[1]


def deltas_in(slot: str, review: Review, others: Sequence[Review]) -> list[float]:
    """The exact Δ of a slot's choices."""
    pairs = zip(review.pieces, exact_deltas(review, others), strict=True)
    return [delta for piece, delta in pairs if piece.slot == slot and delta is not None]


def cut_after(review: Review, slot: str, at: int, value: int) -> Review:
    """A review up to its `at`-th choice in a slot, where it has this value instead."""
    place = [number for number, piece in enumerate(review.pieces) if piece.slot == slot][at]
    return replace(review, pieces=(*review.pieces[:place], replace(review.pieces[place], choice=Choice(slot, value))))


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", SLOTS)
def test_every_delta_is_the_gain_in_log_probability(slot: str) -> None:
    for review, histories in REVIEWS:
        others = [other.choices(slot) for other in histories]
        choices = review.choices(slot)
        expected = [
            log(probability(slot, value, choices[:at], others) / probability(slot, value, choices[:at], []))
            for at, value in enumerate(choices)
        ]
        assert deltas_in(slot, review, histories) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("known", [1, 2, 7])
@pytest.mark.parametrize("slot", ["opener", "mark", "fault", "length"])
def test_so_it_is_with_any_number_of_other_reviews(slot: str, known: int) -> None:
    for author in PEOPLE:
        review, histories = author.histories[7], author.histories[:known]
        others, choices = [other.choices(slot) for other in histories], review.choices(slot)
        expected = [
            log(probability(slot, value, choices[:at], others) / probability(slot, value, choices[:at], []))
            for at, value in enumerate(choices)
        ]
        assert deltas_in(slot, review, histories) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("slot", "at"), [("opener", 0), ("aspect", 0), ("intensifier", 0), ("fault", 1), ("mark", 1), ("length", 1)]
)
def test_probabilities_sum_to_one_with_and_without_other_reviews(slot: str, at: int) -> None:
    author = next(author for author in PEOPLE if len(author.next[0].choices(slot)) > at)
    review, histories = author.next[0], author.histories[:4]
    values = range(2 if slot == "length" else len(VALUES[slot]))
    before = review.choices(slot)[:at]
    empty = [probability(slot, value, before, []) for value in values]
    gains = [exp(deltas_in(slot, cut_after(review, slot, at, value), histories)[at]) for value in values]
    assert sum(empty) == pytest.approx(1)
    assert sum(chance * gain for chance, gain in zip(empty, gains, strict=True)) == pytest.approx(1)


def test_a_delta_for_every_choice_and_nothing_else() -> None:
    for author in PEOPLE:
        review = author.next[0]
        deltas = exact_deltas(review, author.histories[:4])
        assert [delta is None for delta in deltas] == [piece.slot is None for piece in review.pieces]


def test_what_no_other_review_shows_is_less_to_be_expected() -> None:
    new: dict[str, list[float]] = {slot: [] for slot in NUMBER_OWN}
    for author in PEOPLE:
        for review in author.histories[4:] + author.next:
            shown = {slot: {v for other in author.histories[:4] for v in other.choices(slot)} for slot in NUMBER_OWN}
            for piece, delta in zip(review.pieces, exact_deltas(review, author.histories[:4]), strict=True):
                if piece.choice is None or piece.slot not in new or delta is None:
                    continue
                if shown[piece.choice.slot] and piece.choice.value not in shown[piece.choice.slot]:
                    new[piece.choice.slot].append(delta)
    del new["aspect"]  # own ones get used up within a review, so that others are to be expected
    assert min(map(len, new.values())) > 3
    assert max(map(max, new.values())) < 0


@pytest.mark.parametrize("slot", ["opener", "hedge", "closer"])
def test_what_every_other_review_shows_is_nearly_sure(slot: str) -> None:
    author = next(
        author
        for author in PEOPLE
        if len({review.choices(slot)[0] for review in (*author.histories[:4], author.next[0])}) == 1
    )
    number = len(VALUES[slot])
    (delta,) = deltas_in(slot, author.next[0], author.histories[:4])
    assert delta == pytest.approx(log(0.88 * number), abs=1e-3)


def test_where_only_enough_is_left_nothing_is_gained() -> None:
    reviews = [(author, review) for author in PEOPLE for review in author.histories[4:] + author.next]
    author, review = next((author, review) for author, review in reviews if len(review.choices("length")) == 5)
    assert deltas_in("length", review, author.histories[:4])[-1] == 0


def test_other_reviews_that_show_nothing_of_a_slot_change_nothing() -> None:
    (review, histories) = REVIEWS[0]
    silent = [replace(other, pieces=tuple(p for p in other.pieces if p.slot != "opener")) for other in histories]
    assert deltas_in("opener", review, silent) == [0]
    assert deltas_in("closer", review, silent) == deltas_in("closer", review, histories)


def test_the_order_of_other_reviews_changes_nothing() -> None:
    for review, histories in REVIEWS:
        turned = [delta for delta in exact_deltas(review, histories[::-1]) if delta is not None]
        assert turned == pytest.approx([delta for delta in exact_deltas(review, histories) if delta is not None])


def test_without_other_reviews_nothing_is_gained() -> None:
    review, _ = REVIEWS[0]
    assert {delta for delta in exact_deltas(review, []) if delta is not None} == {0.0}
