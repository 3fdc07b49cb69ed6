"""Descriptions by a server that is late, fails, answers garbage or takes no texts; and what nobody is to see."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scorers import rows_of, write
from servers import LONG, TROUBLES, Call, Clock, Sent, Serve, answer, failing, saying
from smoothers import LLM, WORDING, Row, expected, joined, on_server, people, prompts, scored, smooth, told
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.summary import Summary
from steerx_cli.lm.endpoint import THINKING, TRIED_AGAIN
from steerx_cli.lm.exchange import Server
from steerx_cli.stages.smooth import OnServer
from steerx_cli.stages.smooth.settings import Settings
from support import Steerx, contents

KEY = "sk-0123456789abcdef"
EVERYONE = people()
TEXTS = prompts(EVERYONE)
CHAT = replace(LLM, wording=replace(WORDING, prompt_format="chat"))
MADE, THOUGHT = "descriptions", "think blocks taken out"
EMPTY = "descriptions that came out empty: the pieces as they are"
FAILED = "descriptions that failed: the pieces as they are"
LIMIT = "descriptions that reached --max-new-tokens"
TOO_LONG = "the server does not take this text (HTTP 400: too long)"


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path, {"scores": EVERYONE})


def served(data: Path, url: str, how: Settings = LLM, **given: Any) -> tuple[list[Row], Summary]:
    """The rows, and the summary."""
    of_scope = {name: given.pop(name) for name in ("chunk_users", "shard") if name in given}
    summary = smooth(data, how, on_server(url, how, **given), data / "profiles.parquet", **of_scope)
    assert not [*data.glob("*.parts")]
    return rows_of(data / "profiles.parquet"), summary


def refusal(data: Path, url: str, **given: Any) -> str:
    """The sentence with which a run ends; no text is in it, and nothing was written."""
    with pytest.raises(SteerxError) as refused:
        served(data, url, **given)
    assert not (data / "profiles.parquet").exists()
    assert not any(row["response"] in str(refused.value) for row in EVERYONE)
    return str(refused.value)


# --- a server that works ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [LLM, CHAT, replace(LLM, unit="token", describe="query"), replace(LLM, of="texts")])
def test_every_description_is_what_the_server_says_of_its_pieces(how: Settings, serve: Serve, data: Path) -> None:
    server = serve(answer)
    rows, summary = served(data, server.url, how, concurrency=3)
    assert rows == expected(EVERYONE, how, partial(told, how))
    assert server.asked == Counter(prompts(EVERYONE, how)), "each distinct set once"
    assert summary.notes == ()
    chat = how is CHAT
    for call in server.calls:
        assert call.path == ("/v1/chat/completions" if chat else "/v1/completions")
        assert (call.body["model"], call.body["max_tokens"], call.body["temperature"], call.quiet) == ("m", 9, 0, chat)


def test_what_one_chunk_asked_for_another_does_not(serve: Serve, data: Path) -> None:
    server = serve(answer)
    assert served(data, server.url, chunk_users=1)[0] == expected(EVERYONE, LLM, partial(told, LLM))
    assert server.asked == Counter(TEXTS)


def test_what_is_white_space_or_nothing_leaves_the_pieces_as_they_are(serve: Serve, data: Path) -> None:
    answers = dict(zip(TEXTS, ["", " \n", "Quiet.\n", "  It’s …"], strict=False))
    rows, summary = served(data, serve(lambda call: saying(call, answers.get(call.text, "x"), "length")).url)
    empty, blank, quiet, its = first_of_each(rows)[:4]
    for row in (empty, blank):
        assert (row["description"], row["basis"], row["finish"]) == (joined(row["anchors"]), "fallback", "limit")
        assert (row["tokens"], row["error"]) == (3, None)
    assert [(row["description"], row["basis"]) for row in (quiet, its)] == [("Quiet.", "llm"), ("It’s …", "llm")]
    assert summary.counts[EMPTY] == sum(row["basis"] == "fallback" for row in rows) > 2
    assert summary.counts[LIMIT] == summary.counts[MADE]


def first_of_each(rows: Sequence[Row]) -> list[Row]:
    """A row for each text that was asked, in their order."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(str(row["anchors"]), row)
    return [row for row in found.values() if row["anchors"]]


