"""The demo world: people with known habits, films, and reviews whose every character has a known source."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from steerx_cli.demo import words
from steerx_cli.demo.slots import SLOTS, Habit, Lengths

Source: TypeAlias = Literal["user", "item", "boilerplate"]
_Drawn = TypeVar("_Drawn")


# --- people and films -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """What somebody does most of the time: the own values of each slot, and how easily they are pleased."""

    habits: dict[str, Habit]
    kindness: float

    def says(self, slot: str) -> list[str]:
        """This person's own values, in words."""
        return SLOTS[slot].in_words(self.habits[slot])

    def simplified(self, draw: Random) -> "Person":
        """Somebody with only one of the own values in each slot where it can be said again."""
        habits = {slot: habit if SLOTS[slot].fresh else (draw.choice(habit),) for slot, habit in self.habits.items()}
        return Person(habits, self.kindness)


@dataclass(frozen=True)
class Film:
    """What a review is about; all of it but `quality` is told in the prompt."""

    title: str
    genre: str
    director: str
    place: str
    hero: str
    quest: str
    quality: float

    @property
    def name(self) -> str:
        """What tells this film's title from others, whatever stands before it."""
        return " ".join(self.title.split(" ")[-2:])

    @property
    def description(self) -> str:
        """The film in two sentences."""
        hero = self.hero[0].upper() + self.hero[1:]
        return f"A {self.genre} by {self.director}, set in {self.place}. {hero} {self.quest}."


def draw_person(draw: Random) -> Person:
    """Somebody new."""
    habits = {name: slot.habits[draw.randrange(len(slot.habits))] for name, slot in SLOTS.items()}
    return Person(habits, kindness=draw.uniform(-1, 1))


def draw_film(draw: Random) -> Film:
    """A film."""
    first, second = draw.choice(words.TITLE_FIRST), draw.choice(words.TITLE_SECOND)
    return Film(
        title=draw.choice(words.TITLE_FRAMES).format(first, second),
        genre=draw.choice(words.GENRES),
        director=f"{draw.choice(words.DIRECTOR_FIRST)} {draw.choice(words.DIRECTOR_LAST)}",
        place=draw.choice(words.PLACES),
        hero=draw.choice(words.HEROES),
        quest=draw.choice(words.QUESTS),
        quality=draw.uniform(-1, 1),
    )


# --- reviews ----------------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """A slot, and which of its values."""

    slot: str
    value: int


@dataclass(frozen=True)
class Piece:
    """A stretch of a review with one source; where something was chosen, what."""

    text: str
    source: Source
    choice: Choice | None = None

    @property
    def slot(self) -> str | None:
        """Where this was chosen."""
        return self.choice.slot if self.choice else None


@dataclass(frozen=True)
class Span:
    """A piece in its place: `text[start:end]` of the whole review."""

    start: int
    end: int
    piece: Piece


Parts: TypeAlias = frozenset[str]
HABITUAL = ("opener", "judgements", "verdict", "closer")  # the parts of a review that habits decide
WHOLE: Parts = frozenset({*HABITUAL, "introduction"})


@dataclass(frozen=True)
class Review:
    """A person's review of a film."""

    film: Film
    rating: int
    pieces: tuple[Piece, ...]
    parts: Parts

    @cached_property
    def text(self) -> str:
        """The review as it is read."""
        return "".join(piece.text for piece in self.pieces)

    @cached_property
    def spans(self) -> list[Span]:
        """The pieces in their places: a partition of the text."""
        spans, start = [], 0
        for piece in self.pieces:
            spans.append(Span(start, start + len(piece.text), piece))
            start += len(piece.text)
        return spans

    def choices(self, slot: str) -> list[int]:
        """What was chosen in a slot, in the order of the text."""
        return [piece.choice.value for piece in self.pieces if piece.choice and piece.choice.slot == slot]


_KIND = (0.05, 0.2, 0.5, 0.8, 0.95)  # the chance that a judgement is a kind one, for one to five stars


def draw_rating(draw: Random, person: Person, film: Film) -> int:
    """One to five stars: the person's kindness, the film's quality, and chance."""
    return 1 + min(4, max(0, round(2 + 1.2 * person.kindness + 1.2 * film.quality + draw.triangular(-1, 1))))


def write_review(draw: Random, person: Person, film: Film, parts: Parts = WHOLE) -> Review:
    """What this person writes about this film; some `parts` of it are enough for the start of training."""
    rating = draw_rating(draw, person, film)
    writer = _Writer(draw, person, rating)
    writer.review(film, parts)
    return Review(film, rating, tuple(writer.pieces), parts)


