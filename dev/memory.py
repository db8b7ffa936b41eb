"""Storage and time in memory, under the same contracts and limits as Azure's."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from sync.errors import Exists, Stale
from sync.ports import Blob, Clock, Row, Value, Write
from sync.storage import POISON, QUEUES, TABLES
from sync.storage.groups import check_bound, check_group, check_key, check_name, check_row, check_text, stored


class ManualClock:
    """A clock that stands still until it is told to advance. Calling it gives an aware moment in UTC."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("A clock needs a start with a time zone.")
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError("Time does not run backwards.")
        with self._lock:
            self._now += timedelta(seconds=seconds)


@dataclass(slots=True)
class _Partition:
    rows: dict[str, Row] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def put(self, row: Row) -> None:
        if row.key not in self.rows:
            insort(self.keys, row.key)
        self.rows[row.key] = row

    def remove(self, key: str) -> None:
        if self.rows.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def between(self, first: str, last: str) -> list[Row]:
        start = bisect_left(self.keys, first)
        end = bisect_left(self.keys, last) if last else len(self.keys)
        return [self.rows[key] for key in self.keys[start:end]]


class MemoryTables:
    """Tables in memory. It knows the product's tables and no others, as a deployed account does."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, _Partition]] = {name: {} for name in TABLES}
        self._version = 0
        self._lock = threading.RLock()

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, or None."""
        check_key(partition)
        check_key(key)
        with self._lock:
            return self._partition(table, partition).rows.get(key)

    def rows(
        self,
        table: str,
        partition: str,
        first: str = "",
        last: str = "",
        select: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows of one partition with first <= key < last in key order, as they are now."""
        check_key(partition)
        check_bound(first)
        check_bound(last)
        with self._lock:
            found = self._partition(table, partition).between(first, last)
        return iter([_selected(row, select) for row in islice(found, limit)])

    def scan(self, table: str, select: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table in order of partition and key, as they are now."""
        with self._lock:
            partitions = sorted(self._table(table).items())
            found = [row for _, partition in partitions for row in partition.between("", "")]
        return iter([_selected(row, select) for row in found])

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """All of these writes or none; row key -> new version."""
        check_group(partition, writes)
        with self._lock:
            place = self._partition(table, partition)
            after = {write.key: self._after(partition, place.rows.get(write.key), write) for write in writes}
            for key, row in after.items():
                if row is None:
                    place.remove(key)
                else:
                    place.put(row)
            if place.rows:
                self._tables[table][partition] = place
            return {key: row.version for key, row in after.items() if row is not None}

    def _after(self, partition: str, row: Row | None, write: Write) -> Row | None:
        if write.action == "insert" and row is not None:
            raise Exists("A row that had to be new exists already.", write.key)
        if write.version is not None and (row is None or row.version != write.version):
            raise Stale("A row changed since it was read.", write.key)
        if write.action == "update" and row is None:
            raise Stale("A row that had to be there is gone.", write.key)
        if write.action == "delete":
            return None
        values = {name: stored(value) for name, value in write.values.items()}
        if write.action in ("merge", "update") and row is not None:
            values = {**row.values, **values}
            check_row(write.key, values)
        self._version += 1
        return Row(partition, write.key, values, f'W/"{self._version}"')

    def _table(self, table: str) -> dict[str, _Partition]:
        if table not in self._tables:
            raise LookupError(f"There is no table {table!r}.")
        return self._tables[table]

    def _partition(self, table: str, partition: str) -> _Partition:
        return self._table(table).get(partition) or _Partition()


def _selected(row: Row, select: Sequence[str]) -> Row:
    if not select:
        return row
    values: Mapping[str, Value] = {name: row.values[name] for name in select if name in row.values}
    return Row(row.partition, row.key, values, row.version)


class MemoryBlobs:
    """Files in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}
        self._version = 0
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        """Write a file; returns its version. With `version` only over exactly that one ("" is absent), else Stale."""
        check_name(name)
        with self._lock:
            there = self._blobs.get(name)
            if version is not None and version != (there.version if there else ""):
                raise Stale("A file changed since it was read.", name)
            self._version += 1
            blob = self._blobs[name] = Blob(bytes(data), f'"{self._version}"')
            return blob.version

    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        """Write a file piece by piece; it is there as a whole or not at all. Returns its size."""
        data = b"".join(pieces)
        self.put(name, data)
        return len(data)

    def get(self, name: str, unless: str = "") -> Blob | None:
        """A file, or None where it is absent or still has the version `unless`."""
        check_name(name)
        with self._lock:
            blob = self._blobs.get(name)
        return None if blob is None or blob.version == unless else blob

    def names(self) -> list[str]:
        """All that are there."""
        with self._lock:
            return sorted(self._blobs)

    def version(self, name: str) -> str:
        """The version of a file, "" where it is absent."""
        blob = self.get(name)
        return blob.version if blob else ""

    def delete(self, name: str, version: str | None = None) -> None:
        """Remove a file; removing what is gone is success. With `version` only exactly that one, else Stale."""
        check_name(name)
        with self._lock:
            there = self._blobs.get(name)
            if there and version is not None and version != there.version:
                raise Stale("A file changed since it was read.", name)
            self._blobs.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    due: datetime


class MemoryQueue:
    """The product's queues and their poison queues in memory; what is delayed appears when the clock says so."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, list[_Message]] = {name + end: [] for name in QUEUES for end in ("", POISON)}
        self._lock = threading.Lock()

    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """Send `text`, visible after `delay` seconds."""
        check_text(text, delay)
        with self._lock:
            self._queue(queue).append(_Message(text, self._clock() + timedelta(seconds=math.ceil(delay))))

    def length(self, queue: str) -> int:
        """How many messages there are, those not visible yet among them."""
        with self._lock:
            return len(self._queue(queue))

    def messages(self, queue: str) -> list[str]:
        """What is visible now, first due first."""
        with self._lock:
            return [message.text for message in self._visible(queue)]

    def take(self, queue: str) -> str | None:
        """Remove the next visible message, or None where there is none."""
        with self._lock:
            message = next(iter(self._visible(queue)), None)
            if message is None:
                return None
            self._queue(queue).remove(message)
            return message.text

    def waiting(self, queue: str) -> list[tuple[float, str]]:
        """What is not visible yet, first due first, with the seconds until it is."""
        with self._lock:
            now = self._clock()
            hidden = sorted((message for message in self._queue(queue) if message.due > now), key=_due)
            return [((message.due - now).total_seconds(), message.text) for message in hidden]

    def _visible(self, queue: str) -> list[_Message]:
        now = self._clock()
        return sorted((message for message in self._queue(queue) if message.due <= now), key=_due)

    def _queue(self, queue: str) -> list[_Message]:
        if queue not in self._queues:
            raise LookupError(f"There is no queue {queue!r}.")
        return self._queues[queue]


def _due(message: _Message) -> datetime:
    return message.due
