"""The README's session and picture, made for real: `make readme` rewrites them, a test holds them to the program."""

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.padding import Padding
from rich.terminal_theme import DIMMED_MONOKAI

from steerx_cli import shading
from steerx_cli.tools.show import run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "stages" / "score-tokens" / "shown.svg"
SHOWN = 3  # texts in the picture
_SESSION = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


def recorded() -> str:
    """The session as the README has it."""
    found = _SESSION.search(README.read_text())
    assert found is not None
    return found[0]


def played(session: str, then: Callable[[Path], None], programs: Path = Path(sys.executable).parent) -> str:
    """The same commands run again in an empty folder, as wide as the README; paths as seen from the checkout.

    `then` gets the folder of the run, before it goes; `programs` has the `steerx` that runs.
    """
    commands = re.findall(r"^\$ (.*)$", session, re.MULTILINE)
    path = f"{programs}:{os.environ['PATH']}"
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
        then(Path(folder) / "runs" / "default")
    return "\n".join(lines) + "\n"


def drawn(scores: Path) -> str:
    """The first texts as `steerx show` prints them on a terminal, in SVG, with the fonts that a reader has."""
    console = Console(record=True, width=92, file=io.StringIO(), force_terminal=True, color_system="256")
    for number, row in enumerate(run(scores, SHOWN).rows, 1):
        console.print(shading.headline(number, row))
        console.print(Padding(shading.shaded(row, shading.MANY), (0, 0, 1, 2)))
    console.print(shading.legend(shading.MANY, with_anchors=True))
    style = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
    return console.export_svg(title="steerx show", theme=DIMMED_MONOKAI, code_format=style, unique_id="shown")


def main() -> None:
    """Write both."""

    def draw(place: Path) -> None:
        PICTURE.write_text(drawn(place / "scores.parquet"))

    README.write_text(_SESSION.sub(lambda _: played(recorded(), draw), README.read_text()))


if __name__ == "__main__":
    main()
