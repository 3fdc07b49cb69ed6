"""What the demo's model has learnt, measured on development users before any method is compared with another.

Nothing here looks at a method: only at Δ against the truth, at descriptions against the anchors they are made from, and
at answers without history.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from steerx_cli.core.progress import Progress
from steerx_cli.demo.descriptions import DESCRIBED, Anchor, anchors_in, named
from steerx_cli.demo.documents import block_of, item_of
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.files import others_of
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Author, Choice, Review
from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.plain import decode, encode_prompt, end_tokens, score_tokens
from steerx_cli.lm.prompt import NoBlock, Prompt, Span, render, render_smoothing, tokens_in
from steerx_cli.lm.templates import Smoothing, Task

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model, Tokenizer

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

TAU = 1.0
LONGEST = 192  # tokens of an answer or a description
GROUP = 4  # histories described together
WORDLESS = ("mark", "length")  # habits without a word to them


@dataclass(frozen=True)
class Scored:
    """A history, token by token: what a scorer found in it and what is true."""

    review: Review
    delta: Floats
    surprisal: Floats  # −log p with nothing known of the person
    offsets: list[tuple[int, int]]
    others: tuple[Review, ...]

    @cached_property
    def spans(self) -> list[list[int]]:
        """The tokens of each of the review's pieces."""
        text = self.review.text
        return [tokens_in(Span(span.start, span.end), text, self.offsets) for span in self.review.spans]

    @cached_property
    def exact(self) -> list[float | None]:
        """The exact Δ of each of the review's pieces."""
        return exact_deltas(self.review, self.others)

    def of_user(self) -> Bools:
        """Which tokens are there because of the person."""
        mask = np.zeros(len(self.delta), dtype=bool)
        for span, tokens in zip(self.review.spans, self.spans, strict=True):
            mask[tokens] = span.piece.source == "user"
        return mask

    def exact_by_token(self) -> Floats:
        """The exact Δ, on the first token of each choice."""
        deltas = np.zeros(len(self.delta))
        for exact, tokens in zip(self.exact, self.spans, strict=True):
            if exact is not None and tokens:
                deltas[tokens[0]] = exact
        return deltas

    def firsts(self) -> Iterator[tuple[str, str, float, int]]:
        """Slot, source, exact Δ and first token of each choice."""
        for span, exact, tokens in zip(self.review.spans, self.exact, self.spans, strict=True):
            if span.piece.slot is not None and exact is not None and tokens:
                yield span.piece.slot, span.piece.source, exact, tokens[0]

    def anchors(self) -> list[Anchor]:
        """The stretches whose Δ reaches τ."""
        found = np.flatnonzero(self.delta >= TAU)
        return anchors_in(self.review, [self.offsets[token] for token in found])


@dataclass(frozen=True)
class Examiner:
    """A model and what it is asked with."""

    model: "Model"
    tokenizer: "Tokenizer"
    task: Task
    smoothing: Smoothing
    chat: Frame

    def score(self, author: Author) -> list[Scored]:
        """Every history of a person, each given four others."""
        return [self._score(author, number) for number in range(len(author.histories))]

    def _score(self, author: Author, number: int) -> Scored:
        review, others = author.histories[number], tuple(author.histories[other] for other in others_of(number))
        (history,), before = block_of([review]).items, block_of(others).items
        effects = score_tokens(self.model, self.tokenizer, self.task, PLAIN, history, before)
        return Scored(review, effects.delta.numpy(), -effects.empty.numpy(), effects.tokens.offsets, others)

    def describe(self, anchors: Sequence[Sequence[Anchor]]) -> str:
        """The description that the model makes of anchors."""
        texts = [[anchor.text for anchor in group] for group in anchors]
        return self._answer(render_smoothing(self.smoothing, self.task, self.chat, texts))

    def answer(self, review: Review) -> str:
        """What the model writes where nothing is known of the person."""
        return self._answer(render(self.task, self.chat, item_of(review), NoBlock()))

    def _answer(self, prompt: Prompt) -> str:
        ids = decode(self.model, encode_prompt(self.tokenizer, prompt), end_tokens(self.model), LONGEST)
        return str(self.tokenizer.decode(ids))


# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recall:
    """How many choices of a habit are found."""

    slot: str
    choices: int  # that are the person's own
    reaching: int  # of those, whose exact Δ reaches τ
    found: int  # of those, whose first token's Δ does

    @property
    def ceiling(self) -> float:
        return self.reaching / self.choices

    @property
    def recall(self) -> float:
        return self.found / self.reaching if self.reaching else 0.0


def recall_of(slot: str, scored: Sequence[Scored]) -> Recall:
    """How many of the person's own choices in a slot have a Δ of τ, of those that can."""
    own = [
        (exact >= TAU, text.delta[token] >= TAU)
        for text in scored
        for name, source, exact, token in text.firsts()
        if name == slot and source == "user"
    ]
    reaching = [found for reaches, found in own if reaches]
    return Recall(slot, len(own), len(reaching), int(sum(reaching)))


