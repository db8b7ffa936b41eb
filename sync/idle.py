"""Idle mailboxes are cheap: who may be asked by one light call instead of a round of all folders. Pure.

1. `newest` is a whole second up to which a run has seen every change; it is asked what changed from the next second on.
   Graph shows whole seconds and compares fractions: asked for what lies behind the second itself, it would show
   the same mail for ever.
2. A second that may still go on is never passed: `newest` stays a minute behind the start of the run that saw it.
3. What changed where no round looks (drafts, deleted mail) shows too: a run that was woken and saw nothing passes it.
4. Where a folder could not be read, nothing is known: the mailbox gets rounds until one is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby

from sync.model import MOST_SUBJECTS, Job, MailboxRow

SECOND = timedelta(seconds=1)
# Changes of the last minute may not all be shown yet.
MARGIN = timedelta(seconds=60)
# The reason of a job that a light call made: something changed.
NEWS = "news"


def newest(before: str, seen: datetime | None, started: datetime, woken: bool) -> str:
    """What a complete round knows to be the last change, as it stands in the mailbox's row.

    `before` is what was known, `seen` the last change that the round met, `started` when it began; `woken` says that a
    light call had shown something.
    """
    settled = (started - MARGIN).astimezone(UTC).replace(microsecond=0)
    if seen is None:
        return before if before and not woken else settled.isoformat()
    last = min(seen.astimezone(UTC).replace(microsecond=0), settled)
    return max(last, datetime.fromisoformat(before)).isoformat() if before else last.isoformat()


def changed_since(row: MailboxRow) -> datetime:
    """From when on a change is news; the mailbox must have a `newest`."""
    return datetime.fromisoformat(row.newest) + SECOND


def waits(row: MailboxRow, now: datetime) -> bool:
    """Whether Microsoft told us to ask nothing of this mailbox yet."""
    return row.not_before is not None and row.not_before > now


def asleep(row: MailboxRow, now: datetime) -> bool:
    """Whether one light call tells enough of this mailbox: all was well, and a complete round knows its last change."""
    return row.met and row.trouble is None and not row.off and bool(row.newest) and not waits(row, now)


def shards(rows: Iterable[MailboxRow]) -> list[Job]:
    """Jobs of up to fifty mailboxes of one connection, sorted by id so that few reads find their rows."""
    found = []
    for connection, some in groupby(sorted(rows, key=lambda row: (row.connection, row.id)), lambda row: row.connection):
        ids = [row.id for row in some]
        parts = [tuple(ids[at : at + MOST_SUBJECTS]) for at in range(0, len(ids), MOST_SUBJECTS)]
        found += [Job(connection, "mail", part, "poll") for part in parts]
    return found
