"""What is said to a server, and what its replies mean."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.exchange import Outcome, Refused, Reply, Server, Told, Troubled, outcome_of, request_body
from steerx_cli.lm.frames import PromptFormat

URL = "http://localhost:8000/v1"
KEY = "sk-0123456789abcdef"
TEXT = 'Describe the person.\n\n- "quiet" café\n- it\'s fine, all in all 🙂\n- a tale of two brothers who find a box'
NOW = 1_700_000_000.0

CHAT = Server(URL, "m", "chat")
PLAIN = Server(URL, "m", "plain")


def reply(status: int, body: Any, retry_after: str | None = None) -> Reply:
    return Reply(status, retry_after, body if isinstance(body, bytes) else json.dumps(body).encode())


def outcome(status: int, body: Any, retry_after: str | None = None, *, server: Server = CHAT) -> Outcome:
    return outcome_of(reply(status, body, retry_after), server, TEXT, KEY, NOW)


def chat(content: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "reasoning_content": "Hm."}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}


# --- the address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000//", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("HTTPS://API.example.com/openai/", "https://api.example.com/openai"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("http://büro.example/a%2Fb", "http://xn--bro-hoa.example/a%2Fb"),
        ("http://llm_server:1", "http://llm_server:1/v1"),
    ],
)
def test_an_address_is_taken_with_and_without_what_is_always_the_same(typed: str, url: str) -> None:
    assert Server(typed, "m", "chat").url == url
    assert Server(typed, "m", "chat").place == f"{url}/chat/completions"
    assert Server(typed, "m", "plain").place == f"{url}/completions"


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("", "no http or https address"),
        ("localhost:8000", "no http or https address"),
        ("ftp://localhost/v1", "no http or https address"),
        ("file:///etc/passwd", "no http or https address"),
        ("http://", "names no server"),
        ("http:///v1", "names no server"),
        ("http://a host/v1", "names no server"),
        ("http://host:0", "names no server"),
        ("http://host:99999", "names no server"),
        ("http://host:port", "is no address"),
        ("http://a..b", "is no address"),
        (f"http://{'a' * 64}.example", "is no address"),
        ("http://host\n/v1", "is no address"),
        ("http://me:secret@host/v1", "has a user or a password in it"),
        ("http://secret@host/v1", "has a user or a password in it"),
        ("http://host/v1?token=secret", "has a ? or a # in it"),
        ("http://host/v1?", "has a ? or a # in it"),
        ("http://host/v1#secret", "has a ? or a # in it"),
        ("http://me:secret@host:port", "is no address"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(typed: str, wrong: str) -> None:
    with pytest.raises(SteerxError, match=r"^--endpoint ") as caught:
        Server(typed, "m", "chat")
    assert wrong in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"attempts": 0}, {"timeout": 0.0}, {"timeout": float("nan")}])
def test_a_server_that_is_never_asked_is_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="never asked"):
        Server(URL, "m", "chat", **wrong)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_requests_are_greedy_and_hold_the_text_as_it_is() -> None:
    common = {"model": "m", "max_tokens": 7, "temperature": 0, "n": 1, "stream": False}
    messages = [{"role": "user", "content": TEXT}]
    assert json.loads(request_body(CHAT, TEXT, 7, quiet=False)) == {**common, "messages": messages}
    assert json.loads(request_body(PLAIN, TEXT, 7, quiet=False)) == {**common, "prompt": TEXT}
    quiet = json.loads(request_body(CHAT, TEXT, 7, quiet=True))
    assert quiet == {**common, "messages": messages, "chat_template_kwargs": {"enable_thinking": False}}


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_told_with_how_it_ended_and_what_it_took() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    assert outcome(200, chat(" Terse.\n", usage=usage)) == Told(" Terse.\n", "end", 11, 5)
    assert outcome(200, chat("Ter", "length")) == Told("Ter", "limit")
    plain = {"choices": [{"text": "Terse.", "finish_reason": "stop"}], "usage": usage}
    assert outcome(200, plain, server=PLAIN) == Told("Terse.", "end", 11, 5)
    assert outcome(201, chat("")) == Told("", "end")


@pytest.mark.parametrize("usage", [None, [], "x", {"prompt_tokens": "9", "completion_tokens": True}, {}])
def test_a_server_need_not_count(usage: Any) -> None:
    assert outcome(200, chat("Terse.", None, usage=usage)) == Told("Terse.", "end")


def test_nothing_but_thoughts_is_an_empty_answer() -> None:
    assert outcome(200, chat(None, "length")) == Told("", "limit")
    assert isinstance(outcome(200, chat(None, None)), Troubled)


def test_half_a_character_becomes_one_that_can_be_stored() -> None:
    body = json.dumps(chat("\ud83d 🙂 \udc00")).encode()
    assert outcome(200, body) == Told("\ufffd 🙂 \ufffd", "end")


def test_an_answer_that_the_server_filtered_has_failed() -> None:
    told = outcome(200, chat("Ter", "content_filter"))
    assert told == Told("", "failed", error="the server's content filter stopped the answer")


GARBAGE: list[Any] = [
    b"",
    b"<html><body>Welcome</body></html>",
    b'{"choices": [{"message": {"content": "Ter',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    None,
    [],
    "text",
    7,
    {},
    {"choices": None},
    {"choices": []},
    {"choices": {}},
    {"choices": "abc"},
    {"choices": [None]},
    {"choices": [{"finish_reason": "stop"}]},
    {"choices": [{"message": None, "finish_reason": "stop"}]},
    {"choices": [{"message": "Terse.", "finish_reason": "stop"}]},
    {"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}]},
    chat(["Terse."]),
    chat(7),
    chat({"text": "Terse."}),
    {"choices": [{"text": 7, "finish_reason": "stop"}]},
]


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
@pytest.mark.parametrize("body", GARBAGE)
def test_a_reply_of_another_shape_is_no_answer(body: Any, prompt_format: PromptFormat) -> None:
    assert outcome(200, body, server=Server(URL, "m", prompt_format)) == Troubled("a reply that is no answer")


def test_one_formats_answer_is_not_the_others() -> None:
    assert isinstance(outcome(200, chat("Terse."), server=PLAIN), Troubled)
    assert isinstance(outcome(200, {"choices": [{"text": "Terse.", "finish_reason": "stop"}]}), Troubled)


def test_an_error_where_an_answer_should_be_is_told() -> None:
    found = outcome(200, {"error": {"message": "overloaded"}})
    assert found == Troubled("a reply that is no answer: overloaded")


# --- no answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 501, 502, 503, 504, 529, 599])
def test_trouble_is_told_with_the_time_that_the_server_asks_for(status: int) -> None:
    assert outcome(status, b"") == Troubled(f"HTTP {status}")
    assert outcome(status, b"", "12") == Troubled(f"HTTP {status}", 12)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("-5", 0),
        ("86400", 300),
        ("1e999", 300),
        ("inf", 300),
        ("nan", 0),
        ("9" * 5000, 300),
        ("", 0),
        ("soon", 0),
        ("Wed, 99 Foo 2024 00:00:00 GMT", 0),
        (format_datetime(datetime.fromtimestamp(NOW + 17, UTC), usegmt=True), 17),
        (format_datetime(datetime.fromtimestamp(NOW - 17, UTC), usegmt=True), 0),
        (format_datetime(datetime.fromtimestamp(NOW + 9999, UTC), usegmt=True), 300),
    ],
)
def test_patience_is_asked_for_in_seconds_or_by_a_date_and_has_a_limit(value: str, seconds: float) -> None:
    assert outcome(503, b"", value) == Troubled("HTTP 503", seconds)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_can_be_refused(status: int) -> None:
    found = outcome(status, {"error": {"message": "This model's maximum context length is 2048 tokens."}})
    assert found == Refused(status, f"HTTP {status}: This model's maximum context length is 2048 tokens.")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (301, f"the server {URL} sends requests on to another address (HTTP 301), and texts go nowhere but where you "),
        (401, f"the server {URL} does not accept the key in STEERX_API_KEY (HTTP 401): set STEERX_API_KEY to one that"),
        (403, f"the server {URL} does not accept the key in STEERX_API_KEY (HTTP 403): set STEERX_API_KEY to one that"),
        (404, f"the server {URL} has no model 'm', or nothing at this address (HTTP 404: Oh): see --model and --endp"),
        (405, f"the server {URL} takes no requests at this address (HTTP 405: Oh): name another --endpoint such as"),
        (402, f"the server {URL} takes no requests (HTTP 402: Oh): see what it needs; the same command continues"),
        (451, f"the server {URL} takes no requests (HTTP 451: Oh): see what it needs; the same command continues"),
    ],
)
def test_what_would_be_said_to_every_request_ends_it_all(status: int, sentence: str) -> None:
    with pytest.raises(SteerxError) as caught:
        outcome(status, {"error": {"message": "Oh"}})
    assert str(caught.value).startswith(sentence)


def test_a_key_that_is_missing_is_told_otherwise_than_a_wrong_one() -> None:
    with pytest.raises(SteerxError, match="wants a key"):
        outcome_of(reply(401, b""), CHAT, TEXT, None, NOW)


# --- the server's own words -------------------------------------------------------------------------------------------


def said(body: Any) -> str:
    found = outcome(400, body)
    assert isinstance(found, Refused)
    return found.why.removeprefix("HTTP 400").removeprefix(": ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "Too long."}}, "Too long."),
        ({"error": "Too long."}, "Too long."),
        ({"detail": "Too long."}, "Too long."),
        ({"object": "error", "message": "Too long."}, "Too long."),
        ({"error": {"message": "Too\r\n\tlong \x1b[31m\u202e"}}, "Too long ␛[31m\\u202e"),
        ({"error": {"message": "long " * 100}}, ("long " * 100)[:199] + "…"),
        ({"error": {"message": ["Too long."]}}, ""),
        ({"detail": [{"input": "Too long."}]}, ""),
        (b"<html>Too long.</html>", ""),
        (b"", ""),
        ([], ""),
    ],
)
def test_a_server_is_quoted_in_one_short_line(body: Any, words: str) -> None:
    assert said(body) == words


def test_no_piece_of_a_text_is_quoted() -> None:
    for start in range(len(TEXT) - 24):
        piece = TEXT[start : start + 24]
        for quoted in (piece, repr(piece), ascii(piece), json.dumps(piece), json.dumps(piece, ensure_ascii=False)):
            assert said({"error": {"message": f"Bad {quoted}!"}}) == ""
    assert said({"error": {"message": TEXT}}) == ""
    assert said({"error": {"message": str([{"type": "missing", "input": {"content": TEXT}}])}}) == ""


@pytest.mark.parametrize("shown", [KEY, KEY[:6], f"…{KEY[4:12]}…", KEY[-6:]])
def test_no_piece_of_a_key_is_quoted(shown: str) -> None:
    assert said({"error": {"message": f"Bad key {shown}!"}}) == ""


def test_a_short_key_is_not_quoted_either() -> None:
    found = outcome_of(reply(400, {"detail": "Bad abc!"}), CHAT, TEXT, "abc", NOW)
    assert found == Refused(400, "HTTP 400")