def precision(scored: Sequence[Scored]) -> float:
    """The share of anchor tokens that are there because of the person."""
    anchors = np.concatenate([text.delta >= TAU for text in scored])
    of_user = np.concatenate([text.of_user() for text in scored])
    return float(of_user[anchors].mean()) if anchors.any() else 0.0


def area(values: Floats, truth: Bools) -> float:
    """The area under the ROC curve: how often a true one is above a false one; ties count half."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive, negative = truth.sum(), (~truth).sum()
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


# --- descriptions and answers -----------------------------------------------------------------------------------------

_CHOICES = [Choice(slot, value) for slot in DESCRIBED for value in range(len(SLOTS[slot].values))]
_LONGEST_FIRST = sorted(_CHOICES, key=lambda choice: -len(named(choice)))
_GRAMMAR = re.compile(
    r"This person|opens with|closes with|ends on|talks of|stresses with|praises with|faults with|hedges with"
    r"|cheers with|mocks with"
)


def read_description(text: str) -> tuple[set[Choice], int]:
    """The choices that a description names, and how many further things it says."""
    choices: set[Choice] = set()
    text = _GRAMMAR.sub("·", text)
    for choice in _LONGEST_FIRST:
        text, count = re.subn(rf"(?<!\w){re.escape(named(choice))}(?!\w)", "·", text)
        if count:
            choices.add(choice)
    return choices, len(re.findall(r"\w[^·]*", text))


@dataclass(frozen=True)
class Described:
    """A description, counted against its anchors."""

    shown: int
    named: int  # of those
    said: int
    invented: int  # of those


def check_description(anchors: Iterable[Sequence[Anchor]], text: str) -> Described:
    """How much of what anchors show is named, and how much else."""
    shown = {choice for group in anchors for anchor in group for choice in anchor.choices}
    choices, further = read_description(text)
    return Described(len(shown), len(choices & shown), len(choices) + further, len(choices - shown) + further)


def repetition(text: str, length: int = 4) -> float:
    """The share of a text's n-grams of words that were there before."""
    words = text.split()
    grams = [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


# --- the whole --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One line of the gate's table."""

    name: str
    value: float
    beside: str
    aim: str
    reached: bool


def examine(examiner: Examiner, people: Sequence[Author], progress: Progress) -> list[Figure]:
    """The gate's table."""
    progress.start("gate", 2 * len(people), "steps")
    scored = []
    for author in people:
        scored.append(examiner.score(author))
        progress.advance(1)
    described, answers = [], []
    for author, texts in zip(people, scored, strict=True):
        described += [_described(examiner, texts[at : at + GROUP]) for at in range(0, len(texts), GROUP)]
        answers += [examiner.answer(review) for review in author.next]
        progress.advance(1)
    flat = [text for texts in scored for text in texts]
    return [*_effect_figures(flat), *_description_figures(described), _answer_figure(answers)]


def _described(examiner: Examiner, texts: Sequence[Scored]) -> Described:
    anchors = [group for group in (text.anchors() for text in texts) if group]
    return check_description(anchors, examiner.describe(anchors) if anchors else "")


def _effect_figures(scored: Sequence[Scored]) -> Iterator[Figure]:
    for slot in SLOTS:
        found = recall_of(slot, scored)
        if slot not in WORDLESS and found.reaching:
            beside = f"{found.reaching} of {found.choices} choices can reach τ: {found.ceiling:.2f}"
            yield Figure(f"recall: {slot}", found.recall, beside, "≥ 0.5", found.recall >= 0.5)
    value = precision(scored)
    yield Figure("precision of anchors", value, f"{_anchors(scored)} tokens", "≥ 0.9", value >= 0.9)
    truth = np.concatenate([text.of_user() for text in scored])
    areas = [
        area(np.concatenate([by(text) for text in scored]), truth)
        for by in (lambda text: text.delta, lambda text: text.surprisal, Scored.exact_by_token)
    ]
    beside = f"plain surprisal {areas[1]:.3f}, exact Δ {areas[2]:.3f}"
    yield Figure("area under the curve of Δ", areas[0], beside, "above surprisal", areas[0] > areas[1])


def _anchors(scored: Sequence[Scored]) -> int:
    return int(sum((text.delta >= TAU).sum() for text in scored))


def _description_figures(described: Sequence[Described]) -> Iterator[Figure]:
    def total(what: str) -> int:
        return sum(getattr(one, what) for one in described)

    share = total("named") / max(total("shown"), 1)
    beside = f"{total('shown')} habits shown in {len(described)} sets of anchors"
    yield Figure("habits named, of those shown", share, beside, "≥ 0.7", share >= 0.7)
    share = total("invented") / max(total("said"), 1)
    yield Figure("habits invented, of those named", share, f"{total('said')} named", "≤ 0.1", share <= 0.1)


def _answer_figure(answers: Sequence[str]) -> Figure:
    share = float(np.mean([repetition(answer) for answer in answers]))
    beside = f"{len(answers)} answers of {np.mean([len(answer.split()) for answer in answers]):.0f} words"
    return Figure("repeated 4-grams without history", share, beside, "< 0.1", share < 0.1)
