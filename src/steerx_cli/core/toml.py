"""Reading TOML that a person may have written."""

import tomllib
from pathlib import Path
from typing import Any

from steerx_cli.core.errors import SteerxError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The values of a file; `what` is how a sentence calls it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SteerxError(f"{what} cannot be read ({error.strerror}): name a file that is there") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SteerxError(f"{what} is not TOML: {error}") from error
