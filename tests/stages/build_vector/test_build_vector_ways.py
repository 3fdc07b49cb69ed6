"""Many ways to one result: in shards, in chunks of any size, killed and resumed. The same bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import steerx_cli.stages.build_vector as stage
from builders import HOW, build, built, mix_again, near, people
from scorers import SHORT, request, save_model, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import VECTORS
from steerx_cli.lm.models import Build, identify
from steerx_cli.stages.build_vector import vectors
from steerx_cli.stages.build_vector.settings import Mix, Settings
from steerx_cli.stages.build_vector.texts import Placer
from steerx_cli.tools.merge import run as merge
from support import aged, forked, fresh, killed_before_lines, state_of, stop_before

OF_USERS = replace(HOW, scope="user", pool="mean", select=2)
WAYS = pytest.mark.parametrize("how", [HOW, OF_USERS], ids=lambda how: how.scope)
AGAIN = Mix(-1.0, normalize=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = {user: SHORT[: 1 + at % 3] for at, user in enumerate("abcdefg")}
    return write(tmp_path_factory.mktemp("people"), people(texts), over="histories")


def bytes_of(data: Path, model: Path, how: Settings, output: Path, **scope: Any) -> bytes:
    """The file that comes of a run."""
    built(data, model, how, str(output), **{"chunk_users": 2, "overwrite": False, **scope})
    return output.read_bytes()


def shards(data: Path, model: Path, how: Settings, folder: Path, count: int) -> list[Path]:
    """The files of as many runs, each of a share of the users."""
    paths = [folder / f"{index}-of-{count}.parquet" for index in range(1, count + 1)]
    for index, path in enumerate(paths, 1):
        bytes_of(data, model, how, path, shard=Shard(index, count))
    return paths


@WAYS
@pytest.mark.parametrize("count", [1, 3, 9])
def test_shards_merge_to_the_whole(how: Settings, count: int, data: Path, model: Path, tmp_path: Path) -> None:
    whole = bytes_of(data, model, how, tmp_path / "whole.parquet")
    merge(shards(data, model, how, tmp_path, count), tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == whole


def test_shards_are_mixed_again_as_the_whole_is(data: Path, model: Path, tmp_path: Path) -> None:
    bytes_of(data, model, HOW, tmp_path / "whole.parquet")
    (tmp_path / "shards").mkdir()
    shards(data, model, HOW, tmp_path / "shards", 3)
    rows = [
        mix_again(where, AGAIN, tmp_path / f"{at}.parquet", chunk_users=2)
        for at, where in enumerate((tmp_path / "whole.parquet", tmp_path / "shards"))
    ]
    assert rows[0] == rows[1]
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()


@WAYS
def test_the_size_of_chunks_moves_nothing_but_noise(how: Settings, data: Path, model: Path) -> None:
    one, some, all_of_them = (build(data, model, how, chunk_users=users) for users in (1, 3, 64))
    for rows, counts in (one, some):
        near(rows, all_of_them[0])
        assert {**counts, "tokens run through the model": 0} == {**all_of_them[1], "tokens run through the model": 0}


def test_users_are_read_some_after_the_other(data: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many histories a chunk has, no more than so many are held at once, but for one user's own."""
    whole, counts = build(data, model, HOW)
    read: list[int] = []
    real = Placer.placed

    def placed(self: Placer, answers: Any) -> Any:
        read.append(len(answers))
        return real(self, answers)

    monkeypatch.setattr(Placer, "placed", placed)
    for most, portions in ((10**6, 1), (0, len({row["user_id"] for row in whole}))):
        monkeypatch.setattr(vectors, "_AT_ONCE", most)
        rows, told = build(data, model, HOW, f"{most}.parquet")
        assert len(read) == portions
        near(rows, whole)
        assert {**told, "tokens run through the model": 0} == {**counts, "tokens run through the model": 0}
        read.clear()


def test_a_limit_is_kept_by_what_is_mixed_again(data: Path, model: Path, tmp_path: Path) -> None:
    some = tmp_path / "some.parquet"
    some.write_bytes(bytes_of(data, model, HOW, data / "limited.parquet", limit=2))
    again = tmp_path / "again.parquet"
    rows = mix_again(some, Mix(0.1), again)
    assert read_footer(again, VECTORS).record.parameters["limit"] == 2
    assert mix_again(some, Mix(0.1), again, limit=1) == [row for row in rows if row["user_id"] == rows[0]["user_id"]]


