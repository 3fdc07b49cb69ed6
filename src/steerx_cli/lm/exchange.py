"""What is said to an OpenAI-compatible server, and what its replies mean. Nothing is sent from here."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeAlias

import httpx2

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.text import visible
from steerx_cli.lm.frames import PromptFormat

_EXAMPLE = "such as http://localhost:8000/v1"
_REFUSED = (400, 413, 422)  # this request, because of what is in it
_AGAIN = (408, 409, 425, 429)  # beside all from 500
_LONGEST_WAIT = 300.0  # seconds that a server is granted if it asks for patience
_SAID = 200  # characters of a server's own words
_PIECE = 12  # characters of a text in a row, without what stands between words, are more than chance
_KEY_PIECE = 6
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}))")


@dataclass(frozen=True)
class Server:
    """The server that a person named, and how it is asked."""

    url: str  # …/v1, made so from what was typed
    model: str
    prompt_format: PromptFormat
    concurrency: int = 8  # requests under way at once
    attempts: int = 6  # of each request
    timeout: float = 600.0  # seconds, for one answer

    def __post_init__(self) -> None:
        """Refuse what is no address; it is not repeated, since a password may be in it."""
        if self.concurrency < 1 or self.attempts < 1 or not self.timeout > 0:
            raise ValueError("a server that is never asked")
        object.__setattr__(self, "url", _address(self.url))

    @property
    def place(self) -> str:
        """Where requests go."""
        return f"{self.url}/chat/completions" if self.prompt_format == "chat" else f"{self.url}/completions"


def _address(typed: str) -> str:
    """The address on which the API's paths stand."""
    try:
        url = httpx2.URL(typed)
        host = url.raw_host.decode().encode("idna")  # as it will be looked up: a UnicodeError is a ValueError
    except (httpx2.InvalidURL, ValueError):
        raise SteerxError(f"--endpoint is no address: name one {_EXAMPLE}") from None
    if url.scheme not in ("http", "https"):
        raise SteerxError(f"--endpoint is no http or https address: name one {_EXAMPLE}")
    if not host or b"%" in host or not (url.port is None or 0 < url.port < 1 << 16):
        raise SteerxError(f"--endpoint names no server: name one {_EXAMPLE}")
    if url.userinfo:
        raise SteerxError(
            "--endpoint has a user or a password in it: leave them out, and set STEERX_API_KEY to the key"
        )
    if "?" in typed or "#" in typed:
        raise SteerxError("--endpoint has a ? or a # in it: leave out what begins there")
    address = str(url).rstrip("/")
    return address if url.path.strip("/") else f"{address}/v1"


# --- requests ---------------------------------------------------------------------------------------------------------


def request_body(server: Server, text: str, limit: int, quiet: bool) -> bytes:
    """The request for one text of `limit` tokens at the most; `quiet`: with thinking switched off."""
    asked: dict[str, Any] = {"model": server.model}
    if server.prompt_format == "chat":
        asked["messages"] = [{"role": "user", "content": text}]
    else:
        asked["prompt"] = text
    asked |= {"max_tokens": limit, "temperature": 0, "n": 1, "stream": False}
    if quiet:
        asked["chat_template_kwargs"] = {"enable_thinking": False}
    return json.dumps(asked).encode()


# --- replies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What came of one text."""

    text: str  # as the server gave it: think blocks may be in it
    finish: str  # end, limit or failed
    prompt_tokens: int | None = None  # as the server counts them, where it does
    tokens: int | None = None  # written, likewise
    error: str | None = None
    thinking: bool = False  # it was not switched off, because the server does not know how


class Refused(NamedTuple):
    """The server does not take this request; it may take others."""

    status: int
    why: str


class Troubled(NamedTuple):
    """No answer this time."""

    why: str
    wait: float = 0.0  # seconds that the server asks for


Outcome: TypeAlias = Told | Refused | Troubled


class Reply(NamedTuple):
    """What came back."""

    status: int
    retry_after: str | None
    body: bytes


