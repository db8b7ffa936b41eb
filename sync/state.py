"""What Accord remembers between jobs: mailboxes, what is wanted, leases and cursors.

One class over the Tables port, so that what holds on memory holds on Azure.

AccordMailboxes  partition: first digit of the mailbox id; row: mailbox id
AccordWanted     partition: first digit of the mailbox id; row: id|stream: how often it was wanted, how often served
AccordState      partition: mailbox id; rows of a stream: `|0lease`, `|1cursor`, `|2folder|digest`
                 Every cursor write also writes the lease row, and the lease row sorts first: whoever
                 takes the lease at the version he read has therefore read the newest cursor.
                 Partition `tick`: when `fanout` last looked.
                 Partition `waits`: until when Microsoft told the app or a connection to wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeVar

from sync.errors import Exists, LeaseLost, Scope, Stale
from sync.keys import Keys, fold
from sync.model import MailboxRow, Stream
from sync.ports import Clock, Row, Tables, Value, Write
from sync.waits import PARTITION, Waits

MAILBOXES, WANTED, STATE = "AccordMailboxes", "AccordWanted", "AccordState"
LEASE = timedelta(minutes=2)
# Rows of one group beside the lease row; a group holds at most 100.
GROUP = 90

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work one stream of one mailbox until a moment. `number` grows with each holder."""

    mailbox: str
    stream: Stream
    number: int
    until: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a folder's delta stands: `link` opens the next round, `next` goes on within a broken-off one.

    A folder that is left out has neither; it stands here for its place in the tree.
    """

    folder: str
    parent: str
    skipped: bool = False
    link: str = ""
    next: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A lease with what was remembered under it. `cursor` is empty before the first run."""

    lease: Lease
    cursor: Mapping[str, Any]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """How often a stream was wanted and served; the newest job queued for it: its ticket, up to which count it goes,
    and when it was queued; the moment before which nothing is to be asked of Microsoft; and how often in a row it
    failed."""

    mailbox: str
    stream: Stream
    count: int = 0
    served: int = 0
    asked: int = 0
    ticket: int = 0
    queued: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody wants what no run has served yet."""
        return self.count > self.served


class State:
    """Everything remembered, by one Tables port."""

    def __init__(self, tables: Tables, keys: Keys, clock: Clock) -> None:
        self._tables = tables
        self._keys = keys
        self._clock = clock
        self._waits = Waits(tables, keys, clock)

    # -- mailboxes

    def add_mailbox(self, connection: str, address: str, owner: str = "") -> MailboxRow:
        """Put a mailbox in scope; adding it again changes nothing. `owner` is the CRM user's record key."""
        key = self._keys.of("mailbox", connection, fold(address))
        # That the backfill runs is said here: a run that was overtaken would say it when it is done.
        row = MailboxRow(key, connection, fold(address), owner, backfill="running")
        values: dict[str, Value] = {"connection": connection, "address": row.address, "owner": owner}
        values |= {"status": row.status, "backfill": row.backfill}
        try:
            self._tables.write(MAILBOXES, row.id[0], [Write("insert", row.id, values)])
        except Exists:
            # Whoever added it may have died before he said that it is wanted.
            row = self.mailbox(row.id) or row
        if not self.wanted(row.id, "mail").count:
            self.want(row.id, "mail")
        return row

    def mailbox(self, mailbox: str) -> MailboxRow | None:
        """One mailbox, or None where it is not in scope."""
        found = self._tables.get(MAILBOXES, mailbox[:1], mailbox) if mailbox else None
        return _mailbox(found) if found else None

    def some_mailboxes(self, mailboxes: Iterable[str]) -> list[MailboxRow]:
        """Those of these mailboxes that are in scope, by id; one request for each partition they lie in."""
        found: list[MailboxRow] = []
        for partition, some in groupby(sorted(set(mailboxes)), lambda one: one[:1]):
            ids = list(some)
            if len(ids) == 1:
                found += filter(None, [self.mailbox(ids[0])])
                continue
            # What lies between them is read too: cheaper than a request for each.
            rows = self._tables.rows(MAILBOXES, partition, ids[0], f"{ids[-1]}~")
            found += [_mailbox(row) for row in rows if row.key in ids]
        return found

    def mailboxes(self) -> Iterator[MailboxRow]:
        """All mailboxes in scope."""
        return (_mailbox(row) for row in self._tables.scan(MAILBOXES))

    def note(self, row: MailboxRow, **changes: Any) -> MailboxRow:
        """Change what is known of a mailbox: user, own, status, sentence, backfill, newest, not_before; no more."""
        changed = replace(row, **changes)
        if changed == row:
            return row
        values = {name: json.dumps(value) if name == "own" else value for name, value in changes.items()}
        self._tables.write(MAILBOXES, row.id[0], [Write("merge", row.id, values)])
        return changed

    # -- whom Microsoft told to wait

    def wait(self, scope: Scope, row: MailboxRow, until: datetime) -> None:
        """Nothing is asked before `until`: of this mailbox, of its connection, or by the app. A longer wait stays."""
        if scope == "mailbox":
            again(lambda: self._waits.extend(MAILBOXES, row.id[0], row.id, until, create=False))
            return
        shared = self._waits.shared(scope, row.connection)
        again(lambda: self._waits.extend(STATE, PARTITION, shared, until, create=True))
        self._waits.remember(shared, until)

    def waits(self, connection: str) -> datetime | None:
        """Before when nothing is asked of this connection, by its own wait or the app's; at most 5 seconds old."""
        return self._waits.until(connection)

    # -- what is wanted

    def want(self, mailbox: str, stream: Stream) -> None:
        """Say that there is something to do; `fanout` or the run under way picks it up."""
        again(lambda: self._change(mailbox, stream, lambda before: {"count": before.count + 1}))

    def wanted(self, mailbox: str, stream: Stream) -> Want:
        """What is wanted of a stream: note its count before a run, hand it to `served` after."""
        row = self._tables.get(WANTED, mailbox[0], f"{mailbox}|{stream}")
        return _want(row) if row else Want(mailbox, stream)

    def served(self, mailbox: str, stream: Stream, count: int) -> None:
        """All that was wanted up to `count` is done. Only the holder of the lease says so."""
        self._tables.write(WANTED, mailbox[0], [Write("merge", f"{mailbox}|{stream}", {"served": count})])

    def failed(self, mailbox: str, stream: Stream) -> None:
        """A run of this stream failed once more."""
        again(lambda: self._change(mailbox, stream, lambda before: {"failures": before.failures + 1}))

    def mended(self, mailbox: str, stream: Stream) -> None:
        """It no longer fails."""
        again(lambda: self._change(mailbox, stream, lambda _: {"failures": 0}))

    def wants(self) -> Iterator[Want]:
        """Everything that was ever wanted, open or served."""
        return (_want(row) for row in self._tables.scan(WANTED))

    def ticket(self, mailbox: str, stream: Stream, wait: float = 0) -> int:
        """The ticket of a job about to be queued for all that is wanted; older jobs of the stream are obsolete with it.

        With `wait` nothing is to be asked for so many seconds.
        """
        now = self._clock()

        def change(before: Want) -> dict[str, Value]:
            values: dict[str, Value] = {"asked": before.count, "ticket": before.ticket + 1, "queued": now}
            return values | ({"not_before": now + timedelta(seconds=wait)} if wait else {})

        return again(lambda: self._change(mailbox, stream, change)).ticket + 1

    def _change(self, mailbox: str, stream: Stream, change: Callable[[Want], dict[str, Value]]) -> Want:
        """Write what `change` makes of a want over exactly what was read; returns what was read."""
        row = self._tables.get(WANTED, mailbox[0], f"{mailbox}|{stream}")
        before = _want(row) if row else Want(mailbox, stream)
        key, values = f"{mailbox}|{stream}", change(before)
        write = Write("merge", key, values, row.version) if row else Write("insert", key, values)
        self._tables.write(WANTED, mailbox[0], [write])
        return before

    # -- lease, cursor, places

    def open(self, mailbox: str, stream: Stream) -> Opened | None:
        """Take the lease and read what is remembered under it; None while somebody else holds it."""
        rows = list(self._tables.rows(STATE, mailbox, f"{stream}|", f"{stream}|~"))
        now = self._clock()
        held = next((row for row in rows if row.key == f"{stream}|0lease"), None)
        if held is not None and _moment(held.values["until"]) > now:
            return None
        number = int(str(held.values["number"])) + 1 if held else 1
        key, until = f"{stream}|0lease", now + LEASE
        values: dict[str, Value] = {"number": number, "until": until}
        write = Write("replace", key, values, held.version) if held else Write("insert", key, values)
        try:
            version = self._tables.write(STATE, mailbox, [write])[key]
        except (Stale, Exists):
            return None
        lease = Lease(mailbox, stream, number, until, version)
        return Opened(lease, *_remembered(stream, rows))

    def save(
        self,
        lease: Lease,
        cursor: Mapping[str, Any] | None = None,
        places: Sequence[Place] = (),
        dropped: Sequence[str] = (),
        release: bool = False,
    ) -> Lease:
        """Write what is given and renew (or release) the lease with it; raises LeaseLost and writes nothing."""
        if lease.until <= self._clock():
            raise LeaseLost("The lease ran out before the work was saved; another run does it again.")
        writes = [] if cursor is None else [Write("replace", f"{lease.stream}|1cursor", {"json": json.dumps(cursor)})]
        writes += [Write("replace", self._folder(lease, one.folder), _place_values(one)) for one in places]
        writes += [Write("delete", self._folder(lease, one)) for one in dropped]
        while len(writes) > GROUP:
            lease, writes = self._save(lease, writes[:GROUP], False), writes[GROUP:]
        return self._save(lease, writes, release)

    def leased_until(self, mailbox: str, stream: Stream) -> datetime | None:
        """When the last lease of this stream ended or will end; None where there never was one."""
        row = self._tables.get(STATE, mailbox, f"{stream}|0lease")
        return _moment(row.values["until"]) if row else None

    def look(self, mailbox: str, stream: Stream) -> tuple[Mapping[str, Any], tuple[Place, ...]]:
        """Cursor and places of a stream, without its lease."""
        return _remembered(stream, list(self._tables.rows(STATE, mailbox, f"{stream}|1", f"{stream}|~")))

    def cursor(self, mailbox: str, stream: Stream) -> Mapping[str, Any]:
        """What is remembered of a stream, without its lease: for looking only."""
        row = self._tables.get(STATE, mailbox, f"{stream}|1cursor")
        return _json(row) if row else {}

    def _folder(self, lease: Lease, folder: str) -> str:
        return f"{lease.stream}|2folder|{self._keys.of('folder', folder)}"

    def _save(self, lease: Lease, writes: list[Write], release: bool) -> Lease:
        now = self._clock()
        until = now if release else now + LEASE
        key = f"{lease.stream}|0lease"
        values: dict[str, Value] = {"number": lease.number, "until": until}
        try:
            versions = self._tables.write(STATE, lease.mailbox, [Write("replace", key, values, lease.version), *writes])
        except (Stale, Exists):
            raise LeaseLost("Another run took this lease over; what this one knows no longer counts.") from None
        return replace(lease, until=until, version=versions[key])

    # -- the tick

    def last_tick(self) -> datetime | None:
        """When `fanout` last looked."""
        row = self._tables.get(STATE, "tick", "last")
        return _moment(row.values["at"]) if row else None

    def ticked(self, at: datetime) -> None:
        """Remember when `fanout` looked."""
        self._tables.write(STATE, "tick", [Write("replace", "last", {"at": at})])


