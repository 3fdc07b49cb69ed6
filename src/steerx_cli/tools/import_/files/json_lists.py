"""JSON: one record, and the records of a list that is too long to be held."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from steerx_cli.tools.import_.files import lines
from steerx_cli.tools.import_.records import Bad, Values

LIST_ENDS = "no JSON from here to the end of the file"
_AT_ONCE = 4 * 2**20  # characters; most records are smaller, and then are read without a look at where they end
_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
# All that matters to where a value ends: a text's last quote; brackets; and outside of them what belongs to the list.
_QUOTED = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_INSIDE, _OUTSIDE = re.compile(r'["\[\]{}]'), re.compile(r'["\[\]{},:]')


class _Broken(Exception):
    """The list cannot be followed any further."""


class NoList(Exception):
    """The object is whole, and holds no list of that name."""


def object_from(text: str) -> Values | Bad:
    """One record, or what is wrong with it."""
    return _as_record(_value_from(text))


def _value_from(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        return Bad("no JSON")
    except ValueError:  # Python's own bound on what int() may cost
        return Bad("a number with too many digits")
    except RecursionError:
        return Bad("nested too deeply")


def _as_record(value: Any) -> Values | Bad:
    return value if isinstance(value, dict | Bad) else Bad("no JSON object")


def records(text: TextIO, encoding: str, within: str | None) -> Iterator[Values | Bad]:
    """The records of a file that is a list, or an object that holds one under the name `within`."""
    source = _Source(text, encoding)
    try:
        yield from source.items() if within is None else source.items_of(within)
        if source.sign() or source.damaged:
            raise _Broken
    except _Broken:
        yield Bad(lines.GZ_ENDS if source.damaged else LIST_ENDS)


class _Ending:
    """Finds where a value ends, over as many pieces as it takes, by its quotes and brackets alone."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self.seen = 0  # how far the text was looked at

    def find(self, text: str, start: int) -> int | None:
        """Where the value ends, if it ends in this text; what starts there belongs to the list, or is its end."""
        self.seen = start
        while sign := self._next(text):
            if sign in "[{":
                self._depth += 1
            elif self._depth == 0:
                return self.seen - 1
            elif sign in "]}":
                self._depth -= 1
                if self._depth == 0:
                    return self.seen
        return None

    def _next(self, text: str) -> str:
        """The next sign that is not part of a text, or nothing where no more is held."""
        while True:
            if self._quoted:
                # It ends before a backslash that is the last character, which is looked at again with what follows.
                quoted = _QUOTED.match(text, self.seen)
                self.seen = quoted.end() if quoted else self.seen
                if not text.startswith('"', self.seen):
                    return ""
                self._quoted, self.seen = False, self.seen + 1
            found = (_INSIDE if self._depth else _OUTSIDE).search(text, self.seen)
            self.seen = found.end() if found else len(text)
            if not found or found[0] != '"':
                return found[0] if found else ""
            self._quoted = True


class _Source:
    """A text of which only what the next record needs is held."""

    def __init__(self, text: TextIO, encoding: str) -> None:
        self._pieces = lines.pieces(text)
        self._encoding = encoding
        self._held, self._at = "", 0
        self.damaged = False

    def _more(self) -> bool:
        """Hold as much again (so that a long record costs no more for each character than a short one)."""
        kept = self._held[self._at :]
        held, size = [kept], len(kept)
        wanted = size + max(_AT_ONCE, min(size, lines.LIMIT - size))
        try:
            while size < wanted and (piece := next(self._pieces, None)) is not None:
                held.append(piece)
                size += len(piece)
        except lines.DAMAGED:
            self.damaged = True
        self._held, self._at = "".join(held), 0
        return size > len(kept)

    def sign(self) -> str:
        """The next character that is not blank, or nothing at the end."""
        while True:
            blanks = _BLANKS.match(self._held, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""

    def _take(self, signs: str) -> str:
        sign = self.sign()
        if not sign or sign not in signs:
            raise _Broken
        self._at += 1
        return sign

    def items(self) -> Iterator[Values | Bad]:
        """The records of the list that starts here."""
        self._take("[")
        if self.sign() == "]":
            self._take("]")
            return
        while True:
            yield _as_record(self._value())
            if self._take(",]") == "]":
                return

    def items_of(self, name: str) -> Iterator[Values | Bad]:
        """The records of the list that the object holds under a name."""
        found, sign = False, self._take("{")
        while sign != "}":
            key = None if self.sign() == "}" else self._value()
            if key is not None:
                self._take(":")
            if key == name and self.sign() == "[":
                found = True
                yield from self.items()
            elif key is not None:
                self._value()
            sign = self._take(",}")
        if not found:
            raise NoList

    def _value(self) -> Any:
        """The next value, whatever it is, or what is wrong with it."""
        if not self.sign():
            raise _Broken
        try:
            value, end = _DECODER.raw_decode(self._held, self._at)
        except (ValueError, RecursionError):  # broken, or not yet held to its end
            return self._looked_through()
        # A number at the end of what is held may go on.
        return self._looked_through() if end == len(self._held) else self._checked(end, value)

    def _checked(self, end: int, value: Any) -> Any:
        start, self._at = self._at, end
        if end - start > lines.LIMIT:
            return Bad(lines.TOO_LONG)
        return lines.not_in(self._encoding) if self._held.find(lines.MARK, start, end) >= 0 else value

    def _looked_through(self) -> Any:
        """The next value by way of its end, so that one that cannot be read costs none of those after it."""
        ending, looked, too_long = _Ending(), 0, False
        while (end := ending.find(self._held, self._at + looked)) is None:
            looked = ending.seen - self._at
            if looked > lines.LIMIT:
                self._at, looked, too_long = ending.seen, 0, True
            if not self._more():
                raise _Broken
        if too_long:
            self._at = end
            return Bad(lines.TOO_LONG)
        return self._checked(end, _value_from(self._held[self._at : end]))
