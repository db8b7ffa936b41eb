"""What is to be fetched again: error items of the log whose retry somebody asked for (T4).

AccordRetries    partition: mailbox id; row: digest of the name|run id|number: what names one message lies together
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sync import rows
from sync.errors import Stale
from sync.ports import Row, Tables, Write

TABLE = "AccordRetries"
GROUP = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """An error item that is to be done again; `digest` stands for its name in keys."""

    digest: str
    name: str
    run: str
    number: int
    version: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Its row."""
        return f"{self.digest}|{self.run}|{self.number:06d}"


class Retries:
    """The rows of what is to be done again, by one Tables port."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, mailbox: str, many: Sequence[Asked], at: datetime) -> None:
        """Have these done again; asking twice is asking once."""
        writes = [
            Write("replace", one.key, {"name": one.name, "run": one.run, "number": one.number, "at": at})
            for one in many
        ]
        for start in range(0, len(writes), GROUP):
            self._tables.write(TABLE, mailbox, writes[start : start + GROUP])

    def waiting(self, mailbox: str, limit: int) -> list[Asked]:
        """Up to `limit` of those that wait, one message after the other."""
        return [_retry(row) for row in self._tables.rows(TABLE, mailbox, limit=limit)]

    def drop(self, mailbox: str, many: Iterable[Asked]) -> None:
        """These are done, as they were read; what was asked for once more meanwhile stays."""
        writes = [Write("delete", one.key, version=one.version or None) for one in many]
        for start in range(0, len(writes), GROUP):
            try:
                self._tables.write(TABLE, mailbox, writes[start : start + GROUP])
            except Stale:
                self._drop_each(mailbox, writes[start : start + GROUP])

    def _drop_each(self, mailbox: str, writes: Sequence[Write]) -> None:
        for one in writes:
            with suppress(Stale):
                self._tables.write(TABLE, mailbox, [one])

    def forget(self, before: datetime) -> int:
        """Remove what was asked for before a moment, because its run is gone; returns how many."""
        old: dict[str, list[Asked]] = {}
        for row in self._tables.scan(TABLE):
            if rows.moment(row, "at") < before:
                old.setdefault(row.partition, []).append(_retry(row))
        for mailbox, many in old.items():
            self.drop(mailbox, many)
        return sum(map(len, old.values()))


def _retry(row: Row) -> Asked:
    digest, name, run = row.key.partition("|")[0], rows.text(row, "name"), rows.text(row, "run")
    return Asked(digest, name, run, rows.number(row, "number"), row.version)
