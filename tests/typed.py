"""A command as it is typed: the one object that it tells, or the one sentence that it refuses with."""

import json
from pathlib import Path
from typing import Any

from scorers import SHORT
from support import Steerx, contents


def told(steerx: Steerx, *arguments: object) -> dict[str, Any]:
    """What a run tells as JSON."""
    code, out, err = steerx(*arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1), err
    found: dict[str, Any] = json.loads(out)
    return found


def refused(steerx: Steerx, *arguments: object) -> str:
    """What it says instead; nothing is written, and no person's text is told."""
    before = contents(Path())
    code, out, err = steerx(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("Error: ")
    assert contents(Path()) == before
    assert not any(text in err for text in SHORT)
    return err.removeprefix("Error: ").rstrip("\n")
