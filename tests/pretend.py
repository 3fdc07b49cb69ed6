"""A `steerx` that writes empty files where the real one writes artifacts: for what make does, and when, and why not."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

# In sh, since Python takes longer to begin than make to decide. No path here has a space in it.
_COMMAND = """#!/bin/sh
words=$* reads= writes= before= run= output= method= suffix= effects= over=
for word; do
    case $before in
        --queries|--histories|--retrieved|--effects|--scores|--profiles|--vectors|--neutral|--generations|--metrics)
            reads="$reads $word";;
        --preset) case $word in *.toml) reads="$reads $word";; esac;;
        --run) run=$word;;
        --output) output=$word;;
        --method) method=$word;;
        --profiles-of|--vectors-of) suffix=-$word;;
        --over) over=$word;;
        *) case $word in *.parquet) reads="$reads $word";; --measure-only) effects=yes;; esac;;
    esac
    before=$word
done
case $1 in
    retrieve) writes=$run/retrieved.parquet;;
    score-tokens) if [ $effects ]; then writes=$run/effects.parquet; else writes=$run/scores.parquet; fi;;
    smooth) writes=$run/profiles.parquet;;
    build-vector) writes=$run/vectors.parquet;;
    generate) writes=$run/generations-$method$suffix.parquet
        if [ "$over" = histories ]; then writes=$run/neutral.parquet; fi;;
    select) writes="$output/histories.parquet $output/queries.parquet";;
    choose) writes="$output/$method.parquet $output/$method.toml";;
    -m) case $3 in habits) writes=$4/profiles.parquet;; esac;;
    *) writes=$output;;
esac
missing=
for path in $reads; do [ -e "$path" ] || missing="$missing $path"; done
echo "$words|$reads|$writes|$missing" >> {log}
for path in $writes; do mkdir -p "${{path%/*}}"; : > "$path"; done
"""


def by_hand() -> dict[str, str]:
    """The environment of a make that no other make has started, as `make test` may have these tests."""
    return {name: of for name, of in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


class Command(NamedTuple):
    """One that was run: its words, and what it read, wrote and missed."""

    words: list[str]
    reads: list[str]
    writes: list[str]
    missing: list[str]


class Pretended:
    """make in the checkout, where nothing is computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run, self.data = folder, folder / "run", folder / "data"
        self._log = folder / "log"
        for name in ("steerx", "python"):
            command = folder / "bin" / name
            command.parent.mkdir(exist_ok=True)
            command.write_text(_COMMAND.format(log=self._log))
            command.chmod(0o755)
        self.data.mkdir()
        for name in ("ready", "data/queries.parquet", "data/histories.parquet"):
            (folder / name).touch()

    def ended(self, *words: str) -> subprocess.CompletedProcess[str]:
        """How make ends, and what it says."""
        here = [f"BIN={self.folder / 'bin'}", f"READY={self.folder / 'ready'}", f"RUN={self.run}", f"DATA={self.data}"]
        return subprocess.run(
            ["make", *here, *words], cwd=ROOT, env=by_hand(), capture_output=True, text=True, check=False
        )

    def lines(self, *words: str) -> list[str]:
        """What it says where nothing is wrong."""
        ended = self.ended(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    def __call__(self, *words: str) -> list[Command]:
        """The commands that are run, in their order."""
        self._log.write_text("")
        self.lines(*words)
        lines = [line.split("|") for line in self._log.read_text().splitlines()]
        return [Command(*(part.split() for part in parts)) for parts in lines]

    def planned(self, *words: str) -> list[list[str]]:
        """The words of those that would be."""
        lines = [line.split() for line in self.lines("-n", *words)]
        lines = [line[: line.index(">")] if ">" in line else line for line in lines]  # it is the shell's
        return [line[1:] for line in lines if line and line[0].endswith(('/steerx"', '/python"'))]

    def written(self, *words: str) -> set[str]:
        """The files, below the run folder, that the commands write."""
        return {path.removeprefix(f"{self.run}/") for command in self(*words) for path in command.writes}
