"""Addresses to people. The rows are the truth; one sorted list of digests (`digests.py`) answers "nobody" without
asking them: an address that is not in it is nobody's, without any request."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sync.crm.digests import Digests, holds
from sync.keys import Keys, fold
from sync.model import Person
from sync.ports import Blobs, Clock, Row, Tables, Write

TABLE = "CrmAddresses"
CONFIRMED_FOR = timedelta(minutes=5)
CONFIRMED = 50_000
GROUP_ROWS = 100
PARTITIONS = 256
ANSWER_ROWS = 1000  # the storage answers with so many rows at once
SCAN_REQUESTS = 20  # more than this no page of mail costs


class Addresses:
    """The address index of one worker. Safe to share between threads."""

    def __init__(
        self, tables: Tables, blobs: Blobs, keys: Keys, clock: Clock, refresh: timedelta = timedelta(seconds=15)
    ) -> None:
        self._tables = tables
        self._keys = keys
        self._clock = clock
        self._digests = Digests(blobs, self._numbers_of_rows, clock, refresh)
        self._confirmed: OrderedDict[str, tuple[datetime, tuple[Person, ...]]] = OrderedDict()
        self._confirming = threading.Lock()
        self._changes = 0  # by this worker: an answer that was asked for before one is not remembered

    def people(self, addresses: Collection[str]) -> Mapping[str, tuple[Person, ...]]:
        """Whose these addresses are, by folded address; unknown ones are absent."""
        now = self._clock()
        numbers = self._digests.fresh(now)
        changes = self._changes
        found: dict[str, tuple[Person, ...]] = {}
        unconfirmed: list[str] = []
        new: list[str] = []
        count = len(numbers)
        for folded in set(map(fold, addresses)):
            known = self._remembered(folded, now) if folded in self._confirmed else None
            if known is None:
                new.append(folded)
            elif known:
                found[folded] = known
        for folded, digest in zip(new, self._keys.numbers("address", new), strict=True):
            place = bisect_left(numbers, digest)
            if place != count and numbers[place] == digest:
                unconfirmed.append(folded)
        confirmed = self._confirm(unconfirmed, count, now, changes) if unconfirmed else {}
        found.update((folded, confirmed[folded]) for folded in unconfirmed if confirmed[folded])
        return found

    def _confirm(
        self, addresses: Sequence[str], count: int, now: datetime, changes: int
    ) -> dict[str, tuple[Person, ...]]:
        """Ask the rows, for all at once where that takes fewer requests: at least these addresses."""
        requests = count // ANSWER_ROWS + 1
        if len(addresses) > requests <= SCAN_REQUESTS:
            answers = {**dict.fromkeys(addresses, ()), **self._ask_all()}
        else:
            answers = {folded: self._ask(folded) for folded in addresses}
        self._remember(answers, now, changes)
        return answers

    def asked(self, addresses: Iterable[str]) -> dict[str, tuple[Person, ...]]:
        """Whose these addresses are, from the rows as they are now, for whoever is about to change them."""
        numbers = self._digests.latest()
        wanted: dict[str, dict[str, str]] = defaultdict(dict)
        for folded in set(map(fold, addresses)):
            if holds(numbers, self._number(folded)):
                digest = self._keys.address(folded)
                wanted[digest[:2]][digest] = folded
        found: dict[str, list[Person]] = defaultdict(list)
        for partition, digests in wanted.items():
            for first, last in ranges(sorted(digests), len(numbers) // PARTITIONS):
                for row in self._tables.rows(TABLE, partition, f"{first}|", f"{last}}}"):
                    known = digests.get(row.key.partition("|")[0])
                    if known is not None:
                        found[known].append(_person(row))
        return {folded: tuple(people) for folded, people in found.items()}

    def listed(self, addresses: Iterable[str]) -> int:
        """How many of these folded addresses somebody may have, by the list alone."""
        numbers = self._digests.latest()
        return sum(holds(numbers, one) for one in self._keys.numbers("address", set(addresses)))

    def count(self) -> int:
        """How many addresses the list had when it was last looked at: no fewer than there are contacts."""
        return self._digests.count()

    def add(self, entries: Collection[tuple[str, Person]]) -> None:
        """Make these addresses lead to these people. Rows first: a listed digest without a row would do no harm,
        a row without its digest is not found."""
        groups: dict[str, dict[str, Write]] = defaultdict(dict)
        for address, person in entries:
            digest = self._keys.address(address)
            values = {"kind": person.kind, "name": person.name, "address": fold(address)}
            key = f"{digest}|{person.key}"
            groups[digest[:2]][key] = Write("merge", key, values)
        self._write(groups)
        self._digests.add({self._number(fold(address)) for address, _ in entries})
        self._forget(address for address, _ in entries)

    def remove(self, entries: Collection[tuple[str, str]]) -> None:
        """End that these addresses lead to these people (by key)."""
        groups: dict[str, dict[str, Write]] = defaultdict(dict)
        for address, person in entries:
            digest = self._keys.address(address)
            key = f"{digest}|{person}"
            groups[digest[:2]][key] = Write("delete", key)
        self._write(groups)
        self._forget(address for address, _ in entries)

    def rebuild(self) -> int:
        """Make the list anew from the rows, as a worker does that finds none; returns how many digests it has."""
        return self._digests.rebuild()

    def _number(self, folded: str) -> int:
        return self._keys.number("address", folded)

    def _write(self, groups: Mapping[str, Mapping[str, Write]]) -> None:
        for partition, writes in groups.items():
            for part in in_parts(list(writes.values())):
                self._tables.write(TABLE, partition, part)

    def _numbers_of_rows(self) -> Iterator[int]:
        for row in self._tables.scan(TABLE, select=("address",)):
            yield self._number(str(row.values["address"]))

    # -- answers of the rows, remembered for a while

    def _ask(self, folded: str) -> tuple[Person, ...]:
        digest = self._keys.address(folded)
        # "}" follows "|": the bounds hold the rows of this digest and nothing else.
        rows = self._tables.rows(TABLE, digest[:2], f"{digest}|", f"{digest}}}")
        return tuple(map(_person, rows))

    def _ask_all(self) -> dict[str, tuple[Person, ...]]:
        found: dict[str, list[Person]] = defaultdict(list)
        for row in self._tables.scan(TABLE):
            found[str(row.values["address"])].append(_person(row))
        return {folded: tuple(people) for folded, people in found.items()}

    def _remembered(self, folded: str, now: datetime) -> tuple[Person, ...] | None:
        with self._confirming:
            held = self._confirmed.get(folded)
            if held is None or not timedelta(0) <= now - held[0] < CONFIRMED_FOR:
                return None
            self._confirmed.move_to_end(folded)
            return held[1]

    def _remember(self, answers: Mapping[str, tuple[Person, ...]], now: datetime, changes: int) -> None:
        with self._confirming:
            if changes != self._changes:
                return
            for folded, people in answers.items():
                self._confirmed[folded] = now, people
                self._confirmed.move_to_end(folded)
            while len(self._confirmed) > CONFIRMED:
                self._confirmed.popitem(last=False)

    def _forget(self, addresses: Iterable[str]) -> None:
        with self._confirming:
            self._changes += 1
            for address in addresses:
                self._confirmed.pop(fold(address), None)


def _person(row: Row) -> Person:
    kind: Literal["contact", "user"] = "user" if row.values["kind"] == "user" else "contact"
    return Person(row.key.partition("|")[2], kind, str(row.values["name"]))


def ranges(keys: Sequence[str], there: int) -> list[tuple[str, str]]:
    """How to find these sorted keys among about `there` rows: one by one, or all that lies between in one go."""
    if len(keys) > there // ANSWER_ROWS + 1:
        return [(keys[0], keys[-1])]
    return [(key, key) for key in keys]


def in_parts(writes: Sequence[Write]) -> Iterator[Sequence[Write]]:
    """Small rows of one partition in as many groups as they need."""
    for start in range(0, len(writes), GROUP_ROWS):
        yield writes[start : start + GROUP_ROWS]
