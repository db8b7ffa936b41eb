"""Storage for the tests: one Azurite for the whole run, an account of its own for each test that asks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest

from dev.azurite import Azurite, new_key
from dev.memory import ManualClock, MemoryBlobs, MemoryQueue, MemoryTables
from sync.meter import Meter
from sync.storage import CONTAINER, POISON, QUEUES, TABLES, Storage, open_storage
from sync.storage.account import create_absent, services

ACCOUNTS = 600

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=300, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("soak", max_examples=3000, deadline=None)
hypothesis.settings.register_profile("deterministic", max_examples=50, deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as there are cores (`logical`), or one more (`auto`): some tests wait for a storage that is told not to
    answer."""
    return (os.cpu_count() or 1) + (config.option.numprocesses == "auto")


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
    """Empty storage: in memory, then on Azurite."""
    if request.param == "memory":
        queue = MemoryQueue(request.getfixturevalue("clock"))
        yield Storage(MemoryTables(), queue, MemoryBlobs(), lambda: None)
        return
    connection = request.getfixturevalue("account")
    opened, makes = open_storage(connection, meter), services(connection, Meter())
    create_absent(makes, (), (), CONTAINER)
    tables = _Made(opened.tables, TABLES, makes.tables.create_table_if_not_exists)
    queue = _Made(opened.queue, [one + end for one in QUEUES for end in ("", POISON)], makes.queues.create_queue)
    yield Storage(tables, queue, opened.blobs, opened.close)  # type: ignore[arg-type]
    opened.close()
    makes.close()


class _Made:
    """Tables or queues of which each is made when it is first named: few tests need them all."""

    def __init__(self, inner: object, names: Collection[str], make: Callable[[str], object]) -> None:
        self._inner, self._names, self._make, self._lock = inner, set(names), make, threading.Lock()

    def __getattr__(self, called: str) -> Callable[..., Any]:
        does = getattr(self._inner, called)

        def named(name: str, *given: Any, **options: Any) -> Any:
            with self._lock:
                if name in self._names:
                    self._make(name)
                    self._names.remove(name)
            return does(name, *given, **options)

        return named
