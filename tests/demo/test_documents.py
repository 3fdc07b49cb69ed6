"""What the model learns from: nothing of the evaluation, all that the program asks, and only what people say."""

import re
from dataclasses import replace
from itertools import product
from random import Random
from typing import TYPE_CHECKING

import pytest

from steerx_cli.demo.documents import MOST_HISTORIES, Documents, Stage, block_of, corpus, item_of
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import (
    HABITUAL,
    Film,
    Parts,
    Person,
    Review,
    Strangers,
    authors,
    draw_film,
    draw_person,
    write_review,
)
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.plain import encode_prompt
from steerx_cli.lm.pretrain import CHAT, END, TURN, Recipe, encode, make_tokenizer
from steerx_cli.lm.prompt import Block, EmptyHistory, NoBlock, Prompt, render
from steerx_cli.lm.templates import load_smoothing, load_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PEOPLE = authors(0)
EVALUATED = [review for author in PEOPLE for review in author.histories + author.next]
HARD, MIXED = Stage(drills=0, brief=0, simple=0), Stage(drills=0, brief=0.5, simple=0.5)
DOCUMENTS = Documents(0, Strangers(PEOPLE), load_task("review"), load_smoothing(), CHAT)


@pytest.fixture(scope="module")
def pool() -> list[Prompt]:
    return DOCUMENTS.pool(3, 80, MIXED)


@pytest.fixture(scope="module")
def tokenizer() -> "PreTrainedTokenizerFast":
    return make_tokenizer(corpus(DOCUMENTS, 200), Recipe().vocabulary)


def kind(prompt: Prompt) -> str:
    """What a document teaches."""
    if "The pieces below" in prompt.text:
        return "smoothed"
    if prompt.description:
        return "described"
    return "reminded" if prompt.responses else "alone"


def cut(prompt: Prompt, spans: tuple[tuple[int, int], ...]) -> list[str]:
    return [prompt.text[start:end] for start, end in spans]


# --- nothing of the evaluation ----------------------------------------------------------------------------------------


def test_nobody_and_nothing_of_the_evaluation_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[tuple[Person, Review]] = []

    def write(draw: Random, person: Person, film: Film, parts: Parts) -> Review:
        learnt.append((person, write_review(draw, person, film, parts)))
        return learnt[-1][1]

    monkeypatch.setattr("steerx_cli.demo.documents.write_review", write)
    prompts = [prompt for number in range(-1, 3) for prompt in DOCUMENTS.pool(number, 40, MIXED)]
    names, habits = {review.film.name for review in EVALUATED}, [author.person.habits for author in PEOPLE]
    said = "\n".join(prompt.text for prompt in prompts)
    assert len(learnt) > len(prompts)
    assert not {review.film.name for _, review in learnt} & names
    assert not [name for name in names if name in said]
    assert {*re.findall(r"^Title: (.+)$", said, re.MULTILINE)} <= {review.film.title for _, review in learnt}
    assert all(person.habits not in habits for person, _ in learnt)
    assert not {review.text for review in EVALUATED} & {review.text for _, review in learnt}
    assert not any(author.user_id in said for author in PEOPLE)
    assert all(
        prompt.text[prompt.response.start :] in {r.text for _, r in learnt} or kind(prompt) == "smoothed"
        for prompt in prompts
    )


# --- the same number is the same document -----------------------------------------------------------------------------


def test_the_same_number_gives_the_same_pool(pool: list[Prompt]) -> None:
    again = Documents(0, Strangers(authors(0)), load_task("review"), load_smoothing(), CHAT)
    assert again.pool(3, 80, MIXED) == pool
    assert again.pool(3, 10, MIXED) == pool[:10]


def test_another_number_or_seed_gives_another_pool(pool: list[Prompt]) -> None:
    texts = {prompt.text for prompt in pool}
    assert len(texts) == len(pool)
    assert not texts & {prompt.text for prompt in DOCUMENTS.pool(4, 80, MIXED)}
    assert not texts & {prompt.text for prompt in replace(DOCUMENTS, seed=1).pool(3, 80, MIXED)}


