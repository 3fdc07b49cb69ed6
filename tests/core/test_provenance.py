"""What a footer tells: enough to know the rows by, the whole way back to the data, and nothing of where or when."""

import getpass
import json
import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import support
from people import write_people
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.job import Job, Work
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import (
    Footer,
    Record,
    Shard,
    add_counts,
    chunk_digest,
    fingerprint,
    join_shards,
    total_digest,
)
from steerx_cli.core.schemas import HISTORIES, QUERIES, RETRIEVED
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.stages.retrieve import Settings

DIGEST = re.compile(r"[0-9a-f]{64}")
NAMES = st.text(max_size=8)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.builds(
    Record,
    artifact=NAMES,
    schema=st.integers(0, 99),
    stage=NAMES,
    version=NAMES,
    parameters=st.dictionaries(NAMES, VALUES, max_size=4),
    inputs=st.dictionaries(NAMES, DIGESTS, max_size=3),
    models=st.dictionaries(NAMES, st.dictionaries(NAMES, NAMES, max_size=4), max_size=2),
)
COUNTS = st.dictionaries(NAMES, st.integers(0, 2**63), max_size=4)
FOOTERS = st.builds(
    Footer,
    record=RECORDS,
    rows=st.integers(0),
    users=st.integers(0),
    content=DIGESTS,
    counts=COUNTS,
    ancestry=st.dictionaries(DIGESTS, st.fixed_dictionaries({"record": RECORDS.map(asdict)}), max_size=2),
    shard=st.none() | st.builds(Shard, st.integers(1), st.integers(1)),
)


def turned(value: Any) -> Any:
    """The same value, made with its keys in another order."""
    if isinstance(value, Mapping):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(FOOTERS)
def test_a_footer_comes_back_equal_from_its_text(footer: Footer) -> None:
    back = Footer.from_json(footer.to_json())
    assert back == footer
    assert repr(back.to_json()) == repr(footer.to_json())
    assert back.fingerprint == footer.fingerprint
    assert back.record.fingerprint == footer.record.fingerprint


@settings(deadline=None)
@given(FOOTERS)
def test_the_same_footer_has_the_same_text_however_it_was_made(footer: Footer) -> None:
    changes: Any = {name: turned(value) for name, value in asdict(footer.record).items()}
    other = replace(
        footer, record=Record(**changes), counts=turned(footer.counts), ancestry=turned(dict(footer.ancestry))
    )
    assert other.to_json() == footer.to_json()
    assert other.fingerprint == footer.fingerprint
    assert other.record.fingerprint == footer.record.fingerprint


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_does_not_know_is_never_written(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        fingerprint({"tau": number})


RECORD = Record("kind", 1, "stage", "0", {"tau": 0.7, "limit": None}, {"data": "1" * 64}, {"scorer": {"id": "m"}})
FOOTER = Footer(RECORD, rows=3, users=2, content="0" * 64)


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact": "other"},
        {"schema": 2},
        {"stage": "other"},
        {"version": "1"},
        {"parameters": {"tau": 0.7000001, "limit": None}},
        {"parameters": {"tau": 0.7, "limit": 1}},
        {"parameters": {"tau": 0.7}},
        {"parameters": {"tau": 0.7, "limit": None, "k": None}},
        {"parameters": {"tau": "0.7", "limit": None}},
        {"inputs": {"data": "1" * 63 + "2"}},
        {"inputs": {"date": "1" * 64}},
        {"models": {"scorer": {"id": "n"}}},
        {"models": {"scorer": {"id": "m", "weights": "w"}}},
        {"models": {}},
    ],
)
def test_whatever_decides_the_rows_changes_both_fingerprints(changes: dict[str, Any]) -> None:
    record = replace(RECORD, **changes)
    assert record.fingerprint != RECORD.fingerprint
    assert replace(FOOTER, record=record).fingerprint != FOOTER.fingerprint


def test_other_rows_change_the_fingerprint_of_the_file_alone() -> None:
    assert replace(FOOTER, rows=4).fingerprint != FOOTER.fingerprint
    assert replace(FOOTER, content="0" * 63 + "1").fingerprint != FOOTER.fingerprint
    assert replace(FOOTER, shard=Shard(1, 2)).fingerprint == FOOTER.fingerprint


def test_one_changed_letter_in_one_text_changes_the_fingerprint(data: Path, tmp_path: Path) -> None:
    source = Source(QUERIES, data / "queries.parquet")
    rows = source.read(0, source.footer.rows)
    changed = [
        row if place != 7 else {**row, "input": f"{row['input']}."} for place, row in enumerate(rows.to_pylist())
    ]
    found = []
    for name, table in (("same", rows), ("other", rows.from_pylist(changed, schema=rows.schema))):
        output = Output(tmp_path / f"{name}.parquet", QUERIES)
        found.append(write_whole(output, source.footer.record, [table], source.footer.users).fingerprint)
    assert found[0] == source.footer.fingerprint != found[1]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9), max_size=9), st.data())
def test_chunks_add_up_in_any_grouping_and_only_in_their_order(chunks: list[bytes], data: st.DataObject) -> None:
    digests = [chunk_digest(index, chunk) for index, chunk in enumerate(chunks)]
    cut = data.draw(st.integers(0, len(chunks)))
    halves = [total_digest(digests[:cut]), total_digest(digests[cut:])]
    assert total_digest(int(half, 16) for half in halves) == total_digest(digests)
    assert DIGEST.fullmatch(total_digest(digests))
    other = data.draw(st.permutations(chunks))
    again = total_digest(chunk_digest(index, chunk) for index, chunk in enumerate(other))
    assert (again == total_digest(digests)) == (other == chunks)


