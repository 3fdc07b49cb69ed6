"""Where an input is looked for: as named, in the run folder, in its shards there, in the data folder."""

from pathlib import Path

import pytest

from steerx_cli.core.places import artifact_path, find_input, whole_path
from steerx_cli.core.provenance import Shard


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run folder and a data folder."""
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    data.mkdir()
    return run, data


def test_the_run_folder_goes_before_the_data_folder_and_a_name_before_both(folders: tuple[Path, Path]) -> None:
    run, data = folders
    assert find_input("queries", None, run, data) == run / "queries.parquet"
    (data / "queries.parquet").touch()
    assert find_input("queries", None, run, data) == data / "queries.parquet"
    assert find_input("queries", None, run, None) == run / "queries.parquet"
    shard = artifact_path(run, "queries", Shard(1, 2))
    shard.touch()
    assert find_input("queries", None, run, data) == run / "queries-?????-of-?????.parquet"
    (run / "queries.parquet").touch()
    assert find_input("queries", None, run, data) == run / "queries.parquet"
    assert find_input("queries", Path("mine"), run, data) == Path("mine")


def test_a_shard_s_name_leads_to_the_whole_s(folders: tuple[Path, Path]) -> None:
    run, _ = folders
    shard = artifact_path(run, "score-tokens", Shard(3, 12))
    assert shard.name == "score-tokens-00003-of-00012.parquet"
    assert whole_path(shard) == artifact_path(run, "score-tokens")
