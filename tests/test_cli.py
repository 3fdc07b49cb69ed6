"""The program as a person meets it: help, exit codes, what is said on stdout and on stderr."""

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import sources
import support
from steerx_cli.app import STAGES, TOOLS, app
from steerx_cli.core.provenance import Shard
from support import RUN, Steerx, contents, python

COMMANDS = [*STAGES, *TOOLS]
PIPELINE = ["retrieve", "score-tokens", "smooth", "build-vector", "generate", "evaluate"]
SMOOTHED = ["score-tokens", "smooth"]
BUILT = [*SMOOTHED, "generate --method non-perso --over histories --max-new-tokens 9"]
WRITTEN = [f"generate --method {method} --max-new-tokens 5" for method in ("non-perso", "rag")]
NEEDED = {  # before its example runs
    "smooth": SMOOTHED[:1],
    "build-vector": BUILT,
    "export": [*BUILT, "build-vector"],
    "evaluate": WRITTEN,
    "report": SMOOTHED[:1],
    "choose": [
        "generate --method cos --lam 0 --lam 1 --max-new-tokens 3",
        "evaluate --split development --metric meteor --format none",
    ],
}
HEAVY = ["torch", "transformers", "polars", "pyarrow", "numpy"]


@pytest.fixture(autouse=True)
def here(data: Path, alone: Path) -> Path:
    """A working folder with histories and queries in runs/default."""
    shutil.copytree(data, alone / "runs" / "default")
    return alone


def help_of(command: str) -> list[str]:
    """The paragraphs of a command's help."""
    group = typer.main.get_command(app)
    return re.split(r"\n\s*\n", (group.commands[command].help or "").strip())  # type: ignore[attr-defined]


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_stages_in_pipeline_order_then_the_tools(steerx: Steerx, arguments: list[str]) -> None:
    code, out, err = steerx(*arguments)
    assert (code, err) == (0, "")
    listed = [match for match in re.findall(r"^│ ([a-z-]+)  ", out, re.MULTILINE) if not match.startswith("-")]
    assert listed == COMMANDS
    assert list(STAGES) == [stage for stage in PIPELINE if stage in STAGES]
    assert out.index("Stages, in the order of the pipeline") < out.index("─ Tools ─")


def test_no_help_loads_anything_heavy() -> None:
    asked = [[], ["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
    script = (
        "import json, sys\nfrom steerx_cli.app import main\n"
        f"codes = [main(arguments) for arguments in {asked}]\n"
        f"print('\\n' + json.dumps([codes, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    code, out, err = python(script)
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1]) == [[0] * len(asked), []]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_starts_with_one_sentence_and_has_one_example(steerx: Steerx, command: str) -> None:
    first, *others = help_of(command)
    assert re.fullmatch(r"[A-Z][^.]*\.", first.replace("\n", " "))
    assert len([line for line in others if line.startswith(f"Example: steerx {command} ")]) == 1
    code, out, err = steerx(command, "--help")
    assert (code, err) == (0, "")
    assert first in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_runs(here: Path, steerx: Steerx, command: str) -> None:
    run = here / "runs" / "default"
    sources.write_lines(here / "posts.jsonl", sources.generic(2, 3))
    support.retrieve(run, run / "retrieved.parquet", chunk_users=64)
    for index in (1, 2):
        name = f"retrieved-{index:05d}-of-00002.parquet"
        support.retrieve(run, run / name, shard=Shard(index, 2), chunk_users=64)
    for before in NEEDED.get(command, []):
        assert steerx(*before.split(), "--quiet").code == 0
    if command == "try":
        (run / "histories.parquet").unlink()  # it asks one of the demo's people
    example = next(line for line in help_of(command) if line.startswith("Example: "))
    words = shlex.split(example)[2:]
    expanded = [[word] if "*" not in word else sorted(Path().glob(word)) for word in words]  # as a shell does
    code, out, err = steerx(*(word for some in expanded for word in some))
    assert code == 0, err
    assert out or err


def test_the_version_is_told(steerx: Steerx) -> None:
    assert steerx("--version") == (0, "steerx 0.1.0\n", "")


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nope", "No such command 'nope': see steerx --help"),
        ("--nope", "No such option: --nope: see steerx --help"),
        ("retrieve --zzz 3", "No such option: --zzz: see steerx retrieve --help"),
        ("retrieve extra", "Got unexpected extra argument(s) (extra): see steerx retrieve --help"),
        (
            "retrieve --top-k 0",
            "Invalid value for '--top-k': Input should be greater than or equal to 1: see steerx retrieve --help",
        ),
        (
            "retrieve --limit few",
            "Invalid value for '--limit': Input should be a valid integer, unable to parse string as an integer: "
            "see steerx retrieve --help",
        ),
        ("retrieve --limit", "Option '--limit' requires an argument: see steerx retrieve --help"),
        ("show", "Missing argument 'file': see steerx show --help"),
    ],
)
def test_what_was_typed_wrong_is_said_in_a_sentence(steerx: Steerx, typed: str, said: str) -> None:
    assert steerx(*typed.split()) == (2, "", f"Error: {said}\n")


