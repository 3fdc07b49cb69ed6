"""Records as the data sets that `steerx import` knows have them, made up from the description of their formats."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Record = Mapping[str, Any]

_DAY = 86_400
_WORDS = [
    *("the", "plot", "turns", "twice", "and", "nobody", "asks", "why", "it", "rains", "—", "“never", "mind”,"),
    *("she", "says;", "5", "stars,", "naïve", "as", "ever"),
]
_TAGS = ["sci-fi", "comedy", "dark comedy", "true story"]


def words(draw: Random, most: int = 30) -> str:
    """A text that is like no other."""
    return " ".join(draw.choices(_WORDS, k=draw.randint(3, most))) + f" #{draw.randrange(10**9)}"


def amazon(users: int, each: int, seed: int = 0) -> Iterator[Record]:
    """Reviews of 2018, each user's days apart, all users' mixed."""
    draw = Random(seed)
    rows = [(user, number) for user in range(users) for number in range(each)]
    for user, number in draw.sample(rows, len(rows)):
        yield {
            "overall": float(draw.randint(1, 5)),
            "vote": f"1,{draw.randrange(1000):03}",
            "verified": True,
            "reviewTime": "05 1, 2012",
            "reviewerID": f"A{user:05}",
            "asin": f"B{draw.randrange(users * each):06}",
            "style": {"Format:": " DVD"},
            "reviewerName": "Kim Q.",
            "reviewText": words(draw),
            "summary": words(draw, 6),
            "unixReviewTime": 1_335_830_400 + number * _DAY,
        }


def amazon_metadata(items: int, seed: int = 0) -> Iterator[Record]:
    """What there is to say of the items, every tenth unknown."""
    draw = Random(seed)
    for number in range(items):
        if number % 10:
            yield {
                "category": ["Movies & TV"],
                "description": [words(draw), words(draw)],
                "title": f"Film {number}",
                "also_buy": [],
                "price": "$9.99",
                "asin": f"B{number:06}",
            }


def dpl(users: int, each: int, seed: int = 0) -> Iterator[Record]:
    """Rows of DPL-main's test split: a profile, and the one review to write."""
    draw = Random(seed)
    for user in range(users):
        reviews = [
            {
                "asin": f"B{draw.randrange(50):06}",
                "rating": float(draw.randint(1, 5)),
                "text": words(draw),
                "timestamp": 1_600_000_000_000 + number * _DAY * 1000,
                "title": words(draw, 6),
            }
            for number in range(each + 1)
        ]
        yield {"user_id": f"AE{user:05}", "profile": reviews[:-1], "data": reviews[-1]}


def dpl_metadata(seed: int = 0) -> Iterator[Record]:
    """Rows of DPL-meta."""
    draw = Random(seed)
    for number in range(50):
        yield {"asin": f"B{number:06}", "title": f"Film {number}", "description": words(draw)}


def longlamp(task: str, users: int, each: int, seed: int = 0) -> Iterator[Record]:
    """Rows of one of LongLaMP's tasks."""
    draw = Random(seed)
    for user in range(users):
        name, entries, asked = _LONGLAMP[task](draw, each)
        yield {name: f"user {user}", "input": asked, "output": words(draw), "profile": entries}


def _topic(draw: Random, each: int) -> tuple[str, list[Record], str]:
    entries: list[Record] = [
        {"author": "user", "content": words(draw), "id": f"t{number}", "summary": words(draw, 8)}
        for number in range(each)
    ]
    return "author", entries, f"Generate the content for a reddit post {words(draw, 8)}."


def _review(draw: Random, each: int) -> tuple[str, list[Record], str]:
    entries: list[Record] = [
        {"overall": "4.0", "description": words(draw), "summary": words(draw, 6), "reviewText": words(draw)}
        for _ in range(each)
    ]
    asked = (
        'Generate the review text written by a reviewer who has a given an overall rating of "5.0" for a product with '
        f'description "{words(draw)}". The summary of the review text is "{words(draw, 6)}".'
    )
    return "reviewerId", entries, asked


