"""`make` as a newcomer meets it: its help, its runs, and that nothing is done twice."""

import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from people import write_people
from pretend import by_hand
from steerx_cli.demo.results import _BEGIN, _END, PICTURES
from support import contents

ROOT = Path(__file__).parents[1]
METHODS = ["non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"]
OTHERS = ["steerx-cos-other", "cas-other", "cas-mean", "steerx-cas-other", "steerx-cas-mean"]
QUICK = ["GENERATE=--max-new-tokens 2", "SMOOTH=--max-new-tokens 2", "NEUTRAL=--max-new-tokens 2"]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(scope="module")
def instead(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The environment that runs the tests in place of make's own."""
    ready = tmp_path_factory.mktemp("environment") / "ready"
    ready.touch()  # newer than what the environment is made from: nothing is installed
    return [f"BIN={programs}", f"READY={ready}"]


class Make:
    """make in the checkout, with a run folder and data of their own."""

    def __init__(self, folder: Path, instead: list[str]) -> None:
        self.run, self.data = folder / "run", folder / "data"
        self.given = ["make", *instead, f"RUN={self.run}", f"DATA={self.data}"]

    def __call__(self, *words: str) -> str:
        """What it says of its work."""
        ended = subprocess.run(
            [*self.given, *words], cwd=ROOT, env=by_hand(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "recipe" not in ended.stderr  # one that another takes the place of
        return ended.stdout


@pytest.fixture
def make(tmp_path: Path, instead: list[str]) -> Make:
    write_people(tmp_path / "data", count=4, each=3, seed=0)
    return Make(tmp_path, instead)


def test_alone_it_lists_every_target_with_its_help(make: Make) -> None:
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", make(), re.MULTILINE))
    rules = "".join(path.read_text() for path in [ROOT / "Makefile", *(ROOT / "stages").rglob("*.mk")])
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", rules, re.MULTILINE) for name in line.split()}
    shown = re.search(r"^SHOWN := (.*) \$\(SWEEPS\)$", rules, re.MULTILINE)
    assert shown
    assert set(listed) == phony - {"$(SHOWN)"} | {*shown[1].split(), "sweep-tau", "sweep-lambda"}


def test_a_stage_runs_once_and_again_when_its_input_changes(make: Make) -> None:
    output = make.run / "retrieved.parquet"
    assert 'steerx" retrieve' in make("retrieve")
    first = output.read_bytes()
    assert 'steerx" retrieve' not in make("retrieve")
    write_people(make.data, count=5, each=3, seed=0)
    assert 'steerx" retrieve' in make("retrieve")
    assert output.read_bytes() != first


def test_an_input_that_was_only_touched_costs_one_look(make: Make) -> None:
    output = make.run / "retrieved.parquet"
    make("retrieve")
    first = output.read_bytes()
    (make.data / "queries.parquet").touch()
    assert 'steerx" retrieve' in make("retrieve")
    assert 'steerx" retrieve' not in make("retrieve")
    assert output.read_bytes() == first


def test_the_demo_shows_what_came_out(make: Make) -> None:
    """All six methods take a while; two need every stage."""
    given = [*QUICK, "METHODS=steerx-cos steerx-cas"]
    shown = make("demo", *given)
    for table in ("scores  8 rows", "profiles  12 rows", "generations  4 rows"):
        assert f"{table}, 4 users" in shown
    assert "provenance" in shown
    assert 'steerx" generate' not in make("demo", *given)


def test_the_demo_is_all_six_methods(make: Make) -> None:
    planned = "\n".join(re.findall(r'^".*', make("-n", "demo"), re.MULTILINE))
    assert re.findall(r"--queries \S+ --method (\S+)", planned) == METHODS
    assert [planned.count(f'steerx" {stage} ') for stage in ("retrieve", "smooth", "build-vector")] == [1, 1, 1]
    assert planned.count("--measure-only") == planned.count("--effects ") == 1


def test_asking_what_would_be_done_does_nothing(make: Make) -> None:
    assert 'steerx" retrieve' in make("-n", "demo")
    assert not make.run.exists()


def test_another_preset_or_flag_runs_the_stage_again(make: Make, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[retrieve]\nretriever = 'all'\n")
    odd = """RETRIEVE=--query-text '{input} "#;=:|`/_ x' --top-k 1"""
    runs = [[], ["RETRIEVE=--top-k 1"], [odd], [f"PRESET={mine}"], []]
    for settings in runs:
        assert 'steerx" retrieve' in make("-n", "retrieve", *settings)
        assert 'steerx" retrieve' in make("retrieve", *settings)
        assert 'steerx" retrieve' not in make("retrieve", *settings)
    make("retrieve", f"PRESET={mine}")
    mine.write_text("[retrieve]\nretriever = 'random'\n")
    os.utime(mine, (2**32, 2**32))
    assert 'steerx" retrieve' in make("retrieve", f"PRESET={mine}")


def test_what_ships_is_made_again_only_when_that_is_asked(make: Make) -> None:
    for step in ("world", "model", "gate"):
        assert f"-m steerx_cli.demo {step} data/demo" in make("-n", f"demo-{step}")
    for target in ("demo", "check", "test", "bench", "readme"):
        assert "steerx_cli.demo" not in make("-n", target)


def test_each_method_gets_what_it_needs(make: Make, tmp_path: Path) -> None:
    planned = {method: make("-n", "generate", f"METHOD={method}", "LAM=0.3 0.6") for method in ("rag", "cos")}
    planned["non-perso"] = make("-n", "generate", "METHOD=non-perso")
    planned["neutral"] = make("-n", "neutral")
    for method, commands in planned.items():
        assert ("--lam 0.3 --lam 0.6" in commands) == (method == "cos")
        assert ('steerx" retrieve' in commands) == (method != "non-perso")
        assert ("--over histories" in commands) == (method == "neutral")
    given = {name: tmp_path / f"{name}.parquet" for name in ("profiles", "vectors")}
    for path in given.values():
        path.touch()
    files = [f"{name.upper()}={path}" for name, path in given.items()]
    for method in ["steerx-cos", "cas", "steerx-cas", *OTHERS]:
        plan = make("-n", "generate", f"METHOD={method}", *files, "LAM=2", "GAMMA2=0.1 3")
        words = " ".join(plan.split())
        name, control = re.sub("-(other|mean)$", "", method), method.rsplit("-", 1)[-1]
        of, strength = ("profiles", "--lam 2") if "cos" in name else ("vectors", "--gamma2 0.1 --gamma2 3")
        assert f"--method {name} --retrieved {make.run}/retrieved.parquet {strength} --{of} {given[of]}" in words
        assert (f" --{of}-of {control}" in words) == (name != method)
        assert ('steerx" build-vector' in plan, 'steerx" smooth' in plan) == (False, False), "they are there"
    made = make("-n", "generate", "METHOD=steerx-cas")
    assert made.index("--over histories") < made.index('steerx" build-vector') < made.index("--method steerx-cas")


# --- whole runs -------------------------------------------------------------------------------------------------------

# Every stage, and settings that are chosen on a part of the users.
SMALL = [
    *(*QUICK, "TUNED=steerx-cas", "GRID_TAU=0.5", "GRID_GAMMA1=0.1", "GRID_GAMMA2=0.5 1", "GRID_LAYER=3"),
    *("TUNE=1", "EVALUATE=--metric meteor"),
]


def test_killed_at_random_a_run_ends_with_the_same_bytes(make: Make, tmp_path: Path, instead: list[str]) -> None:
    """Two commands at a time; a kill ends them at once, wherever they are."""
    job = ["-j2", *SMALL, "table"]
    make(*job)
    killed, draw, longest, kills = Make(tmp_path / "killed", instead), random.Random(9), 1.0, 0
    shutil.copytree(make.data, killed.data)
    while True:
        said = (tmp_path / "said").open("w")
        with (
            said,
            subprocess.Popen(
                [*killed.given, *job], cwd=ROOT, env=by_hand(), stdout=said, stderr=said, process_group=0
            ) as running,
        ):
            try:
                assert running.wait(draw.uniform(0, longest)) == 0, (tmp_path / "said").read_text()
                break
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                kills, longest = kills + 1, longest * 1.3  # so that it comes to an end on any machine
    assert kills >= 3
    found, whole = results(killed.run), results(make.run)
    assert [*found] == [*whole]
    assert [name for name in whole if found[name] != whole[name]] == []
    assert make("-n", *job).count('steerx" ') == 1  # the table


def test_all_of_the_paper_s_runs_end_on_the_world_s_page(tmp_path: Path, programs: Path, instead: list[str]) -> None:
    """Of four of the demo's people: every target, with every kind of folder, and what is made of it."""
    make, page = Make(tmp_path, instead), tmp_path / "README.md"
    of_four: list[str | Path] = [
        "--data",
        ROOT / "data/demo",
        "--draw",
        "1/18",
        "--run",
        tmp_path,
        "--output",
        make.data,
    ]
    subprocess.run([programs / "steerx", "select", "--quiet", *of_four], check=True)
    page.write_text(f"above\n{_BEGIN}\n{_END}\nbelow\n")
    small = ["TAUS=0.5 1", "LAMBDAS=0.2 1", "GRID_TAU=1", "GRID_GAMMA1=0.1", "GRID_GAMMA2=0.5", "GRID_LAYER=3"]
    job = ["demo-results", *QUICK, *small, "SEEDS=0 1", "DRAWS=1", "SHARES=1", "STEERX_BY=random", "CEILING=habits"]
    make("-j2", *job, f"WORLD={tmp_path}")
    text = page.read_text()
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert [title.split(" ")[0] for title in titles] == [
        "The",
        "The",
        "Without",
        "A",
        *["SteerX(CoS)"] * 2,
        "How",
        "Three",
    ]
    shown = re.findall(r"^!\[[^]]+\]\((figures/\S+\.svg)\)$", text, re.MULTILINE)
    assert [Path(name).stem for name in shown] == [*PICTURES]
    assert all((tmp_path / name).read_text().startswith("<?xml") for name in shown)
    assert re.findall(r"^- (\S+): .* of \d settings", text, re.MULTILINE) == ["cas", "cos", "steerx-cas", "steerx-cos"]
    assert re.search(r"^- 2 runs: seeds 0, 1; draw 1/1.* of the users$", text, re.MULTILINE)
    assert make("-n", *job, f"WORLD={tmp_path}").count("\n") == 1


def results(run: Path) -> dict[str, bytes]:
    """Every file of a run that is no mark of make's."""
    found = {name.removeprefix(f"{run}/"): of for name, of in contents(run).items() if of is not None}
    return {name: found[name] for name in sorted(found) if "/.settings/" not in f"/{name}"}
