"""Data that many tests read and none changes."""

from pathlib import Path

import pytest

from steerx_cli.demo.people import write_people


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people with five histories each, and one query."""
    folder = tmp_path_factory.mktemp("data")
    write_people(folder, count=20, each=5, seed=1)
    return folder


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two histories each."""
    folder = tmp_path_factory.mktemp("few")
    write_people(folder, count=2, each=2, seed=1)
    return folder
