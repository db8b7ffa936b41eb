"""contacts-100k: a CSV file of a hundred thousand contacts, imported twice; storage requests are counted exactly."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.figures import Figure
from dev.memory import MemoryBlobs, MemoryTables
from sync.crm.addresses import ANSWER_ROWS
from sync.crm.builtin import Builtin
from sync.crm.people import SLICE
from sync.keys import Keys
from sync.ports import Blob, Blobs, Row, Tables, Write

CONTACTS = 100_000
# Three rows each (address, record, feed), a hundred to a group, and a fifth for groups that are not full.
MOST_REQUESTS = 0.036
MOST_AGAIN = 0.002  # an answer has a thousand contacts
MOST_MEGABYTES = 64
SECRET = b"the digest key of the benchmark"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MEGABYTE = 1024 * 1024

Measured = tuple[list[Figure], list[str]]


class BilledStorage:
    """Tables and files that count requests as Azure bills them: a thousand rows to an answer."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables, self._blobs = tables, blobs
        self.requests = 0

    def get(self, *given: Any, **options: Any) -> Any:
        """A row by table, partition and key; a file by name."""
        self.requests += 1
        found: Row | Blob | None = self._tables.get(*given) if len(given) == 3 else self._blobs.get(*given, **options)
        return found

    def rows(self, *given: Any, **options: Any) -> Iterator[Row]:
        """Rows of a partition."""
        return self._answered(self._tables.rows(*given, **options))

    def scan(self, *given: Any, **options: Any) -> Iterator[Row]:
        """Rows of a table."""
        return self._answered(self._tables.scan(*given, **options))

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """One group."""
        self.requests += 1
        return self._tables.write(table, partition, writes)

    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        """A file."""
        self.requests += 1
        return self._blobs.put(name, data, version)

    def stream(self, name: str, pieces: Any) -> int:
        """A file in pieces."""
        self.requests += 1
        return self._blobs.stream(name, pieces)

    def version(self, name: str) -> str:
        """Which version a file has."""
        self.requests += 1
        return self._blobs.version(name)

    def delete(self, name: str, version: str | None = None) -> None:
        """No file any more."""
        self.requests += 1
        self._blobs.delete(name, version)

    def _answered(self, rows: Iterator[Row]) -> Iterator[Row]:
        at = -1
        for at, row in enumerate(rows):
            self.requests += at % ANSWER_ROWS == 0
            yield row
        self.requests += at == -1


class _Forgetting(MemoryTables):
    """Tables that keep nothing: what grows in memory is the product's."""

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:  # noqa: ARG002
        """Nothing."""
        return {one.key: "version" for one in writes}


def contacts_100k() -> Measured:
    """Import, import again, and the memory of two slices."""
    file = _file(CONTACTS)
    tables, blobs = MemoryTables(), MemoryBlobs()
    first = _imported(file, tables, blobs, CONTACTS)
    again = _imported(file, tables, blobs, 0)
    peak = _peak(_file(2 * SLICE))
    return [
        Figure("contacts-100k", "storage requests / contact", first[0], f"{first[0]:.4f}", MOST_REQUESTS),
        Figure("contacts-100k", "imported again: storage requests / contact", again[0], f"{again[0]:.4f}", MOST_AGAIN),
        Figure("contacts-100k", "peak memory above the file, MB", peak, f"{peak:.1f}", MOST_MEGABYTES),
        Figure("contacts-100k", "processor time, us a contact", first[1], f"{first[1]:.0f} (again {again[1]:.0f})"),
    ], []


MEASURES: dict[str, Callable[[], Measured]] = {"contacts-100k": contacts_100k}


def _file(many: int) -> bytes:
    rows = (f"Person{at},Client{at % 977},person{at}@client{at % 5_000}.example\r\n" for at in range(many))
    return ("First Name,Last Name,E-mail Address\r\n" + "".join(rows)).encode()


def _imported(file: bytes, tables: Tables, blobs: Blobs, expected: int) -> tuple[float, float]:
    """Requests and microseconds a contact, with storage in memory included."""
    storage = BilledStorage(tables, blobs)
    start = time.process_time()
    report = Builtin(storage, storage, Keys(SECRET), lambda: NOW).import_contacts(file)
    taken = time.process_time() - start
    assert (report.imported, report.error_count) == (expected, 0)
    return storage.requests / CONTACTS, taken / CONTACTS * 1e6


def _peak(file: bytes) -> float:
    tracemalloc.start()
    Builtin(_Forgetting(), MemoryBlobs(), Keys(SECRET), lambda: NOW).import_contacts(file)
    peak = tracemalloc.get_traced_memory()[1] / MEGABYTE
    tracemalloc.stop()
    return peak
