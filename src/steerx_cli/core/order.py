"""The order of users that all artifacts share, and lots: stable hashes, so that any run of users is a fair sample."""

import hashlib
from collections.abc import Iterator

from steerx_cli.core.errors import SteerxError


def user_order(user_id: str) -> tuple[bytes, str]:
    """What users are sorted by; the id itself decides where two hashes are equal."""
    return hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), user_id


def lot(seed: int, *names: str) -> bytes:
    """What is drawn for whatever the names name: by the seed and by nothing else that is there."""
    return hashlib.blake2b("\0".join((str(seed), *names)).encode(), digest_size=16).digest()


def check_order(users: Iterator[tuple[str, int]], where: str) -> Iterator[tuple[str, int]]:
    """Pass (user, rows) on, and stop where a user comes out of order or a second time."""
    last: tuple[bytes, str] | None = None
    for user_id, rows in users:
        order = user_order(user_id)
        if last is not None and order <= last:
            raise SteerxError(f"{where} is not in steerx's order of users: make it again, do not sort or join it")
        last = order
        yield user_id, rows