BLOCKS = [
    ("<think>\nHm.\n</think>\n\nQuiet.", "Quiet.", True),
    ("<think>Hm, and no end", None, True),
    ("Quiet. <think>Hm.", "Quiet.", True),
    ("Hm.\n</think>\n\nQuiet.", "Quiet.", True),  # opened by the template, which no server gives back
    ("Hm.</think>", None, True),
    ("<think>Hm.</think>Quiet.</think>", "Quiet.</think>", True),
    ("Quiet.", "Quiet.", False),
]


@pytest.mark.parametrize("how", [CHAT, LLM], ids=["chat", "plain"])
def test_think_blocks_are_taken_out(how: Settings, serve: Serve, data: Path) -> None:
    asked = prompts(EVERYONE, how)
    answers = dict(zip(asked, (said for said, *_ in BLOCKS), strict=False))
    rows, summary = served(data, serve(lambda call: saying(call, answers.get(call.text, "x"))).url, how)
    for (said, left, thought), row in zip(BLOCKS, first_of_each(rows), strict=False):
        if how is LLM and "<think>" not in said:
            left, thought = said, False  # a base model's words are what they are
        assert (row["description"], row["thought"]) == (left or joined(row["anchors"]), thought)
        assert row["basis"] == ("llm" if left else "fallback")
    assert summary.counts[THOUGHT] == sum(row["thought"] for row in rows)


def test_a_server_that_cannot_switch_thinking_off_is_told_of(serve: Serve, data: Path) -> None:
    rows, summary = served(data, serve(lambda call: failing(422) if call.quiet else answer(call)).url, CHAT)
    assert rows == expected(EVERYONE, CHAT, partial(told, CHAT))
    assert (summary.counts[THINKING], summary.notes) == (len(TEXTS), ())


# --- late, in trouble -------------------------------------------------------------------------------------------------


def test_the_rows_are_the_same_whoever_is_late(serve: Serve, data: Path) -> None:
    """The first is answered when all others are; no more than three are ever under way, and at times three are."""
    others, gate, lock, there = threading.Semaphore(0), threading.Barrier(3), threading.Lock(), Counter[str]()

    def late(call: Call) -> Sent:
        with lock:
            there["now"] += 1
            there["most"] = max(there["most"], there["now"])
        if call.text in TEXTS[:3]:
            gate.wait(LONG)
        if call.text == TEXTS[0]:
            assert all(others.acquire(timeout=LONG) for _ in TEXTS[1:])
        else:
            others.release()
        with lock:
            there["now"] -= 1
        return answer(call)

    rows, _ = served(data, serve(late).url, concurrency=3)
    assert rows == expected(EVERYONE, LLM, partial(told, LLM))
    assert there == {"now": 0, "most": 3}


def test_whatever_goes_wrong_for_a_while_the_rows_are_the_same(serve: Serve, data: Path, clock: Clock) -> None:
    kinds = [*TROUBLES.values()]

    def troubled(call: Call) -> Sent:
        return answer(call) if call.time > 2 else kinds[(2 * TEXTS.index(call.text) + call.time) % len(kinds)]

    server = serve(troubled)
    rows, summary = served(data, server.url, concurrency=4, attempts=3)
    assert rows == expected(EVERYONE, LLM, partial(told, LLM))
    assert server.answered == Counter(TEXTS)
    assert server.asked == dict.fromkeys(TEXTS, 3)
    assert len(TEXTS) * 2 > len(kinds) > 10, "each kind of trouble came"
    assert summary.notes == (f"{TRIED_AGAIN}: {2 * len(TEXTS)}",)
    assert len(clock.slept) == 2 * len(TEXTS)
    assert TRIED_AGAIN not in summary.counts, "it is no part of what was made"


def test_the_options_say_how_it_is_asked(data: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Server] = []

    def prepare(self: OnServer, *_: object) -> None:
        asked.append(self.server)
        raise SteerxError("enough")

    monkeypatch.setattr(OnServer, "prepare", prepare)
    given = ("--task", "review", "--scores", data / "scores.parquet", "--output", data / "profiles.parquet")
    to = ("--endpoint", "http://server", "--model", "m", "--concurrency", 3, "--attempts", 2, "--timeout", 5)
    assert steerx("smooth", *given, *to) == (2, "", "Error: enough\n")
    assert asked == [Server("http://server/v1", "m", "chat", 3, 2, 5.0)]


# --- texts that are not taken -----------------------------------------------------------------------------------------


