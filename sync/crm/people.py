"""Contacts and users of the built-in CRM, and contacts from a file.

A person's address rows are written before the record, and those he has no more go after it: whoever finds the record
finds the addresses, and a save that died in between is completed by the next one: until then an address that was taken
away may lead to him still, and his record says which.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal

import orjson

from sync.crm import contacts_csv, records, vcard
from sync.crm.addresses import ANSWER_ROWS, Addresses, ranges
from sync.crm.contacts_csv import CsvContact, Problem
from sync.crm.feed import GROUP_ROWS, GROUP_WEIGHT, TABLE, Feed, Unit
from sync.crm.lines import File, lines_of
from sync.crm.standing import Standing, fitting
from sync.errors import BadItem, Conflict, Exists, Retry, Stale
from sync.keys import BUCKETS, Keys, bucket
from sync.model import Person
from sync.ports import Clock, Row, Tables, Value, Write

TRIES = 10
SLICE = 20_000  # rows of a file: with more, groups of a hundred address rows are fuller, and memory is
ERRORS = 1_000  # of a file that are told one by one
MOST = 200  # addresses of one contact, and no more than a row takes
# "d" follows "c": the bounds hold the contacts of a bucket and nothing else; a contact has a single row.
CONTACTS = ("r|c", "r|d")
_CONTACT_KEY = re.compile(r"c[0-9a-f]{32}")
PersonType = Literal["contact", "user"]
Progress = Callable[[int], object]  # is told how many rows of a file are done


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact or user as stored; the first address is the main one."""

    key: str
    kind: PersonType
    name: str
    addresses: tuple[str, ...]
    changed: datetime


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file's rows; `errors` are the first (line, sentence), `error_count` counts all of them."""

    imported: int
    unchanged: int
    errors: tuple[tuple[int, str], ...] = ()
    error_count: int = 0


@dataclass(frozen=True, slots=True)
class _Stored:
    """A person as he stands, or will: with the version of the row where there is one. `leaving` are addresses that are
    his no more and may still lead to him, since whoever was to end that may have died."""

    name: str
    addresses: tuple[str, ...]
    version: str = ""
    leaving: tuple[str, ...] = ()


@dataclass(slots=True)
class _Plan:
    """What is done with the rows of a slice: contacts as they stand and as they will, by key, in which line the last
    row of each stands, how many rows change something, and those that cannot be kept."""

    before: Mapping[str, _Stored]
    after: dict[str, _Stored] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    problems: list[Problem] = field(default_factory=list)


