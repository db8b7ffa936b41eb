"""A stage, and the whole application on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stage import Stage
from tests.web.web_world import Client, the_web


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The product on memory with a simulated tenant."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def client(stage: Stage) -> Client:
    """Whoever asks, with the key."""
    return Client(the_web(stage))
