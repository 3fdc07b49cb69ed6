"""The gate's arithmetic, on cases small enough to count by hand."""

from random import Random

import numpy as np
import pytest

from steerx_cli.demo.descriptions import DESCRIBED, Anchor, describe, drawn_anchors
from steerx_cli.demo.gate import (
    Described,
    Recall,
    Scored,
    area,
    check_description,
    precision,
    read_description,
    recall_of,
    repetition,
)
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Choice, Review, authors

AUTHOR = authors(0)[0]


def words_of(text: str) -> list[tuple[int, int]]:
    """Every word with the space before it, as BPE has it; end marks stay with their word's token."""
    starts = [0, *(place for place, character in enumerate(text) if character == " ")]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def scored(review: Review, deltas: dict[int, float]) -> Scored:
    """A history of which these tokens have these Δ, and all others none."""
    offsets = words_of(review.text)
    delta = np.array([deltas.get(token, 0.0) for token in range(len(offsets))])
    return Scored(review, delta, np.zeros(len(offsets)), offsets, AUTHOR.histories[4:])


def test_area_is_how_often_a_true_one_is_above() -> None:
    truth = np.array([True, False, True, False, False])
    values = np.array([3.0, 1.0, 1.0, 2.0, 0.0])
    above = [float(a > b) + float(a == b) / 2 for a in values[truth] for b in values[~truth]]
    assert area(values, truth) == pytest.approx(sum(above) / len(above))
    assert area(truth.astype(float), truth) == 1
    assert area(np.zeros(5), truth) == 0.5


def test_recall_counts_own_choices_that_can_be_found_by_their_first_token() -> None:
    review = AUTHOR.histories[0]
    found = list(scored(review, {}).firsts())
    own = [(exact, token) for slot, source, exact, token in found if slot == "aspect" and source == "user"]
    reaching = [token for exact, token in own if exact >= 1]
    assert reaching
    assert recall_of("aspect", [scored(review, {})]) == Recall("aspect", len(own), len(reaching), 0)
    assert recall_of("aspect", [scored(review, {reaching[0]: 1.0, reaching[0] + 1: 9.0})]).found == 1
    everything = scored(review, dict.fromkeys(range(100), 1.0))
    assert recall_of("aspect", [everything]).recall == 1
    assert recall_of("aspect", [everything, scored(review, {})]).recall == 0.5


def test_first_tokens_are_where_choices_begin() -> None:
    text = scored(AUTHOR.histories[0], {})
    for slot, _, _, token in text.firsts():
        start, end = text.offsets[token]
        spans = [text.review.text[span.start : span.end] for span in text.review.spans if span.piece.slot == slot]
        assert any(span.split()[0] in text.review.text[start:end] for span in spans)


def test_precision_is_of_tokens() -> None:
    review = AUTHOR.histories[0]
    of_user = scored(review, {}).of_user()
    right, wrong = int(np.flatnonzero(of_user)[0]), int(np.flatnonzero(~of_user)[0])
    assert precision([scored(review, {right: 1.0})]) == 1
    assert precision([scored(review, {right: 1.0, wrong: 2.0})]) == 0.5
    assert precision([scored(review, {right: 0.99})]) == 0


def test_anchors_are_what_reaches_tau_and_neighbours_are_one() -> None:
    text = scored(AUTHOR.histories[0], {0: 1.0, 1: 1.5, 3: 0.9, 5: 2.0})
    pieces = [text.review.text[start:end] for start, end in text.offsets]
    assert [anchor.text for anchor in text.anchors()] == ["".join(pieces[:2]).strip(), pieces[5].strip()]


@pytest.mark.parametrize("seed", range(20))
def test_a_perfect_description_is_read_back_whole(seed: int) -> None:
    draw = Random(seed)
    groups = [drawn_anchors(draw, review) for review in AUTHOR.histories]
    shown = {choice for group in groups for anchor in group for choice in anchor.choices}
    assert read_description(describe(groups)) == (shown, 0)
    assert check_description(groups, describe(groups)) == Described(len(shown), len(shown), len(shown), 0)


def test_every_value_is_read_back_alone() -> None:
    for slot in DESCRIBED:
        for value in range(len(SLOTS[slot].values)):
            text = describe([[Anchor("", (Choice(slot, value),))]])
            assert read_description(text) == ({(slot, value)}, 0), text


def test_what_is_made_up_counts() -> None:
    shown = [[Anchor("truly", (Choice("intensifier", 1),)), Anchor("gem", (Choice("triumph", 1),))]]
    text = "This person talks of: score; stresses with: truly, purple prose, green. This person cheers with: joy."
    assert check_description(shown, text) == Described(shown=2, named=1, said=5, invented=4)
    assert check_description(shown, "") == Described(2, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "further"),
    [
        ("", 0),
        ("Nothing of the kind, and more.", 2),
        ("This person praises with: stodgy; faults with: wonderful.", 2),
        ("This person stresses with: truly, truly, truly.", 2),
        ("This person hums tunes; reads books. This person stresses with: truly.", 2),
        ("This person stresses with: truly truly untruly", 2),
    ],
)
def test_what_is_no_name_under_its_heading_is_something_further(text: str, further: int) -> None:
    choices, said = read_description(text)
    assert said == further
    assert choices <= {Choice("intensifier", 1)}


def test_repetition_is_the_share_of_grams_seen_before() -> None:
    assert repetition("a b c d e f g") == 0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert repetition("a b") == 0
    assert repetition("so " * 103) == pytest.approx(0.99)
