"""Scores of a few people to be smoothed, and the rows that are to come of them, put together by hand."""

import os
import re
import signal
from collections.abc import Callable, Collection, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from servers import answer_to
from steerx_cli.core.order import user_order
from steerx_cli.core.progress import Silent
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.lm import journal
from steerx_cli.lm.exchange import Server
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import render_smoothing
from steerx_cli.lm.templates import load_smoothing, load_task
from steerx_cli.stages.smooth import OnServer, Smoother, run
from steerx_cli.stages.smooth.settings import Settings, Wording

Row = dict[str, Any]
Pieces = Sequence[Sequence[str]]

WORDING = Wording(load_task("review"), load_smoothing(), "plain", 9)
LLM, JOIN, RAW = Settings("llm", WORDING), Settings("join"), Settings("raw")

_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")

# --- scores -----------------------------------------------------------------------------------------------------------


def scored(user: str, asked: str, name: str, rank: int, text: str, anchors: Collection[int] = ()) -> Row:
    """A text and its anchors, which are given by their number among its tokens."""
    places = [match.span() for match in _TOKEN.finditer(text)]
    spans: list[dict[str, int]] = []
    for at, (start, end) in enumerate(places):
        if at in anchors and at - 1 in anchors:
            spans[-1]["end"] = end
        elif at in anchors:
            spans.append({"start": start, "end": end})
    row = {"user_id": user, "query_id": asked, "item_id": name, "rank": rank, "lam": None, "gamma2": None}
    row |= {"response": text, "others": [], "context_cut": 0, "response_cut": 0, "token_ids": [*range(len(places))]}
    row |= {"tokens": [text[start:end] for start, end in places], "log_p_empty": [0.0] * len(places)}
    row |= {"starts": [start for start, _ in places], "ends": [end for _, end in places]}
    return row | {"anchors": [at in anchors for at in range(len(places))], "spans": spans, "basis": "causal"}


# Texts; for each of two queries, their anchors, and what these come to as spans, as tokens and as words.
CAFÉ, KNOWN, NIGHT, NOTHING = "Well, a quiet café.", "It's a well-known one.\nOh!!", "Good night 🙂 all", " No. "
ANCHORS: dict[tuple[str, str], Collection[int]] = {
    (CAFÉ, "0"): {0, 1, 4},
    (CAFÉ, "1"): {2, 3},
    (KNOWN, "0"): {0, 4, 9, 10, 11},
    (KNOWN, "1"): {1, 2, 3, 8, 9},
    (NIGHT, "0"): {2},
    (NIGHT, "1"): {0, 2, 3},
}
PIECES: dict[tuple[str, str], dict[str, list[str]]] = {
    (CAFÉ, "0"): {"span": ["Well,", "café"], "token": ["Well", ",", "café"], "word": ["Well", ",", "café"]},
    (CAFÉ, "1"): {"span": ["a quiet"], "token": ["a", "quiet"], "word": ["a", "quiet"]},
    (KNOWN, "0"): {
        "span": ["It", "well", "Oh!!"],
        "token": ["It", "well", "Oh", "!", "!"],
        "word": ["It's", "well-known", "Oh", "!", "!"],
    },
    (KNOWN, "1"): {
        "span": ["'s a", ".\nOh"],
        "token": ["'", "s", "a", ".", "Oh"],
        "word": ["It's", "a", ".", "Oh"],
    },
    (NIGHT, "0"): {"span": ["🙂"], "token": ["🙂"], "word": ["🙂"]},
    (NIGHT, "1"): {"span": ["Good", "🙂 all"], "token": ["Good", "🙂", "all"], "word": ["Good", "🙂", "all"]},
}
TEXTS = {
    "a": (CAFÉ, KNOWN, NIGHT),
    "b": (KNOWN, NIGHT, NOTHING),
    "c": (NIGHT, NOTHING, CAFÉ),
    "d": (NOTHING, CAFÉ, NOTHING),  # two histories without an anchor
    "e": (NOTHING,) * 3,  # nothing at all
    "f": (CAFÉ, KNOWN, NIGHT),  # the same as the first
}