@settings(deadline=None)
@given(st.lists(COUNTS, max_size=5))
def test_counts_are_added_by_name(counts: list[dict[str, int]]) -> None:
    names = sorted({name for some in counts for name in some})
    expected = [(name, sum(some.get(name, 0) for some in counts)) for name in names]
    assert list(add_counts(counts).items()) == expected


# --- what the stage writes --------------------------------------------------------------------------------------------


@pytest.fixture
def footer(data: Path, tmp_path: Path) -> Footer:
    support.retrieve(data, tmp_path / "retrieved.parquet")
    return read_footer(tmp_path / "retrieved.parquet", RETRIEVED)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 25])
def test_the_footers_of_all_shards_join_to_that_of_the_whole(
    data: Path, tmp_path: Path, footer: Footer, count: int
) -> None:
    shards = [read_footer(path, RETRIEVED) for path in support.shards(data, tmp_path / "shards", count)]
    assert [shard.shard for shard in shards] == [Shard(index, count) for index in range(1, count + 1)]
    joined = join_shards(shards)
    assert joined == footer
    assert joined.to_json() == footer.to_json()
    assert joined.fingerprint == footer.fingerprint
    if count > 1:
        assert joined.fingerprint not in {shard.fingerprint for shard in shards}


@pytest.mark.parametrize(
    ("chosen", "same", "parameters"),
    [
        (Settings("recency", 2, 0), Settings("recency", 2, 9), {"top_k": 2}),
        (Settings("all", 2, 0), Settings("all", 3, 9), {}),
        (Settings("random", 2, 7), Settings("random", 2, 7), {"top_k": 2, "seed": 7}),
    ],
)
def test_only_settings_that_matter_are_in_the_provenance(
    few: Path, tmp_path: Path, chosen: Settings, same: Settings, parameters: dict[str, Any]
) -> None:
    support.retrieve(few, tmp_path / "r.parquet", chosen)
    record = read_footer(tmp_path / "r.parquet", RETRIEVED).record
    always = {"retriever": chosen.retriever, "chunk_users": 1, "limit": None}
    assert (record.parameters, record.models) == (always | parameters, {})
    assert support.retrieve(few, tmp_path / "r.parquet", same).status == "up to date"


def test_a_run_elsewhere_leaves_the_same_footer(data: Path, tmp_path: Path, footer: Footer) -> None:
    for name in ("histories", "queries"):
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / f"{name}.parquet").write_bytes((data / f"{name}.parquet").read_bytes())
    support.retrieve(tmp_path / "copy", tmp_path / "deep" / "er" / "other name.parquet")
    assert read_footer(tmp_path / "deep" / "er" / "other name.parquet", RETRIEVED).to_json() == footer.to_json()


def test_no_footer_tells_where_when_or_by_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "some-body")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "some-host", "", "", "")))
    monkeypatch.setattr(socket, "gethostname", lambda: "some-host")
    assert (getpass.getuser(), os.uname().nodename) == ("some-body", "some-host")
    write_people(tmp_path, count=4, each=3, seed=1)
    support.retrieve(tmp_path, tmp_path / "retrieved.parquet")
    shard = support.shards(tmp_path, tmp_path / "shards", 3)[1]
    footers = [read_footer(tmp_path / f"{kind.name}.parquet", kind) for kind in (HISTORIES, QUERIES, RETRIEVED)]
    secrets = [str(tmp_path), tmp_path.name, "some-body", "some-host", str(datetime.now(UTC).year)]
    for footer in [*footers, read_footer(shard, RETRIEVED)]:
        text = DIGEST.sub("digest", footer.to_json())  # four digits of a year may be in one by chance
        assert "/" not in text
        assert not [secret for secret in secrets if secret in text]


def test_the_chain_in_a_footer_reaches_back_to_the_data(data: Path, tmp_path: Path, footer: Footer) -> None:
    work = Work(
        stage="again",
        artifact=RETRIEVED,
        driver="retrieved",
        sources={"retrieved": Source(RETRIEVED, tmp_path / "retrieved.parquet")},
        parameters={"tau": 0.7},
    )
    Job(work, Scope(tmp_path / "again.parquet")).run(lambda: lambda tables: (tables["retrieved"], {}), Silent())
    last = read_footer(tmp_path / "again.parquet", RETRIEVED)
    chain = last.lineage()
    sources = [read_footer(data / f"{kind.name}.parquet", kind) for kind in (HISTORIES, QUERIES)]
    assert list(last.record.inputs.values()) == [footer.fingerprint]
    assert footer.record.inputs == {kind.record.artifact: kind.fingerprint for kind in sources}
    assert set(chain) == {last.fingerprint, footer.fingerprint, *(source.fingerprint for source in sources)}
    for told in (last, footer, *sources):
        assert chain[told.fingerprint] == {"record": asdict(told.record), "rows": told.rows, "content": told.content}
    reached, waiting = set(), [last.fingerprint]
    while waiting:
        reached.add(waiting[-1])
        waiting += chain[waiting.pop()]["record"]["inputs"].values()
    assert reached == set(chain), "an ancestor is named by nobody, or missing"
    assert all(json.loads(last.to_json())["ancestry"][name] == chain[name] for name in reached - {last.fingerprint})
