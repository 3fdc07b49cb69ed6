"""A server on this machine that does as a test says, and time that passes only when somebody sleeps."""

import json
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

import pytest

LONG = 20.0  # seconds after which something that is waited for is not to come any more; nothing waits so long

# --- what is asked, and what is said ----------------------------------------------------------------------------------


class Call(NamedTuple):
    """One request."""

    text: str
    time: int  # how often this text was asked for, from 1
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def quiet(self) -> bool:
        """Whether it asks for no thoughts."""
        return "chat_template_kwargs" in self.body


@dataclass(frozen=True)
class Sent:
    """One reply."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    end: Literal["whole", "cut", "reset", "nothing"] = "whole"  # of the body, or nothing at all is sent


Behave = Callable[[Call], Sent]


def answer_to(text: str) -> str:
    """What a server says that works."""
    return f"About {text}."


def answer(call: Call) -> Sent:
    """The reply in which it says that."""
    return saying(call, answer_to(call.text))


def saying(call: Call, said: str, finish: str = "stop") -> Sent:
    """A reply that is an answer."""
    choice = {"message": {"content": said}} if "messages" in call.body else {"text": said}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    return Sent(body=json.dumps({"choices": [{**choice, "finish_reason": finish}], "usage": usage}).encode())


def failing(status: int, message: str = "", **headers: str) -> Sent:
    """A reply that is none."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(status, json.dumps({"error": {"message": message}}).encode() if message else b"", named)


TROUBLES = {
    "unavailable": failing(503, "busy"),
    "too many": failing(429),
    "too early": failing(425),
    "timed out": failing(408),
    "conflict": failing(409),
    "broken": failing(500, "oops"),
    "bad gateway": Sent(502, b"<html>Bad Gateway</html>"),
    "late gateway": failing(504),
    "unheard of": failing(599),
    "nothing": Sent(end="nothing"),
    "cut": Sent(body=b'{"choices": [{"message": {"content": "Ter', end="cut"),
    "reset": Sent(body=b'{"choices": [{"message": {"content": "Ter' * 1000, end="reset"),
    "a page": Sent(body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"}),
    "half": Sent(body=b'{"choices": [{"message": {"content": "Ter'),
    "another shape": Sent(body=b'{"choices": [{"delta": {}}]}'),
    "empty": Sent(),
    "no content": Sent(204),
    "no JSON inside": Sent(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
}


# --- the server -------------------------------------------------------------------------------------------------------


class Fake(ThreadingHTTPServer):
    """It keeps what it was asked."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave: Behave) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.calls: list[Call] = []
        self.answered: Counter[str] = Counter()  # texts that were answered as they should be
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def asked(self) -> Counter[str]:
        """How often each text was asked for."""
        return Counter(call.text for call in self.calls)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter."""


class Handler(BaseHTTPRequestHandler):
    """One connection to it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent one after the other
    server: Fake

    def do_POST(self) -> None:
        """Answer a request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        with self.server.lock:
            call = Call(text, self.server.asked[text] + 1, self.path, dict(self.headers), body)
            self.server.calls.append(call)
        sent = self.server.behave(call)
        if sent == answer(call):
            with self.server.lock:
                self.server.answered[text] += 1
        if sent.end != "nothing":
            self._reply(sent)
        if sent.end != "whole":
            self._hang_up(sent.end == "reset")

    def _reply(self, sent: Sent) -> None:
        self.send_response(sent.status)
        for name, value in {"Content-Length": str(len(sent.body)), **sent.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent.body if sent.end == "whole" else sent.body[: len(sent.body) // 2])

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


Serve = Callable[[Behave], Fake]


@contextmanager
def serving() -> Iterator[Serve]:
    """Starts servers, which end with it."""
    with ExitStack() as running:

        def start(behave: Behave) -> Fake:
            server = Fake(behave)
            running.callback(server.server_close)
            running.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
            return server

        yield start


# --- around it --------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time, self.slept = 1_700_000_000.0, list[float]()

    def __call__(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)
        self.time += seconds


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says of proxies, a test does not hang on it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
