"""The chances of every choice: how often a habit is followed, and that nothing is left out or counted twice."""

from math import comb, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.demo import words
from steerx_cli.demo.slots import FAITHFUL, SLOTS, Habit, Lengths, Slot

LENGTH = SLOTS["length"]
WORDED = [slot for slot in SLOTS.values() if slot is not LENGTH]
FRESH = [slot for slot in WORDED if slot.fresh]


@st.composite
def moments(draw: st.DrawFn, slots: list[Slot]) -> tuple[Slot, list[Habit], list[int]]:
    """A slot, some persons' habits, and what was chosen there before."""
    slot = draw(st.sampled_from(slots))
    habits = draw(st.lists(st.sampled_from(slot.habits), min_size=1, max_size=4))
    if slot is LENGTH:
        return slot, habits, draw(st.lists(st.just(Lengths.MORE), max_size=Lengths.LONGEST - 1))
    of_group = (lambda value: int(slot.group[value])) if slot.fresh else None
    numbers = st.sampled_from(range(len(slot.values)))
    return slot, habits, draw(st.lists(numbers, max_size=Lengths.LONGEST - 1, unique_by=of_group))


@settings(deadline=None)
@given(moment=moments(list(SLOTS.values())))
def test_chances_sum_to_one(moment: tuple[Slot, list[Habit], list[int]]) -> None:
    slot, habits, before = moment
    chances = slot.chances(slot.indicator(habits), before)
    assert chances.shape == (len(habits), len(slot.values))
    assert (chances >= 0).all()
    assert chances.sum(-1) == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(moment=moments(list(SLOTS.values())))
def test_somebody_alone_has_the_chances_that_they_have_among_others(
    moment: tuple[Slot, list[Habit], list[int]],
) -> None:
    slot, habits, before = moment
    mine = slot.indicator(habits)
    alone = [slot.chances(row, before) for row in mine]
    assert np.array_equal(slot.chances(mine, before), alone)


@settings(deadline=None)
@given(moment=moments(WORDED))
def test_a_habit_is_followed_by_its_share(moment: tuple[Slot, list[Habit], list[int]]) -> None:
    slot, habits, before = moment
    used = {int(slot.group[value]) for value in before} if slot.fresh else set()
    for habit, chances in zip(habits, slot.chances(slot.indicator(habits), before), strict=True):
        free = [value for value in range(len(slot.values)) if int(slot.group[value]) not in used]
        own, others = [value for value in free if value in habit], [value for value in free if value not in habit]
        faithful = FAITHFUL if own else 0
        assert chances[own] == pytest.approx(faithful / max(len(own), 1))
        assert chances[others] == pytest.approx((1 - faithful) / len(others))


@settings(deadline=None)
@given(moment=moments(FRESH))
def test_a_fresh_slot_repeats_no_group(moment: tuple[Slot, list[Habit], list[int]]) -> None:
    slot, habits, before = moment
    used = np.isin(slot.group, [slot.group[value] for value in before])
    chances = slot.chances(slot.indicator(habits), before)
    assert (chances[:, used] == 0).all()
    assert (chances[:, ~used] > 0).all()


@settings(deadline=None)
@given(moment=moments([slot for slot in WORDED if not slot.fresh]))
def test_elsewhere_a_choice_does_not_change_the_next(moment: tuple[Slot, list[Habit], list[int]]) -> None:
    slot, habits, before = moment
    mine = slot.indicator(habits)
    assert np.array_equal(slot.chances(mine, before), slot.chances(mine, []))


@pytest.mark.parametrize("slot", WORDED, ids=repr)
def test_habits_are_everything_that_own_values_can_be(slot: Slot) -> None:
    sizes = np.bincount(slot.group)
    assert set(sizes) == {sizes[0]}
    assert (
        len(slot.habits) == len(set(map(frozenset, slot.habits))) == comb(len(sizes), slot.own) * sizes[0] ** slot.own
    )
    assert all(len({int(slot.group[value]) for value in habit}) == slot.own for habit in slot.habits)
    assert {value for habit in slot.habits for value in habit} == set(range(len(slot.values)))


@pytest.mark.parametrize("slot", SLOTS.values(), ids=repr)
def test_an_indicator_tells_the_habits_apart(slot: Slot) -> None:
    rows = slot.indicator(slot.habits)
    assert len(np.unique(rows, axis=0)) == len(slot.habits)
    assert (rows.sum(-1) == slot.own).all()


@pytest.mark.parametrize("slot", WORDED, ids=repr)
def test_every_value_begins_with_a_word_of_its_own(slot: Slot) -> None:
    firsts = [value.strip() if slot.name == "mark" else value.split()[0].strip(".,?") for value in slot.values]
    assert len({first.lower() for first in firsts}) == len(slot.values) > slot.own


def test_every_mark_has_a_name() -> None:
    assert len(set(words.MARK_NAMES)) == len(words.MARK_NAMES) == len(words.MARKS)


@pytest.mark.parametrize("own", range(1, Lengths.LONGEST + 1))
def test_the_steps_of_a_length_multiply_to_the_chances_of_the_whole(own: int) -> None:
    (mine,) = LENGTH.indicator([(own,)])
    steps = [LENGTH.chances(mine, [Lengths.MORE] * before) for before in range(Lengths.LONGEST)]
    for number in range(1, Lengths.LONGEST + 1):
        on = prod(float(step[Lengths.MORE]) for step in steps[: number - 1])
        whole = on * float(steps[number - 1][Lengths.ENOUGH])
        assert whole == pytest.approx(FAITHFUL if number == own else (1 - FAITHFUL) / (Lengths.LONGEST - 1))
    assert steps[-1].tolist() == [0, 1]


def test_habits_in_words() -> None:
    assert SLOTS["mark"].in_words((words.MARKS.index(" :)"),)) == [":)"]
    assert SLOTS["aspect"].in_words((0, 3, 6)) == [group[0] for group in words.ASPECTS[:3]]
    assert LENGTH.in_words((4,)) == ["4"]