def test_a_limit_takes_the_first_users(data: Path, model: Path) -> None:
    whole, _ = build(data, model, HOW, chunk_users=1)
    first = [*dict.fromkeys(row["user_id"] for row in whole)][:3]
    rows, _ = build(data, model, HOW, "limited.parquet", chunk_users=1, limit=3)
    assert rows == [row for row in whole if row["user_id"] in first]
    assert read_footer(data / "limited.parquet", VECTORS).users == 3


@pytest.mark.parametrize("stopped_at", [1, 3, 4])
def test_interrupted_between_chunks_and_resumed_it_is_the_same(
    stopped_at: int, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bytes_of(data, model, HOW, tmp_path / "whole.parquet")
    done = stop_before(stopped_at, stage, monkeypatch)
    with pytest.raises(Interrupted):
        bytes_of(data, model, HOW, tmp_path / "resumed.parquet")
    assert bytes_of(data, model, HOW, tmp_path / "resumed.parquet") == expected
    assert len(done) == 4 + 1, "what was finished is not done again"


@pytest.mark.parametrize("change", [{"mix": Mix(0.5)}, {"layers": (1,)}, {"pool": "mean"}, {"batch_tokens": 50}])
def test_vectors_that_were_built_otherwise_are_not_replaced_unasked(
    change: dict[str, Any], data: Path, model: Path, tmp_path: Path
) -> None:
    before = bytes_of(data, model, HOW, tmp_path / "vectors.parquet")
    with pytest.raises(SteerxError, match="was made otherwise "):
        bytes_of(data, model, replace(HOW, **change), tmp_path / "vectors.parquet")
    assert (tmp_path / "vectors.parquet").read_bytes() == before


def test_the_model_that_is_loaded_is_the_one_that_was_named(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch may move between the two."""
    load = Mock(side_effect=SteerxError("loaded"))
    found = replace(identify(request(model)), revision="a commit")
    monkeypatch.setattr(stage, "prepare", load)
    monkeypatch.setattr(stage, "build_of", lambda asked, **_: Build(f"of {asked.revision}", None))
    monkeypatch.setattr("steerx_cli.lm.models.identify", lambda *_: found)
    with pytest.raises(SteerxError, match="loaded"):
        bytes_of(data, model, HOW, tmp_path / "out.parquet")
    assert load.call_args.args[0] == replace(request(model), revision="a commit")


# --- killed -----------------------------------------------------------------------------------------------------------


def both(data: Path, model: Path, folder: Path) -> None:
    """Vectors, and others mixed of them."""
    bytes_of(data, model, HOW, folder / "vectors.parquet")
    mix_again(folder / "vectors.parquet", AGAIN, folder / "mixed.parquet", chunk_users=2, overwrite=False)


def kill_and_resume(data: Path, model: Path, folder: Path) -> None:
    """Be killed before any line that writes, and resume; says what was written, and how many lines came."""
    compute = stage.prepare(request(model), HOW)  # loaded once, and every copy of this process has it
    stage.prepare = lambda *_: compute
    assert forked(both, data, model, folder / "whole") == 0
    expected, killed, line = state_of(folder / "whole"), folder / "killed", 0
    killed.mkdir()
    for line in killed_before_lines(killed, both, data, model, killed / "new"):
        assert forked(both, data, model, killed / "new") == 0
        assert state_of(killed / "new") == expected, f"killed before line {line}"
    print(sorted(expected), line)


def test_killed_before_any_line_that_writes_it_ends_with_the_same_bytes(
    model: Path, tmp_path: Path, programs: Path
) -> None:
    few = write(tmp_path / "few", people(dict.fromkeys("abc", SHORT[:2]), queries=1), over="histories")
    (tmp_path / "out").mkdir()
    code, out, err = fresh(programs, kill_and_resume, few, aged(model), tmp_path / "out")
    assert code == 0, err
    names, lines = out.rsplit(maxsplit=1)
    assert names == "['mixed.parquet', 'vectors.parquet']"
    assert int(lines) > 2000, "the run was shorter than it can be"
