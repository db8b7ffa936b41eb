"""The change feed of the table of records: what is stored, its feed rows and the bucket's counter are one group.

1. A record lives in the bucket its key names, one of sixteen partitions.
2. Row `c` holds the last feed number of the bucket, `f|<number>` says what changed, `r|...` are the records' rows.
3. Every group that changes a record writes its feed row and the counter, the counter over exactly the version read.
   So numbers have no gaps and no reader passes a change that is not visible yet: no clock is involved.
   A contact's feed row names the addresses that are new with him: who waits for them reads no record.
4. The counter is remembered between groups; a worker that meets a newer one reads it again and sends the group again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from sync.crm import records
from sync.errors import BadItem, Exists, Retry, Stale, TooLarge
from sync.keys import BUCKETS
from sync.ports import Clock, Tables, Value, Write

TABLE = "CrmRecords"
COUNTER = "c"
GROUP_ROWS = 99  # the counter is the hundredth
GROUP_WEIGHT = 3_900_000
TRIES = 40
PAUSE = 0.006  # seconds, at most, before a group goes again; two workers of one bucket get out of step


@dataclass(frozen=True, slots=True)
class Unit:
    """A record's change: rows that travel together with one feed row. `weight` bounds their bytes on the wire.
    `removed` says that the record goes, `arrived` which addresses this contact did not have before."""

    key: str
    type: str
    writes: Sequence[Write]
    weight: int = 0
    removed: bool = False
    arrived: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """Rows with the feed row."""
        return len(self.writes) + 1


@dataclass(frozen=True, slots=True)
class Change:
    """A record was created, changed or `removed`: the `number`th change of its bucket. `arrived` are the addresses
    that became this contact's."""

    key: str
    type: str
    number: int
    bucket: str
    time: str
    removed: bool = False
    arrived: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """What is remembered of a bucket's counter; `version` is None where it must be read first, "" where absent."""

    number: int = 0
    version: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Feed:
    """Writes records with their feed rows, and reads the feed."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._places = {bucket: _Place() for bucket in BUCKETS}

    def append(self, bucket: str, units: Sequence[Unit]) -> None:
        """Store units of one bucket in one group, or in several where the storage finds them too large.

        Raises Exists or Stale where a row of the units does not meet its condition, Retry where other workers keep
        the bucket busy. Of several groups the earlier stay: units are written so that writing them again is harmless.
        """
        try:
            self._append(bucket, units)
        except TooLarge:
            if len(units) == 1:
                raise
            half = len(units) // 2
            self.append(bucket, units[:half])
            self.append(bucket, units[half:])

    def changes(self, cursor: str, limit: int) -> tuple[list[Change], str]:
        """Up to `limit` changes after `cursor` ("" is the beginning) and the cursor behind them. Raises BadItem."""
        numbers = read_cursor(cursor)
        # Another bucket goes first each time, so that a busy one cannot hold up the others.
        start = sum(numbers) % len(BUCKETS)
        found: list[Change] = []
        for position in (*range(start, len(BUCKETS)), *range(start)):
            room = limit - len(found)
            if room <= 0:
                break
            for change in self._after(BUCKETS[position], numbers[position], room):
                found.append(change)
                numbers[position] = change.number
        return found, write_cursor(numbers)

    def arrivals(self, cursor: str, limit: int) -> tuple[list[str], int, str]:
        """Addresses that became contacts' since `cursor`, among the next `limit` changes; how many changes were read,
        and the cursor behind them. Sixteen reads where nothing is new: one for each bucket. Raises BadItem."""
        changes, behind = self.changes(cursor, limit)
        found = dict.fromkeys(address for change in changes for address in change.arrived)
        return list(found), len(changes), behind

    def newest(self) -> str:
        """The cursor behind all changes that are stored now, from the counters alone: sixteen reads."""
        places = [self._tables.get(TABLE, bucket, COUNTER) for bucket in BUCKETS]
        return write_cursor([int(str(row.values["number"]), 16) if row else 0 for row in places])

    def _after(self, bucket: str, number: int, limit: int) -> Iterator[Change]:
        for row in self._tables.rows(TABLE, bucket, _feed_key(number + 1), "f~", limit=limit):
            values = row.values
            yield Change(
                key=str(values["key"]),
                type=str(values["type"]),
                number=int(row.key[2:], 16),
                bucket=bucket,
                time=str(values["time"]),
                removed=bool(values.get("removed", False)),
                arrived=tuple(orjson.loads(str(values.get("arrived", "[]")))),
            )

    def _append(self, bucket: str, units: Sequence[Unit]) -> None:
        place = self._places[bucket]
        with place.lock:
            for _ in range(TRIES):
                if place.version is None:
                    self._read(bucket, place)
                if self._sent(bucket, place, units):
                    return
                time.sleep(random.random() * PAUSE)
        raise Retry("Other workers are writing to the same part of the CRM.", after=5)

    def _sent(self, bucket: str, place: _Place, units: Sequence[Unit]) -> bool:
        """Whether the group was stored; False where the counter turned out to be another."""
        version, place.version = place.version, None  # unknown until the storage has answered
        number = place.number + len(units)
        try:
            versions = self._tables.write(TABLE, bucket, self._group(place.number, version, units))
        except (Exists, Stale) as error:
            if error.key == COUNTER or error.key.startswith("f|"):
                return False
            if error.key:  # a row of the units: the counter is as remembered
                place.version = version
                raise
            if isinstance(error, Stale):  # the storage does not tell; the counter is by far the likelier
                return False
            raise
        place.number, place.version = number, versions[COUNTER]
        return True

    def _group(self, number: int, version: str | None, units: Sequence[Unit]) -> list[Write]:
        now = records.iso(self._clock())
        counter = {"number": f"{number + len(units):016x}"}
        group = [Write("replace", COUNTER, counter, version) if version else Write("insert", COUNTER, counter)]
        for position, unit in enumerate(units, number + 1):
            group.extend(unit.writes)
            values: dict[str, Value] = {"key": unit.key, "type": unit.type, "time": now}
            if unit.removed:
                values["removed"] = True
            if unit.arrived:
                values["arrived"] = orjson.dumps(unit.arrived).decode()
            group.append(Write("insert", _feed_key(position), values))
        return group

    def _read(self, bucket: str, place: _Place) -> None:
        row = self._tables.get(TABLE, bucket, COUNTER)
        place.number, place.version = (int(str(row.values["number"]), 16), row.version) if row else (0, "")


def read_cursor(cursor: str) -> list[int]:
    """The sixteen numbers of a cursor; raises BadItem for what is none."""
    if not cursor:
        return [0] * len(BUCKETS)
    parts = cursor.split(".")
    # A feed number has 16 digits; the length also keeps nonsense from being computed with.
    if len(parts) != len(BUCKETS) or not all(len(part) <= 15 and _HEX.issuperset(part) for part in parts):
        raise BadItem("cursor", "This is not a cursor of the change feed: use the one that the last answer gave.")
    return [int(part or "0", 16) for part in parts]


def write_cursor(numbers: Sequence[int]) -> str:
    """Sixteen numbers as text; zero is left out."""
    return ".".join(f"{number:x}" if number else "" for number in numbers)


_HEX = frozenset("0123456789abcdef")


def _feed_key(number: int) -> str:
    return f"f|{number:016x}"
