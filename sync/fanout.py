"""Who is due and who is wanted -> jobs. One pass a tick; a job put twice is harmless, one never put is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.capture import BACKFILL_MAIL, SYNC_MAIL
from sync.model import Job, MailboxRow
from sync.policy import Policy
from sync.state import Want
from sync.world import World

QUEUE_OF = {"mail": SYNC_MAIL, "mail-backfill": BACKFILL_MAIL}
# A queued job may wait behind others this long before another one is put in its place.
PATIENCE = timedelta(minutes=5)
# A mailbox that waits for a person is tried this often.
BLOCKED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A job to put, and the want it answers (None for a poll)."""

    queue: str
    job: Job
    want: Want | None = None


def tick(world: World) -> int:
    """Queue a job for every mailbox that is wanted or due; returns how many."""
    now = world.clock()
    mailboxes = {row.id: row for row in world.state.mailboxes()}
    put = 0
    for due in plan(now, world.state.last_tick(), mailboxes, world.state.wants(), world.policy()):
        if due.want is not None:
            if _at_work(world, due.want, now):
                continue
            world.state.queued(due.want)
        world.queue.put(due.queue, due.job.to_json())
        put += 1
    world.state.ticked(now)
    return put


def plan(
    now: datetime,
    before: datetime | None,
    mailboxes: Mapping[str, MailboxRow],
    wants: Iterable[Want],
    policy: Policy,
) -> list[Due]:
    """Jobs for this tick: what is wanted and not queued lately, then the mailboxes whose slot has come. Pure."""
    found: list[Due] = []
    wanted: set[str] = set()
    for want in wants:
        row = mailboxes.get(want.mailbox)
        if row is None or not want.open:
            continue
        patience = BLOCKED if row.status == "blocked" else PATIENCE
        if want.stream == "mail":
            wanted.add(row.id)
        if want.count > want.asked or want.queued is None or now - want.queued > patience:
            found.append(Due(QUEUE_OF[want.stream], _job(row, "wanted"), want))
    interval = timedelta(minutes=policy.schedule.minutes)
    for row in mailboxes.values():
        every = max(interval, BLOCKED) if row.status == "blocked" else interval
        if row.id not in wanted and before is not None and due(row.id, before, now, every):
            found.append(Due(SYNC_MAIL, _job(row, "due")))
    return found


def due(mailbox: str, before: datetime, now: datetime, every: timedelta) -> bool:
    """Whether a slot of this mailbox lies in (before, now]; it follows from the id, so being polled writes nothing.

    Ids are digests: the slots of many mailboxes spread evenly over the interval. Pure.
    """
    length = every.total_seconds()
    offset = int(mailbox[:8], 16) % length
    return (now.timestamp() - offset) // length > (before.timestamp() - offset) // length


def _job(row: MailboxRow, reason: str) -> Job:
    return Job(row.connection, "mail", (row.id,), reason)


def _at_work(world: World, want: Want, now: datetime) -> bool:
    """A run holds the lease and will see the wish at its end, or ended so lately that its next job is under way."""
    until = world.state.leased_until(want.mailbox, want.stream)
    return until is not None and until > (now if want.count > want.asked else now - PATIENCE)
