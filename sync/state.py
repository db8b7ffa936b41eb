"""What Accord remembers between jobs: mailboxes, leases and cursors; what is wanted (`wants`), who waits (`waits`).

One class over the Tables port, so that what holds on memory holds on Azure.

AccordMailboxes  partition: first digit of the mailbox id; row: mailbox id
AccordState      partition: mailbox id; rows of a stream: `|0lease`, `|1cursor`, `|2folder|digest`
                 Every cursor write also writes the lease row, and the lease row sorts first: whoever
                 takes the lease at the version he read has therefore read the newest cursor.
                 Partition `tick`: when `fanout` last looked.
                 Partition `waits`: until when Microsoft told the app or a connection to wait.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sync import rows
from sync.errors import Exists, LeaseLost, Scope, Stale
from sync.keys import Keys, fold
from sync.model import MailboxRow, Stream, Trouble
from sync.ports import Clock, Row, Tables, Value, Write
from sync.waits import PARTITION, Waits
from sync.wants import Wants, again, trouble_of, trouble_values

MAILBOXES, STATE = "AccordMailboxes", "AccordState"
LEASE = timedelta(minutes=2)
# Rows of one group beside the lease row; a group holds at most 100.
GROUP = 90


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


class State:
    """Everything remembered, by one Tables port. `wants` is what is wanted of the mailboxes' streams."""

    def __init__(self, tables: Tables, keys: Keys, clock: Clock) -> None:
        self._tables = tables
        self._keys = keys
        self._clock = clock
        self._waits = Waits(tables, keys, clock)
        self.wants = Wants(tables, clock)

    # -- mailboxes

    def add_mailbox(self, connection: str, address: str, owner: str = "") -> MailboxRow:
        """Put a mailbox in scope; adding it again changes nothing. `owner` is the CRM user's record key."""
        key = self._keys.of("mailbox", connection, fold(address))
        # That the backfill runs is said here: a run that was overtaken would say it when it is done.
        row = MailboxRow(key, connection, fold(address), owner, backfill="running")
        values: dict[str, Value] = {"connection": connection, "address": row.address, "owner": owner}
        values["backfill"] = row.backfill
        try:
            self._tables.write(MAILBOXES, row.id[0], [Write("insert", row.id, values)])
        except Exists:
            # Whoever added it may have died before he said that it is wanted.
            row = self.mailbox(row.id) or row
        if not self.wants.wanted(row.id, "mail").count:
            self.wants.want(row.id, "mail")
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
            between = self._tables.rows(MAILBOXES, partition, ids[0], f"{ids[-1]}~")
            found += [_mailbox(row) for row in between if row.key in ids]
        return found

    def mailboxes(self) -> Iterator[MailboxRow]:
        """All mailboxes in scope."""
        return (_mailbox(row) for row in self._tables.scan(MAILBOXES))

    def mailboxes_after(self, after: str, limit: int) -> list[MailboxRow]:
        """Up to `limit` mailboxes whose id follows `after`, by id; a request for each partition looked at."""
        found: list[MailboxRow] = []
        for digit in "0123456789abcdef":
            if digit >= after[:1] and len(found) < limit:
                first = f"{after}!" if after[:1] == digit else ""
                found += map(_mailbox, self._tables.rows(MAILBOXES, digit, first, limit=limit - len(found)))
        return found

    def drop_mailbox(self, mailbox: str) -> None:
        """Take a mailbox out of scope."""
        self._tables.write(MAILBOXES, mailbox[0], [Write("delete", mailbox)])

    def forget(self, mailbox: str) -> None:
        """Drop leases, cursors and places of a mailbox; a run under way has lost its lease."""
        keys = [row.key for row in self._tables.rows(STATE, mailbox)]
        # Leases first: nobody goes on from a place that is about to go.
        keys.sort(key=lambda key: not key.endswith("|0lease"))
        for at in range(0, len(keys), GROUP):
            self._tables.write(STATE, mailbox, [Write("delete", key) for key in keys[at : at + GROUP]])

    def note(self, row: MailboxRow, **changes: Any) -> MailboxRow:
        """Change what is known of a mailbox: owner, user, own, met, trouble, backfill, newest, not_before, off.

        One that was removed meanwhile stays removed.
        """
        changed = replace(row, **changes)
        if changed == row:
            return row
        values: dict[str, Value] = {name: value for name, value in changes.items() if name not in ("own", "trouble")}
        if "own" in changes:
            values["own"] = json.dumps(changes["own"])
        if "trouble" in changes:
            values |= trouble_values(changes["trouble"])

        with suppress(Stale):
            self._tables.write(MAILBOXES, row.id[0], [Write("update", row.id, values)])
        return changed

    def troubled(self, row: MailboxRow, stream: Stream, trouble: Trouble, failed: bool = False) -> None:
        """Note what keeps a stream from going on; `failed` counts one more failure in a row."""
        if stream != "mail":
            self.wants.troubled(row.id, stream, trouble, failed)
            return
        self.note(row, trouble=trouble)
        if failed:
            self.wants.troubled(row.id, stream, None, failed)

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

    # -- lease, cursor, places

    def open(self, mailbox: str, stream: Stream) -> Opened | None:
        """Take the lease and read what is remembered under it; None while somebody else holds it."""
        found = list(self._tables.rows(STATE, mailbox, f"{stream}|", f"{stream}|~"))
        now = self._clock()
        held = next((row for row in found if row.key == f"{stream}|0lease"), None)
        if held is not None and rows.moment(held, "until") > now:
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
        return Opened(lease, *_remembered(stream, found))

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
        return rows.moment(row, "until") if row else None

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
        return rows.moment(row, "at") if row else None

    def ticked(self, at: datetime) -> None:
        """Remember when `fanout` looked."""
        self._tables.write(STATE, "tick", [Write("replace", "last", {"at": at})])


def _remembered(stream: Stream, found: Sequence[Row]) -> tuple[Mapping[str, Any], tuple[Place, ...]]:
    cursor = next((_json(row) for row in found if row.key == f"{stream}|1cursor"), {})
    return cursor, tuple(_place(row) for row in found if row.key.startswith(f"{stream}|2folder|"))


def _json(row: Row) -> Mapping[str, Any]:
    read: Mapping[str, Any] = rows.parsed(row, "json")
    return read


def _mailbox(row: Row) -> MailboxRow:
    return MailboxRow(
        id=row.key,
        connection=rows.text(row, "connection"),
        address=rows.text(row, "address"),
        owner=rows.text(row, "owner"),
        user=rows.text(row, "user"),
        own=tuple(rows.parsed(row, "own") or ()),
        met=bool(row.values.get("met")),
        trouble=trouble_of(row),
        backfill=rows.text(row, "backfill"),
        newest=rows.text(row, "newest"),
        not_before=rows.moment_or_none(row, "not_before"),
        off=bool(row.values.get("off")),
    )


def _place(row: Row) -> Place:
    return Place(
        rows.text(row, "folder"),
        rows.text(row, "parent"),
        bool(row.values.get("skipped")),
        rows.text(row, "link"),
        rows.text(row, "next"),
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
