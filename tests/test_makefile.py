"""`make` as a newcomer meets it: its help, its runs, and that nothing is done twice."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from people import write_people

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> str:
    """Run make in the checkout, with the environment that runs the tests in place of its own."""
    with tempfile.NamedTemporaryFile() as ready:
        os.utime(ready.name, (2**32, 2**32))  # newer than what the environment is made from: nothing is installed
        here = [f"BIN={Path(sys.executable).parent}", f"READY={ready.name}"]
        ended = subprocess.run(["make", *here, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """A run folder and data of their own."""
    write_people(tmp_path / "data", count=4, each=3, seed=0)
    return [f"RUN={tmp_path / 'run'}", f"DATA={tmp_path / 'data'}"]


def test_alone_it_lists_every_target_with_its_help() -> None:
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", make(), re.MULTILINE))
    rules = "".join(path.read_text() for path in [ROOT / "Makefile", *(ROOT / "stages").glob("*/stage.mk")])
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", rules, re.MULTILINE) for name in line.split()}
    assert set(listed) == phony


def test_a_stage_runs_once_and_again_when_its_input_changes(place: list[str], tmp_path: Path) -> None:
    output = tmp_path / "run" / "retrieved.parquet"
    assert 'steerx" retrieve' in make("retrieve", *place)
    first = output.read_bytes()
    assert 'steerx" retrieve' not in make("retrieve", *place)
    write_people(tmp_path / "data", count=5, each=3, seed=0)
    assert 'steerx" retrieve' in make("retrieve", *place)
    assert output.read_bytes() != first


def test_an_input_that_was_only_touched_costs_one_look(place: list[str], tmp_path: Path) -> None:
    output = tmp_path / "run" / "retrieved.parquet"
    make("retrieve", *place)
    first = output.read_bytes()
    (tmp_path / "data" / "queries.parquet").touch()
    assert 'steerx" retrieve' in make("retrieve", *place)
    assert 'steerx" retrieve' not in make("retrieve", *place)
    assert output.read_bytes() == first


METHODS = ["non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"]
CONTROLS = ["steerx-cos-other", "cas-other", "cas-mean", "steerx-cas-other", "steerx-cas-mean"]


def test_the_demo_shows_what_came_out(place: list[str]) -> None:
    """All six methods take a while; two need every stage."""
    given = [*place, "METHODS=steerx-cos steerx-cas", "GENERATE=--max-new-tokens 2", "SMOOTH=--max-new-tokens 2"]
    shown = make("demo", *given, "NEUTRAL=--max-new-tokens 2")
    for table in ("scores  8 rows", "profiles  12 rows", "generations  4 rows"):
        assert f"{table}, 4 users" in shown
    assert "provenance" in shown
    assert 'steerx" generate' not in make("demo", *given, "NEUTRAL=--max-new-tokens 2")


def test_the_demo_is_all_six_methods(place: list[str]) -> None:
    planned = make("-n", "demo", *place)
    assert re.findall(r"--queries \S+ --method (\S+)", planned) == METHODS
    for stage in ("retrieve", "score-tokens", "smooth", "build-vector"):
        assert planned.count(f'steerx" {stage} ') == 1


def test_asking_what_would_be_done_does_nothing(place: list[str], tmp_path: Path) -> None:
    assert 'steerx" retrieve' in make("-n", "demo", *place)
    assert not (tmp_path / "run").exists()


def test_another_preset_or_flag_runs_the_stage_again(place: list[str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[retrieve]\nretriever = 'all'\n")
    runs = [[], ["RETRIEVE=--top-k 1"], [f"PRESET={mine}"], []]
    for settings in runs:
        assert 'steerx" retrieve' in make("-n", "retrieve", *place, *settings)
        assert 'steerx" retrieve' in make("retrieve", *place, *settings)
        assert 'steerx" retrieve' not in make("retrieve", *place, *settings)
    make("retrieve", *place, f"PRESET={mine}")
    mine.write_text("[retrieve]\nretriever = 'random'\n")
    os.utime(mine, (2**32, 2**32))
    assert 'steerx" retrieve' in make("retrieve", *place, f"PRESET={mine}")


def test_what_ships_is_made_again_only_when_that_is_asked() -> None:
    for step in ("world", "model", "gate"):
        assert f"-m steerx_cli.demo {step} data/demo" in make("-n", f"demo-{step}")
    for target in ("demo", "check", "test", "bench", "readme"):
        assert "steerx_cli.demo" not in make("-n", target)


def test_each_method_gets_what_it_needs(place: list[str], tmp_path: Path) -> None:
    planned = {method: make("-n", "generate", *place, f"METHOD={method}", "LAM=0.3 0.6") for method in ("rag", "cos")}
    planned["non-perso"] = make("-n", "generate", *place, "METHOD=non-perso")
    planned["neutral"] = make("-n", "neutral", *place)
    for method, commands in planned.items():
        assert ("--lam 0.3 --lam 0.6" in commands) == (method == "cos")
        assert ('steerx" retrieve' in commands) == (method != "non-perso")
        assert ("--over histories" in commands) == (method == "neutral")
    given = {name: tmp_path / f"{name}.parquet" for name in ("profiles", "vectors")}
    for path in given.values():
        path.touch()
    files = [f"{name.upper()}={path}" for name, path in given.items()]
    for method in ["steerx-cos", "cas", "steerx-cas", *CONTROLS]:
        plan = make("-n", "generate", *place, f"METHOD={method}", *files, "LAM=2", "GAMMA2=0.1 3")
        words, (name, control) = (
            " ".join(plan.split()),
            (re.sub("-(other|mean)$", "", method), method.rsplit("-", 1)[-1]),
        )
        of, strength, file = (
            ("profiles", "--lam 2", given["profiles"])
            if "cos" in name
            else ("vectors", "--gamma2 0.1 --gamma2 3", given["vectors"])
        )
        assert f"--method {name} {strength} " in words
        assert f" --{of} {file}" in words
        assert (f" --{of}-of {control}" in words) == (name != method)
        assert ('steerx" build-vector' in plan, 'steerx" smooth' in plan) == (False, False), "they are there"
    made = make("-n", "generate", *place, "METHOD=steerx-cas")
    assert made.index("--over histories") < made.index('steerx" build-vector') < made.index("--method steerx-cas")


def test_another_lambda_generates_again_and_nothing_else(place: list[str]) -> None:
    make("generate", *place, "GENERATE=--max-new-tokens 2")
    assert 'steerx"' not in make("generate", *place, "GENERATE=--max-new-tokens 2")
    again = make("generate", *place, "GENERATE=--max-new-tokens 2", "LAM=0.9")
    assert 'steerx" generate' in again
    assert 'steerx" retrieve' not in again