def test_the_tokenizers_texts_are_documents_that_no_training_sees(pool: list[Prompt]) -> None:
    texts = list(corpus(DOCUMENTS, 20))
    assert texts == [prompt.text for prompt in DOCUMENTS.pool(-1, 20, Stage(drills=0, brief=0.1, simple=0))]
    assert not {*texts} & {prompt.text for prompt in pool}


# --- everything that the program will ask -----------------------------------------------------------------------------


def test_all_kinds_of_document_occur(pool: list[Prompt]) -> None:
    kinds = [kind(prompt) for prompt in pool]
    assert {*kinds} == {"reminded", "alone", "described", "smoothed"}
    assert max(set(kinds), key=kinds.count) == "reminded"
    for name, frames in {"reminded": 2, "alone": 2, "described": 1, "smoothed": 1}.items():
        assert len({prompt.add_special_tokens for prompt in pool if kind(prompt) == name}) == frames
    assert {len(prompt.responses) for prompt in pool} == {*range(MOST_HISTORIES + 1)}
    assert {prompt.block is None for prompt in pool if kind(prompt) == "alone"} == {True, False}


def test_what_is_asked_of_somebody_is_worded_like_a_document() -> None:
    """The lines of a prompt at use, but for what the film is, are all in one prompt of training."""
    films = re.compile(r"^(?:Title|Description|Rating): .*$", re.MULTILINE)
    texts = [{*films.sub("", prompt.text).splitlines()} for prompt in DOCUMENTS.pool(5, 250, HARD)]
    for number in (0, 17, 60):
        review, others = EVALUATED[number], EVALUATED[number + 1 : number + 4]
        blocks: list[Block] = [block_of(others), EmptyHistory(), NoBlock()]
        for frame, block in product((PLAIN, CHAT), blocks):
            asked = render(DOCUMENTS.task, frame, item_of(review), block).text
            lines = {*films.sub("", asked).splitlines()} - {other.text for other in others}
            assert any(lines <= text for text in texts)


def test_an_item_tells_the_film_and_the_stars() -> None:
    review = EVALUATED[0]
    film = review.film
    told = {"title": film.title, "description": film.description, "rating": str(review.rating)}
    assert item_of(review).fields == told
    assert item_of(review).input == f"{film.title}: {film.description}"
    short = write_review(Random(0), draw_person(Random(0)), draw_film(Random(0)), frozenset(HABITUAL))
    assert list(item_of(short).fields) == ["title", "rating"]


def test_a_block_is_reviews_in_their_order() -> None:
    block = block_of(EVALUATED[:3])
    assert [history.response for history in block.items] == [review.text for review in EVALUATED[:3]]
    assert [history.item for history in block.items] == [item_of(review) for review in EVALUATED[:3]]


# --- only what is said is learnt --------------------------------------------------------------------------------------


def test_learnt_are_the_responses_and_the_end(pool: list[Prompt], tokenizer: "PreTrainedTokenizerFast") -> None:
    for prompt, example in zip(pool, encode(tokenizer, pool), strict=True):
        end = END if prompt.add_special_tokens else TURN
        said = [*cut(prompt, prompt.responses), prompt.text[prompt.response.start :], end]
        assert tokenizer.decode(example.ids[example.learnt]) == "".join(said)
        assert prompt.response.end == len(prompt.text) > prompt.response.start
        assert tokenizer.decode(example.ids) == prompt.text + end