class People:
    """Keeps contacts and users."""

    def __init__(
        self, tables: Tables, keys: Keys, feed: Feed, addresses: Addresses, clock: Clock, slice_rows: int = SLICE
    ) -> None:
        self._tables = tables
        self._keys = keys
        self._feed = feed
        self._addresses = addresses
        self._clock = clock
        self._slice_rows = slice_rows

    def add_user(self, name: str, addresses: Sequence[str]) -> str:
        """Keep a user of the CRM; returns his key, which follows from his first address. Raises BadItem."""
        tidy, usable = _tidied(name, addresses)
        key = "u" + self._keys.of("user", usable[0])
        self._save(key, "user", tidy, usable)
        return key

    def add_addresses(self, user: str, addresses: Sequence[str]) -> None:
        """Have these addresses be a user's too; unknown users and addresses that are his already change nothing."""
        stored = self._read(user) if user.startswith("u") else None
        usable = tuple(dict.fromkeys(filter(None, map(contacts_csv.address, addresses))))
        if stored and not set(usable) <= set(stored.addresses):
            self._save(user, "user", stored.name, usable, only_add=True)

    def save_contact(self, name: str, addresses: Sequence[str], key: str = "") -> str:
        """Keep a contact under `key`, or a new one; name and addresses replace what was there. Raises BadItem."""
        tidy, usable = _tidied(name, addresses)
        if key and not _CONTACT_KEY.fullmatch(key):
            raise BadItem("key", "This is not the key of a contact.")
        key = key or "c" + uuid.uuid4().hex
        self._save(key, "contact", tidy, usable)
        return key

    def contact(self, key: str) -> Contact | None:
        """One contact or user, or None."""
        row = self._tables.get(TABLE, bucket(key), f"r|{key}")
        return _contact(row) if row else None

    def contacts(self, limit: int, after: str = "") -> tuple[list[Contact], str]:
        """Up to `limit` contacts by key, and where to go on ("" at the end). Raises BadItem."""
        if after and not _CONTACT_KEY.fullmatch(after):
            raise BadItem("after", "This does not name a place in the list: use the one that the last answer gave.")
        found: list[Contact] = []
        for partition in BUCKETS[int(bucket(after), 16) if after else 0 :]:
            first = f"r|{after}!" if after and partition == bucket(after) else CONTACTS[0]
            rows = self._tables.rows(TABLE, partition, first, CONTACTS[1], limit=limit + 1 - len(found))
            found += map(_contact, rows)
            if len(found) > limit:
                return found[:limit], found[limit - 1].key
        return found, ""

    def import_contacts(self, file: File, progress: Progress | None) -> ImportReport:
        """Keep the contacts of a CSV file; importing it again changes nothing. Raises BadItem for what is no such file.

        A row belongs to the contact with one of its addresses and its name; rows and contacts without a name go by
        the address alone. Other people may share an address. A row adds addresses and takes none away. The file is
        read in slices, each stored before the next is read: an import that broke off has left whole contacts, and the
        same file completes it. `progress` is told how many rows are done.
        """
        return self._import(contacts_csv.rows(lines_of(file)), progress)

    def import_vcards(self, file: File, progress: Progress | None) -> ImportReport:
        """Keep the contacts of a file of vCards, by the same rules. Raises BadItem where it holds none."""
        return self._import(vcard.cards(lines_of(file)), progress)

    def _import(self, file: Iterator[CsvContact | Problem], progress: Progress | None) -> ImportReport:
        report = ImportReport(0, 0)
        standing = Standing(self._keys)
        done = line = 0
        while part := list(islice(file, self._slice_rows)):
            rows = [one for one in part if isinstance(one, CsvContact)]
            changed, refused = self._import_slice(rows, standing)
            problems = sorted([one for one in part if isinstance(one, Problem)] + refused, key=lambda one: one.line)
            report = _with(report, changed, len(rows) - changed - len(refused), problems)
            for one in part:  # what is said of a row stands together
                done, line = done + (one.line != line), one.line
            if progress:
                progress(done)
        return report

    def _import_slice(self, rows: Sequence[CsvContact], standing: Standing) -> tuple[int, list[Problem]]:
        """Keep the contacts of a slice; returns how many of its rows changed something, and what could not be kept."""
        plan = self._plan(self._unknown(rows, standing))
        after = plan.after
        self._addresses.add(
            [(address, Person(key, "contact", one.name)) for key, one in after.items() for address in one.addresses]
        )
        refused = list(plan.problems)
        for partition, many in _by_bucket(after).items():
            units = [self._unit(key, "contact", after[key], plan.before.get(key)) for key in many]
            for group in records.packed([(unit.rows, unit.weight) for unit in units], GROUP_ROWS, GROUP_WEIGHT):
                crowded = self._store(partition, [units[one] for one in group], after)
                refused += [_crowded(plan.lines[key]) for key in crowded]
        standing.note((one.name, one.addresses) for one in after.values())
        return plan.changed + len(plan.problems) - len(refused), refused

    def _unknown(self, rows: Sequence[CsvContact], standing: Standing) -> list[CsvContact]:
        """The rows that may say something new."""
        unknown = [row for row in rows if not standing.knows(row)]
        if not standing.complete and self._many_meet_contacts(unknown):
            for partition in BUCKETS:
                there = self._tables.rows(TABLE, partition, *CONTACTS, select=("name", "addresses"))
                standing.note(_said(row) for row in there)
            standing.complete = True
            unknown = [row for row in unknown if not standing.knows(row)]
        return unknown

    def _many_meet_contacts(self, rows: Iterable[CsvContact]) -> bool:
        """Whether reading all contacts takes fewer requests than asking whose these addresses are."""
        listed = self._addresses.listed(address for row in rows for address in row.addresses)
        return listed > len(BUCKETS) + self._addresses.count() // ANSWER_ROWS

    def _plan(self, rows: Sequence[CsvContact]) -> _Plan:
        owners = self._addresses.asked(address for row in rows for address in row.addresses)
        held: dict[str, dict[str, str]] = defaultdict(dict)  # address -> contact key -> name
        for address, people in owners.items():
            held[address] = {one.key: one.name for one in people if one.kind == "contact"}
        plan = _Plan(self._read_all({key for those in held.values() for key in those}))
        for row in rows:
            key = self._owner(row, held)
            now = plan.after.get(key) or plan.before.get(key)
            then = _united(now, row)
            if then.addresses != fitting(now.addresses if now else (), row.addresses, MOST):
                plan.problems.append(_crowded(row.line))
                continue
            if now is None or (now.name, now.addresses) != (then.name, then.addresses):
                plan.after[key] = then
                plan.lines[key] = row.line
                plan.changed += 1
            for address in row.addresses:
                held[address][key] = then.name
        return plan

    def _owner(self, row: CsvContact, held: Mapping[str, Mapping[str, str]]) -> str:
        """The key of the contact a row belongs to, an existing or a new one."""
        there = {key: name for address in row.addresses for key, name in held.get(address, {}).items()}
        wanted = row.name.casefold()
        for key in sorted(there):
            if not row.name or there[key].casefold() == wanted:
                return key
        for key in sorted(there):
            if there[key] in row.addresses:  # nobody has told his name yet
                return key
        return "c" + self._keys.of("contact", wanted, min(row.addresses))

    def _store(self, partition: str, units: Sequence[Unit], after: Mapping[str, _Stored]) -> list[str]:
        """The keys of those that others gave so many addresses meanwhile that some were left out."""
        try:
            self._feed.append(partition, units)
        except Conflict:  # somebody else keeps one of them: each by itself, as it stands now
            return [
                unit.key
                for unit in units
                for one in [after[unit.key]]
                if not self._save(unit.key, "contact", one.name, one.addresses, only_add=True)
            ]
        return []

    # -- one person

    def _save(self, key: str, kind: PersonType, name: str, given: tuple[str, ...], only_add: bool = False) -> bool:
        """Whether all addresses were kept: with `only_add` those are left out that are too many."""
        for _ in range(TRIES):
            stored = self._read(key)
            there = stored.addresses if stored else ()
            addresses = fitting(there, given, MOST if kind == "contact" else None) if only_add else given
            left_out = [one for one in given if one not in addresses]
            person = Person(key, kind, name)
            known = (*there, *left_out, *(stored.leaving if stored else ()))
            gone = tuple(dict.fromkeys(one for one in known if one not in addresses))
            if stored and (stored.name, stored.addresses) == (name, addresses):
                self._complete(person, addresses)
            else:
                self._addresses.add([(address, person) for address in addresses])
                try:
                    self._feed.append(
                        bucket(key), [self._unit(key, kind, _Stored(name, addresses, leaving=gone), stored)]
                    )
                except (Exists, Stale):
                    continue
            self._take_away(person, gone)
            return not left_out
        raise Retry("Other workers keep changing the same person.", after=5)

    def _complete(self, person: Person, addresses: Sequence[str]) -> None:
        """Have those of a person's addresses lead to him that somebody who died took away."""
        leading = self._addresses.asked(addresses)
        lost = [one for one in addresses if person.key not in (its.key for its in leading.get(one, ()))]
        if lost:
            self._addresses.add([(address, person) for address in lost])

    def _take_away(self, person: Person, gone: Sequence[str]) -> None:
        """End that these addresses lead to a person whose record does not show them."""
        if not gone:
            return
        self._addresses.remove([(one, person.key) for one in gone])
        stored = self._read(person.key)
        if stored and set(gone) & set(stored.addresses):  # given back by somebody else meanwhile
            self._complete(Person(person.key, person.kind, stored.name), stored.addresses)
        if stored and stored.leaving:
            done = Write("merge", f"r|{person.key}", {"leaving": ""}, stored.version)
            with suppress(Stale):  # whoever wrote it since takes them away once more
                self._tables.write(TABLE, bucket(person.key), [done])

    def _unit(self, key: str, kind: PersonType, then: _Stored, now: _Stored | None) -> Unit:
        values: dict[str, Value] = {
            "type": kind,
            "name": then.name,
            "addresses": orjson.dumps(then.addresses).decode(),
            "changed": records.iso(self._clock()),
        }
        if then.leaving:
            values["leaving"] = orjson.dumps(then.leaving).decode()
        row = f"r|{key}"
        write = Write("replace", row, values, now.version) if now else Write("insert", row, values)
        there = now.addresses if now else ()
        # All of them, for who waits for them reads no record; and as the record, the feed row has room for them.
        arrived = tuple(one for one in then.addresses if one not in there) if kind == "contact" else ()
        weight = 2 * records.ROW_BYTES + 12 * len(str(values["addresses"]))
        return Unit(key, kind, [write], weight, arrived=arrived)

    def _read(self, key: str) -> _Stored | None:
        row = self._tables.get(TABLE, bucket(key), f"r|{key}")
        return _stored(row) if row else None

    def _read_all(self, keys: Collection[str]) -> dict[str, _Stored]:
        found = {}
        for partition, many in _by_bucket(keys).items():
            for first, last in ranges(sorted(many), self._addresses.count() // len(BUCKETS)):
                for row in self._tables.rows(TABLE, partition, f"r|{first}", f"r|{last}!"):
                    key = row.key.removeprefix("r|")
                    if key in keys:
                        found[key] = _stored(row)
        return found


def _with(report: ImportReport, imported: int, unchanged: int, problems: Sequence[Problem]) -> ImportReport:
    room = ERRORS - len(report.errors)
    errors = tuple((one.line, one.sentence) for one in problems[:room])
    return ImportReport(
        report.imported + imported,
        report.unchanged + unchanged,
        report.errors + errors,
        report.error_count + len(problems),
    )


def _united(now: _Stored | None, row: CsvContact) -> _Stored:
    """A contact with what a row adds to it."""
    if now is None:
        return _Stored(row.name or row.addresses[0], row.addresses)
    nameless = now.name in now.addresses
    addresses = tuple(dict.fromkeys(now.addresses + row.addresses))
    name = row.name if nameless and row.name else now.name
    return _Stored(name, addresses, now.version, tuple(one for one in now.leaving if one not in addresses))


def _crowded(line: int) -> Problem:
    return Problem(line, f"With this row the contact would have more than {MOST} mail addresses, or too long ones.")


def _by_bucket(keys: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[bucket(key)].append(key)
    return found


def _contact(row: Row) -> Contact:
    values = row.values
    return Contact(
        key=row.key.removeprefix("r|"),
        kind="user" if values["type"] == "user" else "contact",
        name=str(values["name"]),
        addresses=tuple(orjson.loads(str(values["addresses"]))),
        changed=datetime.fromisoformat(str(values["changed"])),
    )


def _said(row: Row) -> tuple[str, list[str]]:
    return str(row.values["name"]), orjson.loads(str(row.values["addresses"]))


def _stored(row: Row) -> _Stored:
    known = _contact(row)
    leaving = tuple(orjson.loads(str(row.values.get("leaving") or "[]")))
    return _Stored(known.name, known.addresses, row.version, leaving)


def _tidied(name: str, addresses: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    usable = tuple(dict.fromkeys(_usable(addresses)))
    if not usable:
        raise BadItem("addresses", "A person needs at least one mail address.")
    if len(usable) > contacts_csv.ADDRESSES:
        raise BadItem("addresses", f"A person can have {contacts_csv.ADDRESSES} mail addresses, not {len(usable)}.")
    if fitting((), usable, None) != usable:
        raise BadItem("addresses", "The mail addresses of this person are too long together.")
    tidy = contacts_csv.one_line(name)
    if len(tidy) > contacts_csv.NAME_LENGTH:
        raise BadItem("name", f"A name can have {contacts_csv.NAME_LENGTH} characters, not {len(tidy)}.")
    return tidy or usable[0], usable


def _usable(addresses: Sequence[str]) -> Iterator[str]:
    for position, text in enumerate(addresses, 1):
        known = contacts_csv.address(text)
        if not known:
            raise BadItem(f"address {position}", f"Address {position} of this person is not a mail address.")
        yield known
