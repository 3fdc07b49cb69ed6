"""What the demo's model learns from: the program's own prompts, answered by people who are not in the evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from steerx_cli.demo.descriptions import describe, drawn_anchors
from steerx_cli.demo.world import HABITUAL, WHOLE, Parts, Person, Review, Strangers, write_review
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
    """What a review responds to, as artifacts and templates have it; one without its introduction needs less."""
    title, description = review.film.title, review.film.description
    told = {"description": description} if "introduction" in review.parts else {}
    return Item(f"{title}: {description}", {"title": title, **told, "rating": str(review.rating)})


def block_of(reviews: Sequence[Review]) -> Histories:
    """H: these reviews."""
    return Histories(tuple(History(item_of(review), review.text) for review in reviews))


# Up to where of a number between 0 and 1 a document is a review after others, after nothing, and after a description;
# above, it is a description. Descriptions are learnt last, and have more than half of the time then.
_KINDS, _KINDS_LATE = (0.6, 0.68, 0.82), (0.3, 0.4, 0.48)


@dataclass(frozen=True)
class Stage:
    """How many documents are easy, and how many are of which kind.

    Habits are learnt one after the other, each all at once, and soonest where much of what stands there is that habit.
    """

    drills: float  # many histories of one or two parts of a review
    brief: float  # of the others: only what habits decide
    simple: float  # people with one value in each slot, but of what they write about
    kinds: tuple[float, float, float] = _KINDS

    @classmethod
    def at(cls, done: float) -> "Stage":
        """Only easy ones at first, then fewer and fewer; `done` is the share of the training that is over."""
        return cls(
            drills=0.7 * _left(done, 0.1, 0.35),
            brief=0.1 + 0.9 * _left(done, 0.1, 0.4),
            simple=_left(done, 0.1, 0.25),
            kinds=_KINDS if done < 0.69 else _KINDS_LATE,
        )


def _left(done: float, start: float, end: float) -> float:
    """What is left of something that is taken away between two shares of the training."""
    return min(1.0, max(0.0, (end - done) / (end - start)))


@dataclass(frozen=True)
class Documents:
    """Training documents by number: the same number at the same stage is the same document."""

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
        if draw.random() < stage.drills:
            parts = frozenset(draw.sample(HABITUAL, draw.choice((1, 1, 2))))
            return self._reminded(draw, person, parts, draw.randint(4, 10))
        parts, kind = frozenset(HABITUAL) if draw.random() < stage.brief else WHOLE, draw.random()
        reminded, alone, described = stage.kinds
        if kind < reminded:
            return self._reminded(draw, person, parts, draw.randint(1, MOST_HISTORIES))
        if kind < alone:
            return self._alone(draw, person, parts)
        if kind < described:
            return self._described(draw, person, parts)
        return self._smoothed(draw, person, parts)

    def _reminded(self, draw: Random, person: Person, parts: Parts, histories: int) -> Prompt:
        """A review after others of the same person: what `score-tokens` scores, what `rag` and CoS continue."""
        *before, last = self._reviews(draw, person, histories + 1, parts)
        return self._review(draw.choice((PLAIN, self.chat)), last, block_of(before))

    def _alone(self, draw: Random, person: Person, parts: Parts) -> Prompt:
        """A review with nothing known: the empty arm of Eq. 12, and `non-perso`."""
        (review,) = self._reviews(draw, person, 1, parts)
        return self._review(draw.choice((PLAIN, self.chat)), review, draw.choice((EmptyHistory(), NoBlock())))

    def _described(self, draw: Random, person: Person, parts: Parts) -> Prompt:
        """A review after a description of the person, or, as without smoothing, after bare pieces."""
        *before, last = self._reviews(draw, person, draw.randint(1, 4) + 1, parts)
        groups = [drawn_anchors(draw, review) for review in before]
        text = " … ".join(anchor.text for group in groups for anchor in group)
        if draw.random() < 0.75:
            text = describe(groups)
        return self._review(self.chat, last, Description(text) if text else NoBlock())

    def _smoothed(self, draw: Random, person: Person, parts: Parts) -> Prompt:
        """Anchors → description: what `smooth` asks for."""
        reviews = self._reviews(draw, person, draw.randint(1, 4), parts)
        groups = [drawn_anchors(draw, review) for review in reviews]
        description = describe(groups)
        if not description:
            return self._review(self.chat, reviews[0], NoBlock())
        texts = [[anchor.text for anchor in group] for group in groups]
        return render_smoothing(self.smoothing, self.task, self.chat, texts, description)

    def _reviews(self, draw: Random, person: Person, count: int, parts: Parts) -> list[Review]:
        return [write_review(draw, person, self.strangers.film(draw), parts) for _ in range(count)]

    def _review(self, frame: Frame, review: Review, block: Block) -> Prompt:
        return render(self.task, frame, item_of(review), block, review.text)


def corpus(documents: Documents, count: int) -> Iterator[str]:
    """Texts to make a tokenizer from."""
    yield from (prompt.text for prompt in documents.pool(-1, count, Stage(drills=0, brief=0.1, simple=0)))
