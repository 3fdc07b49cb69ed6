"""The README says what is so."""

import re
from pathlib import Path

import readme
from steerx_cli.app import STAGES, TOOLS
from steerx_cli.core.presets import preset_names
from steerx_cli.core.schemas import ARTIFACTS


def without_figures(session: str) -> str:
    """A session without what differs from one run to the next."""
    return re.sub(r"^(time|peak memory) .*$", r"\1", session, flags=re.MULTILINE)


def test_the_session_runs_as_it_is_shown_and_drawn(programs: Path) -> None:
    drawn: list[str] = []

    def draw(place: Path) -> None:
        drawn.append(readme.drawn(place / "scores.parquet"))

    played = readme.played(readme.recorded(), draw, programs)
    assert without_figures(played) == without_figures(readme.recorded())
    assert drawn == [readme.PICTURE.read_text()]


def test_the_table_of_artifacts_is_complete() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| `([^`]+)` \|", readme.README.read_text(), re.MULTILINE))
    assert rows == {artifact.name: artifact.written_by for artifact in ARTIFACTS.values()}


def test_the_tree_names_every_folder_and_nothing_else() -> None:
    tree = re.search(r"^    src/steerx_cli/.*?(?=^    tests/)", readme.README.read_text(), re.DOTALL | re.MULTILINE)
    assert tree is not None
    named = set(re.findall(r"^      (\S+)", tree[0], re.MULTILINE))
    source = readme.ROOT / "src" / "steerx_cli"
    folders = {f"{path.name}/" for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= named
    assert all((source / name).exists() for name in named)


def test_every_preset_and_command_is_named() -> None:
    page = readme.README.read_text()
    assert all(f"`{name}`" in page for name in preset_names())
    assert all(name in page for name in [*STAGES, *TOOLS])
