"""The README's session, run for real: `make readme` rewrites it, a test holds it to the program."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_SESSION = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


def recorded() -> str:
    """The session as the README has it."""
    found = _SESSION.search(README.read_text())
    assert found is not None
    return found[0]


def played(session: str) -> str:
    """The same commands run again in an empty folder, as wide as the README; paths as seen from the checkout."""
    commands = re.findall(r"^\$ (.*)$", session, re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("STEERX_")}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            ended = subprocess.run(
                command,
                shell=True,
                cwd=folder,
                env={**surroundings, "PATH": path, "COLUMNS": "100"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            lines += [f"$ {command}", *(line.rstrip() for line in ended.stdout.replace(f"{ROOT}/", "").splitlines())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    README.write_text(_SESSION.sub(lambda _: played(recorded()), README.read_text()))
