"""Texts written by a server that is late, fails, answers garbage, or is not there."""

import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from servers import (
    LONG,
    TROUBLES,
    Call,
    Clock,
    Sent,
    Serve,
    answer,
    answer_to,
    failing,
    serving,
    without_proxies,
)
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import endpoint
from steerx_cli.lm.endpoint import KEPT, THINKING, TRIED_AGAIN, Asker, key_from_environment
from steerx_cli.lm.exchange import Server, Told
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.journal import Journal

KEY = "sk-0123456789abcdef"
NONE = {KEPT: 0, TRIED_AGAIN: 0, THINKING: 0}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers."""
    with serving() as start:
        yield start


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


Make = Callable[..., Asker]


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Make:
    """Makes clients that share one journal, as runs of the same command do."""

    def asker(url: str, prompt_format: PromptFormat = "chat", key: str | None = KEY, **settings: Any) -> Asker:
        server = Server(url, "m", prompt_format, **{"concurrency": 1, **settings})
        return Asker(server, key, Journal(tmp_path / "answers.jsonl"), draw=Random(5), now=clock, sleep=clock.sleep)

    return asker


def texts(number: int) -> list[str]:
    return [f"text {place}" for place in range(number)]


def expected(asked: list[str], *, thinking: bool = False) -> list[Told]:
    return [Told(answer_to(text), "end", 9, 3, thinking=thinking) for text in asked]


def waits(*asked: float) -> list[float]:
    """How long is waited if the server asks for so many seconds each time."""
    draw = Random(5)
    return [seconds + draw.uniform(0, min(30, 0.5 * 2**place)) for place, seconds in enumerate(asked)]


# --- a server that works ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_each_text_gets_its_answer(serve: Serve, make: Make, prompt_format: PromptFormat) -> None:
    server = serve(answer)
    asked = [*texts(20), 'naïve 🙂 \u2028 "quoted"\n']
    told, counts = make(server.url, prompt_format, concurrency=4).write(asked, 12)
    assert told == expected(asked)
    assert counts == NONE
    assert server.asked == Counter(asked)
    for call in server.calls:
        assert call.path == {"chat": "/v1/chat/completions", "plain": "/v1/completions"}[prompt_format]
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        assert call.headers["Content-Type"] == "application/json"
        assert (call.body["max_tokens"], call.body["temperature"], call.body["model"]) == (12, 0, "m")
        assert call.quiet == (prompt_format == "chat")


def test_without_a_key_none_is_sent(serve: Serve, make: Make) -> None:
    server = serve(answer)
    make(server.url, key=None).write(texts(1), 12)
    assert "Authorization" not in server.calls[0].headers


def test_the_same_text_is_asked_for_once(serve: Serve, make: Make) -> None:
    server = serve(answer)
    assert make(server.url, concurrency=3).write(["a", "b", "a", "a"], 12)[0] == expected(["a", "b", "a", "a"])
    assert server.asked == {"a": 1, "b": 1}


def test_nothing_asked_is_nothing_sent(make: Make) -> None:
    assert make("http://127.0.0.1:1").write([], 12) == ([], NONE)


# --- late -------------------------------------------------------------------------------------------------------------


def test_as_many_requests_are_under_way_as_may_be(serve: Serve, make: Make) -> None:
    """No four are answered before four are there; a fifth is never among them."""
    there, gate, most = [0], threading.Barrier(4), [0]
    lock = threading.Lock()

    def together(call: Call) -> Sent:
        with lock:
            there[0] += 1
            most[0] = max(most[0], there[0])
        gate.wait(LONG)
        with lock:
            there[0] -= 1
        gate.wait(LONG)  # so that all four have left before one is answered
        return answer(call)

    told, counts = make(serve(together).url, concurrency=4).write(texts(12), 12)
    assert told == expected(texts(12))
    assert (most[0], counts) == (4, NONE)


def test_the_order_is_that_of_the_texts_whoever_is_late(serve: Serve, make: Make) -> None:
    others = threading.Semaphore(0)

    def late(call: Call) -> Sent:
        if call.text == "text 0":
            assert all(others.acquire(timeout=LONG) for _ in range(7))
        else:
            others.release()
        return answer(call)

    assert make(serve(late).url, concurrency=2).write(texts(8), 12)[0] == expected(texts(8))


def test_who_is_too_late_is_asked_again(serve: Serve, make: Make) -> None:
    hold = threading.Event()

    def late(call: Call) -> Sent:
        if call.time == 1:
            hold.wait(LONG)
        return answer(call)

    try:
        told, counts = make(serve(late).url, timeout=0.25, attempts=20).write(texts(1), 12)
    finally:
        hold.set()
    assert told == expected(texts(1))
    assert counts[TRIED_AGAIN] >= 1


def test_who_answers_drop_by_drop_is_too_late_as_well(serve: Serve, make: Make, clock: Clock) -> None:
    def slow(call: Call) -> Sent:
        if call.time == 1:
            clock.time += 601
        return answer(call)

    told, counts = make(serve(slow).url).write(texts(1), 12)
    assert (told, counts[TRIED_AGAIN]) == (expected(texts(1)), 1)


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_tried_again(serve: Serve, make: Make, clock: Clock, trouble: str) -> None:
    server = serve(lambda call: TROUBLES[trouble] if call.time <= 2 else answer(call))
    told, counts = make(server.url, attempts=3).write(texts(2), 12)
    assert told == expected(texts(2))
    assert counts == {**NONE, TRIED_AGAIN: 4}
    assert server.asked == dict.fromkeys(texts(2), 3)


def test_a_reply_that_is_too_large_is_no_answer(serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_MOST", 1000)
    server = serve(lambda call: Sent(body=answer(call).body + b" " * 1000) if call.time == 1 else answer(call))
    told, counts = make(server.url).write(texts(1), 12)
    assert (told, counts[TRIED_AGAIN]) == (expected(texts(1)), 1)


def test_the_waits_grow_and_are_drawn_for_each_request(serve: Serve, make: Make, clock: Clock) -> None:
    server = serve(lambda call: failing(500) if call.time < 12 else answer(call))
    make(server.url, attempts=12).write(texts(1), 12)
    assert clock.slept == waits(*[0] * 11)
    assert 8 < max(clock.slept) <= 30


def test_the_server_is_given_the_time_that_it_asks_for(serve: Serve, make: Make, clock: Clock) -> None:
    date = format_datetime(datetime.fromtimestamp(int(clock()) + 100, UTC), usegmt=True)
    said = [failing(503, Retry_After="7"), failing(429, Retry_After="9999"), failing(503, Retry_After="soon")]
    make(serve(lambda call: [*said, answer(call)][call.time - 1]).url).write(texts(1), 12)
    assert clock.slept == waits(7, 300, 0)
    clock.slept.clear()
    clock.time = 1_700_000_000.0
    make(serve(lambda call: failing(503, Retry_After=date) if call.time == 1 else answer(call)).url).write(["b"], 12)
    assert clock.slept == waits(100)


def test_a_server_that_is_not_there_is_told(make: Make, clock: Clock) -> None:
    with socket.socket() as taken:  # bound, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(SteerxError) as caught:
            make(url, concurrency=2).write(texts(3), 12)
    assert str(caught.value) == (
        f"the server {url} gives no usable answer (attempts: 6, the last: ConnectError: [Errno {errno.ECONNREFUSED}] "
        f"{os.strerror(errno.ECONNREFUSED)}): see to it; the same command continues with what was answered"
    )


@pytest.mark.parametrize(
    ("trouble", "last"),
    [
        ("unavailable", "HTTP 503: busy"),
        ("a page", "a reply that is no answer"),
        ("nothing", "RemoteProtocolError"),
        ("cut", "RemoteProtocolError"),
    ],
)
def test_when_the_attempts_are_used_up_the_run_ends_and_says_why(
    serve: Serve, make: Make, trouble: str, last: str
) -> None:
    server = serve(lambda _: TROUBLES[trouble])
    with pytest.raises(SteerxError) as caught:
        make(server.url, attempts=2).write(texts(5), 12)
    assert str(caught.value) == (
        f"the server {server.url} gives no usable answer (attempts: 2, the last: {last}): see to it; "
        "the same command continues with what was answered"
    )
    assert server.asked == {"text 0": 2}  # what was not begun is not sent


# --- nothing lost, nothing doubled ------------------------------------------------------------------------------------


def test_after_a_run_that_ended_early_only_what_is_missing_is_asked_for(
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those under way when one gives up are answered, and kept; the others wait for the next run."""
    under_way, stopped = threading.Semaphore(0), threading.Event()

    class Telling(threading.Event):
        def set(self) -> None:
            super().set()
            stopped.set()

    def one_fails(call: Call) -> Sent:
        if call.text == "text 2":
            assert all(under_way.acquire(timeout=LONG) for _ in range(2))
            return failing(503)
        if call.text in ("text 3", "text 4"):
            under_way.release()
            assert stopped.wait(LONG)
        return answer(call)

    monkeypatch.setattr(endpoint, "Event", Telling)
    first = serve(one_fails)
    with pytest.raises(SteerxError, match="gives no usable answer"):
        make(first.url, concurrency=3, attempts=1).write(texts(8), 12)
    assert first.answered == dict.fromkeys(["text 0", "text 1", "text 3", "text 4"], 1)
    assert first.asked == dict.fromkeys(texts(5), 1)

    second = serve(answer)
    told, counts = make(second.url, concurrency=3).write(texts(8), 12)
    assert told == expected(texts(8))
    assert counts == {**NONE, KEPT: 4}
    assert first.answered + second.answered == Counter(texts(8))


