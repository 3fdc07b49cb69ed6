"""Files that do not fit, on the way in and on the way out: one sentence each, and nothing is lost."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import support
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.schemas import QUERIES
from support import RUN, Steerx, contents, python


@pytest.fixture(autouse=True)
def here(data: Path, alone: Path) -> Path:
    """A working folder with histories and queries in runs/default."""
    shutil.copytree(data, alone / "runs" / "default")
    return alone


def refused(steerx: Steerx, queries: object, *arguments: object) -> str:
    """What is said of these queries; nothing is written."""
    before = contents(Path())
    code, out, err = steerx("retrieve", "--queries", queries, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert contents(Path()) == before
    return err.removeprefix("Error: ").rstrip("\n")


def test_a_missing_input_is_named_with_the_command_that_writes_it(steerx: Steerx) -> None:
    assert refused(steerx, "gone.parquet") == f"gone.parquet does not exist: `{QUERIES.written_by}` writes queries"
    code, out, err = steerx("retrieve", "--run", "new", "--data", "nowhere")
    said = f"Error: new/queries.parquet does not exist: `{QUERIES.written_by}` writes queries\n"
    assert (code, out, err) == (2, "", said)


def test_a_folder_without_parquet_is_named_with_the_command_that_fills_it(here: Path, steerx: Steerx) -> None:
    (here / "empty").mkdir()
    said = f"empty has no Parquet file in it: `{QUERIES.written_by}` writes queries"
    assert refused(steerx, "empty") == said


def test_another_artifact_is_refused(steerx: Steerx) -> None:
    place = "runs/default/histories.parquet"
    assert refused(steerx, place) == f"{place} holds histories, not queries: `{QUERIES.written_by}` writes queries"


def test_parquet_of_another_program_is_refused(steerx: Steerx) -> None:
    pq.write_table(pa.table({"user_id": ["u"]}), "foreign.parquet")
    said = f"foreign.parquet was not written by steerx: `{QUERIES.written_by}` writes queries"
    assert refused(steerx, "foreign.parquet") == said


@pytest.mark.parametrize("kept", [0, 4, 8, 2000])
def test_truncated_parquet_is_refused(here: Path, steerx: Steerx, kept: int) -> None:
    (here / "cut.parquet").write_bytes((here / "runs/default/queries.parquet").read_bytes()[:kept])
    said = refused(steerx, "cut.parquet")
    assert said.startswith("cut.parquet is damaged or no Parquet file (")
    assert said.endswith(f"): make it again with `{QUERIES.written_by}`")


def test_a_text_file_is_no_parquet(here: Path, steerx: Steerx) -> None:
    (here / "notes.txt").write_text("A secret that somebody wrote.\n" * 99)
    said = refused(steerx, "notes.txt")
    assert said.startswith("notes.txt is damaged or no Parquet file (")
    assert said.endswith(f"): make it again with `{QUERIES.written_by}`")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (-1, f"and this steerx reads version {QUERIES.version}: make it again with `{QUERIES.written_by}`"),
        (+1, "old.parquet comes from a newer steerx (0.1.0): update steerx"),
    ],
)
def test_a_file_of_another_schema_is_refused(here: Path, steerx: Steerx, difference: int, said: str) -> None:
    footer = read_footer(here / "runs/default/queries.parquet", QUERIES)
    record = replace(footer.record, schema=QUERIES.version + difference)
    rows = pq.read_table(here / "runs/default/queries.parquet").replace_schema_metadata(None)
    write_whole(Output(here / "old.parquet", QUERIES), record, [rows], footer.users)
    older = f"old.parquet has queries of version {QUERIES.version - 1}, "
    assert refused(steerx, "old.parquet") == (older + said if difference < 0 else said)


def test_a_result_of_other_settings_is_not_replaced_unasked(here: Path, steerx: Steerx) -> None:
    assert steerx("retrieve").code == 0
    place = "runs/default/retrieved.parquet"
    assert refused(steerx, "runs/default/queries.parquet", "--top-k", 3, "--chunk-users", 8) == (
        f"{place} was made otherwise (chunk-users 64 → 8, top-k 2 → 3): "
        "name another --output or --run, or replace it with --overwrite"
    )
    assert steerx("retrieve", "--top-k", 3, "--overwrite").code == 0


def test_what_is_no_artifact_is_not_replaced_unasked(here: Path, steerx: Steerx) -> None:
    (here / "thesis.txt").write_text("years of work")
    said = refused(steerx, "runs/default/queries.parquet", "--output", "thesis.txt")
    assert said.startswith("thesis.txt is damaged or no Parquet file (")
    assert said.endswith("; or replace it with --overwrite")


def test_control_characters_in_a_name_reach_no_terminal(steerx: Steerx) -> None:
    said = refused(steerx, "evil\x1bc\n\x9b2J.parquet")
    assert said == f"evil␛c⏎\\x9b2J.parquet does not exist: `{QUERIES.written_by}` writes queries"


def test_a_name_that_is_not_utf_8_is_written_or_refused_in_a_sentence() -> None:
    code, out, err = python(RUN, "retrieve", "--json", "--output", os.fsdecode(b"caf\xe9.parquet"))
    assert "Traceback" not in err
    assert (code, json.loads(out)["status"]) == (0, "finished") if code == 0 else (code, err.count("\n")) == (2, 1)


def test_a_damaged_shard_ends_a_merge_in_one_sentence_and_nothing_more(here: Path) -> None:
    shards = support.shards(here / "runs/default", here / "shards", 2)
    damaged = bytearray(shards[1].read_bytes())
    damaged[60] ^= 0xFF
    shards[1].write_bytes(damaged)
    code, out, err = python(RUN, "merge", "shards")
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {Path('shards', shards[1].name)} is damaged or no Parquet file (")
    assert err.endswith("): make it again with `steerx retrieve`\n")
    assert err.count("\n") == 1, "the one sentence is not all that was said"


def test_a_setting_that_is_not_utf_8_is_refused_before_anything_is_loaded(here: Path) -> None:
    (here / "encoder").mkdir()
    (here / "encoder" / "config.json").write_text("{}")
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (here / "encoder" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    given = ["retrieve", "--retriever", "dense", "--model", "encoder", "--query-text", "x\udcff"]
    code, out, err = python(f"import sys\nsys.argv[1:] = {given!r}\n{RUN}")
    assert (code, out) == (2, "")
    assert err == "Error: --query-text has bytes that are not UTF-8: type it in UTF-8\n"


def test_a_mistyped_template_is_refused_before_anything_is_read(steerx: Steerx) -> None:
    given = ("retrieve", "--retriever", "dense", "--model", "some/encoder", "--history-text", "{title")
    said = (
        "--history-text has a brace that belongs to no placeholder: write a placeholder as {name}, and no other brace"
    )
    assert steerx(*given) == (2, "", f"Error: {said}\n")


# --- what is shown, to whoever reads it -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "--json", "--chain --rows 500"])
def test_a_reader_that_leaves_is_no_error(here: Path, options: str) -> None:
    told = here / "told"
    show = f"{shlex.quote(sys.executable)} -m steerx_cli show runs/default/histories.parquet {options}"
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {show} 2>{told} | head -c 9 >/dev/null"], check=False)
    assert (ended.returncode, told.read_text()) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_output_that_is_full_is_said_in_a_sentence(here: Path, options: list[str]) -> None:
    show = [sys.executable, "-m", "steerx_cli", "show", "runs/default/histories.parquet", *options]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(show, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "Error: what there is to show cannot be written: No space left on device: send it elsewhere\n"
    assert (ended.returncode, ended.stderr) == (2, said)
