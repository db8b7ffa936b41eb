"""What is to be fetched again: error items of the log whose retry somebody asked for (T4).

AccordRetries    partition: mailbox id; row: digest of the name|run id|number: what names one message lies together
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync import rows
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
        """These are done."""
        keys = sorted({one.key for one in many})
        for start in range(0, len(keys), GROUP):
            self._tables.write(TABLE, mailbox, [Write("delete", key) for key in keys[start : start + GROUP]])

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
    return Asked(row.key.partition("|")[0], rows.text(row, "name"), rows.text(row, "run"), rows.number(row, "number"))