def again(attempt: Callable[[], Result], tries: int = 20) -> Result:
    """Do something optimistic until nobody was quicker; raises the last Stale or Exists."""
    for _ in range(tries - 1):
        try:
            return attempt()
        except (Stale, Exists):
            continue
    return attempt()


def _remembered(stream: Stream, rows: Sequence[Row]) -> tuple[Mapping[str, Any], tuple[Place, ...]]:
    cursor = next((_json(row) for row in rows if row.key == f"{stream}|1cursor"), {})
    return cursor, tuple(_place(row) for row in rows if row.key.startswith(f"{stream}|2folder|"))


def _moment(value: Value) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("a time was expected in this row")
    return value


def _text(row: Row, name: str) -> str:
    return str(row.values.get(name, ""))


def _number(row: Row, name: str) -> int:
    return int(str(row.values.get(name, 0)))


def _json(row: Row) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(_text(row, "json"))
    return read


def _mailbox(row: Row) -> MailboxRow:
    return MailboxRow(
        id=row.key,
        connection=_text(row, "connection"),
        address=_text(row, "address"),
        owner=_text(row, "owner"),
        user=_text(row, "user"),
        own=tuple(json.loads(_text(row, "own") or "[]")),
        status=_text(row, "status"),
        sentence=_text(row, "sentence"),
        backfill=_text(row, "backfill"),
        newest=_text(row, "newest"),
        not_before=_moment(row.values["not_before"]) if "not_before" in row.values else None,
    )


def _want(row: Row) -> Want:
    mailbox, _, stream = row.key.partition("|")
    return Want(
        mailbox,
        stream,  # type: ignore[arg-type]  # written here alone
        _number(row, "count"),
        _number(row, "served"),
        _number(row, "asked"),
        _number(row, "ticket"),
        _time(row, "queued"),
        _time(row, "not_before"),
        _number(row, "failures"),
    )


def _time(row: Row, name: str) -> datetime | None:
    value = row.values.get(name)
    return value if isinstance(value, datetime) else None


def _place(row: Row) -> Place:
    return Place(
        _text(row, "folder"),
        _text(row, "parent"),
        bool(row.values.get("skipped")),
        _text(row, "link"),
        _text(row, "next"),
        bool(row.values.get("hidden")),
    )


def _place_values(place: Place) -> dict[str, Value]:
    return {
        "folder": place.folder,
        "parent": place.parent,
        "skipped": place.skipped,
        "link": place.link,
        "next": place.next,
        "hidden": place.hidden,
    }
