"""LongLaMP: in each row a user's earlier texts (`profile`) and the instruction for another (`input`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from steerx_cli.tools.import_.formats.format import Format, Reader, Reading, each_text, list_in, parts, rated, the_task
from steerx_cli.tools.import_.formats.values import (
    date_if_any,
    fields_in,
    filled_if_any,
    first_there,
    id_if_any,
    id_in,
    number_if_any,
    text_in,
)
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import Split, Text


@dataclass(frozen=True)
class _Task:
    """How one of the benchmark's tasks names things; in some copies a profile has `input` and `output` as a row has."""

    user: tuple[str, ...]  # the first that is there
    response: str
    fields: Mapping[str, str]
    main: str  # the field that is also the input
    needs_main: bool  # whether the task's template does
    wordings: tuple[str, ...]  # of the instructions; the groups are fields


# Texts hold quotes and lines of their own, so a part reaches as far as the words after it allow.
_POST = r"Generate the content for a [Rr]eddit post:?\s*"
_PAPER = r'Generate an abstract for the title:?\s*"(?P<title>.*)"'
_TASKS = {
    "topic": _Task(
        user=("author", "user_id"),
        response="content",
        fields={"summary": "summary"},
        main="summary",
        needs_main=True,
        wordings=(
            # A summary in quotes: inside it the first quote opens one. In `"A" and "B"`, whose own they are, it closes.
            _POST + r'"(?P<summary>[^"]+|(?:[^"]*\s)?".*)"\.?',
            _POST + r"(?P<summary>.*?)\.?",
        ),
    ),
    "review": _Task(
        user=("reviewerId", "reviewerID", "user_id"),
        response="reviewText",
        fields={"description": "description", "rating": "overall", "headline": "summary"},
        main="description",
        needs_main=False,
        wordings=(
            r"Generate the review text written by a reviewer who has (?:a )?given an? overall rating of "
            r'"?(?P<rating>[0-9](?:\.[0-9]+)?)"? for a product with description "(?P<description>.*)"\.?\s+'
            # A last part takes whatever is left: nothing is looked for twice, however long the text.
            r'The summary of the review text is "(?P<headline>.*?)(?:"\.?)?',
        ),
    ),
    "abstract": _Task(
        user=("name", "author", "user_id", "id"),
        response="abstract",
        fields={"title": "title"},
        main="title",
        needs_main=True,
        wordings=(_PAPER + r":?\s*using the following items:?\s*(?P<points>.*)", _PAPER + r"[.:]?"),
    ),
}


def _reader(reading: Reading) -> Reader:
    return partial(_texts, the_task(reading, _TASKS, "longlamp"))


def _texts(task: _Task, values: Values, split: Split) -> Iterator[Text | Bad]:
    user_id, asked = id_in(values, first_there(values, *task.user)), text_in(values, "input")
    fields = _cut(task, asked)
    query = _text(task, user_id, id_if_any(values, "id"), filled_if_any(values, "output"), fields, split)
    yield from each_text(list_in(values, "profile"), partial(_history, task, user_id))
    yield replace(query, is_uncut=fields == {task.main: asked})


def _history(task: _Task, user_id: str, values: Values) -> Text:
    fields, asked = fields_in(values, task.fields), filled_if_any(values, "input")
    if asked is not None and task.main not in fields:
        fields = {**_cut(task, asked), **fields}
    if task.needs_main and task.main not in fields:
        raise Bad(f"{task.main} is missing")
    text_id = id_if_any(values, first_there(values, "id", "asin"))
    response = text_in(values, first_there(values, task.response, "output"))
    return _text(task, user_id, text_id, response, fields, None, date_if_any(values, "year"))


def _text(
    task: _Task,
    user_id: str,
    text_id: str,
    response: str | None,
    fields: Mapping[str, str],
    split: Split | None,
    time: int | None = None,
) -> Text:
    rating = number_if_any(fields, "rating")
    return Text(
        user_id=user_id,
        text_id=text_id,
        response=response,
        fields=rated(fields, rating),  # "5.0" is "5" in every format
        input=fields.get(task.main),
        rating=rating,
        time=time,
        split=split,
    )


def _cut(task: _Task, instruction: str) -> dict[str, str]:
    """The fields in an instruction; all of it is the main one where the wording is another."""
    found = parts(instruction, task.wordings)
    return found if task.main in found or (found and not task.needs_main) else {task.main: instruction}


# A review of something without a description still has its headline to be looked for by.
FORMAT = Format(reader=_reader, has_tasks=True, own_queries=True, input_from=("headline",))
