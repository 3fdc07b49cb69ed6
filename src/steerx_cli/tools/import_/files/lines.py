"""A person's text file, plain or gz, in any encoding: opened, and read line by line without holding more than one."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, cast

from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.records import Bad

LIMIT = 64 * 2**20  # characters in one record: a longer one is no text of a person's, and would fill the memory
TOO_LONG = "longer than 64 MiB"
GZ_ENDS = "the gz file is damaged from here on"
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)  # all the ways in which a gz file says that it is

# What stands for bytes that do not decode: half of a pair, which no text has. An escape for the same in a JSON text is
# still an escape when the line is searched for it.
MARK = "\udcff"
_MARKING = "steerx-mark"
_BOM = "\ufeff"
# Python calls these text encodings too; they stand for host names and source code, and fail in ways of their own.
_NO_ENCODINGS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}
_SKIPPED_AT_ONCE = 2**20


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return MARK, error.end


codecs.register_error(_MARKING, _mark)


class Line(NamedTuple):
    """A line as an editor counts it, with its end."""

    number: int
    text: str | Bad


def not_in(encoding: str) -> Bad:
    """What is wrong with a record that has a mark in it."""
    return Bad(f"bytes that are not {encoding}")


def is_gz(path: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return path.suffix.lower() == ".gz"


@contextmanager
def reading(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a text file; what goes wrong with the whole of it is said in a sentence."""
    check_encoding(encoding)
    try:
        with _binary(path) as file, io.TextIOWrapper(file, encoding, errors=_MARKING, newline="") as text:
            yield text
    except FileNotFoundError as error:
        raise SteerxError(f"{path} does not exist: name a file that is there") from error
    except PermissionError as error:
        raise SteerxError(f"{path} may not be read by this user: change its permissions") from error
    except IsADirectoryError as error:
        raise SteerxError(f"{path} is a folder: name the files in it") from error
    except UnicodeError as error:  # UTF-16 that does not say its byte order, above all
        raise SteerxError(
            f"{path} is not {encoding}: name the encoding that it has (utf-16-le and utf-16-be need no byte order mark)"
        ) from error
    except OSError as error:
        raise SteerxError(f"{path} cannot be read ({error.strerror}): copy it to another disk and try again") from error


def check_encoding(encoding: str) -> None:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
        known = codecs.lookup(encoding).name not in _NO_ENCODINGS
    except (LookupError, ValueError):  # the second from names that no codec could have
        known = False
    if not known:
        raise SteerxError(f"{encoding!a} is no encoding of texts: name one such as utf-8, utf-16, cp1252 or gbk")


def _binary(path: Path) -> BinaryIO:
    if not is_gz(path):
        return path.open("rb")
    file = gzip.open(path, "rb")  # noqa: SIM115 - closed by whoever closes what stands on it
    try:
        file.peek(1)
    except DAMAGED as error:
        file.close()
        raise SteerxError(f"{path} is no gz file, or a damaged one: get it again, or take .gz off its name") from error
    except BaseException:
        file.close()
        raise
    return cast(BinaryIO, file)


def lines(text: TextIO) -> Iterator[Line]:
    """Every line, one that is too long and the end of a damaged file as what is wrong with them."""
    number = 1
    try:
        while line := text.readline(LIMIT + 1):
            yield Line(number, _within_limit(text, line.removeprefix(_BOM) if number == 1 else line))
            number += 1
    except DAMAGED:
        yield Line(number, Bad(GZ_ENDS))


def _within_limit(text: TextIO, line: str) -> str | Bad:
    if len(line) <= LIMIT or line.endswith("\n"):
        return line
    while rest := text.readline(_SKIPPED_AT_ONCE):
        # A piece of full size may have been cut between \r and \n.
        if rest.endswith("\n") or (rest.endswith("\r") and len(rest) < _SKIPPED_AT_ONCE):
            break
    return Bad(TOO_LONG)


def pieces(text: TextIO) -> Iterator[str]:
    """The same text in pieces of some thousand characters, up to its end or to where a gz file is damaged."""
    first = text.read(io.DEFAULT_BUFFER_SIZE).removeprefix(_BOM)
    yield first
    while piece := text.read(io.DEFAULT_BUFFER_SIZE):
        yield piece