def test_a_text_that_is_refused_stays_as_it_is_and_the_others_go_on(serve: Serve, data: Path) -> None:
    server = serve(lambda call: failing(400, "too long") if call.text == TEXTS[2] else answer(call))
    rows, summary = served(data, server.url)
    failed = [row for row in rows if row["basis"] == "fallback"]
    assert {row["anchors"] == failed[0]["anchors"] for row in failed} == {True}
    assert prompts(EVERYONE)[2] == server.calls[2].text
    for row in failed:
        assert (row["description"], row["finish"], row["error"]) == (joined(row["anchors"]), "failed", TOO_LONG)
        assert (row["prompt_tokens"], row["tokens"]) == (None, None)
    assert [row for row in rows if row not in failed] == [
        row for row in expected(EVERYONE, LLM, partial(told, LLM)) if row["anchors"] != failed[0]["anchors"]
    ]
    assert (summary.counts[FAILED], EMPTY in summary.counts) == (len(failed), False)
    assert server.asked == Counter(TEXTS)


def test_a_server_that_takes_no_text_at_all_is_asked_in_a_wrong_way(serve: Serve, data: Path) -> None:
    server = serve(lambda _: failing(400, "too long"))
    assert refusal(data, server.url) == (
        f"the server {server.url} gives none of {len(TEXTS)} descriptions (the first: {TOO_LONG}): "
        "name the --model as it calls it, or another --endpoint"
    )


def test_if_there_is_one_text_only_it_may_be_the_text(serve: Serve, tmp_path: Path) -> None:
    data = write(tmp_path, {"scores": [scored("a", "q", "1", 1, "Oh no", {0})]})
    rows, summary = served(data, serve(lambda _: failing(413)).url)
    assert [(row["description"], row["basis"]) for row in rows] == [("Oh", "fallback")] * 2
    assert summary.counts[FAILED] == 2


@pytest.mark.parametrize("stopped", [False, True])
def test_a_server_that_took_texts_may_refuse_all_of_a_later_chunk(stopped: bool, serve: Serve, tmp_path: Path) -> None:
    """Be it in one run, or in one that goes on."""
    how, scores = replace(LLM, describe="query"), people("abc")
    data, taken = write(tmp_path, {"scores": scores}), prompts(scores, how)[:2]
    assert {row["user_id"] for row in scores[:6]} == {scores[0]["user_id"]}
    if stopped:
        busy = serve(lambda call: answer(call) if call.text in taken else failing(503))
        assert "gives no usable answer" in refusal(data, busy.url, how=how, chunk_users=1)
    server = serve(lambda call: answer(call) if call.text in taken else failing(400, "too long"))
    rows, summary = served(data, server.url, how, chunk_users=1)
    assert [row["error"] for row in rows] == [None] * 2 + [TOO_LONG] * 4
    assert summary.counts[FAILED] == 4
    assert len(server.asked) == (4 if stopped else 6)


# --- what nobody is to see --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 404, 503])
def test_the_key_is_sent_as_a_header_and_is_nowhere_else(
    status: int,
    serve: Serve,
    data: Path,
    alone: Path,
    steerx: Steerx,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server shows it in all that it says of errors."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STEERX_API_KEY", KEY)

    def behave(call: Call) -> Sent:
        fine = status == 200 or call.text == TEXTS[0]
        return answer(call) if fine else failing(status, f"{call.headers['Authorization']} asked")

    server = serve(behave)
    (alone / "none.toml").write_text("")
    given = ("--preset", "none.toml", "--task", "review", "--prompt-format", "plain", "--max-new-tokens", 9)
    to = ("--endpoint", server.url, "--model", "m", "--attempts", 2, "--scores", data / "scores.parquet")
    code, out, err = steerx("smooth", *given, *to, "--output", "profiles.parquet", "--json")
    assert code == (0 if status in (200, 400) else 2)
    assert server.calls
    for call in server.calls:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in json.dumps([call.body, call.path])
    files = contents(alone)
    assert any(name.endswith("profiles.parquet" if code == 0 else "answers.jsonl") for name in files)
    shown = [out, err, caplog.text, *map(str, files), *(repr(vars(record)) for record in caplog.records)]
    shown += [str(data) for data in files.values()]
    shown += map(str, rows_of(alone / "profiles.parquet") if code == 0 else [])
    assert not any(KEY[:8] in each for each in shown)