def test_what_training_saw_is_id_for_id_the_prompt_at_use(
    pool: list[Prompt], tokenizer: "PreTrainedTokenizerFast"
) -> None:
    for prompt, example in zip(pool, encode(tokenizer, pool), strict=True):
        start = prompt.response.start
        asked = encode_prompt(tokenizer, replace(prompt, text=prompt.text[:start]))
        assert example.ids[: len(asked)].tolist() == asked
        assert example.learnt[len(asked) :].all()
        assert not example.learnt[len(asked) - 1]
        said: list[int] = tokenizer(prompt.text[start:], add_special_tokens=False)["input_ids"]
        assert example.ids[len(asked) : -1].tolist() == said


def test_the_first_token_of_a_choice_decides_the_whole_of_it(tokenizer: "PreTrainedTokenizerFast") -> None:
    for slot in {*SLOTS.values()} - {SLOTS["length"]}:
        before = "" if slot.name in ("opener", "mark") else " "
        firsts = [tokenizer(before + value)["input_ids"][0] for value in slot.values]
        assert len(set(firsts)) == len(slot.values)


# --- easy ones first --------------------------------------------------------------------------------------------------


def test_brief_documents_are_those_that_are_asked_for() -> None:
    facts = re.compile(r"^Description: (?!This person)|set in", re.MULTILINE)
    anchors = re.compile(r"^- .*$", re.MULTILINE)
    told = [prompt for prompt in DOCUMENTS.pool(6, 60, HARD) if kind(prompt) != "smoothed"]
    brief = DOCUMENTS.pool(6, 60, Stage(drills=0, brief=1, simple=0))
    assert all(facts.search(prompt.text) for prompt in told)
    assert not any(facts.search(anchors.sub("", prompt.text)) for prompt in brief)
    mixed = [prompt for prompt in DOCUMENTS.pool(6, 120, MIXED) if kind(prompt) != "smoothed"]
    assert 0.35 < sum(bool(facts.search(prompt.text)) for prompt in mixed) / len(mixed) < 0.65


def test_simple_people_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(draw: Random, person: Person, film: Film, parts: Parts) -> Review:
        plain.append(len(person.habits["praise"]) == 1)
        return write_review(draw, person, film, parts)

    plain: list[bool] = []
    monkeypatch.setattr("steerx_cli.demo.documents.write_review", write)
    for share, expected in {0.0: {False}, 0.5: {False, True}, 1.0: {True}}.items():
        plain.clear()
        DOCUMENTS.pool(7, 30, Stage(drills=0, brief=1, simple=share))
        assert {*plain} == expected


def test_drills_are_many_histories_of_a_part_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(draw: Random, person: Person, film: Film, parts: Parts) -> Review:
        drilled.append(parts)
        return write_review(draw, person, film, parts)

    drilled: list[Parts] = []
    monkeypatch.setattr("steerx_cli.demo.documents.write_review", write)
    prompts = DOCUMENTS.pool(8, 40, Stage(drills=1, brief=0, simple=0))
    assert {len(parts) for parts in drilled} == {1, 2}
    assert frozenset().union(*drilled) == {*HABITUAL}
    assert {len(prompt.responses) for prompt in prompts} == {*range(4, 11)}


def test_easy_documents_come_first_and_some_brief_ones_stay() -> None:
    stages = [Stage.at(done) for done in (0, 0.1, 0.2, 0.25, 0.35, 0.4, 1)]
    assert [stage.drills for stage in stages] == pytest.approx([0.7, 0.7, 0.42, 0.28, 0, 0, 0])
    assert [stage.brief for stage in stages] == pytest.approx([1, 1, 0.7, 0.55, 0.25, 0.1, 0.1])
    assert [stage.simple for stage in stages] == pytest.approx([1, 1, 1 / 3, 0, 0, 0, 0])


def test_descriptions_are_half_of_the_documents_at_the_end() -> None:
    shares = [
        [kind(prompt) for prompt in DOCUMENTS.pool(10, 200, Stage.at(done))].count("smoothed") / 200
        for done in (0.5, 0.68, 0.7, 1)
    ]
    assert shares == pytest.approx([0.18, 0.18, 0.52, 0.52], abs=0.08)