def test_a_value_that_is_none_of_the_choices_is_answered_with_them(steerx: Steerx) -> None:
    code, out, err = steerx("retrieve", "--retriever", "bm42")
    assert (code, out) == (2, "")
    assert err.startswith("Error: Invalid value for '--retriever': 'bm42' is not one of 'recency', ")
    assert err.endswith(": see steerx retrieve --help\n")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1/0", "1", "1/", "/2", "a/b", "1/2/3", "-1/2", "1.0/2"])
def test_a_shard_that_is_none_is_refused(here: Path, steerx: Steerx, shard: str) -> None:
    before = contents(here)
    said = f"Error: Invalid value for '--shard': {shard} is not I/N with I from 1 to N, such as 1/4"
    assert steerx("retrieve", "--shard", shard) == (2, "", f"{said}: see steerx retrieve --help\n")
    assert contents(here) == before


def test_a_traceback_is_shown_only_when_asked_for(steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Error: runs/default/none.parquet does not exist"
    code, out, err = steerx("retrieve", "--queries", "runs/default/none.parquet")
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    monkeypatch.setenv("STEERX_DEBUG", "1")
    code, out, debugged = steerx("retrieve", "--queries", "runs/default/none.parquet")
    assert (code, out) == (2, "")
    assert debugged.startswith("Traceback (most recent call last):\n")
    assert debugged.endswith(err)


def test_our_own_fault_keeps_its_traceback_and_exits_1() -> None:
    code, out, err = python(
        "import steerx_cli.stages.retrieve as stage\n"
        "def broken(*_): raise ZeroDivisionError('our fault')\n"
        f"stage.prepare = broken\n{RUN}",
        "retrieve",
    )
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("ZeroDivisionError: our fault\n")


INTERRUPT = (
    "import os, signal\nimport steerx_cli.{module} as module\nreal, calls = module.{name}, []\n"
    "def interrupted(*values, **named):\n"
    "    calls.append(1)\n"
    "    if len(calls) == {call}: os.kill(os.getpid(), signal.SIGINT)\n"
    "    return real(*values, **named)\n"
    f"module.{{name}} = interrupted\n{RUN}"
)


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_continues(here: Path, steerx: Steerx) -> None:
    command = ["retrieve", "--retriever", "recency", "--chunk-users", "4"]
    code, out, err = python(INTERRUPT.format(module="stages.retrieve", name="retrieve", call=3), *command)
    assert (code, out) == (130, "")
    assert err == "Stopped: 2 of 5 chunks are finished and kept; the same command continues\n"
    code, out, err = steerx(*command, "--json")
    told = json.loads(out)
    assert (code, told["status"], told["users"], told["users_now"]) == (0, "finished", 20, 12)
    support.retrieve(here / "runs/default", here / "whole.parquet", chunk_users=4)
    assert (here / "runs/default/retrieved.parquet").read_bytes() == (here / "whole.parquet").read_bytes()


def test_ctrl_c_before_the_work_began_exits_130_without_a_traceback(here: Path) -> None:
    before = contents(here)
    code, out, err = python(INTERRUPT.format(module="core.sources", name="order_shards", call=1), "retrieve")
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert contents(here) == before


def test_ctrl_c_while_the_result_is_put_together_says_only_what_is_kept(here: Path) -> None:
    interrupt = INTERRUPT.format(module="core.job", name="read_part_rows", call=2)
    code, out, err = python(interrupt, "retrieve", "--chunk-users", "10")
    assert (code, out) == (130, "")
    assert err == "Stopped: 2 of 2 chunks are finished and kept; the same command continues\n"
    assert not (here / "runs/default/retrieved.parquet").exists()


def test_ctrl_c_in_a_merge_says_that_it_starts_over(here: Path) -> None:
    shards = support.shards(here / "runs/default", here / "shards", 2)
    interrupt = INTERRUPT.format(module="core.artifacts", name="Writer.write", call=1)
    code, out, err = python(interrupt, "merge", "shards")
    assert (code, out) == (130, "")
    assert err.startswith("Stopped: ")
    assert err.count("\n") == 1
    assert sorted((here / "shards").iterdir()) == shards


# --- what is told -----------------------------------------------------------------------------------------------------


def lines_of(told: dict[str, Any]) -> dict[str, str]:
    """The lines that the same summary has as text; time and memory are another run's."""
    settings = [f"{name.replace('_', '-')} {value}" for name, value in told["parameters"].items() if value is not None]
    return {
        "preset": told["preset"],
        told["command"]: told["status"],
        **{f"read {role}": place for role, place in told["inputs"].items()},
        "wrote" if told["status"] == "finished" else "output": told["output"],
        "with": ", ".join(settings),
        "rows, users": f"{told['rows']:,}, {told['users']:,}",
        "note": "; ".join(f"{name}: {number:,}" for name, number in told["counts"].items()),
    }


def test_json_is_one_object_with_all_that_the_text_says(steerx: Steerx) -> None:
    for status in ("finished", "up to date"):
        text = steerx("retrieve", "--top-k", 9, "--data", "runs/default", "--run", "runs/a")
        as_json = steerx("retrieve", "--top-k", 9, "--data", "runs/default", "--run", "runs/b", "--json")
        assert (text.code, text.out, as_json.code, as_json.err) == (0, "", 0, "")
        assert as_json.out.count("\n") == 1
        told = json.loads(as_json.out)
        assert (told["preset"], told["status"], told["rows"], told["users"]) == ("demo", status, 100, 20)
        assert told["counts"] == {"queries with fewer histories than top-k": 20}
        lines = dict(re.split(r"  +", line.rstrip(), maxsplit=1) for line in text.err.splitlines())
        assert re.fullmatch(r"[\d,.]+ s(, [\d,.]+ users/s)?", lines.pop("time"))
        assert re.fullmatch(r"[\d,]+ MiB", lines.pop("peak memory"))
        told["output"] = told["output"].replace("runs/b", "runs/a")
        assert lines == lines_of(told)
        assert next(iter(lines)) == "preset"


def test_quiet_says_nothing(here: Path, steerx: Steerx) -> None:
    run = here / "runs/default"
    assert steerx("retrieve", "--quiet", "--retriever", "recency", "--chunk-users", 1) == (0, "", "")
    assert steerx("merge", "-q", *support.shards(run, run, 2), "-o", "merged.parquet") == (0, "", "")
    assert (here / "merged.parquet").read_bytes() == (run / "retrieved.parquet").read_bytes()


def test_nothing_moves_where_nobody_watches(steerx: Steerx) -> None:
    code, out, err = steerx("retrieve", "--chunk-users", 1)
    assert (code, out) == (0, "")
    assert re.match(r"preset +demo *\nretrieve +finished *\n", err)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err)


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run one command whose stderr is a terminal, and give what appeared there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "steerx_cli", *arguments]
    with subprocess.Popen(command, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}) as process:
        os.close(theirs)
        seen = b""
        try:
            while some := os.read(ours, 65536):
                seen += some
        except OSError:  # how Linux says that the other side was closed
            pass
    os.close(ours)
    return process.returncode, re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", seen.decode())


