"""What holds between the program, its folders and its pages: one name everywhere, and no page that says otherwise."""

import ast
import keyword
import re
from pathlib import Path

import pytest

from steerx_cli.app import STAGES, TOOLS
from steerx_cli.core.schemas import ARTIFACTS, type_name

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "steerx_cli"
PIPELINE = ["retrieve", "score-tokens", "smooth", "build-vector", "generate", "evaluate"]


def modules(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir() if not path.name.startswith("_")}


def module(command: str) -> str:
    """A command's name as Python allows it."""
    return f"{command}_" if keyword.iskeyword(command) else command.replace("-", "_")


def test_stages_have_the_six_names_in_pipeline_order() -> None:
    assert list(STAGES) == [name for name in PIPELINE if name in STAGES]


def test_a_stage_has_one_name_everywhere() -> None:
    names = {module(name) for name in STAGES}
    assert {path.parent.name for path in (ROOT / "stages").glob("*/README.md")} == set(STAGES)
    assert {path.parent.name for path in (ROOT / "stages").glob("*/stage.mk")} == set(STAGES)
    assert modules(SOURCE / "stages") == names
    assert {path.stem for path in (ROOT / "tests" / "stages").glob("test_*.py")} == {f"test_{name}" for name in names}


def test_a_tool_has_one_name_everywhere() -> None:
    names = {module(name) for name in TOOLS}
    assert modules(SOURCE / "tools") == names
    tests = {path.stem for path in (ROOT / "tests" / "tools").glob("test_*.py")}
    assert tests == {f"test_{name.replace('-', '_')}" for name in TOOLS}
    everything = names | {module(name) for name in STAGES}
    assert modules(SOURCE / "commands") - {"options", "presets"} == everything


def test_every_stage_s_rule_runs_its_own_command() -> None:
    for name in STAGES:
        assert f" = {name} --" in (ROOT / "stages" / name / "stage.mk").read_text().replace("$(call settings,", "--(")


def tables(page: Path) -> dict[str, list[tuple[str, str]]]:
    """The column tables of a page: artifact → (name, type)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        if heading := re.match(r"`([\w-]+)`\n", section):
            found[heading[1]] = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section, flags=re.MULTILINE)
    return found


def test_the_pages_describe_every_artifact_as_it_is() -> None:
    pages = [tables(page) for page in (ROOT / "stages").rglob("README.md")]
    assert sorted(name for page in pages for name in page) == sorted(ARTIFACTS)
    for page in pages:
        for name, columns in page.items():
            assert columns == [(column.name, type_name(column)) for column in ARTIFACTS[name].columns], name


def test_every_artifact_is_written_by_something_that_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for artifact in ARTIFACTS.values():
        program, command = artifact.written_by.split()
        assert command in {**STAGES, **TOOLS} if program == "steerx" else f"\n{command}:" in makefile


@pytest.mark.parametrize("path", [*SOURCE.rglob("*.py")], ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_artifacts_opens_parquet(path: Path) -> None:
    if path.relative_to(SOURCE).as_posix() == "core/artifacts.py":
        return
    used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not used & {"read_parquet", "scan_parquet", "write_parquet", "sink_parquet"}


def test_every_dependency_says_why_it_is_there() -> None:
    page = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", page, re.DOTALL | re.MULTILINE)
    lines = [line for block in lists for line in block.splitlines()]
    assert len(lines) > 15
    for line in lines:
        assert re.fullmatch(r'  "[\w.-]+>=[\d.]+(?:,!=[\d.]+)?", +# \S.*', line), line


def test_every_dependency_is_pinned() -> None:
    wanted = re.findall(r'^  "([\w.-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / ".ci" / "constraints.txt").read_text(), re.MULTILINE)
    plain = {name.lower().replace("_", "-") for name in pinned}
    assert {name.lower().replace("_", "-") for name in wanted} <= plain
