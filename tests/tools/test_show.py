"""`steerx show`: whatever an artifact holds, it fits the terminal and does it no harm."""

import json
import re
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

import support
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED
from support import Steerx

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b]")


@pytest.fixture(autouse=True)
def here(data: Path, alone: Path) -> Path:
    """A working folder with histories, queries and what was retrieved."""
    for name in ("histories", "queries"):
        shutil.copy(data / f"{name}.parquet", alone)
    support.retrieve(alone, Path("retrieved.parquet"))
    return alone


@pytest.fixture
def show(steerx: Steerx) -> Steerx:
    """Run `steerx show` in this process."""
    return partial(steerx, "show")


def write(place: Path, *texts: str, parameters: dict[str, Any] | None = None) -> None:
    """An artifact of one person who wrote these texts."""
    rows = [
        {
            "user_id": "someone",
            "item_id": f"{number}",
            "input": f"in {text}",
            "response": text,
            "rating": None,
            "time": datetime(2024, 2, 29, 12, tzinfo=UTC),
            "fields": [{"name": f"name {text}", "value": f"value {text}"}],
        }
        for number, text in enumerate(texts)
    ]
    table = pa.Table.from_pylist(rows, schema=HISTORIES.columns)
    record = Record("histories", HISTORIES.version, "import", "0.1.0", parameters or {})
    write_whole(Output(place, HISTORIES), record, [table], min(1, len(rows)))


