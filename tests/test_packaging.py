"""The wheel: built from the source as git sees it, it runs where there is no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from people import write_people

CHECKOUT = Path(__file__).resolve().parents[1]


class Installed(NamedTuple):
    """A wheel, and the clean environment that it was put into."""

    wheel: Path
    environment: Path


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that sees nothing of this checkout."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "STEERX_RUN", "STEERX_DEBUG", "FORCE_COLOR"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        command, cwd=folder, env={**environment, "COLUMNS": "200"}, capture_output=True, text=True, check=False
    )


def done(*command: str | Path, folder: Path) -> str:
    """Run a program that has to succeed, and give what it printed."""
    ended = run(*command, folder=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def copy_source(target: Path) -> None:
    """All that git holds or would take: build leftovers never land in the checkout, nor ignored files in the wheel."""
    listed = done("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=CHECKOUT)
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel and install it; its dependencies are those that run these tests."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("the tests do not lie in a git checkout")
    top = tmp_path_factory.mktemp("wheel")
    copy_source(top / "source")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(top / "dist"), str(top / "source")]
    done(sys.executable, *build, folder=top)
    (wheel,) = (top / "dist").iterdir()
    done(sys.executable, "-m", "venv", "--without-pip", top / "clean", folder=top)
    python = top / "clean" / "bin" / "python"
    install = [
        "-m",
        "pip",
        "--python",
        str(python),
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--no-index",
    ]
    done(sys.executable, *install, wheel, folder=top)
    (site,) = (top / "clean" / "lib").glob("python*/site-packages")
    # A folder on the path, whose own .pth files (the editable install's) are not looked at.
    places = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(places) + "\n")
    return Installed(wheel, top / "clean")


@pytest.fixture
def steerx(installed: Installed) -> Path:
    """The installed program."""
    return installed.environment / "bin" / "steerx"


def test_it_runs_from_the_clean_environment(installed: Installed, steerx: Path, tmp_path: Path) -> None:
    where = "import steerx_cli; print(steerx_cli.__file__)"
    told = done(installed.environment / "bin" / "python", "-c", where, folder=tmp_path).strip()
    assert Path(told).is_relative_to(installed.environment)
    assert done(steerx, "--version", folder=tmp_path) == "steerx 0.1.0\n"
    assert "Stages, in the order of the pipeline" in done(steerx, "--help", folder=tmp_path)


def test_the_wheel_holds_the_whole_package_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    package = CHECKOUT / "src" / "steerx_cli"
    data = [path for folder in ("presets", "tasks", "prompts", "lexicons") for path in (package / folder).iterdir()]
    modules = list(package.rglob("*.py"))
    assert len(data) > 5
    assert {f"steerx_cli/{path.relative_to(package)}" for path in [*data, *modules]} <= {*names}
    assert "steerx_cli/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"steerx_cli", "steerx-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith((".parquet", ".pyc", ".safetensors"))]


def test_the_wheel_carries_its_licence_and_its_typing(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        metadata = wheel.read("steerx-0.1.0.dist-info/METADATA").decode()
        assert "steerx-0.1.0.dist-info/licenses/LICENSE" in wheel.namelist()
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    assert "Classifier: Typing :: Typed\n" in metadata


def test_a_stage_works_once_its_retriever_is_named(steerx: Path, tmp_path: Path) -> None:
    write_people(tmp_path / "runs" / "default", count=3, each=3, seed=0)
    asked = run(steerx, "retrieve", folder=tmp_path)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr == (
        "Error: neither --retriever nor a preset that sets it is given: "
        "name a retriever (--retriever recency), or use --preset\n"
    )
    ended = run(steerx, "retrieve", "--retriever", "recency", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines()[0].split() == ["preset", "none"]
    shown = done(steerx, "show", "runs/default/retrieved.parquet", folder=tmp_path)
    assert shown.startswith("retrieved  6 rows, 3 users  runs/default/retrieved.parquet\n")


def test_the_shipped_presets_are_found(steerx: Path, tmp_path: Path) -> None:
    ended = run(steerx, "retrieve", "--preset", "nope", folder=tmp_path)
    assert ended.returncode == 2
    assert "name one of demo, paper-review-14b, paper-review-8b, paper-topic-14b, paper-topic-8b" in ended.stderr
