"""Texts that an OpenAI-compatible server writes: many requests side by side, tried again, each answer kept at once."""

import ipaddress
import os
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from queue import Empty, SimpleQueue
from random import Random
from threading import Event, Lock, Thread
from typing import TypeVar

import httpx2

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint
from steerx_cli.lm.exchange import Outcome, Refused, Reply, Server, Told, Troubled, outcome_of, request_body
from steerx_cli.lm.files import brief
from steerx_cli.lm.journal import Journal

# What is counted. The first two tell of this run, the third of the answers.
KEPT = "answers kept from a stopped run"
TRIED_AGAIN = "requests that were tried again"
THINKING = "answers asked for without switching thinking off, which the server does not know"

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between attempts, the most there can be: drawn from 0 to this
_CONNECTING = 30.0  # seconds
_MOST = 1 << 24  # bytes of a reply; no answer has so many

_T = TypeVar("_T")


def key_from_environment() -> str | None:
    """The key that is sent to the server, if there is one."""
    key = os.environ.get("STEERX_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SteerxError("STEERX_API_KEY holds characters that are in no key: set it again")
    return key or None


class Asker:
    """Has a server write texts; what the journal holds is not asked for."""

    def __init__(
        self,
        server: Server,
        key: str | None,
        journal: Journal,
        *,
        draw: Random | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.server, self.key, self.journal = server, key, journal
        self.draw, self.now = draw or Random(), now
        self.sleep = sleep  # None: until the time is over or something else ends the run
        self.quiet = server.prompt_format == "chat"  # whether requests switch thinking off

    def write(self, texts: Sequence[str], limit: int) -> tuple[list[Told], Mapping[str, int]]:
        """What comes of each text, in `limit` tokens at the most, and what that took."""
        names = [self._name(text, limit) for text in texts]
        kept = {name: Told(**value) for name in names if (value := self.journal.get(name)) is not None}
        left = {name: text for name, text in zip(names, texts, strict=True) if name not in kept}
        told, again = self._ask(left, limit) if left else ({}, 0)
        found = {**kept, **told}
        return [found[name] for name in names], {
            KEPT: sum(map(self.journal.is_earlier, kept)),
            TRIED_AGAIN: again,
            THINKING: sum(each.thinking for each in found.values()),
        }

    def _ask(self, texts: Mapping[str, str], limit: int) -> tuple[dict[str, Told], int]:
        """What comes of each named text, and how often one was tried again."""
        with _client(self.server, self.key) as client:
            asking = _Round(self, client, limit)
            _side_by_side(asking.ask, texts.items(), self.server.concurrency, asking.stop)
        return asking.told, asking.again

    def _name(self, text: str, limit: int) -> str:
        """Of everything that decides an answer."""
        asked = {"model": self.server.model, "format": self.server.prompt_format, "limit": limit, "text": text}
        return fingerprint({"version": 1, **asked})


class _Round:
    """The requests of one call."""

    def __init__(self, asker: Asker, client: httpx2.Client, limit: int) -> None:
        self._asker, self._server, self._client, self._limit = asker, asker.server, client, limit
        self.told: dict[str, Told] = {}
        self.again, self._lock = 0, Lock()
        self.stop = Event()

    def ask(self, named: tuple[str, str]) -> None:
        """Get the answer to one of them, and keep it."""
        name, text = named
        told = self._answer(text)
        if told is None:
            return
        if told.finish != "failed":
            self._asker.journal.add(name, asdict(told))
        self.told[name] = told

    def _answer(self, text: str) -> Told | None:
        """What comes of a text in as many attempts as there are; nothing if the run ended meanwhile."""
        outcome = self._try(text)
        for attempt in range(1, self._server.attempts):
            if not isinstance(outcome, Troubled):
                break
            self._wait(attempt, outcome.wait)
            if self.stop.is_set():
                return None
            with self._lock:
                self.again += 1
            outcome = self._try(text)
        if isinstance(outcome, Troubled):
            raise SteerxError(
                f"the server {self._server.url} gives no usable answer (attempts: {self._server.attempts}, "
                f"the last: {outcome.why}): see to it; the same command continues with what was answered"
            )
        if isinstance(outcome, Refused):
            return Told("", "failed", error=f"the server does not take this text ({outcome.why})")
        return outcome

    def _wait(self, attempt: int, asked: float) -> None:
        """Longer from attempt to attempt, and each request for a time of its own ("full jitter")."""
        seconds = asked + self._asker.draw.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempt - 1, 10)))
        if not self.stop.is_set():
            (self._asker.sleep or self.stop.wait)(seconds)

    def _try(self, text: str) -> Outcome:
        """One attempt; a server that does not know how to switch thinking off is asked without that."""
        if not self._asker.quiet:
            return self._sent(text, quiet=False)
        outcome = self._sent(text, quiet=True)
        if isinstance(outcome, Refused) and outcome.status in (400, 422):
            outcome = self._sent(text, quiet=False)
            self._asker.quiet = self._asker.quiet and not isinstance(outcome, Told)
        return outcome

    def _sent(self, text: str, *, quiet: bool) -> Outcome:
        """What comes of one request."""
        try:
            reply = self._reply(request_body(self._server, text, self._limit, quiet))
        except httpx2.NetworkError as error:
            return Troubled(brief(error))
        except httpx2.RequestError as error:  # what these say may quote the request or the reply
            return Troubled(type(error).__name__)
        outcome = outcome_of(reply, self._server, text, self._asker.key, self._asker.now())
        open_thoughts = self._server.prompt_format == "chat" and not quiet
        return replace(outcome, thinking=open_thoughts) if isinstance(outcome, Told) else outcome

    def _reply(self, body: bytes) -> Reply:
        """What comes back, in time and of a size that an answer can have."""
        late, got = self._asker.now() + self._server.timeout, bytearray()
        with self._client.stream("POST", self._server.place, content=body) as response:
            for piece in response.iter_bytes():
                got += piece
                if len(got) > _MOST:
                    raise httpx2.DecodingError("too large")
                if self._asker.now() > late:  # the client's own limit is one for each piece
                    raise httpx2.ReadTimeout("too slow")
            return Reply(response.status_code, response.headers.get("retry-after"), bytes(got))


