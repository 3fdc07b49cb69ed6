"""What the tests with a server share."""

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest

from servers import Clock, Serve, serving, without_proxies
from steerx_cli.lm import endpoint
from steerx_cli.lm.endpoint import Asker


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers."""
    with serving() as start:
        yield start


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nobody sleeps, no proxy is asked, and there is no key."""
    without_proxies(monkeypatch)
    monkeypatch.delenv("STEERX_API_KEY", raising=False)
    clock = Clock()
    monkeypatch.setattr(endpoint, "Asker", partial(Asker, draw=Random(5), now=clock, sleep=clock.sleep))
    return clock