def test_runs_that_fail_at_random_lose_nothing_and_double_nothing(serve: Serve, make: Make) -> None:
    draw, lock = Random(7), threading.Lock()

    def at_random(call: Call) -> Sent:
        with lock:
            lot = draw.random()
        if lot < 0.1:
            return failing(401)
        return draw.choice([*TROUBLES.values()]) if lot < 0.6 else answer(call)

    server = serve(at_random)
    ended = 0
    while True:
        try:
            told, counts = make(server.url, concurrency=4, attempts=2).write(texts(30), 12)
            break
        except SteerxError:
            ended += 1
    assert ended > 2
    assert told == expected(texts(30))
    assert server.answered == dict.fromkeys(texts(30), 1)
    assert 0 < counts[KEPT] < 30


def test_a_torn_line_is_asked_for_again_and_nothing_else(serve: Serve, make: Make, tmp_path: Path) -> None:
    server = serve(answer)
    make(server.url).write(texts(3), 12)
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    told, counts = make(server.url).write(texts(3), 12)
    assert (told, counts) == (expected(texts(3)), {**NONE, KEPT: 2})
    assert server.asked == {"text 0": 1, "text 1": 1, "text 2": 2}


def test_what_one_call_asked_for_the_next_does_not(serve: Serve, make: Make) -> None:
    server = serve(answer)
    asker = make(server.url)
    asker.write(texts(2), 12)
    assert asker.write(texts(3), 12) == (expected(texts(3)), NONE)
    assert server.asked == dict.fromkeys(texts(3), 1)


