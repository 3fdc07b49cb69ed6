"""`--format longlamp`: three tasks, each in two spellings, and instructions that fields are cut out of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anything import check_any, check_text, rendered, spoilt
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.import_.formats.format import Reading
from steerx_cli.tools.import_.formats.longlamp import FORMAT
from steerx_cli.tools.import_.records import Bad
from steerx_cli.tools.import_.texts import Text

REVIEW = (
    'Generate the review text written by a reviewer who has a given an overall rating of "5.0" for a product with '
    'description "A 12" disc,\nred. $5 {new}". The summary of the review text is "So "red" it is".'
)
ABSTRACT = 'Generate an abstract for the title "On "deep" nets" using the following items: 1. deep 2. "nets"'
ROWS: Mapping[str, Mapping[str, Any]] = {
    "topic": {
        "author": "ann",
        "input": "Generate the content for a reddit post My cat sings..",
        "output": "She does.",
        "profile": [{"author": "ann", "content": "He barks.", "id": "t1", "summary": "My dog."}],
    },
    "review": {
        "reviewerId": "A10",
        "input": REVIEW,
        "output": "It is red.",
        "profile": [
            {
                "overall": "4.0",
                "summary": "Fine",
                "description": "A kettle.",
                "reviewText": "It boils.",
                "asin": "B1",
            }
        ],
    },
    "abstract": {
        "name": "Ann Other",
        "input": ABSTRACT,
        "output": "We go deep.",
        "profile": [{"title": "Shallow nets", "abstract": "We do not.", "year": 2014, "id": "p1"}],
    },
}
YEAR = round(datetime(2014, 1, 1, tzinfo=UTC).timestamp()) * 1000


def read(task: str, row: Mapping[str, Any]) -> list[Text]:
    made = list(FORMAT.reader(Reading(task=task))(row, "test"))
    texts = [text for text in made if isinstance(text, Text)]
    assert len(texts) == len(made)
    for text in texts:
        check_text(text)
    return texts


def asked(task: str, instruction: str) -> Text:
    [*_, query] = read(task, {**ROWS[task], "input": instruction})
    assert query.split == "test"
    return query


def earlier(task: str, entry: Mapping[str, Any]) -> Text:
    [history, _] = read(task, {**ROWS[task], "profile": [entry]})
    assert history.split is None
    return history


def test_topic() -> None:
    assert read("topic", ROWS["topic"]) == [
        Text("ann", "t1", "He barks.", {"summary": "My dog."}, "My dog."),
        Text("ann", "", "She does.", {"summary": "My cat sings."}, "My cat sings.", split="test"),
    ]


def test_review() -> None:
    fields = {"description": "A kettle.", "rating": "4", "headline": "Fine"}
    disc = 'A 12" disc,\nred. $5 {new}'
    [history, query] = read("review", ROWS["review"])
    assert history == Text("A10", "B1", "It boils.", fields, "A kettle.", rating=4.0)
    assert query.fields == {"description": disc, "rating": "5", "headline": 'So "red" it is'}
    assert (query.input, query.response, query.rating) == (disc, "It is red.", 5.0)


def test_abstract() -> None:
    deep = 'On "deep" nets'
    assert read("abstract", ROWS["abstract"]) == [
        Text("Ann Other", "p1", "We do not.", {"title": "Shallow nets"}, "Shallow nets", time=YEAR),
        Text("Ann Other", "", "We go deep.", {"title": deep, "points": '1. deep 2. "nets"'}, deep, split="test"),
    ]


@pytest.mark.parametrize("name", ROWS)
def test_each_row_fits_the_task_of_its_name(name: str) -> None:
    task, [history, query] = load_task(name), read(name, ROWS[name])
    assert (history.input or "") in rendered(task, history)
    assert all(value in rendered(task, query) for value in query.fields.values())
    assert {*query.fields} == {*task.required, *task.optional} - {"title" if name == "review" else ""}


@pytest.mark.parametrize(
    ("instruction", "summary"),
    [
        ("Generate the content for a reddit post A cat.", "A cat"),
        ("Generate the content for a Reddit post: A cat\n sings!", "A cat\n sings!"),
        ('Generate the content for a reddit post "A cat".', "A cat"),
        ('Generate the content for a reddit post: "A cat."', "A cat."),
        ('Generate the content for a reddit post "My "cat" sings".', 'My "cat" sings'),
        ('Generate the content for a reddit post ""Cat" sings".', '"Cat" sings'),
        ('Generate the content for a reddit post "A" or "B".', '"A" or "B"'),  # the quotes are the person's
        ("Generate the content for a reddit post A ${cat} for $5.", "A ${cat} for $5"),
        ("Write a post about a cat.", "Write a post about a cat."),
        ("Generate the content for a reddit post .", "Generate the content for a reddit post ."),
        ('Generate the content for a reddit post "".', '""'),
    ],
)
def test_the_summary_in_an_instruction(instruction: str, summary: str) -> None:
    query = asked("topic", instruction)
    assert (query.input, query.fields) == (summary, {"summary": summary})


@pytest.mark.parametrize(
    ("instruction", "fields"),
    [
        (REVIEW.replace("has a given", "has given"), {"rating": "5", "headline": 'So "red" it is'}),
        (REVIEW.replace("5.0", "3.5"), {"rating": "3.5", "headline": 'So "red" it is'}),
        (REVIEW.replace('So "red" it is', ""), {"rating": "5"}),
        (REVIEW.replace('So "red" it is', "a\nb"), {"rating": "5", "headline": "a\nb"}),
    ],
)
def test_the_fields_in_an_instruction_for_a_review(instruction: str, fields: Mapping[str, str]) -> None:
    query = asked("review", instruction)
    assert query.fields == {**fields, "description": query.input}
    assert query.input == 'A 12" disc,\nred. $5 {new}'


def test_a_review_of_something_without_a_description() -> None:
    text = REVIEW.replace('A 12" disc,\nred. $5 {new}', "")
    query = asked("review", text)
    assert (query.input, query.fields) == (None, {"rating": "5", "headline": 'So "red" it is'})
    assert FORMAT.input_from == ("headline",)
    blank = earlier("review", {"overall": 5.0, "reviewText": "Good.", "description": ""})
    assert (blank.input, blank.fields, blank.rating) == (None, {"rating": "5"}, 5.0)


@pytest.mark.parametrize("change", [("5.0", "five"), ("summary", "gist"), ("Generate", "Compose")])
def test_a_review_asked_for_in_other_words_is_asked_for_whole(change: tuple[str, str]) -> None:
    text = REVIEW.replace(*change)
    query = asked("review", text)
    assert (query.input, query.fields, query.rating) == (text, {"description": text}, None)


@pytest.mark.parametrize(
    ("instruction", "fields"),
    [
        ('Generate an abstract for the title "Nets"', {"title": "Nets"}),
        ('Generate an abstract for the title "Nets".', {"title": "Nets"}),
        ('Generate an abstract for the title: "On "nets""', {"title": 'On "nets"'}),
        (
            'Generate an abstract for the title: "A\nB" using the following items: 1. x\n2. y.',
            {"title": "A\nB", "points": "1. x\n2. y."},
        ),
        ('Generate an abstract for the title "Nets" using the following items:', {"title": "Nets"}),
        ("Write about nets.", {"title": "Write about nets."}),
    ],
)
def test_the_fields_in_an_instruction_for_an_abstract(instruction: str, fields: Mapping[str, str]) -> None:
    query = asked("abstract", instruction)
    assert (query.input, query.fields) == (fields["title"], fields)


@pytest.mark.parametrize("name", ROWS)
def test_a_profile_in_the_other_spelling(name: str) -> None:
    entry = {"input": ROWS[name]["input"], "output": "Mine.", "id": 7}
    history, query = earlier(name, entry), read(name, ROWS[name])[1]
    assert (history.text_id, history.response) == ("7", "Mine.")
    assert (history.fields, history.input, history.rating) == (query.fields, query.input, query.rating)


def test_a_plain_input_in_a_profile_is_the_main_field() -> None:
    assert earlier("topic", {"input": "My dog", "output": "Barks."}).fields == {"summary": "My dog"}
    assert earlier("abstract", {"input": "Nets", "output": "Deep."}).fields == {"title": "Nets"}
    both = earlier("review", {"input": "A kettle.", "output": "Boils.", "overall": "2.0", "summary": "Meh"})
    assert both.fields == {"description": "A kettle.", "rating": "2", "headline": "Meh"}


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("topic", "author"),
        ("review", "reviewerId"),
        ("review", "reviewerID"),
        *(("abstract", key) for key in ("name", "author", "user_id", "id")),
    ],
)
def test_the_user_under_each_name(task: str, key: str) -> None:
    row = {name: ROWS[task][name] for name in ("input", "output", "profile")}
    assert {text.user_id for text in read(task, {**row, key: "bea"})} == {"bea"}


def test_a_row_may_have_an_id_and_no_reference() -> None:
    [_, query] = read("topic", {**ROWS["topic"], "id": "q1", "output": None})
    assert (query.text_id, query.response) == ("q1", None)


@pytest.mark.parametrize("year", ["2014", 2014.0])
def test_years(year: Any) -> None:
    paper = {"title": "Nets", "abstract": "We."}
    assert earlier("abstract", {**paper, "year": year}).time == YEAR
    assert earlier("abstract", {**paper, "year": "forthcoming"}).time is None


def test_bad_entries_are_told() -> None:
    entries = [None, {"summary": "x"}, {"content": "x"}, {"summary": "s", "content": "c"}, {"content": " "}]
    made = list(FORMAT.reader(Reading(task="topic"))({**ROWS["topic"], "profile": entries}, "development"))
    assert [text.response for text in made if isinstance(text, Text)] == ["c", "She does."]
    assert [(bad.entry, bad.reason) for bad in made if isinstance(bad, Bad)] == [
        (1, "an entry is no object"),
        (2, "content is missing"),
        (3, "summary is missing"),
        (5, "summary is missing"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"author": None}, "author is missing"),
        ({"input": ""}, "input is blank"),
        ({"profile": "none"}, "profile is no list"),
    ],
)
def test_bad_rows(change: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(Bad, match=f"^{reason}$"):
        next(FORMAT.reader(Reading(task="topic"))({**ROWS["topic"], **change}, "test"))


@pytest.mark.parametrize("task", [None, "lamp-1", "email"])
def test_the_task_has_to_be_named(task: str | None) -> None:
    with pytest.raises(SteerxError, match=r"the format longlamp .* name one of topic, review, abstract with --task$"):
        FORMAT.reader(Reading(task=task))


@given(st.one_of(*(st.tuples(st.just(task), spoilt(row)) for task, row in ROWS.items())))
def test_any_row_gives_texts_or_a_reason(given: tuple[str, dict[Any, Any]]) -> None:
    task, row = given
    check_any(FORMAT.reader(Reading(task=task)), row)


@given(st.sampled_from(sorted(ROWS)), st.text(min_size=1), st.text())
def test_any_instruction_fits_the_template(task: str, words: str, more: str) -> None:
    for text in (words, f"{ROWS[task]['input']}{words}", str(ROWS[task]["input"]).replace('"', words), words + more):
        if text.strip():
            rendered(load_task(task), asked(task, text))
