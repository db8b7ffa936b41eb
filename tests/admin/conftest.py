"""A stage, and two shells on it: a terminal with somebody before it, and a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.terminal import Terminal, a_terminal
from tests.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The product on memory with a simulated tenant."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def shell(stage: Stage, tmp_path: Path) -> Terminal:
    """A shell whose output is piped, with nobody to answer."""
    return a_terminal(stage, tmp_path)


@pytest.fixture
def terminal(stage: Stage, tmp_path: Path) -> Terminal:
    """A terminal of 120 columns."""
    return a_terminal(stage, tmp_path, terminal=True)