def test_an_answer_to_something_else_is_none_to_this(serve: Serve, make: Make, tmp_path: Path) -> None:
    server = serve(answer)
    make(server.url).write(["a"], 12)
    make(server.url).write(["a"], 13)
    make(server.url, "plain").write(["a"], 12)
    other = Server(server.url, "another", "chat")
    Asker(other, KEY, Journal(tmp_path / "answers.jsonl")).write(["a"], 12)
    assert server.asked == {"a": 4}
    assert serve(answer).asked == {}


def test_the_journal_holds_no_text_that_was_sent(serve: Serve, make: Make, tmp_path: Path) -> None:
    said = json.dumps({"choices": [{"message": {"content": "Terse."}, "finish_reason": "stop"}]}).encode()
    make(serve(lambda _: Sent(body=said)).url).write(["a secret text"], 12)
    assert "Terse." in (tmp_path / "answers.jsonl").read_text()
    assert "secret" not in (tmp_path / "answers.jsonl").read_text()


def test_an_answer_that_cannot_be_kept_ends_the_run(serve: Serve, make: Make, small_disk: Path) -> None:
    server = serve(answer)
    path = small_disk / "answers.jsonl"
    asker = Asker(Server(server.url, "m", "chat"), KEY, Journal(path))
    (small_disk / "filling").write_bytes(b"x" * (64 << 10))
    asker.write(["a"], 12)
    with (small_disk / "rest").open("wb") as rest, pytest.raises(OSError, match="No space left"):
        rest.write(b"x" * (1 << 20))
    with pytest.raises(SteerxError, match=f"cannot write {path}: the disk is full: free some space"):
        asker.write([f"a longer text {number}" * 9 for number in range(60)], 12)
    (small_disk / "filling").unlink()
    kept = len(path.read_bytes().splitlines())
    counts = Asker(Server(server.url, "m", "chat"), KEY, Journal(path)).write(["a"], 12)[1]
    assert (counts[KEPT], kept >= 1) == (1, True)


