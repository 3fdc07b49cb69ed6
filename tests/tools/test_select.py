"""`steerx select`: a part of the data, against the obvious choice over plain lists."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import support
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.order import lot, user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Record, Shard
from steerx_cli.core.schemas import HISTORIES, QUERIES
from steerx_cli.core.scope import Scope
from steerx_cli.core.summary import Summary
from steerx_cli.tools.select import Choice, run, share
from steerx_cli.tools.show import ancestors
from support import Steerx

Row = dict[str, Any]
ALL, DEVELOPMENT, TEST = Choice(), Choice("development"), Choice("test")
NAMES = ("histories", "queries")


def query(user: str, name: str, split: str) -> Row:
    return {"user_id": user, "query_id": name, "split": split, "input": f"{user} asks", "reference": None, "fields": []}


def history(user: str, name: str) -> Row:
    row = {"user_id": user, "item_id": name, "input": "x", "response": f"{user} wrote {name}", "rating": None}
    return {**row, "time": None, "fields": [{"name": "title", "value": name}]}


def world() -> dict[str, list[Row]]:
    """People with any number of histories and of queries in each split, none included."""
    made: dict[str, list[Row]] = {name: [] for name in NAMES}
    for number, user in enumerate(sorted((f"user {number}" for number in range(36)), key=user_order)):
        made["histories"] += [history(user, f"h{n}") for n in range(number % 3)]
        splits = ["development"] * (number // 3 % 2) + ["test"] * (number // 6 % 3)
        made["queries"] += [query(user, f"q{n}", split) for n, split in enumerate(splits)]
    return made


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write(folder, world())
    return folder


def write(folder: Path, tables: dict[str, list[Row]]) -> None:
    for artifact in (replace(HISTORIES, rows_per_group=5), replace(QUERIES, rows_per_group=5)):
        rows = tables[artifact.name]
        table = pa.Table.from_pylist(rows, schema=artifact.columns)
        output = Output(folder / f"{artifact.name}.parquet", artifact, overwrite=True)
        record = Record(artifact.name, artifact.version, "import", version("steerx"), {})
        write_whole(output, record, [table], len({row["user_id"] for row in rows}))


def select(data: Path, choice: Choice, output: Path, **scope: Any) -> Summary:
    place = Scope(output, **{"chunk_users": 16, **scope})
    return run(choice, data / "queries.parquet", data / "histories.parquet", place, Silent())


def read(folder: Path) -> dict[str, list[Row]]:
    return {name: cast("list[Row]", pq.read_table(folder / f"{name}.parquet").to_pylist()) for name in NAMES}


def asking(folder: Path) -> list[str]:
    """The users with a query, in order."""
    return list(dict.fromkeys(row["user_id"] for row in read(folder)["queries"]))


def refusal(data: Path, choice: Choice, output: Path, **scope: Any) -> str:
    with pytest.raises(SteerxError) as refused:
        select(data, choice, output, **scope)
    return str(refused.value)


# --- which rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["development", "test", "all"])
def test_the_queries_of_a_split_are_kept_and_all_histories_of_who_asks_them(
    people: Path, tmp_path: Path, split: str
) -> None:
    made = world()
    queries = [row for row in made["queries"] if split in (row["split"], "all")]
    users = {row["user_id"] for row in queries}
    histories = [row for row in made["histories"] if row["user_id"] in users]
    summary = select(people, Choice(split), tmp_path / "part")
    assert read(tmp_path / "part") == {"queries": queries, "histories": histories}
    writing = {row["user_id"] for row in histories}
    assert writing < users, "somebody has a query and no history"
    assert {row["user_id"] for row in made["histories"]} - users, "and somebody histories and no query"
    assert (summary.rows, summary.users, summary.users_now) == (len(queries), len(users), len(users))
    assert summary.notes == (f"rows are queries; histories: {len(histories)}, of {len(writing)} users",)
    for artifact, rows, count in ((QUERIES, queries, len(users)), (HISTORIES, histories, len(writing))):
        footer = read_footer(tmp_path / "part" / f"{artifact.name}.parquet", artifact)
        assert (footer.rows, footer.users) == (len(rows), count)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 36, 50])
def test_shares_have_nobody_in_common_and_are_all_together(count: int) -> None:
    users = [f"user {number}" for number in range(36)]
    for seed in range(5):
        shares = [share(users, Shard(index, count), seed) for index in range(1, count + 1)]
        assert sorted(user for some in shares for user in some) == sorted(users)
        assert {len(some) for some in shares} <= {36 // count, -(-36 // count)}
        assert shares == [share(users[::-1], Shard(index, count), seed) for index in range(1, count + 1)]


def test_files_of_all_shares_have_all_rows_of_the_split_each_once(people: Path, tmp_path: Path) -> None:
    select(people, TEST, tmp_path / "all")
    everybody, whole = asking(tmp_path / "all"), read(tmp_path / "all")
    by_lot = sorted(everybody, key=lambda user: lot(3, "draw", user))
    parts = []
    for index in (1, 2, 3):
        select(people, Choice("test", Shard(index, 3), 3), tmp_path / f"{index}")
        parts.append(read(tmp_path / f"{index}"))
        users = [user for user in everybody if user in by_lot[index - 1 :: 3]]
        assert asking(tmp_path / f"{index}") == users
        assert parts[-1] == {name: [row for row in rows if row["user_id"] in users] for name, rows in whole.items()}
    assert {name: sum(len(part[name]) for part in parts) for name in NAMES} == {n: len(whole[n]) for n in NAMES}


def test_a_seed_draws_the_same_every_time_and_another_seed_others(people: Path, tmp_path: Path) -> None:
    shares: list[dict[str, bytes | None]] = []
    for seed in (0, 1, 2, 0):
        part = tmp_path / f"{len(shares)}"
        select(people, Choice("all", Shard(1, 2), seed), part)
        shares.append(support.contents(part))
    bytes_of = [[*contents.values()] for contents in shares]
    assert bytes_of[0] == bytes_of[3]
    assert len({tuple(asking(tmp_path / name)) for name in "012"}) == 3


def test_who_falls_to_a_share_hangs_on_nothing_but_who_is_drawn_from(people: Path, tmp_path: Path) -> None:
    """So that shares of development users can be drawn at once or in two steps."""
    drawn = Choice("development", Shard(2, 3), 5)
    select(people, drawn, tmp_path / "at once")
    select(people, DEVELOPMENT, tmp_path / "first")
    select(tmp_path / "first", Choice("all", drawn.draw, drawn.seed), tmp_path / "then")
    assert read(tmp_path / "at once") == read(tmp_path / "then")


def test_no_chunk_changes_a_row(people: Path, tmp_path: Path) -> None:
    for size in (2, 5, 64):
        select(people, Choice("test", Shard(1, 2)), tmp_path / f"{size}", chunk_users=size)
    assert read(tmp_path / "2") == read(tmp_path / "5") == read(tmp_path / "64")


def test_nothing_asked_for_is_a_copy(data: Path, tmp_path: Path) -> None:
    select(data, ALL, tmp_path)
    assert read(tmp_path) == read(data)


def test_users_without_histories_can_be_all_there_are(tmp_path: Path) -> None:
    write(tmp_path, {"queries": [query("a", "q", "test")], "histories": [history("b", "h")]})
    summary = select(tmp_path, ALL, tmp_path / "part")
    assert read(tmp_path / "part") == {"queries": [query("a", "q", "test")], "histories": []}
    assert summary.notes == ("rows are queries; histories: 0, of 0 users",)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_choice_of_nobody_is_refused(people: Path, tmp_path: Path) -> None:
    queries, part = tmp_path / "queries.parquet", tmp_path / "part"
    write(tmp_path, {"queries": [query(user, "q", "test") for user in sorted("ab", key=user_order)], "histories": []})
    said = f"{queries} has no query of the split development: name another --split"
    for dry_run in (False, True):
        assert refusal(tmp_path, DEVELOPMENT, part, dry_run=dry_run) == said
    assert refusal(tmp_path, Choice("test", Shard(3, 3)), part) == (
        f"nobody falls to --draw 3/3 of the 2 users with a query of the split test in {queries}: draw fewer shares"
    )
    assert refusal(tmp_path, Choice("all", Shard(9, 9)), part) == (
        f"nobody falls to --draw 9/9 of the 2 users with a query in {queries}: draw fewer shares"
    )
    write(tmp_path, {"queries": [], "histories": [history("a", "h")]})
    assert refusal(tmp_path, ALL, part) == f"{queries} has no query: `steerx import` writes queries"
    assert not part.exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_input_is_replaced(people: Path, tmp_path: Path, overwrite: bool, name: str) -> None:
    (tmp_path / "a").mkdir()
    shutil.copytree(people, tmp_path / "b")
    inputs = {other: tmp_path / ("a" if other == name else "b") / f"{other}.parquet" for other in NAMES}
    (tmp_path / "b" / f"{name}.parquet").rename(inputs[name])
    before = support.contents(tmp_path)
    for folder in (tmp_path / "a", tmp_path / "b" / ".." / "a"):
        with pytest.raises(SteerxError) as refused:
            run(TEST, inputs["queries"], inputs["histories"], Scope(folder, overwrite=overwrite), Silent())
        said = f"{folder / inputs[name].name} is read and would be written: name another --output"
        assert str(refused.value) == said
    assert support.contents(tmp_path) == before


def test_an_input_under_the_other_s_name_is_not_replaced_either(people: Path, tmp_path: Path) -> None:
    shutil.copy(people / "histories.parquet", tmp_path / "queries.parquet")
    with pytest.raises(SteerxError, match=r"queries\.parquet is read and would be written: name another --output$"):
        run(TEST, people / "queries.parquet", tmp_path / "queries.parquet", Scope(tmp_path, overwrite=True), Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["queries.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_replaced_only_when_asked_and_nothing_is_half_done(
    people: Path, tmp_path: Path, name: str
) -> None:
    select(people, Choice("test", Shard(1, 2)), tmp_path)
    other = next(each for each in NAMES if each != name)
    (tmp_path / f"{other}.parquet").unlink()
    before = support.contents(tmp_path)
    assert refusal(people, Choice("test", Shard(1, 2), 7), tmp_path) == (
        f"{tmp_path / name}.parquet was made otherwise (seed 0 → 7): name another --output, "
        "or replace it with --overwrite"
    )
    assert refusal(people, DEVELOPMENT, tmp_path).startswith(
        f"{tmp_path / name}.parquet was made otherwise (draw 1/2 → none, seed 0 → none, split test → development): "
    )
    assert support.contents(tmp_path) == before
    assert select(people, DEVELOPMENT, tmp_path, overwrite=True).status == "finished"
    assert read(tmp_path)["queries"] == [row for row in world()["queries"] if row["split"] == "development"]


def test_users_out_of_order_are_refused(tmp_path: Path) -> None:
    made = world()
    write(tmp_path, {**made, "queries": made["queries"][::-1]})
    said = "is not in steerx's order of users: make it again, do not sort or join it"
    assert refusal(tmp_path, TEST, tmp_path / "part") == f"{tmp_path}/queries.parquet {said}"
    write(tmp_path, {**made, "histories": made["histories"][::-1]})
    assert refusal(tmp_path, TEST, tmp_path / "part") == f"{tmp_path}/histories.parquet {said}"


# --- stopped, continued, told -----------------------------------------------------------------------------------------


def test_a_second_selection_does_nothing(people: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    assert select(people, TEST, part, dry_run=True).status == "would run"
    assert not part.exists()
    first = select(people, TEST, part)
    before = {path: path.stat().st_ino for path in part.iterdir()}
    for scope in ({}, {"dry_run": True}, {"overwrite": True}):
        again = select(people, TEST, part, **scope)
        assert (again.status, again.users_now) == ("up to date", 0)
        assert (again.rows, again.users, again.notes) == (first.rows, first.users, first.notes)
    assert {path: path.stat().st_ino for path in part.iterdir()} == before


def test_one_of_the_two_files_is_made_again_alone(people: Path, tmp_path: Path) -> None:
    select(people, TEST, tmp_path)
    before, kept = support.contents(tmp_path), (tmp_path / "histories.parquet").stat().st_ino
    (tmp_path / "queries.parquet").unlink()
    assert select(people, TEST, tmp_path).status == "finished"
    assert support.contents(tmp_path) == before
    assert (tmp_path / "histories.parquet").stat().st_ino == kept


def test_ctrl_c_keeps_what_is_finished(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    select(people, TEST, tmp_path / "whole", chunk_users=5)

    class Stopping(Silent):
        done = 0

        def advance(self, amount: int) -> None:
            self.done += amount
            if self.done == 10:
                raise KeyboardInterrupt

    place = Scope(tmp_path / "part", chunk_users=5)
    inputs = people / "queries.parquet", people / "histories.parquet"
    with pytest.raises(Interrupted, match=r"^2 of 4 chunks are finished and kept; the same command continues$"):
        run(TEST, *inputs, place, Stopping())
    summary = run(TEST, *inputs, place, Silent())
    assert summary.notes[0] == "2 of 4 chunks were finished by an earlier run"
    assert bytes_in(tmp_path / "part") == bytes_in(tmp_path / "whole")


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_stopped_in_either_file_it_continues_to_the_same_bytes(people: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    lines = support.at_line(0, support.WRITING, lambda: None, select, people, TEST, tmp_path / "whole")
    for number in (lines // 3, lines * 3 // 4):
        part = tmp_path / f"{number}"
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            support.at_line(number, support.WRITING, stop, select, people, TEST, part)
        assert not (part / "queries.parquet").exists()
        assert (part / "histories.parquet").exists() == (number > lines // 2)
        select(people, TEST, part)
        assert bytes_in(part) == bytes_in(tmp_path / "whole")


def test_two_selections_into_one_folder_the_second_stops(people: Path, tmp_path: Path) -> None:
    with Output(tmp_path / "histories.parquet", HISTORIES).locked():
        said = refusal(people, TEST, tmp_path)
        assert said.startswith(f"another steerx is writing {tmp_path}/histories.parquet: wait for it, or name another")


def lineage(path: Path) -> Iterator[tuple[int, str, str]]:
    artifact = HISTORIES if path.stem == "histories" else QUERIES
    for ancestor in ancestors(read_footer(path, artifact)):
        yield ancestor.depth, ancestor.role, ancestor.record["stage"]


def test_the_provenance_says_what_was_chosen_from_what(people: Path, tmp_path: Path) -> None:
    select(people, DEVELOPMENT, tmp_path / "first")
    select(tmp_path / "first", Choice("all", Shard(2, 3), 4), tmp_path / "part")
    records = {
        (folder, artifact.name): read_footer(tmp_path / folder / f"{artifact.name}.parquet", artifact).record
        for folder in ("first", "part")
        for artifact in (HISTORIES, QUERIES)
    }
    told = {"chunk_users": 16, "limit": None}
    for name in NAMES:
        assert records["first", name].parameters == {"split": "development", **told}
        assert records["part", name].parameters == {"split": "all", "draw": "2/3", "seed": 4, **told}
    own = [(1, "queries", "select"), (2, "queries", "import")]
    assert [*lineage(tmp_path / "part/queries.parquet")] == [(0, "queries", "select"), *own]
    assert [*lineage(tmp_path / "part/histories.parquet")] == [
        (0, "histories", "select"),
        (1, "histories", "select"),
        (2, "histories", "import"),
        (2, "queries", "import"),
        *own,
    ]


def test_a_stage_takes_a_part_for_the_data(data: Path, tmp_path: Path) -> None:
    select(data, DEVELOPMENT, tmp_path / "part")
    support.retrieve(data, tmp_path / "whole.parquet", chunk_users=64)
    summary = support.retrieve(tmp_path / "part", tmp_path / "retrieved.parquet", chunk_users=64)
    users = asking(tmp_path / "part")
    assert summary.users == len(users) == 7
    whole = pq.read_table(tmp_path / "whole.parquet").to_pylist()
    assert pq.read_table(tmp_path / "retrieved.parquet").to_pylist() == [
        row for row in whole if row["user_id"] in users
    ]


# --- as it is typed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(people: Path, alone: Path) -> Path:
    """A working folder with the data in `people`, and a preset that names it."""
    shutil.copytree(people, alone / "people")
    (alone / "mine.toml").write_text('data = "people"\n')
    return alone


def test_the_command_finds_its_inputs_as_a_stage_does(here: Path, steerx: Steerx) -> None:
    for place in (["--data", "people"], ["--preset", "mine.toml"], ["--run", "people"]):
        code, out, err = steerx("select", *place, "--split", "test", "--output", "part", "--json")
        told = json.loads(out)
        assert (code, err, told["command"], told["parameters"]["split"]) == (0, "", "select", "test")
        assert told["inputs"] == {name: f"people/{name}.parquet" for name in NAMES}
        assert told["output"] == "part/histories.parquet, part/queries.parquet"
    (here / "people/queries.parquet").rename(here / "asked.parquet")
    (here / "people/histories.parquet").rename(here / "written.parquet")
    typed = ["--queries", "asked.parquet", "--histories", "written.parquet", "-o", "part", "--split", "test"]
    assert steerx("select", *typed, "--quiet") == (0, "", ""), "and it is up to date"


def test_the_draw_reaches_the_choice(here: Path, people: Path, steerx: Steerx) -> None:
    typed = ["select", "--data", "people", "--draw", "2/3", "--seed", 4, "--output", "typed", "--quiet"]
    assert steerx(*typed) == (0, "", "")
    select(people, Choice("all", Shard(2, 3), 4), here / "called", chunk_users=64)
    assert bytes_in(here / "typed") == bytes_in(here / "called")


@pytest.mark.parametrize("draw", ["4/3", "0/3", "1/0", "1", "a/b", "-1/2"])
def test_a_draw_that_is_none_is_refused(here: Path, steerx: Steerx, draw: str) -> None:
    said = f"Error: Invalid value for '--draw': {draw} is not I/N with I from 1 to N, such as 1/4"
    assert steerx("select", "--data", "people", "--draw", draw, "--output", "part") == (
        2,
        "",
        f"{said}: see steerx select --help\n",
    )
    assert not (here / "part").exists()


def test_a_seed_of_no_draw_is_refused_when_it_is_typed(here: Path, steerx: Steerx) -> None:
    said = "Error: without --draw nothing is drawn: leave --seed out, or name a share (--draw 1/2)\n"
    assert steerx("select", "--data", "people", "--seed", 1, "--output", "part") == (2, "", said)
    (here / "mine.toml").write_text('data = "people"\nseed = 3\n')
    code, out, _ = steerx("select", "--preset", "mine.toml", "--output", "part", "--json")
    assert (code, "seed" in json.loads(out)["parameters"]) == (0, False)


def test_the_folder_to_write_has_to_be_named(steerx: Steerx) -> None:
    said = "Error: Missing option '--output' / '-o': see steerx select --help\n"
    assert steerx("select", "--split", "test") == (2, "", said)
