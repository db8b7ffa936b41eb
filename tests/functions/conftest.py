"""A function app of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.functions.host_world import write_app


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes a function app and its host.json into an empty folder."""
    return partial(write_app, tmp_path)
