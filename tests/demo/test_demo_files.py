"""The artifacts of the demo world: the same bytes every time, and every row what its author wrote."""

from datetime import UTC, datetime
from math import copysign
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import support
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.order import user_order
from steerx_cli.core.schemas import HISTORIES, QUERIES, TRUTH
from steerx_cli.demo.descriptions import SAID, named
from steerx_cli.demo.documents import block_of, item_of
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.files import OTHERS, history_id, others_of, query_id, write_habits, write_world
from steerx_cli.demo.slots import SLOTS, Lengths
from steerx_cli.demo.world import HISTORIES_EACH, Author, Choice, Review, authors
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.prompt import Histories, History, Item, render
from steerx_cli.lm.templates import load_task

Row = dict[str, Any]
SEED = 3
WRITE = """
import sys
from pathlib import Path
from steerx_cli.demo import files, world
world.DEVELOPMENT = world.TEST = 4
files.write_world(Path(sys.argv[1]), int(sys.argv[2]))
"""


def few(seed: int) -> list[Author]:
    """Eight people of both splits: everybody takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steerx_cli.demo.world.DEVELOPMENT", 4)
        patch.setattr("steerx_cli.demo.world.TEST", 4)
        return authors(seed)


PEOPLE = few(SEED)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people's artifacts."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steerx_cli.demo.files.authors", few)
        write_world(folder, SEED)
    return folder


def rows(folder: Path, name: str) -> list[Row]:
    listed: list[Row] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return listed


def texts(author: Author) -> dict[str, Review]:
    """Everything that somebody wrote, by its id."""
    histories = {history_id(author, number): review for number, review in enumerate(author.histories)}
    return histories | {query_id(author, number): review for number, review in enumerate(author.next)}


TEXTS = {text_id: review for author in PEOPLE for text_id, review in texts(author).items()}


def asked(row: Row) -> Item:
    return Item(row["input"], {field["name"]: field["value"] for field in row["fields"]})


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert support.python(WRITE, str(tmp_path), str(SEED)) == (0, "", "")
    names = ["histories.parquet", "queries.parquet", "truth.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in world.iterdir()) == names
    assert all((tmp_path / name).read_bytes() == (world / name).read_bytes() for name in names)


def test_a_world_is_written_over_the_last_one(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerx_cli.demo.files.authors", lambda seed: few(seed)[:1])
    write_world(tmp_path, SEED + 1)
    before = support.contents(tmp_path)
    write_world(tmp_path, SEED)
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted(Path(path).name for path in before)
    assert all(support.contents(tmp_path)[path] != content for path, content in before.items())


@pytest.mark.parametrize("artifact", [HISTORIES, QUERIES, TRUTH])
def test_the_footer_tells_the_seed_and_users_are_in_order(world: Path, artifact: Any) -> None:
    footer = read_footer(world / f"{artifact.name}.parquet", artifact)
    assert footer.record.parameters == {"seed": SEED}
    users = list(dict.fromkeys(row["user_id"] for row in rows(world, artifact.name)))
    assert users == sorted((author.user_id for author in PEOPLE), key=user_order)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_histories_are_what_authors_wrote(world: Path) -> None:
    by_id = {row["item_id"]: row for row in rows(world, "histories")}
    assert len(by_id) == len(rows(world, "histories")) == len(PEOPLE) * HISTORIES_EACH
    for author in PEOPLE:
        for number, review in enumerate(author.histories):
            row = by_id[f"{author.user_id}-{number + 1}"]
            assert (row["user_id"], row["response"], row["rating"]) == (author.user_id, review.text, review.rating)
            assert row["time"] == datetime(2024, 1, 1 + number, tzinfo=UTC)
            assert asked(row) == item_of(review)


def test_queries_are_what_authors_write_next(world: Path) -> None:
    by_id = {row["query_id"]: row for row in rows(world, "queries")}
    assert len(by_id) == len(rows(world, "queries")) == sum(len(author.next) for author in PEOPLE)
    assert {row["split"] for row in by_id.values()} == {"development", "test"}
    for author in PEOPLE:
        for number, review in enumerate(author.next):
            row = by_id[f"{author.user_id}-next-{number + 1}"]
            expected = (author.user_id, author.split, review.text)
            assert (row["user_id"], row["split"], row["reference"]) == expected
            assert asked(row) == item_of(review)


def test_a_prompt_from_the_rows_is_the_prompt_that_training_makes(world: Path) -> None:
    author, task = PEOPLE[0], load_task("review")
    mine = [row for row in rows(world, "histories") if row["user_id"] == author.user_id]
    (query, _) = [row for row in rows(world, "queries") if row["user_id"] == author.user_id]
    read = Histories(tuple(History(asked(row), row["response"]) for row in mine))
    expected = render(task, PLAIN, item_of(author.next[0]), block_of(author.histories))
    assert render(task, PLAIN, asked(query), read) == expected
    assert render(task, PLAIN, asked(query), read, own=True) == expected


# --- truth ------------------------------------------------------------------------------------------------------------


def test_every_text_has_its_truth(world: Path) -> None:
    truths = rows(world, "truth")
    assert sorted(row["text_id"] for row in truths) == sorted(TEXTS)
    assert all(row["text_id"].startswith(f"{row['user_id']}-") for row in truths)


def test_spans_partition_every_text(world: Path) -> None:
    written = {row["item_id"]: row["response"] for row in rows(world, "histories")}
    written |= {row["query_id"]: row["reference"] for row in rows(world, "queries")}
    for row in rows(world, "truth"):
        text, spans = written[row["text_id"]], row["spans"]
        assert [0, *(span["end"] for span in spans)] == [*(span["start"] for span in spans), len(text)]
        assert all(span["start"] < span["end"] for span in spans)
        assert {span["source"] for span in spans} == {"user", "item", "boilerplate"}


def test_a_span_says_what_was_chosen(world: Path) -> None:
    for row in rows(world, "truth"):
        review = TEXTS[row["text_id"]]
        for span in row["spans"]:
            text = review.text[span["start"] : span["end"]]
            if span["slot"] == "length":
                assert span["value"] == SLOTS["length"].values[Lengths.MORE if text == " The" else Lengths.ENOUGH]
            else:
                assert span["value"] == (text.strip() if span["slot"] else None)
            if span["source"] == "user":
                assert span["slot"]
            if span["source"] == "item":
                assert span["slot"] is None


def test_habits_are_the_persons_and_explain_what_is_the_users(world: Path) -> None:
    people = {author.user_id: author.person for author in PEOPLE}
    for row in rows(world, "truth"):
        habits = [(habit["slot"], habit["value"]) for habit in row["habits"]]
        person = people[row["user_id"]]
        *said, kindness = habits
        assert said == [(slot, value) for slot in SLOTS for value in person.says(slot)]
        assert kindness == ("kindness", f"{person.kindness:+.2f}")
        for span in row["spans"]:
            if span["slot"] not in (None, "length"):
                assert (span["source"] == "user") == ((span["slot"], span["value"]) in habits)


def test_a_delta_is_null_exactly_where_nothing_was_chosen(world: Path) -> None:
    spans = [span for row in rows(world, "truth") for span in row["spans"]]
    assert all((span["delta"] is None) == (span["slot"] is None) == (span["value"] is None) for span in spans)
    users = [span["delta"] for span in spans if span["source"] == "user"]
    others = [span["delta"] for span in spans if span["slot"] and span["source"] != "user"]
    assert sum(users) / len(users) > 1 > 0 > sum(others) / len(others)


def test_others_are_real_histories_and_never_the_text_itself(world: Path) -> None:
    histories = {(row["user_id"], row["item_id"]) for row in rows(world, "histories")}
    for row in rows(world, "truth"):
        assert len(set(row["others"])) == len(row["others"]) == OTHERS
        assert row["text_id"] not in row["others"]
        assert all((row["user_id"], other) in histories for other in row["others"])


def test_deltas_are_those_given_the_others(world: Path) -> None:
    for row in rows(world, "truth")[::7]:
        review, others = TEXTS[row["text_id"]], [TEXTS[other] for other in row["others"]]
        expected = [delta if delta is None else round(delta, 6) for delta in exact_deltas(review, others)]
        assert [span["delta"] for span in row["spans"]] == expected


def test_no_delta_is_minus_zero(world: Path) -> None:
    deltas = [span["delta"] for row in rows(world, "truth") for span in row["spans"] if span["delta"] == 0]
    assert {copysign(1, delta) for delta in deltas} == {1}


def test_others_go_round_in_a_circle() -> None:
    assert others_of(-1) == [0, 1, 2, 3]
    assert others_of(0) == [1, 2, 3, 4]
    assert others_of(HISTORIES_EACH - 2) == [HISTORIES_EACH - 1, 0, 1, 2]
    used = [other for number in range(HISTORIES_EACH) for other in others_of(number)]
    assert {used.count(number) for number in range(HISTORIES_EACH)} == {OTHERS}


def test_the_true_habits_are_told_for_every_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerx_cli.demo.files.authors", few)
    write_habits(tmp_path / "habits.parquet", SEED)
    told = {row["query_id"]: row for row in rows(tmp_path, "habits")}
    assert set(told) == {query_id(author, number) for author in PEOPLE for number in range(len(author.next))}
    for author in PEOPLE:
        for number in range(len(author.next)):
            row = told[query_id(author, number)]
            assert (row["user_id"], row["item_id"]) == (author.user_id, None)
            for slot, says in SAID.items():
                values = ", ".join(named(Choice(slot, value)) for value in author.person.habits[slot])
                assert f"{says}: {values}" in row["description"]
            assert row["description"].count(":") == len(SAID)