def people(users: str = "abcdef") -> list[Row]:
    """Two queries each, the second with the same texts backwards and with other anchors."""
    return [
        scored(user, asked, f"{user}{at}", rank, TEXTS[user][at], ANCHORS.get((TEXTS[user][at], asked), ()))
        for user in sorted(users, key=user_order)
        for asked in "01"
        for rank, at in enumerate(range(3)[:: -1 if asked == "1" else 1], 1)
    ]


# --- the stage --------------------------------------------------------------------------------------------------------


def smooth(data: Path, how: Settings, by: Smoother, output: Path, **scope: Any) -> Summary:
    """Run the stage on the scores in `data`."""
    place = Scope(output=output, **{"chunk_users": 64, **scope})
    return run(how, by, data / "scores.parquet", place, Silent())


def on_server(url: str, how: Settings = LLM, concurrency: int = 1, attempts: int = 6, timeout: float = 600) -> OnServer:
    """As a person asks for it."""
    assert how.wording
    return OnServer(Server(url, "m", how.wording.prompt_format, concurrency, attempts, timeout))


def smooth_served(data: Path, url: str, output: Path, concurrency: int = 1, chunk_users: int = 64) -> Summary:
    """Have a server describe them; nothing else is loaded."""
    return smooth(data, LLM, on_server(url, concurrency=concurrency), output, chunk_users=chunk_users)


def die_at_answer(number: int, moment: str, data: Path, url: str, output: Path) -> None:
    """The same, killed before, while or after the `number`-th answer is kept."""
    real, numbers = journal._append, count(1)

    def append(path: Path, line: bytes) -> None:
        dies = next(numbers) == number
        if not dies or moment != "before":
            real(path, line[: len(line) // 2] if dies and moment == "torn" else line)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    journal._append = append
    smooth_served(data, url, output)


# --- by hand ----------------------------------------------------------------------------------------------------------


def pieces_of(row: Row, how: Settings) -> list[str]:
    """What is taken of a text."""
    if how.whole:
        return [row["response"]]
    return PIECES.get((row["response"], row["query_id"]), {}).get(how.unit, [])


def prompt_of(pieces: Pieces, how: Settings = LLM) -> str:
    """What a model is asked, without its own chat format."""
    assert how.wording
    wording = how.wording
    return render_smoothing(wording.smoothing, wording.task, Frame(wording.prompt_format), pieces).text


def expected(scores: Sequence[Row], how: Settings, said: Callable[[Pieces], Row]) -> list[Row]:
    """The rows that come of scores, if so much is said of pieces."""
    rows = []
    for user, asked in dict.fromkeys((row["user_id"], row["query_id"]) for row in scores):
        own = [row for row in scores if (row["user_id"], row["query_id"]) == (user, asked)]
        each = [(row["item_id"], [row]) for row in own] if how.describe != "query" else []
        whole = [(None, own)] if how.describe != "history" else []
        for name, of in [*each, *whole]:
            found = {row["item_id"]: some for row in of if (some := pieces_of(row, how))}
            pieces = [*found.values()]
            row = {"user_id": user, "query_id": asked, "item_id": name, "histories": [*found]}
            row |= {"anchors": [] if how.whole else pieces, "description": None, "basis": "none", "anchors_cut": 0}
            row |= {"prompt_tokens": None, "tokens": None, "thought": False, "finish": None, "error": None}
            rows.append(row | (said(pieces) if pieces else {}))
    return rows


def joined(pieces: Pieces) -> str:
    """Pieces as they are."""
    return " … ".join(piece for some in pieces for piece in some)


def told(how: Settings, pieces: Pieces) -> Row:
    """What a row says if a server says what `servers.answer` does."""
    row = {"description": answer_to(prompt_of(pieces, how)), "basis": "llm", "finish": "end"}
    return row | {"prompt_tokens": 9, "tokens": 3}


def prompts(scores: Sequence[Row], how: Settings = LLM) -> list[str]:
    """What is asked of them, each once."""
    found: list[str] = []
    expected(scores, how, lambda pieces: found.append(prompt_of(pieces, how)) or {})  # type: ignore[func-returns-value]
    return list(dict.fromkeys(found))
