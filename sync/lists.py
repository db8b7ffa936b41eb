"""Lists of excluded addresses as admins and users keep them: the firm's, and one for each mailbox (F1, F2, F4).

AccordExclusions partition: `firm` or a mailbox id; row: digest of the pattern as it is compared

An exclusion that is taken back keeps its row with the moment: mail from before stays out, nothing is filled back (F4).
This is why they stand here and not in the policy, which would know only that one is gone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from sync.exclusions import Exclusion, check
from sync.keys import Keys
from sync.ports import Clock, Row, Tables, Write

TABLE = "AccordExclusions"
FIRM = "firm"
# How long a worker may go by what it read, and how many lists it remembers.
REMEMBERED = timedelta(minutes=1)
MOST = 1_000


class ExclusionLists:
    """The lists, by one Tables port. Safe to share between threads."""

    def __init__(self, tables: Tables, keys: Keys, clock: Clock) -> None:
        self._tables = tables
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[str, tuple[datetime, tuple[Exclusion, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def exclude(self, scope: str, pattern: str) -> Exclusion:
        """Leave out what fits a pattern from now on, mail of every time included; what is captured stays.

        `scope` is FIRM or a mailbox id. Raises BadItem for what can be no pattern. Twice is once.
        """
        self._tables.write(TABLE, scope, [Write("replace", self._key(pattern), {"pattern": pattern.strip()})])
        self._forget(scope)
        return Exclusion(pattern.strip())

    def take_back(self, scope: str, pattern: str) -> bool:
        """End an exclusion: later mail comes in, earlier mail stays out. False where there was none. Raises BadItem.

        It ends when the last worker has heard of it: what comes in between would else be left out by some.
        """
        row = self._tables.get(TABLE, scope, self._key(pattern))
        if row is None or "until" in row.values:
            return False
        self._tables.write(TABLE, scope, [Write("merge", row.key, {"until": self._clock() + REMEMBERED}, row.version)])
        self._forget(scope)
        return True

    def listed(self, scope: str) -> tuple[Exclusion, ...]:
        """A list as it stands, with what was taken back."""
        return tuple(_exclusion(row) for row in self._tables.rows(TABLE, scope))

    def of(self, scope: str) -> tuple[Exclusion, ...]:
        """A list as it stood at most a minute ago."""
        now = self._clock()
        with self._lock:
            known = self._known.get(scope)
            if known is not None and known[0] > now:
                return known[1]
        found = self.listed(scope)
        with self._lock:
            self._known[scope] = (now + REMEMBERED, found)
            self._known.move_to_end(scope)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def _key(self, pattern: str) -> str:
        return self._keys.of("exclusion", check(pattern))

    def _forget(self, scope: str) -> None:
        with self._lock:
            self._known.pop(scope, None)


def _exclusion(row: Row) -> Exclusion:
    until = row.values.get("until")
    return Exclusion(str(row.values["pattern"]), until=until if isinstance(until, datetime) else None)