# --- the way there ----------------------------------------------------------------------------------------------------


def _client(server: Server, key: str | None) -> httpx2.Client:
    """Connections to one server. The environment may name a proxy for it, unless it is on this machine."""
    url, headers = httpx2.URL(server.url), {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    limits = httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=server.concurrency)
    timeout = httpx2.Timeout(server.timeout, connect=min(server.timeout, _CONNECTING))
    # Reading all certificates takes a while; where none is looked at there need not be any.
    verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.scheme == "http" else True
    try:
        here = httpx2.HTTPTransport(verify=verify, limits=limits) if _is_here(url.host) else None
        return httpx2.Client(
            headers=headers, timeout=timeout, limits=limits, verify=verify, transport=here, follow_redirects=False
        )
    except (ValueError, OSError, ImportError, httpx2.InvalidURL):  # what they say may show a proxy's password
        raise SteerxError(
            "the proxy or the certificates that the environment names cannot be used: mend or unset HTTP_PROXY, "
            "HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _side_by_side(work: Callable[[_T], object], items: Iterable[_T], most: int, stop: Event) -> None:
    """Work on all items, so many at once. The first error stops it: what is under way ends, nothing else begins.

    Ctrl-C waits for nothing. The threads are daemons because those of an executor would keep the process until the
    server has answered.
    """
    waiting, ended = deque(items), SimpleQueue[Exception | None]()

    def go_on() -> None:
        failure = None
        try:
            while not stop.is_set() and (taken := _taken(waiting)):
                work(*taken)
        except Exception as error:  # noqa: BLE001 - raised below, by the thread that waits
            failure = error
            stop.set()
        finally:
            ended.put(failure)

    threads = [Thread(target=go_on, daemon=True) for _ in range(min(most, len(waiting)))]
    try:
        for thread in threads:
            thread.start()
        failures = [failure for _ in threads if (failure := _next(ended))]
    finally:
        stop.set()
    if failures:
        raise failures[0]


def _taken(waiting: deque[_T]) -> tuple[_T] | tuple[()]:
    """The next, if there is one."""
    try:
        return (waiting.popleft(),)
    except IndexError:
        return ()


def _next(ended: SimpleQueue[_T]) -> _T:
    """What ends next. Once polars is imported, Ctrl-C does not wake a thread that waits without a limit."""
    while True:
        with suppress(Empty):
            return ended.get(timeout=1)
