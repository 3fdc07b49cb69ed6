"""`steerx import` as it is typed, on files in their true formats."""

import csv
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

import sources
from sources import Record, write_lines, write_list, write_parquet
from steerx_cli.core.order import user_order
from steerx_cli.core.schemas import HISTORIES, QUERIES
from steerx_cli.core.sources import Source
from support import Ended, Steerx, contents

Row = dict[str, Any]
Tables = tuple[list[Row], list[Row]]


def tables(data: Path) -> Tables:
    """What was written, read as a stage reads it: the order of users is checked on the way."""
    opened = [Source(artifact, data / f"{artifact.name}.parquet") for artifact in (HISTORIES, QUERIES)]
    for source in opened:
        list(source.users())
    histories, queries = (source.read(0, source.footer.rows).to_pylist() for source in opened)
    return cast(Tables, (histories, queries))


def fields(row: Row) -> dict[str, str]:
    return {field["name"]: field["value"] for field in row["fields"]}


def by_user(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["user_id"]].append(row)
    return found


def moment(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def done(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


# --- every source in its true format ----------------------------------------------------------------------------------


def test_amazon_s_reviews_become_histories_in_time_order_and_the_last_a_query(alone: Path, steerx: Steerx) -> None:
    rows, items = list(sources.amazon(12, 6)), {item["asin"]: item for item in sources.amazon_metadata(72)}
    write_lines(alone / "Movies.json.gz", rows)
    write_lines(alone / "meta.json", items.values())
    ended = done(steerx("import", "amazon", "Movies.json.gz", "--metadata", "meta.json", "--data", "data"))
    histories, queries = tables(alone / "data")
    assert len(histories) == 12 * 5
    assert len(queries) == 12
    theirs = by_user({**row, "user_id": row["reviewerID"]} for row in rows)
    for user, written in by_user(histories).items():
        own = sorted(theirs[user], key=lambda row: row["unixReviewTime"])
        assert [row["response"] for row in written] == [row["reviewText"] for row in own[:-1]]
        assert [row["reference"] for row in by_user(queries)[user]] == [own[-1]["reviewText"]]
        for row, source in zip([*written, *by_user(queries)[user]], own, strict=True):
            check_review(row, source, items.get(source["asin"]))
    assert [row["user_id"] for row in queries] == sorted(theirs, key=user_order)
    unknown = sum(row["asin"] not in items for row in rows)
    assert f"texts whose item the metadata do not have: {unknown}\n" in ended.err


def check_review(row: Row, source: Record, item: Record | None) -> None:
    """One review of Amazon's against its row in the artifact."""
    title = {"title": item["title"], "description": " ".join(item["description"])} if item else {}
    assert row["item_id" if "item_id" in row else "query_id"].split("#")[0] == source["asin"]
    assert fields(row) == {**title, "headline": source["summary"], "rating": f"{source['overall']:g}"}
    assert row["input"] == ": ".join(title.values())
    if "item_id" in row:
        assert (row["rating"], row["time"]) == (source["overall"], moment(source["unixReviewTime"] * 1000))


def test_dpl_s_profiles_become_histories_and_its_own_review_the_query(alone: Path, steerx: Steerx) -> None:
    rows, items = list(sources.dpl(9, 8)), {item["asin"]: item for item in sources.dpl_metadata()}
    write_parquet(alone / "test-00000-of-00001.parquet", rows)
    write_parquet(alone / "full.parquet", items.values())
    done(steerx("import", "dpl", "test-00000-of-00001.parquet", "--metadata", "full.parquet", "--data", "data"))
    histories, queries = tables(alone / "data")
    theirs = {row["user_id"]: row for row in rows}
    for user, written in by_user(histories).items():
        assert [row["response"] for row in written] == [entry["text"] for entry in theirs[user]["profile"]]
        assert [row["time"] for row in written] == [moment(entry["timestamp"]) for entry in theirs[user]["profile"]]
    for query in queries:
        own = theirs[query["user_id"]]["data"]
        assert (query["split"], query["query_id"], query["reference"]) == ("test", own["asin"], own["text"])
        assert fields(query) == {
            "title": items[own["asin"]]["title"],
            "description": items[own["asin"]]["description"],
            "headline": own["title"],
            "rating": f"{own['rating']:g}",
        }


@pytest.mark.parametrize(
    ("task", "response", "wanted"),
    [
        ("topic", "content", {"summary"}),
        ("review", "reviewText", {"description", "rating", "headline"}),
        ("abstract", "abstract", {"title"}),
    ],
)
def test_longlamp_s_profiles_and_instructions(
    task: str, response: str, wanted: set[str], alone: Path, steerx: Steerx
) -> None:
    rows = list(sources.longlamp(task, 7, 5))
    write_parquet(alone / "val-00000-of-00001.parquet", rows)
    done(steerx("import", "longlamp", "val-00000-of-00001.parquet", "--task", task, "--data", "data"))
    histories, queries = tables(alone / "data")
    assert {user: [row["response"] for row in some] for user, some in by_user(histories).items()} == {
        next(iter(row.values())): [entry[response] for entry in row["profile"]] for row in rows
    }
    assert {row["user_id"]: row["reference"] for row in queries} == {
        next(iter(row.values())): row["output"] for row in rows
    }
    assert all(wanted <= set(fields(row)) for row in [*histories, *queries])
    assert {row["split"] for row in queries} == {"development"}


@pytest.mark.parametrize("task", [f"lamp-{number}" for number in range(1, 8)])
def test_lamp_s_questions_with_their_answers(task: str, alone: Path, steerx: Steerx) -> None:
    questions, answers = sources.lamp(task, 7, 5)
    (alone / "dev").mkdir()
    write_list(alone / "dev" / "dev_questions.json", questions)
    write_list(alone / "dev" / "dev_outputs.json", answers, within="golds")
    done(steerx("import", "lamp", "dev", "--task", task, "--data", "data"))
    histories, queries = tables(alone / "data")
    assert {row["user_id"]: row["reference"] for row in queries} == {row["id"]: row["output"] for row in answers}
    assert {row["split"] for row in queries} == {"development"}
    # Labels and texts alike: all that the profiles hold is there, in their own order.
    assert {user: [row["item_id"] for row in some] for user, some in by_user(histories).items()} == {
        row["id"]: [entry["id"] for entry in row["profile"]] for row in questions
    }


def test_hidden_answers_are_references_that_are_not_known(alone: Path, steerx: Steerx) -> None:
    write_list(alone / "test_questions.json", sources.lamp("lamp-4", 3, 4)[0])
    done(steerx("import", "lamp", "test_questions.json", "--task", "lamp-4", "--data", "data"))
    assert [row["reference"] for row in tables(alone / "data")[1]] == [None] * 3


COLUMNS = [
    *("--column", "user_id=author", "--column", "response=body", "--column", "input=prompt"),
    *("--column", "rating=stars", "--column", "time=when", "--column", "subject=topic"),
]


def write_table(path: Path, rows: Sequence[Record], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_of_one_s_own_is_the_same_in_every_kind_of_file(alone: Path, steerx: Steerx) -> None:
    rows = list(sources.generic(5, 6))
    files = [
        write_lines(alone / "rows.jsonl", rows),
        write_lines(alone / "rows.ndjson.gz", rows),
        write_list(alone / "rows.json", rows),
        write_parquet(alone / "rows.parquet", rows),
        write_table(alone / "rows.csv", rows),
        write_table(alone / "rows.tsv", rows, delimiter="\t"),
    ]
    found = []
    for file in files:
        done(steerx("import", "generic", file, *COLUMNS, "--data", f"data {file.name}"))
        found.append(tables(alone / f"data {file.name}"))
    assert all(some == found[0] for some in found)
    histories, _ = found[0]
    theirs = {row["body"]: row for row in rows}
    for row in histories:
        source = theirs[row["response"]]
        assert (row["user_id"], row["input"], row["rating"]) == (source["author"], source["prompt"], source["stars"])
        assert row["time"] == datetime.fromisoformat(source["when"])
        assert fields(row) == {"subject": source["topic"], "rating": str(source["stars"])}


def test_another_encoding_and_delimiter_are_said(alone: Path, steerx: Steerx) -> None:
    rows = [{"user_id": "Zoë", "response": f"naïve «{number}»", "input": "x"} for number in range(3)]
    write_table(alone / "rows.csv", rows, encoding="latin-1", delimiter=";")
    done(steerx("import", "generic", "rows.csv", "--encoding", "latin-1", "--delimiter", ";", "--data", "data"))
    histories, queries = tables(alone / "data")
    assert [row["response"] for row in histories] == ["naïve «0»", "naïve «1»"]
    assert queries[0]["user_id"] == "Zoë"
    ended = steerx("import", "generic", "rows.csv", "--delimiter", ";", "--data", "other")
    assert (ended.code, ended.err.count("bytes that are not utf-8")) == (2, 1)


def test_a_column_says_which_texts_are_queries(alone: Path, steerx: Steerx) -> None:
    splits = ["train", None, "val", "test", ""]
    rows = [{"user_id": "u", "response": f"text {n}", "part": split} for n, split in enumerate(splits)]
    write_lines(alone / "rows.jsonl", [*rows, {"user_id": "u", "part": "test", "input": "not answered yet"}])
    ended = done(steerx("import", "generic", "rows.jsonl", "--column", "split=part", "--data", "data"))
    histories, queries = tables(alone / "data")
    assert [row["response"] for row in histories] == ["text 0", "text 1", "text 4"]
    assert [(row["split"], row["reference"]) for row in queries] == [
        ("development", "text 2"),
        ("test", "text 3"),
        ("test", None),
    ]
    assert "for want of queries" not in ended.err


# --- real texts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def speeches(material: Path) -> list[Row]:
    """The speeches of presidents on the state of the union, a user each."""
    found = []
    with zipfile.ZipFile(material / "state_union" / "state_union.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                year, _, president = Path(name).stem.partition("-")
                text = archive.read(name).decode("latin-1")
                title = text.partition("\n")[0]
                found.append({"president": president, "speech": text, "year": f"{year[:4]}-01-01", "title": title})
    return found


def test_presidents_speeches_are_imported_and_retrieved_on(speeches: list[Row], alone: Path, steerx: Steerx) -> None:
    write_lines(alone / "speeches.jsonl", speeches)
    columns = ["user_id=president", "response=speech", "time=year", "input=title"]
    done(
        steerx("import", "generic", "speeches.jsonl", *(f"--column={column}" for column in columns), "--data", "union")
    )
    histories, queries = tables(alone / "union")
    said = by_user({**row, "user_id": row["president"]} for row in speeches)
    presidents = {name for name, some in said.items() if len(some) > 1}
    assert {row["user_id"] for row in queries} == presidents
    assert {row["response"] for row in histories} | {row["reference"] for row in queries} == {
        row["speech"] for name in presidents for row in said[name]
    }
    for retriever in ("bm25", "recency", "random", "all"):
        place = f"{retriever}.parquet"
        done(steerx("retrieve", "--data", "union", "--retriever", retriever, "--history-text={response}", "-o", place))
        rows = cast("list[Row]", pq.read_table(alone / place).to_pylist())
        own = {(row["user_id"], row["item_id"]): row["response"] for row in histories}
        assert all(own[row["user_id"], row["item_id"]] == row["response"] for row in rows)
        wanted = sum(len(some) if retriever == "all" else min(2, len(some)) for some in by_user(histories).values())
        assert len(rows) == wanted
    latest = by_user(cast("list[Row]", pq.read_table(alone / "recency.parquet").to_pylist()))
    assert all(some[0]["response"] == by_user(histories)[user][-1]["response"] for user, some in latest.items())


# --- what is chosen ---------------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(alone: Path) -> Path:
    """User n wrote n texts, n from 1 to 9, one a day; two of the same length."""
    rows = [
        {"user_id": user, "response": f"{user} says {number}", "time": f"2020-01-{number + 1:02}", "input": "say"}
        for user, count in [*((f"u{n}", n) for n in range(1, 10)), ("v", 9)]
        for number in range(count)
    ]
    return write_lines(alone / "uneven.jsonl", rows)


def test_the_users_with_the_longest_histories(uneven: Path, alone: Path, steerx: Steerx) -> None:
    ended = done(steerx("import", "generic", uneven, "--users", 3, "--data", "data"))
    assert {row["user_id"] for row in tables(alone / "data")[1]} == {"u9", "v", "u8"}
    assert "users left out, with fewer histories than those of --users: 6\n" in ended.err  # u1 has nothing left
    done(steerx("import", "generic", uneven, "--users", 1, "--data", "one"))
    assert {row["user_id"] for row in tables(alone / "one")[1]} == {"u9"}  # of equal ones the first by id


def test_the_last_texts_and_the_fewest_histories(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--last", 3, "--min-histories", 2, "--data", "data"))
    histories, queries = tables(alone / "data")
    assert {user: len(some) for user, some in by_user(queries).items()} == dict.fromkeys(
        ["u5", "u6", "u7", "u8", "u9", "v"], 3
    )
    assert [row["reference"] for row in by_user(queries)["u5"]] == ["u5 says 2", "u5 says 3", "u5 says 4"]
    assert len(by_user(histories)["u5"]) == 2
    done(steerx("import", "generic", uneven, "--last", 0, "--data", "none"))
    assert [len(rows) for rows in tables(alone / "none")] == [54, 0]


def test_a_share_of_the_users_is_for_development(uneven: Path, alone: Path, steerx: Steerx) -> None:
    found = []
    for seed in (0, 0, 1):
        done(steerx("import", "generic", uneven, "--development", 0.3, "--seed", seed, "--data", "d", "--overwrite"))
        queries = tables(alone / "d")[1]
        found.append({row["user_id"] for row in queries if row["split"] == "development"})
    assert [len(users) for users in found] == [3, 3, 3]  # of the nine that have a history
    assert found[0] == found[1] != found[2]


def test_a_split_is_of_all_queries_wherever_they_come_from(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--split", "development", "--last", 2, "--data", "data"))
    assert {row["split"] for row in tables(alone / "data")[1]} == {"development"}
    write_list(alone / "test_questions.json", sources.lamp("lamp-4", 3, 4)[0])
    done(
        steerx("import", "lamp", "test_questions.json", "--task", "LaMP_4", "--split", "development", "--data", "lamp")
    )
    assert {row["split"] for row in tables(alone / "lamp")[1]} == {"development"}


def test_a_column_that_has_our_name_and_is_something_else(alone: Path, steerx: Steerx) -> None:
    rows = [{"user_id": "u", "response": f"text {n}", "split": "left", "rating": "5 stars"} for n in range(3)]
    write_table(alone / "rows.csv", rows)
    assert steerx("import", "generic", "rows.csv", "--data", "data").code == 2
    done(steerx("import", "generic", "rows.csv", "--column", "split=", "--column", "rating=", "--data", "data"))
    assert [len(rows) for rows in tables(alone / "data")] == [2, 1]


def test_a_folder_has_training_texts_only_where_they_are_more_texts(alone: Path, steerx: Steerx) -> None:
    for name in ("train", "test"):
        write_parquet(alone / "dpl" / f"{name}-00000-of-00001.parquet", sources.dpl(3, 4, seed=len(name)))
        rows = [{"user_id": "u", "response": f"{name} {n}"} for n in range(3)]
        write_lines(alone / "own" / f"{name}.jsonl", rows)
    assert json.loads(done(steerx("import", "dpl", "dpl", "--data", "a", "--json")).out)["rows"] == 12
    assert json.loads(done(steerx("import", "generic", "own", "--data", "b", "--json")).out)["rows"] == 5


def test_answers_that_are_missing_or_left_over_are_counted(alone: Path, steerx: Steerx) -> None:
    questions, answers = sources.lamp("lamp-5", 4, 3)
    write_list(alone / "dev_questions.json", questions)
    write_list(alone / "dev_outputs.json", [answers[0], {"id": "9", "output": "x"}], within="golds")
    given = ["import", "lamp", "dev_questions.json", "dev_outputs.json", "--task", "lamp-5", "--data", "data"]
    ended = done(steerx(*given))
    assert "note         queries whose answer is not known: 3\n" in ended.err
    assert "note         answers left out, to no question that was read: 1\n" in ended.err
    write_list(alone / "dev_outputs.json", [answers[0], {**answers[0], "output": "x"}], within="golds")
    ended = done(steerx(*given, "--overwrite"))
    assert "note         answers left out, to questions answered before: 1\n" in ended.err
    assert {row["reference"] for row in tables(alone / "data")[1]} == {None, answers[0]["output"]}


def test_what_is_taken_otherwise_than_expected_is_counted(alone: Path, steerx: Steerx) -> None:
    questions, _ = sources.lamp("lamp-4", 3, 4)
    write_list(alone / "test_questions.json", [{**questions[0], "input": "Headline, please."}, *questions[1:]])
    ended = done(steerx("import", "lamp", "test_questions.json", "--task", "lamp-4", "--data", "lamp"))
    assert "note         queries taken whole, for want of a known wording of their instruction: 1\n" in ended.err
    posts = list(sources.longlamp("topic", 3, 4))
    write_parquet(alone / "test.parquet", [{**posts[0], "input": "About cats."}, *posts[1:]])
    ended = done(steerx("import", "longlamp", "test.parquet", "--task", "topic", "--data", "posts"))
    assert "note         queries taken whole, for want of a known wording of their instruction: 1\n" in ended.err
    write_lines(alone / "reviews.jsonl", sources.amazon(2, 3))
    items = list(sources.amazon_metadata(6))
    write_lines(alone / "meta.jsonl", [{**items[0], "title": "var x = getTime();"}, *items[1:]])
    ended = done(steerx("import", "amazon", "reviews.jsonl", "--metadata", "meta.jsonl", "--data", "reviews"))
    assert "titles of items left out, pieces of a page's script: 1\n" in ended.err


def test_inputs_are_made_by_a_template(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--input-text", "Do {input}, {nothing}!", "--data", "data"))
    assert {row["input"] for rows in tables(alone / "data") for row in rows} == {"Do say, !"}


def test_users_under_other_names(uneven: Path, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "key").write_text("a key that nobody guesses\n")
    done(steerx("import", "generic", uneven, "--key-file", "key", "--data", "data"))
    monkeypatch.setenv("STEERX_KEY", "a key that nobody guesses")
    done(steerx("import", "generic", uneven, "--pseudonyms", "--data", "same"))
    done(steerx("import", "generic", uneven, "--data", "open"))
    assert (alone / "data" / "queries.parquet").read_bytes() == (alone / "same" / "queries.parquet").read_bytes()
    hidden, known = ({row["user_id"] for row in tables(alone / name)[0]} for name in ("data", "open"))
    assert len(hidden) == len(known) == 9
    assert not hidden & known
    for place in (alone / "data").iterdir():
        assert b"nobody guesses" not in place.read_bytes()
    monkeypatch.setenv("STEERX_KEY", "another key that nobody guesses")
    ended = steerx("import", "generic", uneven, "--pseudonyms", "--data", "same")
    assert ended.code == 2
    assert "same/histories.parquet was made otherwise (key " in ended.err
    monkeypatch.delenv("STEERX_KEY")
    assert (
        "name a file with --key-file, or set STEERX_KEY"
        in steerx("import", "generic", uneven, "--pseudonyms", "--data", "x").err
    )


def test_other_names_do_not_change_who_is_chosen_and_leave_no_own_name(
    uneven: Path, alone: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEERX_KEY", "a key that nobody guesses")
    choice = ["--users", 4, "--development", 0.5]
    done(steerx("import", "generic", uneven, *choice, "--data", "open"))
    done(steerx("import", "generic", uneven, *choice, "--pseudonyms", "--data", "hidden"))
    told = [sorted((row["reference"], row["split"]) for row in tables(alone / name)[1]) for name in ("open", "hidden")]
    assert told[0] == told[1]
    questions, _ = sources.lamp("lamp-4", 3, 4)
    write_list(alone / "test_questions.json", [{**row, "id": f"own {row['id']} name"} for row in questions])
    done(steerx("import", "lamp", "test_questions.json", "--task", "lamp-4", "--pseudonyms", "--data", "lamp"))
    assert not [row for rows in tables(alone / "lamp") for row in rows if " name" in str(row)]


# --- rows that cannot be used -----------------------------------------------------------------------------------------


@pytest.fixture
def flawed(alone: Path) -> Path:
    """Ten lines, six of them good."""
    good = [json.dumps({"user_id": "u", "response": f"SECRET {number}", "input": "x"}) for number in range(6)]
    bad = [
        '{"user_id": "u", "response": "SECRET',
        '{"user_id": "u"}',
        '{"response": "SECRET"}',
        '{"user_id": "u", "response": 5}',
    ]
    lines = [good[0], bad[0], good[1], bad[1], good[2], bad[2], good[3], bad[3], *good[4:]]
    (alone / "flawed.jsonl").write_text("\r\n".join(lines))
    return alone / "flawed.jsonl"


def test_what_cannot_be_used_is_counted_by_reason_and_written_with_its_line(
    flawed: Path, alone: Path, steerx: Steerx
) -> None:
    ended = done(steerx("import", "generic", "flawed.jsonl", "--data", "data"))
    for reason in ("no JSON", "response is missing", "user_id is missing", "response is no text"):
        assert f"note         rows left out, {reason}: 1\n" in ended.err
    assert "note         where the rows stand that were left out: data/import-rejects.jsonl\n" in ended.err
    assert [json.loads(line) for line in (alone / "data" / "import-rejects.jsonl").read_text().splitlines()] == [
        {"file": "flawed.jsonl", "line": line, "entry": None, "reason": reason}
        for line, reason in [
            (2, "no JSON"),
            (4, "response is missing"),
            (6, "user_id is missing"),
            (8, "response is no text"),
        ]
    ]
    assert len(tables(alone / "data")[0]) == 5
    assert "SECRET" not in ended.err


def test_strict_stops_at_the_first(flawed: Path, alone: Path, steerx: Steerx) -> None:
    ended = steerx("import", "generic", "flawed.jsonl", "--strict", "--data", "data")
    said = "Error: flawed.jsonl, line 2: no JSON: mend it, or leave --strict out to go on without it\n"
    assert ended == Ended(2, "", said)
    assert list((alone / "data").iterdir()) == []


def test_rejects_of_an_earlier_import_do_not_stay(flawed: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", "flawed.jsonl", "--data", "data"))
    flawed.write_text("".join(line for line in flawed.read_text().splitlines(True) if '"input"' in line))
    done(steerx("import", "generic", "flawed.jsonl", "--data", "data", "--overwrite"))
    assert sorted(path.name for path in (alone / "data").iterdir()) == ["histories.parquet", "queries.parquet"]


def test_an_entry_of_a_profile_is_left_out_alone(alone: Path, steerx: Steerx) -> None:
    questions, _ = sources.lamp("lamp-4", 1, 4)
    spoilt = {**questions[0], "profile": [*questions[0]["profile"], {"text": 4, "title": "x"}, None]}
    write_list(alone / "test_questions.json", [spoilt])
    done(steerx("import", "lamp", "test_questions.json", "--task", "lamp-4", "--data", "data"))
    rejects = [json.loads(line) for line in (alone / "data" / "import-rejects.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject["entry"]) for reject in rejects] == [(1, 5), (1, 6)]
    assert len(tables(alone / "data")[0]) == 4


@pytest.mark.parametrize(("lines", "why"), [("", "they are empty"), ("x\n{}\n", "rows left out, no JSON (1)")])
def test_nothing_at_all_is_an_error(lines: str, why: str, alone: Path, steerx: Steerx) -> None:
    (alone / "rows.jsonl").write_text(lines)
    ended = steerx("import", "generic", "rows.jsonl", "--data", "data")
    assert ended.code == 2
    assert f"Error: nothing in the files can be used: {why}" in ended.err
    assert not list((alone / "data").glob("*.parquet"))


# --- the result -------------------------------------------------------------------------------------------------------


def test_the_same_import_is_up_to_date_and_another_asks(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--data", "data"))
    before = contents(alone / "data")
    assert "import       up to date\n" in done(steerx("import", "generic", uneven, "--data", "data")).err
    ended = steerx("import", "generic", uneven, "--data", "data", "--min-chars", 3)
    said = (
        "histories.parquet was made otherwise (min-chars 1 → 3): name another --data, or replace it with --overwrite\n"
    )
    assert (ended.code, ended.err) == (2, f"Error: data/{said}")
    uneven.write_text(uneven.read_text() + "\n")
    assert "(content " in steerx("import", "generic", uneven, "--data", "data").err
    assert contents(alone / "data") == before


def test_half_of_a_result_is_made_whole(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--data", "data"))
    before = contents(alone / "data")
    (alone / "data" / "queries.parquet").unlink()
    done(steerx("import", "generic", uneven, "--data", "data"))
    assert contents(alone / "data") == before


def test_the_same_content_taken_for_something_else_is_another_import(alone: Path, steerx: Steerx) -> None:
    questions, answers = sources.lamp("lamp-4", 3, 4)
    (alone / "lamp").mkdir()
    given = ["import", "lamp", "lamp", "--task", "lamp-4", "--data", "data"]
    write_list(alone / "lamp" / "dev_questions.json", questions)
    write_list(alone / "lamp" / "dev_golds.json", answers, within="golds")
    done(steerx(*given))
    assert {row["reference"] for row in tables(alone / "data")[1]} == {None}
    (alone / "lamp" / "dev_golds.json").rename(alone / "lamp" / "test_outputs.json")
    (alone / "lamp" / "dev_questions.json").rename(alone / "lamp" / "test_questions.json")
    assert "was made otherwise (content " in steerx(*given).err
    done(steerx(*given, "--overwrite"))
    assert [(row["split"], row["reference"] is None) for row in tables(alone / "data")[1]] == [("test", False)] * 3


def test_a_failed_import_s_rejects_are_not_the_result_s(uneven: Path, alone: Path, steerx: Steerx) -> None:
    done(steerx("import", "generic", uneven, "--data", "data"))
    (alone / "bad.jsonl").write_text("x\n")
    assert steerx("import", "generic", "bad.jsonl", "--data", "data", "--overwrite").code == 2
    assert "where the rows stand" not in done(steerx("import", "generic", uneven, "--data", "data")).err


def test_parts_of_a_data_set_are_not_mixed(alone: Path, steerx: Steerx) -> None:
    for part in ("Books", "Movies"):
        (alone / "dpl" / part).mkdir(parents=True)
        write_parquet(alone / "dpl" / part / "test-00000-of-00001.parquet", sources.dpl(2, 3))
    ended = steerx("import", "dpl", "dpl", "--data", "data")
    assert ended.err == "Error: dpl has several parts, Books, Movies: name one with --config\n"
    done(steerx("import", "dpl", "dpl", "--config", "Books", "--data", "data"))


def test_long_texts_fill_groups_by_their_length(alone: Path, steerx: Steerx) -> None:
    rows = [{"user_id": f"u{n % 40}", "response": f"{n} " + "long" * 500_000} for n in range(120)]  # few words
    write_lines(alone / "rows.jsonl.gz", rows)
    done(steerx("import", "generic", "rows.jsonl.gz", "--data", "data"))
    metadata = pq.read_metadata(alone / "data" / "histories.parquet")
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert (sum(groups), max(groups)) == (80, 34)  # 64 MiB of 2 MB each
    assert len(tables(alone / "data")[0]) == 80


def test_a_dry_run_writes_nothing(uneven: Path, alone: Path, steerx: Steerx) -> None:
    ended = done(steerx("import", "generic", uneven, "--data", "data", "--dry-run"))
    assert "import       would run\n" in ended.err
    assert not (alone / "data").exists()


def test_json_tells_everything_and_show_goes_back_to_it(uneven: Path, alone: Path, steerx: Steerx) -> None:
    told = json.loads(done(steerx("import", "generic", uneven, "--data", "data", "--json")).out)
    assert (told["status"], told["rows"], told["users"]) == ("finished", 44, 9)
    done(steerx("retrieve", "--data", "data", "--retriever", "recency", "-o", "r.parquet"))
    shown = done(steerx("show", "r.parquet", "--chain", "--rows", 0)).out
    assert "by import of steerx" in shown
    assert told["parameters"]["content"] in shown


def test_an_import_never_replaces_its_own_source(alone: Path, steerx: Steerx) -> None:
    (alone / "data").mkdir()
    write_parquet(alone / "data" / "histories.parquet", sources.generic(2, 3))
    ended = steerx("import", "generic", "data/histories.parquet", *COLUMNS, "--data", "data", "--overwrite")
    assert ended.err == "Error: data/histories.parquet is read and would be written: name another --data\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generic", "nowhere.jsonl"], "nowhere.jsonl"),
        (["generic", "rows.txt"], "rows.txt has none of the suffixes"),
        (["generic", "rows.csv"], "rows.csv has no column 'user_id' among its 6: say with --column user_id=COLUMN"),
        (
            ["generic", "rows.csv", *COLUMNS, "--column", "x=Pr-ompt"],
            "has no column 'Pr-ompt' among its 6, but 'prompt'",
        ),
        (["generic", "rows.csv", "--column", "user_id=autor"], "has no column 'autor' among its 6: say with"),
        (["generic", "rows.jsonl", "--split", "test", "--development", "0.5"], "leave one out"),
        (["generic", "rows.csv", *COLUMNS, "--column", "input=x"], "--column input is given twice"),
        (["amazon", "rows.jsonl", "--column", "response=text"], "--column says nothing to the format amazon"),
        (["dpl", "rows.jsonl", "--task", "review"], "--task says nothing to the format dpl"),
        (["generic", "rows.jsonl", "--metadata", "rows.csv"], "--metadata says nothing to the format generic"),
        (["lamp", "test_q.json"], "--task"),
        (["lamp", "test_q.json", "--task", "lamp-8"], "lamp-8"),
        (["longlamp", "rows.jsonl", "--task", "topic"], "the name of rows.jsonl does not say whether"),
        (["generic", "rows.jsonl", "--column", "x"], "x is not NAME=COLUMN"),
        (["generic", "rows.jsonl", "--encoding", "klingon"], "klingon"),
        (["generic", "rows.jsonl", "--input-text", "{input"], "--input-text has a brace"),
        (["elsewhere", "rows.jsonl"], "elsewhere"),
    ],
)
def test_what_was_typed_wrong_is_refused_in_a_sentence(
    arguments: list[str], said: str, alone: Path, steerx: Steerx
) -> None:
    rows = list(sources.generic(2, 3))
    write_lines(alone / "rows.jsonl", rows)
    write_table(alone / "rows.csv", rows)
    (alone / "rows.txt").write_text("text")
    write_list(alone / "test_q.json", sources.lamp("lamp-4", 1, 1)[0])
    ended = steerx("import", *arguments, "--data", "data")
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert not list((alone / "data").glob("*.parquet"))
