"""The named runs of make: every dependency is known, nothing is done twice, and what would be done is told truly."""

import os
import re
import shutil
from pathlib import Path

import pytest

from pretend import ROOT, Pretended

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

TARGETS = [
    *(["demo"], ["evaluate"], ["table"], ["table", "TUNE=1"], ["ablations"], ["sweep-tau"], ["sweep-lambda"]),
    *(["lexicon"], ["effects"], ["controls"], ["seeds", "SEEDS=0 1", "DRAWS=1 2"], ["demo-results", "SEEDS=0 1"]),
]
WITH_CONTROLS = [target for target in TARGETS if target[0] not in ("demo", "evaluate", "effects", "demo-results")]
ALL = [*TARGETS, *([*target, "CONTROLS=1"] for target in WITH_CONTROLS)]
STEERX = {"generations-steerx-cos", "generations-steerx-cas"}


@pytest.fixture
def make(tmp_path: Path) -> Pretended:
    return Pretended(tmp_path)


def age(folder: Path) -> None:
    """Make all files equally old, older than what is touched next on any file system, newer than the checkout's."""
    then = max(path.stat().st_mtime for path in folder.rglob("*"))
    for path in folder.rglob("*"):
        os.utime(path, (then - 2, then - 2))


@pytest.mark.parametrize("target", ALL, ids=" ".join)
def test_what_would_be_done_is_done(target: list[str], make: Pretended) -> None:
    planned = make.planned(*target)
    assert not make.run.exists()
    done = make(*target)
    assert [command.words for command in done] == planned
    assert not [command for command in done if command.missing]
    files = [path for command in done for path in command.writes]
    assert len(files) == len({*files})


@pytest.mark.parametrize("settings", [[], ["TUNE=1", "CONTROLS=1"]], ids=" ".join)
def test_all_of_them_eight_at_a_time_and_then_nothing(settings: list[str], make: Pretended) -> None:
    """Nothing is read before it is written, nothing is written twice, and what shows is all that is left to do."""
    everything = [*(target[0] for target in TARGETS), "SEEDS=0 1", "DRAWS=1 2", *settings]
    planned, done = make.planned(*everything), make("-j8", *everything)
    assert sorted(command.words for command in done) == sorted(planned)
    assert not [command for command in done if command.missing]
    again = make(*everything)
    assert not [command for command in again if command.writes]
    assert [command.words for command in again] == make.planned(*everything)


def test_another_tau_measures_nothing_again(make: Pretended) -> None:
    make("table")
    written = make.written("table", "ANCHORS=--tau 0.5")
    of_tau = {"scores", "profiles", "vectors", *STEERX, "generations-cas", "results/table"}
    assert written == {f"{name}.parquet" for name in of_tau}


@pytest.mark.parametrize(
    ("setting", "written"),
    [
        ("LAM=0.9", {"generations-cos", "generations-steerx-cos"}),
        ("GAMMA2=0.9", {"generations-cas", "generations-steerx-cas"}),
        ("BUILD_VECTOR=--pool last", {"vectors", "generations-cas", "generations-steerx-cas"}),
        ("SMOOTH=--unit word", {"profiles", "vectors", "generations-cas", *STEERX}),
        ("NEUTRAL=--max-new-tokens 9", {"neutral", "vectors", "generations-cas", "generations-steerx-cas"}),
        ("EVALUATE=--tokenize intl", set()),
    ],
)
def test_another_setting_repeats_what_hangs_on_it(setting: str, written: set[str], make: Pretended) -> None:
    make("table")
    assert make.written("table", setting) == {f"{name}.parquet" for name in {*written, "results/table"}}
    assert make.written("table", setting) == set()
    assert make.written("table") == {f"{name}.parquet" for name in {*written, "results/table"}}


@pytest.mark.parametrize(
    ("touched", "written"),
    [
        ("profiles", {"vectors", "generations-cas", *STEERX}),
        ("vectors", {"generations-cas", "generations-steerx-cas"}),
        ("neutral", {"vectors", "generations-cas", "generations-steerx-cas"}),
        ("effects", {"scores", "profiles", "vectors", "generations-cas", *STEERX}),
        ("generations-rag", set()),
    ],
)
def test_a_file_that_changed_repeats_what_follows_from_it(touched: str, written: set[str], make: Pretended) -> None:
    make("table")
    age(make.folder)
    (make.run / f"{touched}.parquet").touch()
    assert make.written("table") == {f"{name}.parquet" for name in {*written, "results/table"}}


