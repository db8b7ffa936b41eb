"""logs-1m: pages of a log of a million runs, in storage requests: in memory counted as Azure bills them; with fewer on
Azurite, which takes rows too slowly for a million, counted by the meter."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from bench.figures import Figure
from bench.imports import BilledStorage
from dev.azurite import Azurite
from dev.memory import MemoryBlobs, MemoryTables
from sync.log import PARTITION, RUNS, Log
from sync.meter import Meter
from sync.model import Run
from sync.ports import Row, Write
from sync.storage import open_storage, prepare

MANY = 1_000_000
MANY_ON_AZURITE = 4_000
MAILBOXES = 10_000
DAYS = 90
PAGE = 50
DEEP = 1_000
MOST_REQUESTS = 5
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

Measured = tuple[list[Figure], list[str]]


class _Prepared(MemoryTables):
    """Tables that are filled before they are read: keys are put in order once, and rows of a run share their values."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, Row] = {}
        self._keys: list[str] = []

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """Rows of the log, kept as they are."""
        assert (table, partition) == (RUNS, PARTITION)
        self._rows.update((one.key, Row(partition, one.key, one.values, "1")) for one in writes)
        return {}

    def ready(self) -> None:
        """From now on rows are read."""
        self._keys = sorted(self._rows)

    def get(self, table: str, partition: str, key: str) -> Row | None:  # noqa: ARG002 - all rows are of one
        """One row."""
        return self._rows.get(key)

    def rows(
        self,
        table: str,  # noqa: ARG002
        partition: str,  # noqa: ARG002
        first: str = "",
        last: str = "",
        select: Sequence[str] = (),  # noqa: ARG002
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows between two keys, without a list of all that lie there."""
        start, end = bisect_left(self._keys, first), bisect_left(self._keys, last)
        return (self._rows[self._keys[at]] for at in islice(range(start, end), limit))


def logs_1m() -> Measured:
    """The newest page, a filtered one, a run by its id, and a page a thousand pages deep."""
    tables = _Prepared()
    storage = BilledStorage(tables, MemoryBlobs())
    log = Log(storage)
    _fill(log, MANY)
    tables.ready()
    figures = _figures("logs-1m", log, MANY, lambda: storage.requests, DEEP)
    with Azurite() as azurite:
        connection, meter = azurite.connection_string(), Meter()
        prepare(connection)
        opened = open_storage(connection, meter)
        start = time.perf_counter()
        _fill(Log(opened.tables), MANY_ON_AZURITE)
        taken = time.perf_counter() - start
        few = Log(opened.tables)
        figures += _figures(
            "logs-azurite", few, MANY_ON_AZURITE, lambda: meter.counts()["tables"], MANY_ON_AZURITE // PAGE - 1
        )
        opened.close()
    return figures, [f"logs-1m: Azurite took {taken:.0f} s for {MANY_ON_AZURITE:,} runs, hence no million there."]


MEASURES: dict[str, Callable[[], Measured]] = {"logs-1m": logs_1m}


def _figures(name: str, log: Log, many: int, requests: Callable[[], int], deep: int) -> list[Figure]:
    """Each page, by its requests and how long it took here."""
    after, month = "", NOW - timedelta(days=30)
    for _ in range(deep):
        _, after = log.runs(PAGE, after)
    asked: dict[str, Callable[[], int]] = {
        "newest page": lambda: len(log.runs(PAGE)[0]),
        "a mailbox's errors of a month": lambda: len(log.runs(PAGE, mailbox=_mailbox(0), errors=True, since=month)[0]),
        "all errors of a month": lambda: len(log.runs(PAGE, errors=True, since=month)[0]),
        f"page {deep:,} pages deep": lambda: len(log.runs(PAGE, after)[0]),
        "a run by its id": lambda: int(log.run(f"{many // 2:032x}") is not None),
    }
    figures = []
    for what, ask in asked.items():
        before, start = requests(), time.perf_counter()
        found = ask()
        taken, cost = (time.perf_counter() - start) * 1000, requests() - before
        assert found, what
        figures.append(Figure(name, f"{what}: storage requests", cost, f"{cost} ({taken:.0f} ms)", MOST_REQUESTS))
    return figures


def _fill(log: Log, many: int) -> None:
    runs = _runs(many)
    while some := list(islice(runs, 1_000)):
        log.write_many(some)


def _runs(many: int) -> Iterator[Run]:
    """Evenly over the days and the mailboxes, newest first; every eleventh with an error."""
    apart = timedelta(days=DAYS) / many
    for number in range(many):
        at = NOW - (number + 1) * apart
        failed = int(number % 11 == 0)
        yield Run(f"{number:032x}", "tenant", _mailbox(number), "mail", "due", at, at, 1, 1, failed, 1)


def _mailbox(number: int) -> str:
    return f"{number % MAILBOXES:032x}"