def test_a_terminal_shows_a_bar_with_a_rate() -> None:
    code, seen = on_a_terminal("retrieve", "--chunk-users", "1")
    assert code == 0
    assert re.search(r"retrieve ━+ 20/20 users [\d,.]+ users/s \d:\d\d:\d\d", seen)
    assert re.search(r"rows, users +40, 20", seen)


def test_a_terminal_shows_no_bar_when_nothing_is_to_be_told() -> None:
    assert on_a_terminal("retrieve", "--chunk-users", "1", "--quiet") == (0, "")


# --- which part, and where --------------------------------------------------------------------------------------------


def test_a_dry_run_checks_everything_writes_nothing_and_loads_no_torch(here: Path) -> None:
    (here / "encoder").mkdir()
    (here / "encoder" / "config.json").write_text('{"model_type": "bert", "torch_dtype": "float32"}')
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (here / "encoder" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    before = contents(here)
    code, out, err = python(
        "import sys\nfrom steerx_cli.app import main\ncode = main(sys.argv[1:])\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])\nsys.exit(code)",
        *["retrieve", "--retriever", "dense", "--model", "./encoder", "--dry-run", "--run", "new", "--data"],
        "runs/default",
    )
    assert (code, out) == (0, "[]\n"), err
    assert re.search(r"^retrieve +would run *$", err, re.MULTILINE)
    assert re.search(r"^output +new/retrieved.parquet *$", err, re.MULTILINE)
    assert contents(here) == before


def test_the_run_folder_is_named_by_a_flag_or_the_environment(
    here: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(here / "runs/default", here / "mine")
    shutil.copytree(here / "runs/default", here / "yours")
    monkeypatch.setenv("STEERX_RUN", "mine")
    assert json.loads(steerx("retrieve", "--json").out)["output"] == "mine/retrieved.parquet"
    assert json.loads(steerx("retrieve", "--json", "--run", "yours").out)["output"] == "yours/retrieved.parquet"
    monkeypatch.delenv("STEERX_RUN")
    assert json.loads(steerx("retrieve", "--json").out)["output"] == "runs/default/retrieved.parquet"


def test_a_limit_takes_the_first_users(here: Path, steerx: Steerx) -> None:
    told = json.loads(steerx("retrieve", "--limit", 3, "--json").out)
    assert (told["rows"], told["users"], told["parameters"]["limit"]) == (6, 3, 3)


def test_a_shard_is_named_by_its_number_and_merge_finds_the_name_of_the_whole(here: Path, steerx: Steerx) -> None:
    run = here / "runs/default"
    for shard in ("1/2", "2/2"):
        assert steerx("retrieve", "--chunk-users", 3, "--shard", shard).code == 0
    assert sorted(path.name for path in run.glob("retrieved*")) == [
        "retrieved-00001-of-00002.parquet",
        "retrieved-00002-of-00002.parquet",
    ]
    told = json.loads(steerx("merge", *run.glob("retrieved-*"), "--json").out)
    assert (told["status"], told["rows"], told["users"]) == ("finished", 40, 20)
    assert "preset" not in told, "a tool has none"
    assert steerx("retrieve", "--chunk-users", 3, "--output", "whole.parquet").code == 0
    assert (run / "retrieved.parquet").read_bytes() == (here / "whole.parquet").read_bytes()