def outcome_of(reply: Reply, server: Server, text: str, key: str | None, now: float) -> Outcome:
    """What a reply to a text means; what would be said to each request ends it all. `now`: seconds since 1970."""
    if 200 <= reply.status < 300:
        told = _told(reply.body, server.prompt_format)
        return told or Troubled(f"a reply that is no answer{_said(reply.body, text, key)}")
    why = f"HTTP {reply.status}{_said(reply.body, text, key)}"
    if reply.status in _REFUSED:
        return Refused(reply.status, why)
    if reply.status in _AGAIN or reply.status >= 500:
        return Troubled(why, _asked_to_wait(reply.retry_after, now))
    raise SteerxError(_end(reply.status, why, server, key))


def _end(status: int, why: str, server: Server, key: str | None) -> str:
    """Why no request is taken, and what to do."""
    who = f"the server {server.url}"
    if status < 400:
        return (
            f"{who} sends requests on to another address (HTTP {status}), and texts go nowhere but where you say: "
            "name that address with --endpoint"
        )
    if status in (401, 403):  # what the server says may show a part of the key
        told = "does not accept the key in STEERX_API_KEY" if key else "wants a key"
        return f"{who} {told} (HTTP {status}): set STEERX_API_KEY to one that may use model {server.model!r}"
    if status == 404:
        return f"{who} has no model {server.model!r}, or nothing at this address ({why}): see --model and --endpoint"
    if status == 405:
        return f"{who} takes no requests at this address ({why}): name another --endpoint {_EXAMPLE}"
    return f"{who} takes no requests ({why}): see what it needs; the same command continues"


def _asked_to_wait(value: str | None, now: float) -> float:
    """Seconds, from Retry-After; none if it cannot be understood."""
    try:
        seconds = float(value or 0)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(value)).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_WAIT)  # in this order, so that NaN is 0


def _told(body: bytes, prompt_format: PromptFormat) -> Told | None:
    """The answer in a reply that says it is one, if it is."""
    values = _json(body)
    finish = _at(values, "choices", 0, "finish_reason")
    way = ("choices", 0, "message") if prompt_format == "chat" else ("choices", 0)
    holder, field = _at(values, *way), "content" if prompt_format == "chat" else "text"
    text = holder.get(field, 0) if isinstance(holder, dict) else 0
    if text is None and isinstance(finish, str):
        text = ""  # nothing but thoughts, which some servers hand over apart
    if not isinstance(text, str):
        return None
    if finish == "content_filter":
        return Told("", "failed", error="the server's content filter stopped the answer")
    return Told(
        text=re.sub("[\ud800-\udfff]", "\ufffd", text),  # half a character cannot be stored
        finish="limit" if finish == "length" else "end",
        prompt_tokens=_count(_at(values, "usage", "prompt_tokens")),
        tokens=_count(_at(values, "usage", "completion_tokens")),
    )


def _json(body: bytes) -> Any:
    """What a body holds; nothing if that cannot be read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _at(value: Any, *way: str | int) -> Any:
    """What lies at the end of a way through objects and lists; nothing if it does not lead there."""
    for step in way:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


# --- what may be repeated ---------------------------------------------------------------------------------------------


def _said(body: bytes, text: str, key: str | None) -> str:
    """The server's own words in short, unless a piece of the text or of the key is in them."""
    values = _json(body)
    ways = (("error", "message"), ("error",), ("detail",), ("message",))
    words = next((found for way in ways if isinstance(found := _at(values, *way), str)), "")
    line = " ".join(words.split())
    line = line if len(line) <= _SAID else f"{line[: _SAID - 1]}…"
    if not line or _share(_bare(line), _bare(text), _PIECE) or (key and _share(line, key, min(_KEY_PIECE, len(key)))):
        return ""
    return f": {visible(line)}"


def _share(line: str, secret: str, size: int) -> bool:
    """Whether so many characters in a row are in both."""
    return any(piece in secret for piece in _pieces(line, size))


def _pieces(line: str, size: int) -> Iterator[str]:
    return (line[start : start + size] for start in range(len(line) - size + 1))


def _bare(text: str) -> str:
    """A text as it can be found again in words that quote it, in JSON or as Python shows it."""
    text = _ESCAPE.sub(lambda found: chr(int(found[found.lastindex or 0], 16)), text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # JSON escapes an emoji in two halves
    return re.sub(r"\\[nrt]|[\s\\'\"]", "", text)
