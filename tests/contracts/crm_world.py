"""What the contract tests of the CRM share: mails to keep, and storage that counts, fails or keeps worlds apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sync.crm.builtin import Builtin
from sync.crm.feed import Change
from sync.keys import BUCKETS
from sync.model import MailRecord, Person, Relation
from sync.ports import Blob, Blobs, Clock, Row, Tables, Value, Write
from tests.builders import KEYS, NOON, an_envelope

ADA, BEN = "a" * 32, "b" * 32  # two mailboxes
ROSA = Person("c" + "1" * 32, "contact", "Rosa Client")
EVE = Person("c" + "2" * 32, "contact", "Eve Client")
CAROL = Person("u" + "3" * 32, "user", "Carol Colleague")


def a_mail(number: int = 1, *, mailbox: str = ADA, people: Sequence[Person] = (ROSA,), **changes: Any) -> MailRecord:
    """The `number`th mail; the same number is the same mail in every mailbox."""
    own = {"direction": "in", "html": "<p>Dear Ada</p>", "text": "Dear Ada"}
    fields = {name: changes.pop(name, value) for name, value in own.items()}
    expires = changes.pop("expires", None)
    time = NOON + timedelta(minutes=number)
    shown = {"id": f"item-{mailbox[0]}-{number}", "message_id": f"<{number}@x.example>", "sent": time, "received": time}
    envelope = an_envelope(**{**shown, **changes})
    key = KEYS.mail(envelope.message_id, envelope.sent, envelope.author.address if envelope.author else "")
    relations = tuple(Relation(one, "to", f"{one.key[:3]}@client.example") for one in people)
    return MailRecord(key, mailbox, envelope, relations=relations, expires=expires, **fields)


def told_by_bcc(mail: MailRecord, *people: tuple[Person, Person]) -> MailRecord:
    """The mail with these people known from a Bcc alone, each for one user."""
    hidden = tuple(Relation(one, "bcc", f"{one.key[:3]}@client.example", owner.key) for one, owner in people)
    return replace(mail, relations=mail.relations + hidden)


def a_crowd(size: int) -> list[Person]:
    """That many contacts."""
    return [Person(f"c{number:032x}", "contact", f"Client {number}") for number in range(size)]


def all_changes(crm: Builtin, limit: int = 7) -> list[Change]:
    """The whole feed, page by page."""
    found: list[Change] = []
    cursor = ""
    while True:
        page, cursor = crm.changes(cursor, limit)
        if not page:
            return found
        found += page


def gapless(changes: Sequence[Change]) -> bool:
    """Whether each bucket counts 1, 2, 3, ..."""
    for bucket in BUCKETS:
        numbers = [one.number for one in changes if one.bucket == bucket]
        if numbers != list(range(1, len(numbers) + 1)):
            return False
    return True


def subjects(crm: Builtin, person: Person = ROSA) -> list[str]:
    """A person's timeline, newest first."""
    return [one.subject for one in crm.timeline(person.key, 200)[0]]


class Counting:
    """Tables that note what is asked of them; of the writes, those that were stored."""

    def __init__(self, inner: Tables) -> None:
        self._inner = inner
        self.reads: list[str] = []
        self.writes: list[tuple[str, Sequence[Write]]] = []

    def get(self, table: str, partition: str, key: str) -> Row | None:
        self.reads.append(table)
        return self._inner.get(table, partition, key)

    def rows(self, table: str, *given: Any, **options: Any) -> Iterator[Row]:
        self.reads.append(table)
        return self._inner.rows(table, *given, **options)

    def scan(self, table: str, select: Sequence[str] = ()) -> Iterator[Row]:
        self.reads.append(table)
        return self._inner.scan(table, select)

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        versions = self._inner.write(table, partition, writes)
        self.writes.append((table, writes))
        return versions


class Interrupted(Counting):
    """Tables where others do something just before each of the first writes to a table."""

    def __init__(self, inner: Tables, table: str, others: Sequence[Callable[[], object]]) -> None:
        super().__init__(inner)
        self._table, self._others = table, list(others)

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        if table == self._table and self._others:
            self._others.pop(0)()
        return super().write(table, partition, writes)


class Killed(BaseException):
    """The worker was killed here."""


class Section:
    """Tables and files of a world of its own within a storage; its worker is killed at the `fuse`th write."""

    def __init__(self, tables: Tables, blobs: Blobs, name: str) -> None:
        self._tables, self._blobs, self._name = tables, blobs, name
        self.fuse = -1
        self.lose_answer = False
        self.files: set[str] = set()

    def get(self, *given: Any, **options: Any) -> Any:
        """A row by table, partition and key; a file by name."""
        if len(given) == 3:
            row = self._tables.get(given[0], self._name + given[1], given[2])
            return row and self._mine(row)
        found: Blob | None = self._blobs.get(self._name + given[0], **options)
        return found

    def rows(self, table: str, partition: str, *given: Any, **options: Any) -> Iterator[Row]:
        return map(self._mine, self._tables.rows(table, self._name + partition, *given, **options))

    def scan(self, table: str, select: Sequence[str] = ()) -> Iterator[Row]:
        found = self._tables.scan(table, select)
        return (self._mine(row) for row in found if row.partition.startswith(self._name))

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        last = self._burn()
        try:
            return self._tables.write(table, self._name + partition, writes)
        finally:
            if last:
                raise Killed

    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        last = self._burn()
        try:
            self.files.add(name)
            return self._blobs.put(self._name + name, data, version)
        finally:
            if last:
                raise Killed

    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        data = b"".join(pieces)
        self.put(name, data)
        return len(data)

    def version(self, name: str) -> str:
        return self._blobs.version(self._name + name)

    def delete(self, name: str, version: str | None = None) -> None:
        last = self._burn()
        try:
            self._blobs.delete(self._name + name, version)
            self.files.discard(name)
        finally:
            if last:
                raise Killed

    def _burn(self) -> bool:
        """Whether to be killed after this write; being killed before it does not return."""
        self.fuse -= 1
        if self.fuse == 0 and not self.lose_answer:
            raise Killed
        return self.fuse == 0

    def _mine(self, row: Row) -> Row:
        return Row(row.partition.removeprefix(self._name), row.key, row.values, row.version)

    def contents(self) -> Mapping[str, Mapping[tuple[str, str], Mapping[str, Value]]]:
        """All that lasts: rows but for the feed and the time of saving, which tell how often things were tried."""
        return {
            table: {
                (row.partition, row.key): {
                    name: value for name, value in row.values.items() if name not in ("Timestamp", "changed")
                }
                for row in self.scan(table)
                if not row.key.startswith(("c", "f|")) or table != "CrmRecords"
            }
            for table in ("CrmRecords", "CrmTimeline", "CrmAddresses")
        }


def a_worker(section: Section, clock: Clock) -> Builtin:
    """A fresh process in that world: nothing remembered but what is stored."""
    return Builtin(section, section, KEYS, clock)
