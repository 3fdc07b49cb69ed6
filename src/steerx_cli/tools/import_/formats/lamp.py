"""LaMP: in each row a question and its user's earlier texts (`profile`); the answers are in a file of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from steerx_cli.tools.import_.formats.format import Format, Reader, Reading, each_text, list_in, parts, the_task
from steerx_cli.tools.import_.formats.values import (
    date_if_any,
    field_if_any,
    id_if_any,
    id_in,
    number_if_any,
    text_in,
    written,
)
from steerx_cli.tools.import_.records import Bad, Values
from steerx_cli.tools.import_.texts import Split, Text


@dataclass(frozen=True)
class _Task:
    """How one of the benchmark's tasks names things."""

    given: str | None  # what a profile's text was written for: a field, and the input
    response: str
    asked: str  # the part of a question that is its input
    wordings: tuple[str, ...]  # of the questions; the groups are fields
    labels: Literal["none", "asked", "all"] = "none"  # which responses are labels


def _after(marker: str, field: str) -> str:
    """What follows the first marker: the same word may come again in a person's text."""
    return f".*?{marker}(?P<{field}>.*)"


# What is found in an atomic group is not looked for again further on, and a last part takes whatever is left: a long
# text costs no more than its length.
_CITATION = (
    r'(?>.*?with the title ")(?>(?P<title>.*?)", which reference is related\?)(?>.*?\[1\]: ")'
    r'(?P<first>.*)"\s*\[2\]: "(?P<second>.*?)(?:"\.?)?'
)
_TAGS = r"(?>.*?tags:\s*\[)(?P<tags>[^\]]*)\]\s*description:(?P<description>.*)"
_TASKS = {
    # A citation's question is asked whole; a profile has papers, not citations.
    "lamp-1": _Task("abstract", "title", "input", (_CITATION,), "asked"),
    "lamp-2": _Task("description", "tag", "description", (_TAGS, _after("description:", "description")), "all"),
    "lamp-3": _Task("text", "score", "text", (_after("review:", "text"),), "all"),
    "lamp-4": _Task("text", "title", "text", (_after("article:", "text"),)),
    "lamp-5": _Task("abstract", "title", "abstract", (_after("paper:", "abstract"),)),
    "lamp-6": _Task("text", "title", "text", (_after("email:", "text"),)),
    "lamp-7": _Task(None, "text", "input", (_after("after it:", "input"),)),
}


def _reader(reading: Reading) -> Reader:
    return partial(_texts, the_task(reading, _TASKS, "lamp"), reading.answers)


def _texts(task: _Task, answers: Mapping[str, str], values: Values, split: Split) -> Iterator[Text | Bad]:
    """A question and its profile: nothing says which questions are the same user's, so each is a user of its own."""
    question, asked = id_in(values, "id"), text_in(values, "input")
    cut = parts(asked, task.wordings)
    found = {task.asked: asked, **cut}  # all of it where the wording is another
    query = Text(
        user_id=question,
        text_id=question,
        response=answers.get(question),
        fields={name: text for name, text in found.items() if name != "input"},
        input=found[task.asked],
        split=split,
        is_uncut=not cut,
        is_label=task.labels != "none",
    )
    yield from each_text(list_in(values, "profile"), partial(_history, task, question))
    yield query


def _history(task: _Task, user_id: str, values: Values) -> Text:
    fields = {task.given: text_in(values, task.given)} if task.given else {}
    score = _score(values) if task.response == "score" else None
    return Text(
        user_id=user_id,
        text_id=id_if_any(values, "id"),
        response=text_in(values, task.response) if score is None else written(score),
        fields=fields,
        input=fields.get(task.given or "", ""),
        rating=score,
        time=date_if_any(values, "date"),
        is_label=task.labels == "all",
    )


def _score(values: Values) -> float:
    score = number_if_any(values, "score")
    if score is None:
        raise Bad("score is missing")
    return score


def _answer(values: Values) -> tuple[str, str]:
    """The question, and its answer."""
    output = field_if_any(values, "output")  # a score may be a number
    if output is None or not output.strip():
        raise Bad("output is missing")
    return id_in(values, "id"), output


FORMAT = Format(
    reader=_reader,
    has_tasks=True,
    own_queries=True,
    answer=_answer,
    is_answers=lambda path: "outputs" in path.name,
)