NASTY = [
    "\x1b[2J\x1b[31mred\x1b]0;title\x07 \x9b31m\x00\x7f\r\n\t\u2028\u202edrawkcab\u2066\u200b " * 9,
    "日本語の長い文章 👩‍👩‍👧 🇯🇵 👍🏽 " * 40,
    "e\u0301" * 300,
    "line\n" * 100,
    "x" * 10_000,
    "",
]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(show: Steerx, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    write(Path("nasty.parquet"), *NASTY, parameters={"a_setting": "that is long " * 30})
    for arguments in (["nasty.parquet", "--rows", 9], ["retrieved.parquet", "--rows", 2, "--chain"]):
        code, out, err = show(*arguments)
        assert (code, err) == (0, "")
        assert [line for line in out.splitlines() if cell_len(line) > width] == []


def test_a_line_is_cut_no_sooner_than_the_terminal_ends(show: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    write(Path("long.parquet"), "x" * 100)
    response = next(line for line in show("long.parquet").out.splitlines() if re.match(r" *response +x", line))
    assert len(response) == 60
    assert response.endswith("x…")


def test_control_characters_in_texts_are_shown_as_signs(show: Steerx) -> None:
    write(Path("nasty.parquet"), *NASTY, "\x1b[31mred\nblue \u202eback", parameters={"text": "\x1b[31m\n\x9b"})
    code, out, err = show("nasty.parquet", "--rows", 9)
    assert (code, err) == (0, "")
    assert not CONTROL.search(out)
    assert re.search(r"response +␛\[31mred⏎blue \\u202eback$", out, re.MULTILINE)
    assert re.search(r"fields +name ␛\[31mred⏎blue \\u202eback: value ␛\[31mred⏎", out)


def test_control_characters_in_a_file_s_name_are_shown_as_signs(here: Path, show: Steerx) -> None:
    name = "evil\x1b[31m\x9b\n\u202e.parquet"
    shutil.copy("queries.parquet", here / name)
    code, out, err = show(name)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "queries  20 rows, 20 users  evil␛[31m\\x9b⏎\\u202e.parquet"
    assert not CONTROL.search(out)


def test_control_characters_in_a_provenance_made_by_others_are_shown_as_signs(here: Path, show: Steerx) -> None:
    evil = "\x1b[31m\x9b\n"
    record = read_footer(here / "retrieved.parquet", RETRIEVED).record
    inputs = {f"{evil}role": "0" * 64}
    made_by_hand = Record("retrieved", record.schema, evil, evil, {evil: evil}, inputs, {evil: {"id": evil}})
    output = Output(here / "evil.parquet", RETRIEVED)
    footer = write_whole(output, made_by_hand, [RETRIEVED.columns.empty_table()], 0)
    lineage = {"0" * 64: {"record": asdict(made_by_hand) | {"inputs": {}}, "rows": 1, "content": ""}}
    text = json.dumps(asdict(footer) | {"ancestry": lineage, "shard": None})
    pq.write_table(RETRIEVED.columns.empty_table().replace_schema_metadata({"steerx": text}), "evil.parquet")
    code, out, err = show("evil.parquet", "--chain")
    assert (code, err) == (0, "")
    assert "role" in out
    assert not CONTROL.search(out)


def test_markup_in_texts_is_printed_as_it_is(show: Steerx) -> None:
    texts = ["[red]angry[/red]", "[/]", "[link=http://example.org]here[/link]", ":smile: \\[bold]"]
    write(Path("markup.parquet"), *texts)
    code, out, err = show("markup.parquet", "--rows", 4)
    assert (code, err) == (0, "")
    for text in texts:
        assert re.search(rf"response +{re.escape(text)}$", out, re.MULTILINE)


def test_markup_in_a_file_s_name_is_printed_as_it_is(show: Steerx) -> None:
    shutil.copy("queries.parquet", "[red]x[-].parquet")
    assert show("[red]x[-].parquet").out.splitlines()[0] == "queries  20 rows, 20 users  [red]x[-].parquet"
    said = "Error: [bold]x.parquet has no Parquet file in it: name an artifact\n"
    assert show("[bold]x.parquet") == (2, "", said)


def test_it_tells_columns_rows_and_provenance(show: Steerx) -> None:
    code, out, err = show("retrieved.parquet", "--rows", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "retrieved  40 rows, 20 users  retrieved.parquet"
    assert [line.split()[0] for line in lines[1 : 1 + len(RETRIEVED.columns)]] == RETRIEVED.columns.names
    assert [line for line in lines if line.startswith("row ")] == ["row 1", "row 2"]
    first = pq.read_table("retrieved.parquet").slice(0, 1).to_pylist()[0]
    for column in ("user_id", "query_id", "item_id", "input", "response"):
        assert re.search(rf"^  {column} +{re.escape(first[column])}$", out, re.MULTILINE)
    assert lines[-2] == "provenance"
    assert re.match(r"  retrieved  [0-9a-f]{12}, 40 rows, by retrieve of steerx 0\.1\.0: ", lines[-1])


def test_chain_lists_the_whole_ancestry(here: Path, show: Steerx) -> None:
    code, out, err = show("retrieved.parquet", "--rows", 0, "--chain")
    assert (code, err) == (0, "")
    chain = out.split("provenance\n")[1].splitlines()
    assert len(chain) == 3
    for line, indent, artifact in zip(chain, (2, 4, 4), (RETRIEVED, HISTORIES, QUERIES), strict=True):
        footer = read_footer(here / f"{artifact.name}.parquet", artifact)
        assert line.startswith(f"{' ' * indent}{artifact.name}  {footer.fingerprint[:12]}, {footer.rows} rows, by ")


def test_json_is_one_object_without_anybody_s_text(here: Path, show: Steerx) -> None:
    code, out, err = show("retrieved.parquet", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert (told["artifact"], told["place"]) == ("retrieved", "retrieved.parquet")
    assert told["footer"] == json.loads(json.dumps(asdict(read_footer(here / "retrieved.parquet", RETRIEVED))))
    assert [name for name, _ in told["columns"]] == RETRIEVED.columns.names
    assert "film" not in out


def test_json_of_a_strange_file_name_harms_no_terminal(here: Path, show: Steerx) -> None:
    name = "evil\x1b[31m\x7f\x9b\u202e.parquet"
    shutil.copy("queries.parquet", here / name)
    code, out, _ = show(name, "--json")
    assert (code, json.loads(out)["place"]) == (0, name)
    assert not CONTROL.search(out)


def test_shards_are_shown_as_the_whole(here: Path, show: Steerx) -> None:
    support.shards(here, here / "shards", 3)
    whole = show("retrieved.parquet", "--rows", 40, "--chain").out.splitlines()
    for place in ("shards", "shards/retrieved-*.parquet"):
        code, out, err = show(place, "--rows", 40, "--chain")
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == f"retrieved  40 rows, 20 users  {place}"
        assert out.splitlines()[1:] == whole[1:]
    Path("shards/retrieved-00002-of-00003.parquet").unlink()
    said = "Error: shard 2/3 is missing beside shards/retrieved-00001-of-00003.parquet: run or name it too\n"
    assert show("shards") == (2, "", said)
    code, out, _ = show("shards/retrieved-00001-of-00003.parquet", "--rows", 0)
    assert code == 0
    assert out.startswith("retrieved  12 rows, 6 users  shards/retrieved-00001-of-00003.parquet\n")


def test_a_folder_of_several_artifacts_is_refused(show: Steerx) -> None:
    assert show(".") == (2, "", "Error: . holds histories and queries and retrieved: name one of the files\n")


@pytest.mark.parametrize(("place", "rows"), [("retrieved.parquet", 0), ("empty.parquet", 3)])
def test_without_rows_the_rest_is_told(show: Steerx, place: str, rows: int) -> None:
    write(Path("empty.parquet"))
    code, out, err = show(place, "--rows", rows)
    assert (code, err) == (0, "")
    assert "row 1" not in out
    assert out.splitlines()[-2] == "provenance"


def test_more_rows_than_there_are_is_all_of_them(show: Steerx) -> None:
    write(Path("one.parquet"), "text")
    assert re.findall(r"^row \d+$", show("one.parquet", "--rows", 99).out, re.MULTILINE) == ["row 1"]


def test_what_is_no_artifact_is_refused(here: Path, show: Steerx) -> None:
    pq.write_table(pa.table({"x": [1]}), "foreign.parquet")
    assert show("foreign.parquet") == (2, "", "Error: foreign.parquet was not written by steerx: name an artifact\n")
    (here / "empty").mkdir()
    assert show("empty") == (2, "", "Error: empty has no Parquet file in it: name an artifact\n")
    for place in ("notes.txt", "gone.parquet"):
        Path("notes.txt").write_text("somebody's secret")
        code, out, err = show(place)
        assert (code, out) == (2, "")
        assert err.startswith(f"Error: {place} ")
        assert "secret" not in err
        assert "`steerx`" not in err, "that is no command which writes it"
