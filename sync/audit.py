"""Who did what as an administrator: rows that are only added, and removed when their time is over.

AccordAudit  partition `audit`; row: time counted down|a random number, so that the newest comes first

One partition: administrators do little, and a page is one range of rows however deep it lies.

A row says who, what, of what and when. What it is about is named by an id or a number, never by an address, a content
or a secret. An action that is repeated is noted again.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

from sync import rows
from sync.errors import BadItem
from sync.ports import Clock, Row, Tables, Value, Write

Action = Literal[
    "mailbox added",
    "mailbox assigned",
    "mailbox switched off",
    "mailbox switched on",
    "mailbox asked",
    "mailbox reset",
    "mailbox removed",
    "backfill paused",
    "backfill resumed",
    "mail explained",
    "exclusion added",
    "exclusion taken back",
    "policy saved",
    "errors retried",
    "runs exported",
]
ACTIONS: tuple[Action, ...] = get_args(Action)
TABLE = "AccordAudit"
PARTITION = "audit"
# So long an entry is kept: whoever looks back at a year finds all of it.
KEPT = timedelta(days=400)
# Entries that one run removes at most: what it does not reach, the next one does.
MOST = 10_000
_SHOWN = 200
_GROUP = 100
_END_OF_TIME = 10**16
_KEY = re.compile(r"\d{16}\|[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing somebody did. `subject` is the id of a mailbox or run, or the version of a policy."""

    at: datetime
    by: str
    action: Action
    subject: str = ""
    note: str = ""


class Audit:
    """What was done, by one Tables port."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def note(self, by: str, action: Action, subject: str = "", note: str = "") -> Entry:
        """Write down what somebody did, once it is done; texts are kept up to 200 characters, in one line.

        `note` is of our own words and numbers: no address, no content, no secret.
        """
        entry = Entry(self._clock(), _line(by), action, _line(subject), _line(note))
        values: dict[str, Value] = {
            "at": entry.at,
            "by": entry.by,
            "action": entry.action,
            "subject": entry.subject,
            "note": entry.note,
        }
        self._tables.write(TABLE, PARTITION, [Write("insert", f"{_countdown(entry.at)}|{uuid.uuid4().hex}", values)])
        return entry

    def entries(self, limit: int = 50, after: str = "") -> tuple[list[Entry], str]:
        """Up to `limit` entries, newest first, and the place to go on `after`, "" at the end; one request.

        Raises BadItem for a place that no answer gave.
        """
        if after and not _KEY.fullmatch(after):
            raise BadItem("after", "This does not name a place in the list: use the one that the last answer gave.")
        found = list(self._tables.rows(TABLE, PARTITION, f"{after}!" if after else "", limit=limit + 1))
        return [_entry(row) for row in found[:limit]], found[limit - 1].key if len(found) > limit else ""

    def forget(self, now: datetime) -> int:
        """Remove entries older than KEPT, MOST of them; returns how many."""
        first = _countdown(now - KEPT)
        old = [row.key for row in self._tables.rows(TABLE, PARTITION, first, select=["at"], limit=MOST)]
        for at in range(0, len(old), _GROUP):
            self._tables.write(TABLE, PARTITION, [Write("delete", key) for key in old[at : at + _GROUP]])
        return len(old)


def _countdown(moment: datetime) -> str:
    return f"{_END_OF_TIME - round(moment.timestamp() * 1e6):016d}"


def _line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]


def _entry(row: Row) -> Entry:
    by, action, subject, note = (rows.text(row, name) for name in ("by", "action", "subject", "note"))
    return Entry(rows.moment(row, "at"), by, cast(Action, action), subject, note)
