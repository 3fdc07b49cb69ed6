"""What the demo's model learns from: the program's own prompts, answered by people who are not in the evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from steerx_cli.demo.descriptions import describe, drawn_anchors
from steerx_cli.demo.world import Person, Review, Strangers, write_review
from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.prompt import (
    Block,
    Description,
    EmptyHistory,
    Histories,
    History,
    Item,
    NoBlock,
    Prompt,
    render,
    render_smoothing,
)
from steerx_cli.lm.templates import Smoothing, Task

MOST_HISTORIES = 5


def item_of(review: Review) -> Item:
    """What a review responds to, as the artifacts and the templates have it; a brief one says no more than it needs."""
    title, description = review.film.title, review.film.description
    told = {} if review.brief else {"description": description}
    return Item(f"{title}: {description}", {"title": title, **told, "rating": str(review.rating)})


def block_of(reviews: Sequence[Review]) -> Histories:
    """H: these reviews."""
    return Histories(tuple(History(item_of(review), review.text) for review in reviews))


@dataclass(frozen=True)
class Stage:
    """How many documents are easy: with brief reviews, of people with one value of their own in each slot.

    A habit of one value is copied after a million tokens or two. One of several is learnt from there, and hardly ever
    from nothing.
    """

    brief: float
    simple: float

    @classmethod
    def at(cls, done: float) -> "Stage":
        """Only easy ones at first, then fewer and fewer; `done` is the share of the training that is over."""
        return cls(brief=1 - 0.9 * _between(done, 0.1, 0.4), simple=1 - _between(done, 0.08, 0.25))


def _between(done: float, start: float, end: float) -> float:
    return min(1.0, max(0.0, (done - start) / (end - start)))


@dataclass(frozen=True)
class Documents:
    """Training documents by number: the same number is the same document."""

    seed: int
    strangers: Strangers
    task: Task
    smoothing: Smoothing
    chat: Frame

    def pool(self, number: int, count: int, stage: Stage) -> list[Prompt]:
        """The `number`-th `count` documents, as hard as they are at this stage of the training."""
        draw = Random(f"{self.seed} pool {number}")
        return [self._document(draw, stage) for _ in range(count)]

    def _document(self, draw: Random, stage: Stage) -> Prompt:
        person = self.strangers.person(draw)
        if draw.random() < stage.simple:
            person = person.simplified(draw)
        brief, kind = draw.random() < stage.brief, draw.random()
        if kind < 0.6:
            return self._reminded(draw, person, brief)
        if kind < 0.68:
            return self._alone(draw, person, brief)
        if kind < 0.82:
            return self._described(draw, person, brief)
        return self._smoothed(draw, person, brief)

    def _reminded(self, draw: Random, person: Person, brief: bool) -> Prompt:
        """A review after others of the same person: what `score-tokens` scores, what `rag` and CoS continue."""
        *before, last = self._reviews(draw, person, draw.randint(1, MOST_HISTORIES) + 1, brief)
        return self._review(draw.choice((PLAIN, self.chat)), last, block_of(before))

    def _alone(self, draw: Random, person: Person, brief: bool) -> Prompt:
        """A review with nothing known: the empty arm of Eq. 12, and `non-perso`."""
        (review,) = self._reviews(draw, person, 1, brief)
        return self._review(draw.choice((PLAIN, self.chat)), review, draw.choice((EmptyHistory(), NoBlock())))

    def _described(self, draw: Random, person: Person, brief: bool) -> Prompt:
        """A review after a description of the person, or, as without smoothing, after bare pieces."""
        *before, last = self._reviews(draw, person, draw.randint(1, 4) + 1, brief)
        groups = [drawn_anchors(draw, review) for review in before]
        text = " … ".join(anchor.text for group in groups for anchor in group)
        if draw.random() < 0.75:
            text = describe(groups)
        return self._review(self.chat, last, Description(text) if text else NoBlock())

    def _smoothed(self, draw: Random, person: Person, brief: bool) -> Prompt:
        """Anchors → description: what `smooth` asks for."""
        reviews = self._reviews(draw, person, draw.randint(1, 4), brief)
        groups = [drawn_anchors(draw, review) for review in reviews]
        description = describe(groups)
        if not description:
            return self._review(self.chat, reviews[0], NoBlock())
        texts = [[anchor.text for anchor in group] for group in groups]
        return render_smoothing(self.smoothing, self.task, self.chat, texts, description)

    def _reviews(self, draw: Random, person: Person, count: int, brief: bool) -> list[Review]:
        return [write_review(draw, person, self.strangers.film(draw), brief=brief) for _ in range(count)]

    def _review(self, frame: Frame, review: Review, block: Block) -> Prompt:
        return render(self.task, frame, item_of(review), block, review.text)


def corpus(documents: Documents, count: int) -> Iterator[str]:
    """Texts to make a tokenizer from."""
    yield from (prompt.text for prompt in documents.pool(-1, count, Stage.at(1)))