# --- one text that is refused, and what would be said to each ---------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_a_text_that_is_refused_has_failed_and_the_others_go_on(
    serve: Serve, make: Make, clock: Clock, status: int, prompt_format: PromptFormat
) -> None:
    server = serve(lambda call: failing(status, "too long") if call.text == "text 1" else answer(call))
    told, counts = make(server.url, prompt_format).write(texts(4), 12)
    why = f"the server does not take this text (HTTP {status}: too long)"
    assert told == [*expected(["text 0"]), Told("", "failed", error=why), *expected(["text 2", "text 3"])]
    assert (counts, clock.slept) == (NONE, [])
    tried = 2 if prompt_format == "chat" and status != 413 else 1  # thinking might have been what is not known
    assert server.asked == {"text 0": 1, "text 1": tried, "text 2": 1, "text 3": 1}


def test_a_text_that_failed_is_asked_for_again_by_the_next_run(serve: Serve, make: Make) -> None:
    make(serve(lambda call: failing(413) if call.text == "text 1" else answer(call)).url).write(texts(3), 12)
    server = serve(answer)
    assert make(server.url).write(texts(3), 12) == (expected(texts(3)), {**NONE, KEPT: 2})
    assert server.asked == {"text 1": 1}


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (401, "does not accept the key in STEERX_API_KEY"),
        (403, "does not accept the key in STEERX_API_KEY"),
        (404, "has no model 'm', or nothing at this address"),
        (405, "takes no requests at this address"),
        (402, "takes no requests"),
    ],
)
def test_what_would_be_said_to_every_text_ends_the_run(serve: Serve, make: Make, status: int, what: str) -> None:
    server = serve(lambda call: answer(call) if call.text == "text 0" else failing(status))
    with pytest.raises(SteerxError, match=f"^the server {server.url} {what} "):
        make(server.url).write(texts(5), 12)
    assert server.asked == {"text 0": 1, "text 1": 1}
    again = serve(answer)
    assert make(again.url).write(texts(5), 12)[1][KEPT] == 1


