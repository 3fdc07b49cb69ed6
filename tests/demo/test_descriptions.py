"""Anchors, and what a description says of them."""

import re
from itertools import groupby
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.demo import words
from steerx_cli.demo.descriptions import DESCRIBED, Anchor, anchors_in, describe, drawn_anchors, named
from steerx_cli.demo.slots import SLOTS, Lengths
from steerx_cli.demo.world import Choice, Review, authors

REVIEWS = [review for author in authors(0)[:12] for review in author.histories]
LENGTHS: list[Choice] = [Choice("length", Lengths.MORE), Choice("length", Lengths.ENOUGH)]
CHOICES: list[Choice] = [Choice(slot, value) for slot in DESCRIBED for value in range(len(SLOTS[slot].values))]
SENTENCE = re.compile(r"This person [^.]+\.(?= This person |$)")


def choice(slot: str, value: str) -> Choice:
    return Choice(slot, SLOTS[slot].values.index(value))


def anchors(*choices: Choice) -> list[Anchor]:
    return [Anchor("so", (one,)) for one in choices]


def test_a_description_is_worded_like_this() -> None:
    first = anchors(choice("praise", "witty"), choice("opener", "Picture this."), choice("mark", " :)"))
    second = anchors(choice("aspect", "score"), choice("praise", "tender"), choice("closer", "Enough said"))
    third = anchors(choice("fault", "dull"), choice("hedge", "I suppose"), choice("mark", "..."))
    last = anchors(choice("intensifier", "quite"), choice("triumph", "gem"), choice("failure", "mess"))
    assert describe([first, second, third, last]) == (
        "This person opens with: Picture this; closes with: Enough said; ends on: smiles, dots. "
        "This person talks of: score; stresses with: quite. "
        "This person praises with: witty, tender; faults with: dull. "
        "This person hedges with: I suppose; cheers with: gem; mocks with: mess."
    )


def test_what_is_not_shown_is_not_said() -> None:
    assert describe([]) == describe([[], []]) == describe([[Anchor("The", ())]]) == ""
    assert describe([anchors(choice("failure", "mess"))]) == "This person mocks with: mess."


def test_a_length_is_not_described() -> None:
    assert {*SLOTS} - {*DESCRIBED} == {"length"}
    assert describe([anchors(*LENGTHS)]) == ""
    for review in REVIEWS:
        spans = [(span.start, span.end) for span in review.spans if span.piece.slot == "length"]
        assert all(anchor.choices == () for anchor in anchors_in(review, spans))


@settings(deadline=None)
@given(groups=st.lists(st.lists(st.sampled_from(CHOICES + LENGTHS)), min_size=1, max_size=4))
def test_a_description_names_each_choice_once_and_in_order(groups: list[list[Choice]]) -> None:
    shown = [one for group in groups for one in group]
    first_come = sorted({*shown} - {*LENGTHS}, key=shown.index)
    expected = [named(one) for slot in DESCRIBED for one in first_come if one[0] == slot]
    lists = re.findall(r"(?:with|of|on): ([^;.]+)[;.]", describe([anchors(*group) for group in groups]))
    slots = [slot for slot in DESCRIBED if any(one[0] == slot for one in first_come)]
    assert len(lists) == len(slots)
    assert ", ".join(lists) == ", ".join(expected)


@settings(deadline=None)
@given(choices=st.lists(st.sampled_from(CHOICES), min_size=1))
def test_a_description_has_one_to_four_sentences(choices: list[Choice]) -> None:
    description = describe([anchors(*choices)])
    sentences = SENTENCE.findall(description)
    assert " ".join(sentences) == description
    assert 1 <= len(sentences) <= 4


def test_within_a_slot_every_choice_has_a_name_of_its_own_without_the_marks_of_a_list() -> None:
    for slot in DESCRIBED:
        names = [named(Choice(slot, value)) for value in range(len(SLOTS[slot].values))]
        assert len(set(names)) == len(names)
        assert all(name == name.strip() and not set(name) & set(".;:") for name in names)
    assert named(choice("mark", " :)")) == words.MARK_NAMES[-1] == "smiles"


# --- anchors ----------------------------------------------------------------------------------------------------------


def test_drawn_anchors_are_pieces_of_the_review() -> None:
    draw, described = Random(0), 0
    for review in REVIEWS * 5:
        drawn = drawn_anchors(draw, review)
        rest = review.text
        for anchor in drawn:
            assert anchor.text == anchor.text.strip() != ""
            _, found, rest = rest.partition(anchor.text)  # in the order of the text, and none in another
            assert found
        shown = [one for anchor in drawn for one in anchor.choices]
        made = [piece.choice for piece in review.pieces]
        assert all(shown.count(one) <= made.count(one) for one in shown)
        described += bool(describe([drawn]))
    assert described > 0.95 * 5 * len(REVIEWS)


def test_drawn_anchors_are_mostly_the_users_and_not_always() -> None:
    draw = Random(1)
    found = {"user": 0, "boilerplate": 0}
    made = dict(found)
    for review in REVIEWS * 5:
        own = {piece.choice for piece in review.pieces if piece.source == "user"}
        worded = {piece.choice for piece in review.pieces if piece.slot in DESCRIBED}
        shown = {one for anchor in drawn_anchors(draw, review) for one in anchor.choices}
        found["user"] += len(shown & own)
        made["user"] += len(worded & own)
        found["boilerplate"] += len(shown - own)
        made["boilerplate"] += len(worded - own)
    assert 0.5 < found["user"] / made["user"] < 0.8
    assert 0 < found["boilerplate"] / made["boilerplate"] < 0.1


@settings(deadline=None)
@given(review=st.sampled_from(REVIEWS), data=st.data(), with_space=st.booleans())
def test_neighbours_are_one_anchor(review: Review, data: st.DataObject, with_space: bool) -> None:
    every = list(re.finditer(r"\s*\S+" if with_space else r"\S+", review.text))
    chosen = data.draw(st.sets(st.sampled_from(range(len(every)))))
    runs = groupby(range(len(every)), key=lambda number: number in chosen)
    expected = [" ".join(every[number][0].strip() for number in run) for taken, run in runs if taken]
    found = anchors_in(review, [every[number].span() for number in sorted(chosen)])
    assert [anchor.text for anchor in found] == expected


def test_the_whole_review_is_one_anchor_with_all_choices() -> None:
    for review in REVIEWS:
        (whole,) = anchors_in(review, [(span.start, span.end) for span in review.spans])
        assert whole.text == review.text
        assert whole.choices == tuple(p.choice for p in review.pieces if p.slot in DESCRIBED)


def test_a_choice_belongs_to_the_anchor_that_it_begins_in() -> None:
    for review in REVIEWS:
        for span in review.spans:
            if span.piece.slot in DESCRIBED:
                text = review.text[span.start : span.end]
                first = span.end - len(text.lstrip())
                expected = (span.piece.choice,)
                assert [anchor.choices for anchor in anchors_in(review, [(first, first + 1)])] == [expected]
                if span.end > first + 1:
                    assert [anchor.choices for anchor in anchors_in(review, [(first + 1, span.end)])] == [()]


def test_white_space_alone_is_no_anchor() -> None:
    review = REVIEWS[0]
    place = review.text.index(" ")
    assert anchors_in(review, [(place, place + 1)]) == anchors_in(review, []) == []
