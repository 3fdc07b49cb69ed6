"""The demo's own style descriptions: what anchors show of a person, said in a few words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from steerx_cli.demo import words
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Choice, Review, Span

# The sentences in their order, and what each says of a slot before its values. A length has no word to it.
_SENTENCES = (
    (("opener", "opens with"), ("closer", "closes with"), ("mark", "ends on")),
    (("aspect", "talks of"), ("intensifier", "stresses with")),
    (("praise", "praises with"), ("fault", "faults with")),
    (("hedge", "hedges with"), ("triumph", "cheers with"), ("failure", "mocks with")),
)
SAID = {slot: says for sentence in _SENTENCES for slot, says in sentence}
DESCRIBED = tuple(SAID)


@dataclass(frozen=True)
class Anchor:
    """A stretch of a text and the choices that begin in it."""

    text: str
    choices: tuple[Choice, ...]


def named(choice: Choice) -> str:
    """A choice as a description names it."""
    slot, value = choice
    return words.MARK_NAMES[value] if slot == "mark" else SLOTS[slot].values[value].rstrip(".")


def describe(groups: Iterable[Sequence[Anchor]]) -> str:
    """What the anchors of one or more texts show, each choice once."""
    shown = dict.fromkeys(choice for group in groups for anchor in group for choice in anchor.choices)
    sentences = []
    for sentence in _SENTENCES:
        parts = []
        for slot, says in sentence:
            values = [named(choice) for choice in shown if choice[0] == slot]
            if values:
                parts.append(f"{says}: {', '.join(values)}")
        if parts:
            sentences.append(f"This person {'; '.join(parts)}.")
    return " ".join(sentences)


# --- anchors as a scorer might find them ------------------------------------------------------------------------------

_WORDS_SHOWN = (1, 1, 1, 2, 99)  # a phrase is predictable from its own start, so that mostly its start is found
_CHANCE_FOUND = {"user": 1.0, "boilerplate": 0.08}  # of a choice, beside its text's own share
_CHANCE_NOISE = 0.01  # of any other stretch


def drawn_anchors(draw: Random, review: Review) -> list[Anchor]:
    """Some of the choices of a review, as a scorer that misses some and errs at times would find them."""
    share = draw.uniform(0.3, 1.0)
    found = [span for span in review.spans if draw.random() < _chance(span, share)]
    return anchors_in(review, [_shown(draw, review, span) for span in found])


def _chance(span: Span, share: float) -> float:
    if span.piece.slot is None:
        return _CHANCE_NOISE
    return share * _CHANCE_FOUND[span.piece.source] * (0.2 if span.piece.slot == "length" else 1.0)


def _shown(draw: Random, review: Review, span: Span) -> tuple[int, int]:
    text = review.text[span.start : span.end]
    blank = len(text) - len(text.lstrip())
    shown = text.split(" ")[: bool(blank) + draw.choice(_WORDS_SHOWN)]
    return span.start + blank, span.start + len(" ".join(shown))


def anchors_in(review: Review, stretches: Sequence[tuple[int, int]]) -> list[Anchor]:
    """Stretches of characters as anchors: neighbours joined, each with the choices that begin in it."""
    anchors = []
    for start, end in _joined(review.text, stretches):
        begun = tuple(
            span.piece.choice
            for span in review.spans
            if span.piece.choice and span.piece.slot in DESCRIBED and start <= _first_letter(review.text, span) < end
        )
        anchors.append(Anchor(review.text[start:end].strip(), begun))
    return [anchor for anchor in anchors if anchor.text]


def _first_letter(text: str, span: Span) -> int:
    return next(place for place in range(span.start, span.end) if not text[place].isspace())


def _joined(text: str, stretches: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Stretches with nothing but white space between them are one."""
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    yield from joined
