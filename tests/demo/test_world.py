"""The people, their films and their reviews: every character has a source, and habits show as often as they should."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import sqrt
from random import Random

import numpy as np
import pytest

from steerx_cli.demo.slots import FAITHFUL, SLOTS, Floats, Lengths
from steerx_cli.demo.world import (
    HABITUAL,
    HISTORIES_EACH,
    QUERIES_EACH,
    Film,
    Person,
    Review,
    Strangers,
    authors,
    draw_film,
    draw_person,
    draw_rating,
    write_review,
)

Written = list[tuple[Person, Review]]
PEOPLE = authors(0)
WORD = re.compile(r"\w+(?:['’-]\w+)*")


@pytest.fixture(scope="module")
def evaluated() -> Written:
    return [(author.person, review) for author in PEOPLE for review in author.histories + author.next]


@pytest.fixture(scope="module")
def learnt_from() -> Written:
    """Four reviews each of four hundred strangers."""
    draw, strangers = Random(1), Strangers(PEOPLE)
    people = [strangers.person(draw) for _ in range(400)]
    return [(person, write_review(draw, person, strangers.film(draw))) for person in people for _ in range(4)]


@pytest.fixture(scope="module")
def brief() -> Written:
    """Very many short reviews of three people."""
    draw = Random(2)
    people = [draw_person(draw) for _ in range(3)]
    return [
        (person, write_review(draw, person, draw_film(draw), frozenset(HABITUAL)))
        for person in people
        for _ in range(400)
    ]


# --- the texts --------------------------------------------------------------------------------------------------------


def test_spans_partition_every_text(evaluated: Written) -> None:
    for _, review in evaluated:
        assert [span.piece for span in review.spans] == list(review.pieces)
        assert [review.text[span.start : span.end] for span in review.spans] == [piece.text for piece in review.pieces]
        assert all(review.text[span.start : span.end] for span in review.spans)
        assert [0, *(span.end for span in review.spans)] == [*(span.start for span in review.spans), len(review.text)]


def test_a_choice_is_what_stands_there(evaluated: Written, brief: Written) -> None:
    for _, review in evaluated + brief:
        for piece in review.pieces:
            if piece.choice and piece.slot != "length":
                assert piece.text.strip() == SLOTS[piece.choice.slot].values[piece.choice.value].strip()


def test_a_review_has_thirty_to_ninety_words(evaluated: Written, learnt_from: Written) -> None:
    counts = [len(WORD.findall(review.text)) for _, review in evaluated + learnt_from]
    assert 30 <= min(counts) < max(counts) <= 90


@pytest.mark.parametrize(
    "wrong",
    [
        r"^[^A-Z]",
        r"\s\s|\s$|[\t\n]",
        r"\b([Aa] [AEIOUaeiou]|[Aa]n [^AEIOUaeiou])",
        r"\b(\w+) \1\b",  # the same word twice
        r" [.,?!]",
        r"[.!?)] [a-z]",  # a sentence that begins small
        r"[^.!?)]$",
        r"[{}]|None|,,|,\.",
    ],
)
def test_the_english_is_plain_and_correct(wrong: str, evaluated: Written, learnt_from: Written, brief: Written) -> None:
    reviews = [review for _, review in evaluated + learnt_from + brief]
    assert [review.text for review in reviews if re.search(wrong, review.text)] == []
    assert [review.film for review in reviews if re.search(wrong, review.film.description)] == []


def test_what_is_of_the_film_is_told_with_it(evaluated: Written) -> None:
    for _, review in evaluated:
        film = review.film
        facts = [piece.text for piece in review.pieces if piece.source == "item"]
        assert facts == [film.title, film.genre, film.director, film.place, film.hero, film.quest]
        told = f"{film.title} {film.description}".lower()
        assert all(fact.lower() in told for fact in facts)


def test_a_brief_review_tells_nothing_of_its_film(brief: Written) -> None:
    assert all(piece.source != "item" for _, review in brief for piece in review.pieces)


def test_every_slot_is_filled_in_every_review(evaluated: Written, brief: Written) -> None:
    for _, review in evaluated + brief:
        counts = {name: len(review.choices(name)) for name in SLOTS}
        sentences = counts["length"]
        assert 1 <= sentences <= Lengths.LONGEST
        assert counts["aspect"] == counts["praise"] + counts["fault"] == sentences
        assert counts["triumph"] + counts["failure"] == 1
        assert [counts[name] for name in ("opener", "intensifier", "hedge", "closer", "mark")] == [1, 1, 1, 1, 2]
        assert review.choices("length") == [Lengths.MORE] * (sentences - 1) + [Lengths.ENOUGH]


# --- habits -----------------------------------------------------------------------------------------------------------


def test_a_choice_is_the_users_exactly_if_it_is_their_own(evaluated: Written, brief: Written) -> None:
    for person, review in evaluated + brief:
        for piece in review.pieces:
            if piece.choice is None:
                assert piece.source in ("item", "boilerplate")
            elif piece.slot != "length":
                assert (piece.source == "user") == (piece.choice.value in person.habits[piece.choice.slot])
                assert piece.source in ("user", "boilerplate")
        (own,) = person.habits["length"]
        sources = [piece.source for piece in review.pieces if piece.slot == "length"]
        for number, (value, source) in enumerate(zip(review.choices("length"), sources, strict=True), 1):
            follows = number < own if value == Lengths.MORE else number == own
            assert source == ("user" if follows else "boilerplate")


def assert_share(followed: list[bool]) -> None:
    assert np.mean(followed) == pytest.approx(FAITHFUL, abs=4 * sqrt(FAITHFUL * (1 - FAITHFUL) / len(followed)))


@pytest.mark.parametrize("name", sorted({*SLOTS} - {"aspect", "length"}))
def test_habits_are_followed_most_of_the_time(name: str, learnt_from: Written) -> None:
    assert_share([choice in person.habits[name] for person, review in learnt_from for choice in review.choices(name)])


def test_aspects_follow_habits_while_there_are_own_ones_left(learnt_from: Written) -> None:
    followed, group = [], SLOTS["aspect"].group
    for person, review in learnt_from:
        used: set[int] = set()
        for choice in review.choices("aspect"):
            if {int(group[own]) for own in person.habits["aspect"]} - used:
                followed.append(choice in person.habits["aspect"])
            used.add(int(group[choice]))
        assert len(used) == len(review.choices("aspect"))
    assert_share(followed)


def test_lengths_follow_habits(learnt_from: Written) -> None:
    assert_share([(len(review.choices("length")),) == person.habits["length"] for person, review in learnt_from])


def test_choices_come_as_often_as_their_chances_say(brief: Written) -> None:
    @cache
    def chances(number: int, slot: str, before: tuple[int, ...]) -> Floats:
        return SLOTS[slot].chances(SLOTS[slot].indicator([people[number].habits[slot]])[0], before)

    people = [person for person, _ in brief[::400]]
    surplus: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(1))  # how often, beyond what was to be expected
    variance: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(1))
    for place, (_, review) in enumerate(brief):
        for name, slot in SLOTS.items():
            choices = tuple(review.choices(name))
            for at, value in enumerate(choices):
                chance = chances(place // 400, name, choices[:at])
                surplus[name] = surplus[name] + (np.arange(len(slot.values)) == value) - chance
                variance[name] = variance[name] + chance * (1 - chance)
    for name in SLOTS:
        assert (variance[name] > 4).all()
        assert (np.abs(surplus[name]) < 4.5 * np.sqrt(variance[name])).all()


def test_the_kind_and_the_good_get_more_stars() -> None:
    def mean(kindness: float, quality: float) -> float:
        draw = Random(3)
        person = Person(draw_person(draw).habits, kindness)
        film = Film("", "", "", "", "", "", quality)
        ratings = [draw_rating(draw, person, film) for _ in range(300)]
        assert 1 <= min(ratings) <= max(ratings) <= 5
        return float(np.mean(ratings))

    assert mean(-1, -1) < mean(0, -1) < mean(0, 0) < mean(1, 0) < mean(1, 1)
    assert mean(1, 0) == pytest.approx(mean(0, 1))


def test_more_stars_are_kinder_words(learnt_from: Written) -> None:
    shares = []
    for rating in range(1, 6):
        rated = [review for _, review in learnt_from if review.rating == rating]
        kind = sum(len(review.choices("praise")) for review in rated)
        shares.append(kind / sum(len(review.choices("aspect")) for review in rated))
    assert shares == pytest.approx([0.05, 0.2, 0.5, 0.8, 0.95], abs=0.06)


# --- who is evaluated, and who is learnt from -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_people_and_words() -> None:
    assert authors(0) == PEOPLE


def test_another_seed_gives_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerx_cli.demo.world.TEST", 0)
    others = authors(1)
    assert not {repr(author.person) for author in others} & {repr(author.person) for author in PEOPLE}
    texts = {review.text for author in others for review in author.histories + author.next}
    assert not texts & {review.text for author in PEOPLE for review in author.histories + author.next}


def test_enough_people_and_nobody_in_two_splits() -> None:
    split = {name: [author for author in PEOPLE if author.split == name] for name in ("development", "test")}
    assert len(split["development"]) >= 20
    assert len(split["test"]) >= 40
    assert len(split["development"]) + len(split["test"]) == len(PEOPLE)
    assert len({author.user_id for author in PEOPLE}) == len(PEOPLE)
    assert len({repr(author.person.habits) for author in PEOPLE}) == len(PEOPLE)
    assert {len(author.histories) for author in PEOPLE} == {HISTORIES_EACH}
    assert {len(author.next) for author in PEOPLE} == {QUERIES_EACH}


def test_strangers_are_nobody_and_write_of_nothing_that_is_evaluated(learnt_from: Written) -> None:
    habits = [author.person.habits for author in PEOPLE]
    names = {review.film.name for author in PEOPLE for review in author.histories + author.next}
    assert all(person.habits not in habits for person, _ in learnt_from)
    assert not {review.film.name for _, review in learnt_from} & names


def test_no_two_reviews_of_the_evaluation_are_of_one_film() -> None:
    names = [review.film.name for author in PEOPLE for review in author.histories + author.next]
    assert len(set(names)) == len(names)


def test_strangers_are_drawn_until_they_are_strange(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(*drawn: object) -> Callable[[Random], object]:
        left = iter(drawn)
        return lambda _: next(left)

    known, film = PEOPLE[0].person, PEOPLE[0].next[0].film
    other, another = draw_person(Random(4)), replace(film, title="The Copper Cactus")
    monkeypatch.setattr("steerx_cli.demo.world.draw_person", one_by_one(known, Person(known.habits, 0), other))
    monkeypatch.setattr("steerx_cli.demo.world.draw_film", one_by_one(film, another))
    assert Strangers(PEOPLE).person(Random(0)) == other
    assert Strangers(PEOPLE).film(Random(0)) == another


def test_somebody_says_their_habits() -> None:
    person = PEOPLE[0].person
    assert {name: tuple(person.says(name)) for name in ("opener", "length")} == {
        "opener": (SLOTS["opener"].values[person.habits["opener"][0]],),
        "length": (str(person.habits["length"][0]),),
    }


def test_somebody_simplified_keeps_one_value_of_their_own() -> None:
    for number, author in enumerate(PEOPLE):
        plain = author.person.simplified(Random(number))
        assert list(plain.habits) == list(author.person.habits)
        assert plain.kindness == author.person.kindness
        for name, habit in plain.habits.items():
            assert len(habit) == (3 if name == "aspect" else 1)
            assert {*habit} <= {*author.person.habits[name]}


def test_somebody_simplified_keeps_any_of_their_values() -> None:
    person = PEOPLE[0].person
    kept = {person.simplified(Random(number)).habits["praise"][0] for number in range(40)}
    assert kept == {*person.habits["praise"]}


def test_somebody_simplified_writes_by_the_same_rule() -> None:
    draw = Random(5)
    person = draw_person(draw).simplified(draw)
    reviews = [write_review(draw, person, draw_film(draw), frozenset(HABITUAL)) for _ in range(300)]
    assert_share([review.choices("intensifier")[0] in person.habits["intensifier"] for review in reviews])
    assert_share([review.choices("aspect")[0] in person.habits["aspect"] for review in reviews])


def test_a_part_is_what_it_is_in_the_whole() -> None:
    """One part alone: its slots and nothing else, begun without a space."""
    slots = {
        "opener": {"opener"},
        "judgements": {"aspect", "praise", "fault", "length", "hedge"},
        "verdict": {"intensifier", "triumph", "failure", "mark"},
        "closer": {"closer", "mark"},
    }
    draw = Random(6)
    for part, expected in slots.items():
        reviews = [write_review(draw, draw_person(draw), draw_film(draw), frozenset({part})) for _ in range(40)]
        assert {piece.slot for review in reviews for piece in review.pieces} - {None} == expected
        assert all(review.text == review.text.strip() for review in reviews)
