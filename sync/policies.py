"""The firm's policy as it is kept: the one that counts, and every version there ever was.

AccordPolicy  partition `policy`; row `current`; rows `v` and the version counted down, so that the newest comes first

1. A version never changes. It and the current row are one group, written over exactly the current row that was read:
   of two who save at once one is told Stale, and no number is given twice.
2. A worker goes by what it read at most a minute ago, so what is saved counts everywhere a minute later.
3. What this release cannot read (a newer one saved it, and was taken back) does not stop mail. All workers go by the
   newest older version that they can read: it is what the firm chose last in words that are known here, while the
   default could take in what the firm had left out. Only where there is none they go by the default. Either way the
   log has an error, and `Stored.problem` says so wherever the policy is shown, until a policy is saved.
4. The text of a policy stands in pieces over several values of its row: a value holds 32 KB, a row far more than the
   largest policy.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync import rows
from sync.errors import BadItem, BadPolicy, Exists, Stale
from sync.policy import Policy
from sync.ports import Clock, Row, Tables, Value, Write

TABLE = "AccordPolicy"
PARTITION, CURRENT = "policy", "current"
# How long a worker may go by what it read.
REMEMBERED = timedelta(minutes=1)
NOTE = 500
_BY = 200
_PIECE = 8_000  # characters: at most 32,000 bytes
_END_OF_VERSIONS = 10**9
_KEY = re.compile(r"v\d{9}")
# So many versions are tried for one that this release can read.
_TRIED = 200

logger = logging.getLogger("accord")


@dataclass(frozen=True, slots=True)
class Stored:
    """A version of the policy: when, by whom, why. Version 0: nothing was saved yet, `policy` is the default.

    `etag` names exactly this version and text. Where `problem` says that this release cannot read it, `policy` is what
    is gone by instead.
    """

    policy: Policy
    version: int
    at: datetime | None
    by: str
    note: str
    etag: str
    problem: str = ""


class Policies:
    """The policy and its versions, by one Tables port. Safe to share between threads."""

    def __init__(self, tables: Tables, clock: Clock, default: Policy) -> None:
        self._tables = tables
        self._clock = clock
        self._default = default
        self._known: tuple[datetime, Policy] | None = None
        self._told = 0
        self._lock = threading.Lock()

    def now(self) -> Policy:
        """What jobs go by: the policy as it stood at most a minute ago."""
        moment = self._clock()
        with self._lock:
            if self._known is not None and self._known[0] > moment:
                return self._known[1]
        stored = self.current()
        with self._lock:
            self._known = (moment + REMEMBERED, stored.policy)
            loud = bool(stored.problem) and self._told != stored.version
            self._told = stored.version
        if loud:
            logger.error("the policy cannot be read: %s", stored.problem)
        return stored.policy

    def current(self) -> Stored:
        """The newest version, read now."""
        return self._current(self._tables.get(TABLE, PARTITION, CURRENT))

    def save(self, policy: Policy, etag: str, by: str, note: str = "") -> Stored:
        """Make this the policy, over exactly the version that `etag` names; returns it.

        Saving what is there already writes nothing, whatever the `etag`: a request that is repeated has had its answer.
        Raises Stale where the policy changed since it was read, BadPolicy for what could not be read again and for a
        `note` of more than NOTE characters.
        """
        if len(note) > NOTE:
            raise BadPolicy([f"The note has at most {NOTE} characters."])
        text = policy.dump()
        Policy.load(text)
        row = self._tables.get(TABLE, PARTITION, CURRENT)
        before = self._current(row)
        if _says(before, policy):
            return before
        if etag != before.etag:
            raise Stale("The policy changed since it was read.")
        number = before.version + 1
        values = {**_pieces(text), "version": number, "at": self._clock(), "by": by[:_BY], "note": note}
        try:
            self._write(row, number, values)
        except (Exists, Stale):
            after = self.current()
            if _says(after, policy):
                return after
            raise Stale("The policy changed since it was read.") from None
        with self._lock:
            self._known = None
        return self._current(Row(PARTITION, CURRENT, values, ""))

    def history(self, limit: int = 50, after: str = "") -> tuple[list[Stored], str]:
        """Up to `limit` versions, newest first, and the place to go on `after`, "" at the end.

        Raises BadItem for a place that no answer gave.
        """
        if after and not _KEY.fullmatch(after):
            raise BadItem("after", "This does not name a place in the list: use the one that the last answer gave.")
        found = list(self._versions(f"{after}!" if after else "v", limit + 1))
        return [self._stored(row) for row in found[:limit]], found[limit - 1].key if len(found) > limit else ""

    def version(self, number: int) -> Stored | None:
        """One version, or None where there is no such one."""
        row = self._tables.get(TABLE, PARTITION, _key(number)) if 0 < number < _END_OF_VERSIONS else None
        return self._stored(row) if row else None

    def _write(self, row: Row | None, number: int, values: dict[str, Value]) -> None:
        current = Write("replace", CURRENT, values, row.version) if row else Write("insert", CURRENT, values)
        self._tables.write(TABLE, PARTITION, [current, Write("insert", _key(number), values)])

    def _versions(self, first: str, limit: int) -> Iterator[Row]:
        return self._tables.rows(TABLE, PARTITION, first, "v~", limit=limit)

    def _current(self, row: Row | None) -> Stored:
        return self._stored(row) if row else Stored(self._default, 0, None, "", "", "0")

    def _stored(self, row: Row) -> Stored:
        text, number = _text(row), rows.number(row, "version")
        try:
            policy, problem = Policy.load(text), ""
        except BadPolicy:
            policy, problem = self._instead_of(number)
        etag = f"{number}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
        by, note = rows.text(row, "by"), rows.text(row, "note")
        return Stored(policy, number, rows.moment(row, "at"), by, note, etag, problem)

    def _instead_of(self, number: int) -> tuple[Policy, str]:
        """What is gone by where a version cannot be read, and the sentence that says so."""
        unread = f"This release cannot read version {number} of the policy, probably because a newer one saved it"
        for row in self._versions(f"{_key(number)}!", _TRIED):
            try:
                policy = Policy.load(_text(row))
            except BadPolicy:
                continue
            return policy, f"{unread}: it goes by version {rows.number(row, 'version')}."
        return self._default, f"{unread}: it goes by the default, since no older version can be read either."


def _says(stored: Stored, policy: Policy) -> bool:
    return stored.version > 0 and not stored.problem and stored.policy == policy


def _key(number: int) -> str:
    return f"v{_END_OF_VERSIONS - number:09d}"


def _pieces(text: str) -> dict[str, Value]:
    return {f"policy{at // _PIECE:03d}": text[at : at + _PIECE] for at in range(0, len(text), _PIECE)}


def _text(row: Row) -> str:
    return "".join(str(row.values[name]) for name in sorted(row.values) if name.startswith("policy"))
