"""Storage for the tests: one Azurite for the whole run, an account of its own for each test that asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import hypothesis
import pytest

from dev.azurite import Azurite, new_key
from dev.memory import ManualClock, MemoryBlobs, MemoryQueue, MemoryTables
from sync.meter import Meter
from sync.storage import Storage, open_storage, prepare

ACCOUNTS = 600

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=300, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("soak", max_examples=3000, deadline=None)
hypothesis.settings.register_profile("deterministic", max_examples=50, deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for a storage that is told not to answer."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The one Azurite of this run, in memory."""
    key = new_key()
    with Azurite(accounts=[(f"test{number:03d}", key) for number in range(ACCOUNTS)]) as running:
        yield running


@pytest.fixture(scope="session")
def accounts(azurite: Azurite) -> Iterator[str]:
    """Connection strings of accounts nobody has used."""
    return (azurite.connection_string(f"test{number:03d}") for number in range(ACCOUNTS))


@pytest.fixture
def account(accounts: Iterator[str]) -> str:
    """The connection string of an account of this test's own: empty, not even prepared."""
    connection = next(accounts, None)
    assert connection is not None, f"More than {ACCOUNTS} tests want an account: raise ACCOUNTS in tests/conftest.py."
    return connection


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test advances it."""
    return ManualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def meter() -> Meter:
    """Counts what `storage` asks of Azurite."""
    return Meter()


@pytest.fixture(params=["memory", "azurite"])
def storage(request: pytest.FixtureRequest, meter: Meter) -> Iterator[Storage]:
    """Empty storage with all tables, queues and the container: in memory, then on Azurite."""
    if request.param == "memory":
        queue = MemoryQueue(request.getfixturevalue("clock"))
        yield Storage(MemoryTables(), queue, MemoryBlobs(), lambda: None)
        return
    connection = request.getfixturevalue("account")
    prepare(connection)
    opened = open_storage(connection, meter)
    yield opened
    opened.close()