def test_a_preset_that_was_edited_repeats_all_and_so_does_one_that_it_extends(make: Pretended, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    mine, yours, theirs = (tmp_path / name for name in ("mine.toml", "others/yours.toml", "others/theirs.toml"))
    mine.write_text('extends = "./others/yours.toml"\n')
    yours.write_text(f'extends = "{theirs}"  # and this\n')
    theirs.write_text('extends = "../mine.toml"\n')  # a circle, which steerx refuses
    everything = make.written("retrieve", f"PRESET={mine}")
    for preset in (mine, yours, theirs):
        age(make.folder)
        preset.touch()
        assert make.written("retrieve", f"PRESET={mine}") == everything
    assert make.written("retrieve", f"PRESET={mine}") == set()


def test_settings_are_chosen_by_what_knows_development_users_only(make: Pretended) -> None:
    commands = make("table", "TUNE=1")
    made = {path: command for command in commands for path in command.writes}
    presets = [path for path in made if path.endswith(".toml")]
    assert sorted(Path(path).stem for path in presets) == ["cas", "cos", "steerx-cas", "steerx-cos"]
    waiting, behind = [*presets], set[str]()
    while waiting:
        command = made[waiting.pop()]
        if command.words[0] == "select":
            assert command.words[-2:] == ["--split", "development"]
            continue
        assert "--split development" in " ".join(command.words) or command.words[0] != "evaluate"
        behind |= {*command.reads}
        waiting += command.reads
    assert {path for path in behind if not path.startswith(f"{make.run}/development/")} == set()
    for method in ("cos", "steerx-cos", "cas", "steerx-cas"):
        (command,) = (made[path] for path in made if path.endswith(f"/tuned/{method}/generations-{method}.parquet"))
        assert command.words[command.words.index("--preset") + 1] == f"{make.run}/tuned/{method}.toml"
        assert "--lam" not in command.words
        assert "--gamma2" not in command.words


def test_the_grid_has_every_setting_of_each_method_once(make: Pretended) -> None:
    grid = ["GRID_TAU=0.5 1", "GRID_GAMMA1=0.1 0.9", "GRID_LAYER=2 3 4", "GRID_GAMMA2=0.1 1", "GRID_LAM=0.2 0.4"]
    commands = make("table", "TUNE=1", *grid)
    tried = {of.words[of.words.index("--method") + 1]: of.reads for of in commands if of.words[0] == "choose"}
    scored = {path: command for command in commands for path in command.writes if command.words[0] == "evaluate"}
    counts = {method: len(scored[reads[0]].reads) - 1 for method, reads in tried.items()}  # one is the queries
    assert counts == {"cos": 1, "steerx-cos": 2, "cas": 3, "steerx-cas": 12}
    strengths = [of.words for of in commands if "/development/" in " ".join(of.writes) and "--method" in of.words]
    for words in strengths:
        line = " ".join(words)
        if "cos" in words[words.index("--method") + 1]:
            assert "--lam 0.2 --lam 0.4" in line
        elif words[0] == "generate" and "cas" in words[words.index("--method") + 1]:
            assert "--gamma2 0.1 --gamma2 1" in line


@pytest.mark.parametrize(
    "typed", ["ANCHORS=--tau 0.8", "LAM=0.3", "BUILD_VECTOR=--gamma1 0.3", "GENERATE=--layer=2", "GRID_LAYER="]
)
def test_what_is_chosen_cannot_be_typed_too(typed: str, make: Pretended) -> None:
    ended = make.ended("-n", "table", "TUNE=1", typed)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "*** TUNE=1 " in ended.stderr
    make.planned("table", typed)


def test_effects_of_what_was_generated_may_be_by_all_histories(make: Pretended) -> None:
    make("effects")
    age(make.folder)
    (make.data / "histories.parquet").touch()
    (measured,) = [command for command in make("effects") if "generations" in command.words]
    assert f"{make.data}/histories.parquet" in measured.reads


def test_sweeps_are_on_development_users_and_of_one_setting(make: Pretended) -> None:
    for target, flag, values in (("sweep-tau", "--tau", "0.6 0.7 0.8 0.9"), ("sweep-lambda", "--lam", None)):
        commands = make(target)
        (scored,) = (command.words for command in commands if command.words[0] == "evaluate" and command.writes)
        assert "--split development" in " ".join(scored)
        found = [word for of in commands for at, word in enumerate(of.words) if of.words[at - 1] == flag]
        assert found == (values.split() if values else [f"0.{tenths}" for tenths in range(1, 9)])


def test_each_seed_of_each_draw_shares_what_hangs_on_no_seed(make: Pretended) -> None:
    commands = make("seeds", "CONTROLS=1", "SEEDS=3 4", "DRAWS=1 2", "SHARES=2")
    selected = [command.words for command in commands if command.words[0] == "select"]
    assert [words[words.index("--draw") + 1] for words in selected] == ["1/2", "2/2"]
    assert make.planned("seeds", "DRAWS=2", "SHARES=7")[0][-1] == "2/7"
    measured = [command for command in commands if "--measure-only" in command.words]
    assert len(measured) == 2
    for command in commands:
        seeded = re.findall(r"/seed-(\d)(?=/|$)", command.words[2])
        typed = [word for at, word in enumerate(command.words) if command.words[at - 1] == "--seed"]
        hangs = command.words[0] == "generate" or "random" in command.words
        assert typed == (seeded if hangs and seeded else [])
    answers = [of for of in commands if of.words[0] == "generate" and "--over" not in of.words]
    assert {of.words[of.words.index("--temperature") + 1] for of in answers} == {"0.7"}


def test_no_path_is_longer_than_some_systems_allow(tmp_path: Path) -> None:
    """macOS takes 1,024 bytes; a run folder may have a long name itself."""
    make = Pretended(tmp_path)
    make.run = Path("/" + "/".join(["a-user-name", "projects", "steerx", "x" * 90]))
    for target in (
        ["controls"],
        ["table", "TUNE=1", "CONTROLS=1"],
        ["sweep-tau", "CONTROLS=1"],
        ["seeds", "CONTROLS=1"],
    ):
        paths = re.findall(r"/a-user-name[^ '\"]*/typed", "\n".join(make.lines("-n", *target)))
        assert len(paths) > 10
        assert max(map(len, paths)) < 900


def test_nothing_is_written_that_make_3_81_cannot_read() -> None:
    newer = r"!=|::=|&:|\$\((?:file|guile|let|intcmp) |\bundefine\b|\.ONESHELL|\bprivate\b|\.WAIT|\.NOTINTERMEDIATE"
    newer += r"|^define \S+ *[:?+]?=|\.SHELLFLAGS|\.RECIPEPREFIX|\.EXTRA_PREREQS"
    for path in [ROOT / "Makefile", *(ROOT / "stages").rglob("*.mk")]:
        assert not re.findall(newer, path.read_text(), re.MULTILINE), path