def _abstract(draw: Random, each: int) -> tuple[str, list[Record], str]:
    entries: list[Record] = [
        {"title": words(draw, 6), "abstract": words(draw), "year": 2001 + number, "id": f"p{number}"}
        for number in range(each)
    ]
    return (
        "name",
        entries,
        f'Generate an abstract for the title "{words(draw, 6)}" using the following items: 1. nets 2. rain',
    )


_LONGLAMP = {"topic": _topic, "review": _review, "abstract": _abstract}


def lamp(task: str, users: int, each: int, seed: int = 0) -> tuple[list[Record], list[Record]]:
    """Questions of one of LaMP's tasks, and the answers to them."""
    draw = Random(seed)
    questions: list[Record] = []
    answers: list[Record] = []
    for user in range(users):
        name = f"{task[-1]}1{user}"
        profile = [{"id": f"{name}{number}", **_LAMP[task][0](draw)} for number in range(each)]
        questions.append({"id": name, "input": _LAMP[task][1] + words(draw), "profile": profile})
        answers.append({"id": name, "output": _answer(task, draw)})
    return questions, answers


def _answer(task: str, draw: Random) -> str:
    few = {"lamp-1": ["[1]", "[2]"], "lamp-2": _TAGS, "lamp-3": list("12345")}
    return draw.choice(few[task]) if task in few else words(draw, 8)


def _paper(draw: Random) -> Record:
    return {"title": words(draw, 8), "abstract": words(draw)}


def _titled(draw: Random) -> Record:
    return {"text": words(draw), "title": words(draw, 8)}


_LAMP: Mapping[str, Any] = {
    "lamp-1": (
        _paper,
        'For an author who has written the paper with the title "On rain", which reference is related? Just answer '
        'with [1] or [2] without explanation. [1]: "Clouds" [2]: "Sun" ',
    ),
    "lamp-2": (
        lambda draw: {"tag": draw.choice(_TAGS), "description": words(draw), "date": "2009-10-12"},
        "Which tag does this movie relate to among the following tags? Just answer with the tag name without further "
        f"explanation. tags: [{', '.join(_TAGS)}] description: ",
    ),
    "lamp-3": (
        lambda draw: {"text": words(draw), "score": str(draw.randint(1, 5))},
        "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without "
        "further explanation. review: ",
    ),
    "lamp-4": (_titled, "Generate a headline for the following article: "),
    "lamp-5": (_paper, "Generate a title for the following abstract of a paper: "),
    "lamp-6": (_titled, "Generate a subject for the following email: "),
    "lamp-7": (
        lambda draw: {"text": words(draw)},
        "Paraphrase the following tweet without any explanation before or after it: ",
    ),
}


def generic(users: int, each: int, seed: int = 0) -> Iterator[Record]:
    """Somebody's own table."""
    draw = Random(seed)
    for number in range(users * each):
        yield {
            "author": f"user {number % users}",
            "body": words(draw),
            "prompt": words(draw, 8),
            "stars": draw.randint(1, 5),
            "when": f"2020-01-{number // users % 28 + 1:02}T00:00:00Z",
            "topic": words(draw, 4),
        }


# --- files ------------------------------------------------------------------------------------------------------------


def write_lines(path: Path, rows: Iterable[Record]) -> Path:
    """One object a line, packed where the name says so."""
    path.parent.mkdir(exist_ok=True)
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_list(path: Path, rows: Iterable[Record], within: str | None = None) -> Path:
    """One list, or an object that has it under a name."""
    path.write_text(json.dumps({"task": "LaMP", within: list(rows)} if within else list(rows)))
    return path


def write_parquet(path: Path, rows: Iterable[Record]) -> Path:
    """A table."""
    path.parent.mkdir(exist_ok=True)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)
    path.write_bytes(file.getvalue())
    return path