class _Writer:
    """A review that grows piece by piece: given film and rating, by habits and chance alone."""

    def __init__(self, draw: Random, person: Person, rating: int) -> None:
        self.draw, self.person = draw, person
        self.pleased = _KIND[rating - 1]
        self.pieces: list[Piece] = []
        self._mine = {name: slot.indicator([person.habits[name]])[0] for name, slot in SLOTS.items()}
        self._before: dict[str, list[int]] = {name: [] for name in SLOTS}

    def review(self, film: Film, parts: Parts) -> None:
        if "opener" in parts:
            self._choice("opener")
        if "introduction" in parts:
            self._introduction(film)
            if self.draw.random() < 0.5:
                self._visit()
        if "judgements" in parts:
            self._judgements()
            self._plot(film, told="introduction" in parts)
        if "verdict" in parts:
            self._verdict(kind=self._kind())
        if "closer" in parts:
            self._choice("closer", " ")
            self._choice("mark")

    def _introduction(self, film: Film) -> None:
        self._say(" I watched ")
        self._say(film.title, "item")
        self._say(", a ")
        self._say(film.genre, "item")
        self._say(" by ")
        self._say(film.director, "item")
        self._say(", set in ")
        self._say(film.place, "item")
        self._say(".")

    def _visit(self) -> None:
        self._say(f" I saw it on a {self.draw.choice(words.DAYS)} with {self.draw.choice(words.COMPANY)}.")

    def _judgements(self) -> None:
        self._judgement(" The")
        while self._step() == Lengths.MORE:
            self._judgement("")

    def _step(self) -> int:
        """One more judgement, or enough: seen in how the next sentence begins."""
        value = self._draw("length")
        self._add("length", value, {Lengths.MORE: " The", Lengths.ENOUGH: " As"}[value])
        return value

    def _judgement(self, start: str) -> None:
        if start:
            self._say(start)
        self._choice("aspect", " ")
        self._say(f" {self.draw.choice(words.VERBS)}")
        self._choice("praise" if self._kind() else "fault", " ")
        self._say(".")

    def _plot(self, film: Film, *, told: bool) -> None:
        self._say(" a tale")
        if told:
            self._say(" of ")
            self._say(film.hero, "item")
            self._say(" who ")
            self._say(film.quest, "item")
        self._say(", it,")
        self._choice("hedge", " ")
        self._say(f", {self.draw.choice(words.PLOT_PRAISE if self._kind() else words.PLOT_FAULT)}.")

    def _verdict(self, *, kind: bool) -> None:
        self._say(" It was")
        self._choice("intensifier", " ")
        self._say(f" {self.draw.choice(words.WORTH if kind else words.WASTE)}. Another")
        self._choice("triumph" if kind else "failure", " ")
        self._choice("mark")

    def _kind(self) -> bool:
        return self.draw.random() < self.pleased

    def _say(self, text: str, source: Source = "boilerplate") -> None:
        self.pieces.append(Piece(self._begun(text), source))

    def _choice(self, slot: str, before: str = "") -> None:
        value = self._draw(slot)
        self._add(slot, value, before + SLOTS[slot].values[value])

    def _draw(self, slot: str) -> int:
        chances = SLOTS[slot].chances(self._mine[slot], self._before[slot])
        below = np.cumsum(chances)
        return min(int(np.searchsorted(below, self.draw.random() * below[-1], side="right")), len(chances) - 1)

    def _add(self, slot: str, value: int, text: str) -> None:
        own = self._follows(slot, value)
        self.pieces.append(Piece(self._begun(text), "user" if own else "boilerplate", Choice(slot, value)))
        self._before[slot].append(value)

    def _begun(self, text: str) -> str:
        return text if self.pieces else text.lstrip()

    def _follows(self, slot: str, value: int) -> bool:
        """Whether this choice is there because of the person."""
        if slot != "length":
            return bool(self._mine[slot][value])
        steps, (own,) = len(self._before[slot]) + 1, self.person.habits[slot]
        return steps < own if value == Lengths.MORE else steps == own


# --- who is evaluated, and who is learnt from -------------------------------------------------------------------------


@dataclass(frozen=True)
class Author:
    """A person of the evaluation: what they wrote before, and what they write next."""

    user_id: str
    split: Literal["development", "test"]
    person: Person
    histories: tuple[Review, ...]
    next: tuple[Review, ...]


DEVELOPMENT, TEST = 24, 48  # people
HISTORIES_EACH, QUERIES_EACH = 8, 2


def authors(seed: int) -> list[Author]:
    """Everybody of the evaluation, each film reviewed once; the same seed gives the same people, films and words."""
    seen: set[str] = set()
    return [_author(seed, number, seen) for number in range(DEVELOPMENT + TEST)]


def _author(seed: int, number: int, seen: set[str]) -> Author:
    draw = Random(f"{seed} author {number}")
    person = draw_person(draw)
    films = [_new_film(draw, seen) for _ in range(HISTORIES_EACH + QUERIES_EACH)]
    reviews = [write_review(draw, person, film) for film in films]
    split: Literal["development", "test"] = "development" if number < DEVELOPMENT else "test"
    return Author(
        f"person-{number:02d}", split, person, tuple(reviews[:HISTORIES_EACH]), tuple(reviews[HISTORIES_EACH:])
    )


def _new_film(draw: Random, seen: set[str]) -> Film:
    film = next(film for film in _again(draw_film, draw) if film.name not in seen)
    seen.add(film.name)
    return film


class Strangers:
    """The people and films of training: none of them is anybody or anything of the evaluation."""

    def __init__(self, evaluated: Sequence[Author]) -> None:
        """Keep away from these."""
        self.names = {review.film.name for author in evaluated for review in author.histories + author.next}
        self.habits = [author.person.habits for author in evaluated]

    def person(self, draw: Random) -> Person:
        """Somebody whose habits are nobody's of the evaluation."""
        return next(person for person in _again(draw_person, draw) if person.habits not in self.habits)

    def film(self, draw: Random) -> Film:
        """A film whose name is none of the evaluation."""
        return next(film for film in _again(draw_film, draw) if film.name not in self.names)


def _again(function: Callable[[Random], _Drawn], draw: Random) -> Iterator[_Drawn]:
    while True:
        yield function(draw)
