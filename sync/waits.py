"""Until when Microsoft told whom to wait, as rows that all workers read.

AccordMailboxes  `not_before` of a mailbox's own row: it comes with the row that every job reads first
AccordState      partition `waits`; rows: `app`, and `connection|digest of the connection`
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from sync.errors import Scope
from sync.keys import Keys
from sync.ports import Clock, Tables, Write

TABLE, PARTITION = "AccordState", "waits"
APP = "app"
# So long a worker goes by what it read of the waits of app and connections: one request for all its jobs.
REMEMBERED = timedelta(seconds=5)


class Waits:
    """The rows of waits, those of app and connections remembered for a few seconds; shared by all threads."""

    def __init__(self, tables: Tables, keys: Keys, clock: Clock) -> None:
        self._tables = tables
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._read: datetime | None = None
        self._until: Mapping[str, datetime] = {}

    def extend(self, table: str, partition: str, key: str, until: datetime, create: bool) -> None:
        """Write `not_before` into a row unless it names a later time; raises Stale or Exists if somebody was quicker.

        Without `create` a row that is gone stays gone.
        """
        row = self._tables.get(table, partition, key)
        if row is None and not create:
            return
        before = row.values.get("not_before") if row else None
        if isinstance(before, datetime) and before >= until:
            return
        values = {"not_before": until}
        write = Write("merge", key, values, row.version) if row else Write("insert", key, values)
        self._tables.write(table, partition, [write])

    def shared(self, scope: Scope, connection: str) -> str:
        """The row of the app or of a connection."""
        return APP if scope == "app" else f"connection|{self._keys.of('connection', connection)}"

    def remember(self, row: str, until: datetime) -> None:
        """What this worker has just written counts for it at once."""
        with self._lock:
            self._until = {**self._until, row: max(until, self._until.get(row, until))}

    def until(self, connection: str) -> datetime | None:
        """When the last of the waits of app and connection ends, or None; at most a few seconds old."""
        # The lock is held while reading: many jobs that begin together ask once.
        with self._lock:
            now = self._clock()
            if self._read is None or not self._read <= now <= self._read + REMEMBERED:
                rows = self._tables.rows(TABLE, PARTITION)
                found = {row.key: row.values.get("not_before") for row in rows}
                self._until = {key: until for key, until in found.items() if isinstance(until, datetime)}
                self._read = now
            known = [self._until.get(self.shared(scope, connection)) for scope in ("app", "connection")]
        return max((until for until in known if until is not None), default=None)
