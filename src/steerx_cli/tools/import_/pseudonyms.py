"""Users under other names: a keyed hash, the same for the same key, that nobody without the key can compute."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from steerx_cli.core.errors import SteerxError

Rename: TypeAlias = Callable[[str], str]

_SHORTEST = 16  # bytes; a shorter key can be guessed
_CHECK = "the key of these pseudonyms"


def read_key(file: Path | None, variable: str | None) -> bytes:
    """The key, from a file or else from the environment's variable."""
    if file is not None:
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            raise SteerxError(f"the key file {file} cannot be read ({error.strerror}): name another") from error
    elif variable:
        key = variable.encode("utf-8", "surrogateescape").strip()
    else:
        raise SteerxError("pseudonyms need a key: name a file with --key-file, or set STEERX_KEY")
    if len(key) < _SHORTEST:
        raise SteerxError(
            f"the key of the pseudonyms has fewer than {_SHORTEST} bytes and could be guessed: "
            "make one with `openssl rand -hex 32`"
        )
    return key


def pseudonyms(key: bytes) -> Rename:
    """A user's id → their pseudonym: 128 bits, so that no two people become one."""
    return lambda user_id: hmac.new(key, user_id.encode(), sha256).hexdigest()[:32]


def check_of(key: bytes) -> str:
    """Eight digits that tell one key from another, for the provenance; the key cannot be had back from them."""
    return pseudonyms(key)(_CHECK)[:8]
