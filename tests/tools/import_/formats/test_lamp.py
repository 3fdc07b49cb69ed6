"""`--format lamp`: seven tasks; a question is a user of its own, and its answer is in another file."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anything import check_any, check_reason, check_text, rendered, spoilt
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.import_.formats.format import Reading
from steerx_cli.tools.import_.formats.lamp import FORMAT
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Text

CITATION = (
    'For an author who has written the paper with the title "On "deep" nets", which reference is related? '
    'Just answer with [1] or [2] without explanation. [1]: "The "one"" [2]: "Another\none"'
)
INPUTS: Mapping[str, str] = {
    "lamp-1": CITATION,
    "lamp-2": (
        "Which tag does this movie relate to among the following tags? Just answer with the tag name without further "
        "explanation. tags: [sci-fi, based on a book, dark comedy] description: A man with a description: tall."
    ),
    "lamp-3": (
        "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without "
        "further explanation. review: My review: it's red."
    ),
    "lamp-4": "Generate a headline for the following article: This article: on cats, $5 {each}.",
    "lamp-5": "Generate a title for the following abstract of a paper: In this paper: we do.",
    "lamp-6": "Generate a subject for the following email: Send it\nto my email: now.",
    "lamp-7": "Paraphrase the following tweet without any explanation before or after it: @b I'm after it: tea",
}
ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "lamp-1": {"id": "1", "title": "Nets", "abstract": "We net."},
    "lamp-2": {"id": "1", "tag": "sci-fi", "description": "A ship."},
    "lamp-3": {"id": "1", "text": "It broke.", "score": "1"},
    "lamp-4": {"id": "1", "text": "A cat sat.", "title": "Cat Sits"},
    "lamp-5": {"id": "1", "title": "Nets", "abstract": "We net."},
    "lamp-6": {"id": "1", "text": "See you at 5.", "title": "Meeting"},
    "lamp-7": {"id": "1", "text": "so tired"},
}
# A history's fields, input and response; a query's fields and input.
HISTORIES: Mapping[str, tuple[dict[str, str], str, str]] = {
    "lamp-1": ({"abstract": "We net."}, "We net.", "Nets"),
    "lamp-2": ({"description": "A ship."}, "A ship.", "sci-fi"),
    "lamp-3": ({"text": "It broke."}, "It broke.", "1"),
    "lamp-4": ({"text": "A cat sat."}, "A cat sat.", "Cat Sits"),
    "lamp-5": ({"abstract": "We net."}, "We net.", "Nets"),
    "lamp-6": ({"text": "See you at 5."}, "See you at 5.", "Meeting"),
    "lamp-7": ({}, "", "so tired"),
}
TALL = "A man with a description: tall."
QUERIES: Mapping[str, tuple[dict[str, str], str]] = {
    "lamp-1": ({"title": 'On "deep" nets', "first": 'The "one"', "second": "Another\none"}, CITATION),
    "lamp-2": ({"description": TALL, "tags": "sci-fi, based on a book, dark comedy"}, TALL),
    "lamp-3": ({"text": "My review: it's red."}, "My review: it's red."),
    "lamp-4": ({"text": "This article: on cats, $5 {each}."}, "This article: on cats, $5 {each}."),
    "lamp-5": ({"abstract": "In this paper: we do."}, "In this paper: we do."),
    "lamp-6": ({"text": "Send it\nto my email: now."}, "Send it\nto my email: now."),
    "lamp-7": ({}, "@b I'm after it: tea"),
}
RENDERED: Mapping[str, tuple[str, str]] = {
    "lamp-1": ("Abstract: We net.", f"Question: {CITATION}"),
    "lamp-2": ("Description: A ship.", f"Tags: sci-fi, based on a book, dark comedy\nDescription: {TALL}"),
    "lamp-3": ("Review: It broke.", "Review: My review: it's red."),
    "lamp-4": ("Article: A cat sat.", "Article: This article: on cats, $5 {each}."),
    "lamp-5": ("Abstract: We net.", "Abstract: In this paper: we do."),
    "lamp-6": ("E-mail: See you at 5.", "E-mail: Send it\nto my email: now."),
    "lamp-7": ("", "Tweet to reword: @b I'm after it: tea"),
}
TASKS = sorted(INPUTS)


def row(task: str, **change: Any) -> dict[Any, Any]:
    return {"id": "40", "input": INPUTS[task], "profile": [dict(ENTRIES[task])], **change}


def read(task: str, values: Mapping[str, Any], answers: Mapping[str, str] | None = None) -> list[Text]:
    made = list(FORMAT.reader(Reading(task=task, answers=answers or {}))(values, "development"))
    texts = [text for text in made if isinstance(text, Text)]
    assert len(texts) == len(made)
    for text in texts:
        check_text(text)
    return texts


@pytest.mark.parametrize("task", TASKS)
def test_each_task(task: str) -> None:
    [history, query] = read(task, row(task), {"40": "An answer"})
    assert (dict(history.fields), history.input, history.response) == HISTORIES[task]
    assert (dict(query.fields), query.input) == QUERIES[task]
    assert (history.user_id, history.text_id, history.split) == ("40", "1", None)
    assert (query.user_id, query.text_id, query.split) == ("40", "40", "development")
    assert query.response == "An answer"
    assert (rendered(load_task(task), history), rendered(load_task(task), query)) == RENDERED[task]


def test_what_is_a_label() -> None:
    labels = {task: [text.is_label for text in read(task, row(task))] for task in TASKS}
    both, asked = [True, True], [False, True]
    assert {task: label for task, label in labels.items() if any(label)} == {
        **{"lamp-1": asked, "lamp-2": both, "lamp-3": both}
    }


@pytest.mark.parametrize("score", ["5", 5, 5.0, "5.0"])
def test_a_score_is_a_response_and_a_rating(score: Any) -> None:
    [history, _] = read("lamp-3", row("lamp-3", profile=[{"id": 3, "text": "Good.", "score": score}]))
    assert (history.text_id, history.response, history.rating) == ("3", "5", 5.0)


@pytest.mark.parametrize("task", TASKS)
def test_other_words_are_asked_for_whole(task: str) -> None:
    marker = QUERIES[task][1]
    for text in ("Say something.", INPUTS[task].replace(marker, " ") if task != "lamp-1" else "Which?"):
        [_, query] = read(task, row(task, input=text))
        assert text in (query.input or "")
        assert text in rendered(load_task(task), query)


def test_a_films_tags_may_be_absent() -> None:
    [_, query] = read("lamp-2", row("lamp-2", input="Which tag? description: A man: tall. description: no"))
    assert query.fields == {"description": "A man: tall. description: no"}


@pytest.mark.parametrize(
    ("date", "day"),
    [("2012-05-01", (2012, 5, 1)), ("2012-05-01T00:00:00", (2012, 5, 1)), (2014, (2014, 1, 1)), ("2014", (2014, 1, 1))],
)
def test_dates(date: Any, day: tuple[int, int, int]) -> None:
    [history, _] = read("lamp-5", row("lamp-5", profile=[{**ENTRIES["lamp-5"], "date": date}]))
    assert history.time == datetime(*day, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("date", [None, "", "someday", [], float("nan")])
def test_a_date_that_cannot_be_read_is_none(date: Any) -> None:
    [history, _] = read("lamp-5", row("lamp-5", profile=[{**ENTRIES["lamp-5"], "date": date}]))
    assert history.time is None


def test_ids_may_come_twice_or_not_at_all() -> None:
    entry = ENTRIES["lamp-4"]
    texts = read("lamp-4", row("lamp-4", profile=[entry, entry, {**entry, "id": None}]))
    assert [text.text_id for text in texts] == ["1", "1", "", "40"]


def test_an_answer_may_be_unknown() -> None:
    assert read("lamp-4", row("lamp-4", profile=[]), {"41": "Other"})[0].response is None
    assert read("lamp-4", row("lamp-4", id=41, profile=[]), {"41": "Other"})[0].response == "Other"


def test_bad_entries_are_told() -> None:
    profile = [{"id": "1", "text": "a"}, "junk", {"id": [], "text": "a", "score": 1}, {"text": "a", "score": "good"}]
    made = list(FORMAT.reader(Reading(task="lamp-3"))(row("lamp-3", profile=profile), "test"))
    assert [(bad.entry, bad.reason) for bad in made if isinstance(bad, Bad)] == [
        (1, "score is missing"),
        (2, "an entry is no object"),
        (3, "id is no text"),
        (4, "score is no number"),
    ]
    assert isinstance(made[-1], Text)
    assert made[-1].split == "test"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"input": " "}, "input is blank"),
        ({"profile": None}, "profile is missing"),
        ({"profile": 3}, "profile is no list"),
    ],
)
def test_bad_rows(task: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Bad, match=f"^{reason}$"):
        next(FORMAT.reader(Reading(task=task))(row(task, **change), "test"))


@pytest.mark.parametrize("task", [None, "lamp-8", "LaMP_4", "topic"])
def test_the_task_has_to_be_named(task: str | None) -> None:
    with pytest.raises(SteerxError, match=r"the format lamp .* name one of lamp-1, .*, lamp-7 with --task$"):
        FORMAT.reader(Reading(task=task))


def test_the_files_of_answers() -> None:
    assert FORMAT.answer is not None
    assert FORMAT.answer({"id": "40", "output": "[1]"}) == ("40", "[1]")
    assert FORMAT.answer({"id": 40, "output": 5}) == ("40", "5")
    assert FORMAT.is_answers(Path("x/dev_outputs.json"))
    assert not FORMAT.is_answers(Path("outputs/dev_questions.json"))


@given(st.one_of(*(st.tuples(st.just(task), spoilt(row(task))) for task in TASKS)))
def test_any_row_gives_texts_or_a_reason(given: tuple[str, dict[Any, Any]]) -> None:
    task, values = given
    check_any(FORMAT.reader(Reading(task=task)), values)


@given(spoilt({"id": "40", "output": "[1]"}))
def test_any_answer_is_one_or_a_reason(values: dict[Any, Any]) -> None:
    assert FORMAT.answer is not None
    try:
        assert all(FORMAT.answer(values))
    except Bad as bad:
        check_reason(bad)
