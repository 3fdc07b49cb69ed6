"""Many ways to one result: in shards, in chunks of any size, killed and resumed. The same bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import steerx_cli.stages.generate as stage
from scorers import REVIEW, SHORT, generate, profile, request, save_model, world, write
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.lm.models import identify
from steerx_cli.lm.sampling import Sampling
from steerx_cli.stages.generate.settings import Settings
from steerx_cli.tools.merge import run as merge
from support import aged, forked, fresh, killed_before_lines, state_of, stop_before

STEERX = Settings(
    "steerx-cos", REVIEW.task, (0.5, 2.0), profiles_of="other", prompt_format="plain", max_new_tokens=5, batch_size=3
)
DRAWN = replace(STEERX, sampling=Sampling(1.5))
COS = replace(DRAWN, method="cos", profiles_of="own", max_new_tokens=3)
NEUTRAL = Settings("non-perso", REVIEW.task, over="histories", prompt_format="plain", max_new_tokens=5)


def people(folder: Path, users: str) -> Path:
    """Some who differ in how much there is of them; the first has no histories."""
    tables = world({user: SHORT[: 2 + at % 3] for at, user in enumerate(users)})
    tables["profiles"] = [profile(row["user_id"], row["query_id"], f"{row['query_id']}!") for row in tables["queries"]]
    tables["retrieved"] = [row for row in tables["retrieved"] if row["user_id"] != users[0]]
    del tables["generations"]
    return write(folder, tables)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=range(150, 170))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("people"), "abcdefg")


def bytes_of(data: Path, model: Path, how: Settings, output: Path, **scope: Any) -> bytes:
    """The file that comes of a run."""
    generate(data, model, how, str(output), overwrite=False, **{"chunk_users": 2, **scope})
    return output.read_bytes()


@pytest.mark.parametrize("how", [STEERX, DRAWN, NEUTRAL], ids=["greedy", "drawn", "neutral"])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_shards_merge_to_the_whole(how: Settings, count: int, data: Path, model: Path, tmp_path: Path) -> None:
    whole = bytes_of(data, model, how, tmp_path / "whole.parquet")
    paths = [tmp_path / f"{index}-of-{count}.parquet" for index in range(1, count + 1)]
    for index, path in enumerate(paths, 1):
        bytes_of(data, model, how, path, shard=Shard(index, count))
    merge(paths, tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == whole


@pytest.mark.parametrize("how", [STEERX, DRAWN, NEUTRAL], ids=["greedy", "drawn", "neutral"])
def test_the_size_of_chunks_changes_no_row(how: Settings, data: Path, model: Path) -> None:
    one, some, all_of_them = (generate(data, model, how, chunk_users=users) for users in (1, 3, 64))
    assert one[0] == some[0] == all_of_them[0]
    assert len(one[0]) == {"queries": 28, "histories": 18}[how.over]
    assert {**one[1], "tokens run through the model": 0} == {**all_of_them[1], "tokens run through the model": 0}


@pytest.mark.parametrize("stopped_at", [1, 3, 4])
def test_interrupted_between_chunks_and_resumed_it_is_the_same(
    stopped_at: int, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bytes_of(data, model, DRAWN, tmp_path / "whole.parquet")
    done = stop_before(stopped_at, stage, monkeypatch)
    with pytest.raises(Interrupted):
        bytes_of(data, model, DRAWN, tmp_path / "resumed.parquet")
    assert bytes_of(data, model, DRAWN, tmp_path / "resumed.parquet") == expected
    assert len(done) == 4 + 1, "what was finished is not done again"


def test_the_model_that_is_loaded_is_the_one_that_was_named(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch may move between the two."""
    load = Mock(side_effect=SteerxError("loaded"))
    found = replace(identify(request(model)), revision="a commit")
    monkeypatch.setattr(stage, "prepare", load)
    monkeypatch.setattr("steerx_cli.lm.models.identify", lambda *_: found)
    with pytest.raises(SteerxError, match="loaded"):
        bytes_of(data, model, COS, tmp_path / "out.parquet")
    assert load.call_args.args[0] == replace(request(model), revision="a commit")


# --- killed -----------------------------------------------------------------------------------------------------------


def kill_and_resume(data: Path, model: Path, folder: Path) -> None:
    """Be killed before any line that writes, and resume; says what was written, and how many lines came."""
    compute = stage.prepare(request(model), COS, None)  # loaded once, and every copy of this process has it
    stage.prepare = lambda *_: compute
    assert forked(bytes_of, data, model, COS, folder / "whole" / "out.parquet") == 0
    expected, killed, line = state_of(folder / "whole"), folder / "killed", 0
    killed.mkdir()
    work = (bytes_of, data, model, COS, killed / "new" / "out.parquet")
    for line in killed_before_lines(killed, *work):
        assert forked(*work) == 0
        assert state_of(killed / "new") == expected, f"killed before line {line}"
    print(sorted(expected), line)


def test_killed_before_any_line_that_writes_it_ends_with_the_same_bytes(
    model: Path, tmp_path: Path, programs: Path
) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = fresh(programs, kill_and_resume, people(tmp_path / "few", "abc"), aged(model), tmp_path / "out")
    assert code == 0, err
    names, lines = out.rsplit(maxsplit=1)
    assert names == "['out.parquet']"
    assert int(lines) > 400, "the run was shorter than it can be"