def test_who_waits_for_another_attempt_does_not_when_the_run_ends(serve: Serve, tmp_path: Path) -> None:
    """With the real clock: five minutes, if this did not work."""
    waiting = threading.Event()

    def one_waits(call: Call) -> Sent:
        if call.text == "text 0":
            waiting.set()
            return failing(503, Retry_After="300")
        assert waiting.wait(LONG)
        return failing(401)

    server = serve(one_waits)
    asker = Asker(Server(server.url, "m", "chat", concurrency=2), KEY, Journal(tmp_path / "answers.jsonl"))
    with pytest.raises(SteerxError, match="HTTP 401"):
        asker.write(texts(2), 12)
    assert server.asked == dict.fromkeys(texts(2), 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_texts_go_to_no_other_server(serve: Serve, make: Make, status: int) -> None:
    other = serve(answer)
    server = serve(lambda _: failing(status, Location=f"{other.url}/chat/completions"))
    with pytest.raises(SteerxError, match=r"sends requests on to another address .*: name that address with --endp"):
        make(server.url).write(texts(2), 12)
    assert (server.asked, other.calls) == ({"text 0": 1}, [])


@pytest.mark.parametrize("location", ["", "//", "http://[", "not a place", "http://host:port", "javascript:1"])
def test_wherever_it_would_send_them(serve: Serve, make: Make, location: str) -> None:
    server = serve(lambda _: failing(302, Location=location))
    with pytest.raises(SteerxError, match="sends requests on to another address"):
        make(server.url).write(texts(1), 12)


# --- thinking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_cannot_switch_thinking_off_is_asked_without(serve: Serve, make: Make, status: int) -> None:
    server = serve(lambda call: failing(status, "unknown field") if call.quiet else answer(call))
    told, counts = make(server.url).write(texts(3), 12)
    assert told == expected(texts(3), thinking=True)
    assert counts == {**NONE, THINKING: 3}
    assert [(call.text, call.quiet) for call in server.calls] == [
        ("text 0", True),
        ("text 0", False),
        ("text 1", False),
        ("text 2", False),
    ]


def test_that_is_counted_in_a_run_that_goes_on_too(serve: Serve, make: Make) -> None:
    server = serve(lambda call: failing(422) if call.quiet else answer(call))
    make(server.url).write(texts(2), 12)
    told, counts = make(serve(answer).url).write(texts(3), 12)
    assert told == [*expected(texts(2), thinking=True), *expected(["text 2"])]
    assert counts == {**NONE, KEPT: 2, THINKING: 2}


def test_many_may_find_that_out_at_once(serve: Serve, make: Make) -> None:
    gate = threading.Barrier(4)

    def unknown(call: Call) -> Sent:
        if call.quiet:
            gate.wait(LONG)
            return failing(422)
        return answer(call)

    told, counts = make(serve(unknown).url, concurrency=4).write(texts(20), 12)
    assert told == expected(texts(20), thinking=True)
    assert counts == {**NONE, THINKING: 20}


def test_a_text_that_is_refused_with_and_without_says_nothing_of_thinking(serve: Serve, make: Make) -> None:
    server = serve(lambda call: failing(400, "too long") if call.text == "text 0" else answer(call))
    told, counts = make(server.url).write(texts(2), 12)
    assert [each.finish for each in told] == ["failed", "end"]
    assert counts == NONE
    assert [call.quiet for call in server.calls] == [True, False, True]


# --- what nobody is to see --------------------------------------------------------------------------------------------

TEXT = "a text of somebody that is long enough to be known again anywhere"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 405, 418, 422, 429, 503])
def test_neither_key_nor_text_is_shown_anywhere(
    serve: Serve, make: Make, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(lambda call: failing(status, f"key {call.headers['Authorization']} wrote {call.body}"))
    asker = make(server.url, attempts=2)
    shown = [repr(asker), str(asker), repr(asker.server)]
    try:
        shown += map(repr, asker.write([TEXT], 12))
    except SteerxError as error:
        shown += [repr(error), *traceback.format_exception(error)]
    shown += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    assert server.calls
    for each in shown:
        assert KEY[:12] not in each
        assert TEXT[:24] not in each


@pytest.mark.parametrize(
    ("value", "key"),
    [(None, None), ("", None), (" \n", None), ("abc", "abc"), (f" {KEY}\n", KEY), ("a+/=-_.~", "a+/=-_.~")],
)
def test_the_key_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str | None, key: str | None
) -> None:
    monkeypatch.delenv("STEERX_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("STEERX_API_KEY", value)
    assert key_from_environment() == key


@pytest.mark.parametrize("value", ["secret\nX: y", "secret key", "sécret", "secret\x7f"])
def test_what_cannot_be_sent_is_no_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("STEERX_API_KEY", value)
    with pytest.raises(SteerxError, match=r"^STEERX_API_KEY holds characters that are in no key: set it again$"):
        key_from_environment()


# --- the way there ----------------------------------------------------------------------------------------------------


def test_the_environments_proxy_is_used_but_not_for_this_machine(
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(answer), serve(answer)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
    assert make(server.url).write(["a"], 12)[0] == expected(["a"])
    assert (server.asked, proxy.calls) == ({"a": 1}, [])
    assert make("http://server.invalid:8000/v1").write(["b"], 12)[0] == expected(["b"])
    assert [call.path for call in proxy.calls] == ["http://server.invalid:8000/v1/chat/completions"]


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::"])
def test_these_are_this_machine(host: str) -> None:
    assert endpoint._is_here(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "notlocalhost", "10.0.0.1", "192.168.1.1", "fe80::1"])
def test_these_are_not(host: str) -> None:
    assert not endpoint._is_here(host)


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "gopher://me:secret@proxy"), ("SSL_CERT_FILE", "/none/of/these.pem")]
)
def test_an_environment_that_cannot_be_used_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SteerxError, match="the proxy or the certificates that the environment names") as caught:
        make("https://server.invalid").write(["a"], 12)
    assert "secret" not in str(caught.value)


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_ctrl_c_waits_for_no_server_and_sends_nothing_more(serve: Serve, make: Make) -> None:
    hold = threading.Event()
    there = threading.Barrier(3, lambda: signal.pthread_kill(main, signal.SIGINT))
    main = threading.main_thread().ident or 0

    def silent(call: Call) -> Sent:
        if call.text == "text 0":
            return answer(call)
        there.wait(LONG)
        hold.wait(LONG)
        return answer(call)

    server = serve(silent)
    asker = make(server.url, concurrency=3)
    try:
        with pytest.raises(KeyboardInterrupt):
            asker.write(texts(20), 12)
        assert not hold.is_set()
        assert server.asked == dict.fromkeys(texts(4), 1)
    finally:
        hold.set()
    again = serve(answer)
    told, counts = make(again.url).write(texts(5), 12)
    assert told == expected(texts(5))
    assert counts[KEPT] >= 1


CHILD = """
import sys
from pathlib import Path
import polars  # as a stage does; it changes what Ctrl-C wakes
from steerx_cli.lm.endpoint import Asker
from steerx_cli.lm.exchange import Server
from steerx_cli.lm.journal import Journal
Asker(Server(sys.argv[1], "m", "chat"), None, Journal(Path(sys.argv[2]))).write(sys.argv[3:], 12)
"""


def test_ctrl_c_ends_the_process_though_the_server_is_silent(serve: Serve, tmp_path: Path) -> None:
    hold, there = threading.Event(), threading.Event()

    def silent(call: Call) -> Sent:
        there.set()
        hold.wait(LONG)
        return answer(call)

    server = serve(silent)
    command = [sys.executable, "-c", CHILD, server.url, str(tmp_path / "answers.jsonl"), "a", "b"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        try:
            assert there.wait(LONG)
            child.send_signal(signal.SIGINT)
            assert child.wait(LONG) == -signal.SIGINT
            assert not hold.is_set()
        finally:
            hold.set()
            child.kill()
