"""What the demo's model has learnt, measured on development users before any method is compared with another.

Nothing here looks at a method: only at Δ against the truth, at descriptions against the anchors they are made from, and
at answers without history.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from steerx_cli.core.progress import Progress
from steerx_cli.demo.descriptions import SAID, Anchor, anchors_in, named
from steerx_cli.demo.documents import block_of, item_of
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.files import others_of
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Author, Choice, Review
from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.models import end_tokens
from steerx_cli.lm.plain import decode, encode_prompt, score_tokens
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

    def of_user_first(self) -> Bools:
        """Which tokens begin a choice that is there because of the person."""
        mask = np.zeros(len(self.delta), dtype=bool)
        mask[[token for _, source, _, token in self.firsts() if source == "user"]] = True
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
class Answer:
    """What a model wrote, and whether it came to an end."""

    text: str
    ended: bool


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
        return self._answer(render_smoothing(self.smoothing, self.task, self.chat, texts)).text

    def answer(self, review: Review) -> Answer:
        """What the model writes where nothing is known of the person."""
        return self._answer(render(self.task, self.chat, item_of(review), NoBlock()))

    def _answer(self, prompt: Prompt) -> Answer:
        ids = decode(self.model, encode_prompt(self.tokenizer, prompt), end_tokens(self.model), LONGEST)
        return Answer(str(self.tokenizer.decode(ids)), ended=len(ids) < LONGEST)


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

_HEADING = re.compile("|".join(rf"(?P<{slot}>{says}):" for slot, says in SAID.items()))
_SAYS_SOMETHING = re.compile(r"[^,;.:!?]*\w[^,;.:!?]*")


def read_description(text: str) -> tuple[set[Choice], int]:
    """The choices that a description names under their headings, and how many further things it says."""
    choices: set[Choice] = set()
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)][: len(headings)]
    further = text[: headings[0].start() if headings else len(text)]
    for heading, end in zip(headings, ends, strict=True):
        named_here, rest = _names_in(str(heading.lastgroup), text[heading.end() : end])
        choices |= set(named_here)
        further += ";" + rest + ";again" * (len(named_here) - len(set(named_here)))
    return choices, len(_SAYS_SOMETHING.findall(further.replace("This person", ";")))


def _names_in(slot: str, text: str) -> tuple[list[Choice], str]:
    """The values of a slot that a text names, as often as it does, and what else it says."""
    found: list[Choice] = []
    choices = [Choice(slot, value) for value in range(len(SLOTS[slot].values))]
    for choice in sorted(choices, key=lambda choice: -len(named(choice))):
        text, count = re.subn(rf"(?<!\w){re.escape(named(choice))}(?!\w)", "", text)
        found += [choice] * count
    return found, text


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
    """One line of the gate's table; without an aim it is neither reached nor not."""

    name: str
    value: float
    beside: str
    aim: str = ""
    reached: bool | None = None


def examine(examiner: Examiner, people: Sequence[Author], progress: Progress) -> list[Figure]:
    """The gate's table."""
    progress.start("gate", 2 * len(people), "steps")
    scored, jointly, alone, answers = [], [], [], []
    for author in people:
        texts = examiner.score(author)
        scored += texts
        progress.advance(1)
        groups = [texts[at : at + GROUP] for at in range(0, len(texts), GROUP)]
        jointly += [_described(examiner, group) for group in groups]
        alone += [_described(examiner, group[:1]) for group in groups]
        answers += [examiner.answer(review) for review in author.next]
        progress.advance(1)
    return [
        *_effect_figures(scored),
        *_description_figures(f"from {GROUP} texts", jointly),
        *_description_figures("from one text", alone),
        _answer_figure(answers),
    ]


def _described(examiner: Examiner, texts: Sequence[Scored]) -> Described:
    anchors = [group for group in (text.anchors() for text in texts) if group]
    return check_description(anchors, examiner.describe(anchors) if anchors else "")


def _effect_figures(scored: Sequence[Scored]) -> Iterator[Figure]:
    for slot in SLOTS:
        found = recall_of(slot, scored)
        if slot not in WORDLESS and found.reaching:
            beside = f"{found.reaching} of {found.choices} choices can reach τ: {found.ceiling:.2f}"
            yield Figure(f"recall: {slot}", found.recall, beside, "≥ 0.5", found.recall >= 0.5)
    value, tokens = precision(scored), sum(int((text.delta >= TAU).sum()) for text in scored)
    yield Figure("precision of anchor tokens", value, f"{tokens:,} tokens", "≥ 0.9", value >= 0.9)
    yield _area_figure("area under the curve, all tokens", scored, Scored.of_user)
    yield _area_figure("area under the curve, first tokens of choices", scored, Scored.of_user_first)


def _area_figure(name: str, scored: Sequence[Scored], truth: Callable[[Scored], Bools]) -> Figure:
    def under(values: Callable[[Scored], Floats]) -> float:
        return area(np.concatenate([values(text) for text in scored]), np.concatenate([truth(text) for text in scored]))

    surprisal, exact = under(lambda text: text.surprisal), under(Scored.exact_by_token)
    return Figure(name, under(lambda text: text.delta), f"plain surprisal {surprisal:.3f}, exact Δ {exact:.3f}")


def _description_figures(how: str, described: Sequence[Described]) -> Iterator[Figure]:
    shown, found, said, invented = (
        sum(getattr(one, what) for one in described) for what in ("shown", "named", "said", "invented")
    )
    share = found / max(shown, 1)
    yield Figure(f"habits named, {how}", share, f"of {shown} that anchors show", "≥ 0.7", share >= 0.7)
    share = invented / said if said else 1.0
    yield Figure(f"habits invented, {how}", share, f"of {said} named", "≤ 0.1", share <= 0.1)


def _answer_figure(answers: Sequence[Answer]) -> Figure:
    shares = [repetition(answer.text) for answer in answers]
    length = np.mean([len(answer.text.split()) for answer in answers])
    cut_off = sum(not answer.ended for answer in answers)
    beside = f"at worst {max(shares):.3f}; {len(answers)} answers of {length:.0f} words, {cut_off} cut off"
    share = float(np.mean(shares))
    return Figure("repeated 4-grams without history", share, beside, "< 0.1", share < 0.1)
