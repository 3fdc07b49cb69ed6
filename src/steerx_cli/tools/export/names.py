"""A file's name, from the ids of its user and query."""

import re

from steerx_cli.core.provenance import fingerprint

_LONGEST = 44  # of one id in a name: with both, their hash and the suffix, a name has no more than 120 characters
_PLAIN = re.compile(r"[a-z0-9_.]+(-[a-z0-9_.]+)*")  # small letters only, for many file systems take A and a for one
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def file_name(user: str, query: str | None, suffix: str) -> str:
    """A name that every system takes and that no other pair of ids gets, whatever is in them."""
    ids = [user] if query is None else [user, query]
    name = "--".join(re.sub(r"[^A-Za-z0-9_.-]", "_", each)[:_LONGEST] for each in ids)
    plain = all(_PLAIN.fullmatch(each) and len(each) <= _LONGEST for each in ids)
    # What has no hash never looks as if it had one, nor as if its -- stood elsewhere: so no two names can meet.
    if plain and _is_safe(name) and not _HASHED.fullmatch(name):
        return f"{name}.{suffix}"
    return f"{name if _is_safe(name) else f'_{name}'}-{fingerprint([user, query])[:16]}.{suffix}"


def _is_safe(name: str) -> bool:
    """Not hidden, no option of a command, and nothing that Windows keeps for its devices, whatever follows a dot."""
    return name[:1] not in ("", ".", "-") and name.split(".")[0].lower() not in _DEVICES
