"""Who is due and who is wanted -> jobs. One pass a tick; a job put twice is harmless, one never put is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sync import dispatch, history, poll
from sync.idle import asleep, shards, waits
from sync.model import PAUSED, QUEUES, Job, MailboxRow, Stream, Want
from sync.policy import Policy
from sync.world import World

# A queued job may wait behind others this long before another one takes its place.
PATIENCE = timedelta(minutes=5)
# A mailbox that waits for a person is tried this often, and a stream that failed so many times in a row (T7).
BLOCKED = timedelta(hours=1)
FAILURES = 4
# However idle, a mailbox gets a round of all its folders this often: a light call does not show everything.
FULL_ROUND = timedelta(hours=6)
# So often the CRM's feed is asked for new contacts, which wait ten minutes anyway.
GATHER = timedelta(minutes=5)
_ALL = "0" * 32
# The reason of a job that a mailbox's slot brought.
DUE = "due"


def tick(world: World) -> int:
    """Queue a job for every mailbox that is wanted or due, one for many where they are idle; returns how many."""
    now, before = world.clock(), world.state.last_tick()
    if before is None or due(_ALL, before, now, GATHER):
        history.gather(world)
    history.tell(world)
    # While a connection or the app has to wait nothing is queued for it; jobs on their way put themselves back.
    known = (row for row in world.state.mailboxes() if not row.off)
    mailboxes = {row.id: row for row in known if not _before(world.state.waits(row.connection), now)}
    wants = {(want.mailbox, want.stream): want for want in world.state.wants.all()}
    put = 0
    for stream, row in wanted(now, mailboxes, wants.values()):
        # A run under way sees the wish at its end.
        until = world.state.leased_until(row.id, stream)
        if until is None or until <= now:
            dispatch.put(world, stream, _job(row, "wanted"))
            put += 1
    slots = polled(now, before, mailboxes, wants, world.policy())
    rounds, light = shared(slots, before or now, now, world.policy())
    for row in rounds:
        world.queue.put(QUEUES["mail"], _job(row, DUE).to_json())
    asked = shards(light)
    for job in asked:
        world.queue.put(poll.QUEUE, job.to_json())
    world.state.ticked(now)
    return put + len(rounds) + len(asked)


def wanted(
    now: datetime, mailboxes: Mapping[str, MailboxRow], wants: Iterable[Want]
) -> list[tuple[Stream, MailboxRow]]:
    """What is wanted and has no job on its way: none was queued since, or it got lost. Pure."""
    found: list[tuple[Stream, MailboxRow]] = []
    for want in wants:
        row = mailboxes.get(want.mailbox)
        if row is None or not want.open or waiting(want, now) or waits(row, now):
            continue
        if want.stream != "mail" and row.backfill == PAUSED:
            continue
        patience = BLOCKED if slowed(row, want) else PATIENCE
        if want.count > want.asked or want.queued is None or now - want.queued > patience:
            found.append((want.stream, row))
    return found


def polled(
    now: datetime,
    before: datetime | None,
    mailboxes: Mapping[str, MailboxRow],
    wants: Mapping[tuple[str, Stream], Want],
    policy: Policy,
) -> list[MailboxRow]:
    """Mailboxes whose slot has come, but for those that are wanted anyway or told to wait. Pure."""
    found: list[MailboxRow] = []
    interval = timedelta(minutes=policy.schedule.minutes)
    for row in mailboxes.values():
        want = wants.get((row.id, "mail"))
        every = max(interval, BLOCKED) if slowed(row, want) else interval
        if waits(row, now) or (want is not None and (want.open or waiting(want, now))):
            continue
        if before is not None and due(row.id, before, now, every):
            found.append(row)
    return found


def shared(
    rows: Iterable[MailboxRow], before: datetime, now: datetime, policy: Policy
) -> tuple[list[MailboxRow], list[MailboxRow]]:
    """Of mailboxes whose slot has come: who gets a full round, and whom a light call asks. Pure."""
    interval = timedelta(minutes=policy.schedule.minutes)
    rounds: list[MailboxRow] = []
    light: list[MailboxRow] = []
    for row in rows:
        # From slot to slot, so that no full round falls between two late ticks.
        last, this = (_slot(row.id, at, interval) for at in (before, now))
        full = not asleep(row, now) or due(row.id, last, this, FULL_ROUND)
        (rounds if full else light).append(row)
    return rounds, light


def slowed(row: MailboxRow, want: Want | None) -> bool:
    """Whether a stream is tried by the hour only, until it succeeds once. Pure."""
    # What keeps the live stream from going on stands in the mailbox's row, and no other stream goes on without it.
    return row.blocked or (want is not None and (want.blocked or want.failures >= FAILURES))


def waiting(want: Want, now: datetime) -> bool:
    """Whether Microsoft told us to ask nothing of this stream yet. Pure."""
    return _before(want.not_before, now)


def _before(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now


def due(mailbox: str, before: datetime, now: datetime, every: timedelta) -> bool:
    """Whether a slot of this mailbox lies in (before, now]; it follows from the id, so being polled writes nothing.

    Ids are digests: the slots of many mailboxes spread evenly over the interval. Pure.
    """
    return _slot(mailbox, now, every) > _slot(mailbox, before, every)


def _slot(mailbox: str, at: datetime, every: timedelta) -> datetime:
    """When the last slot of a mailbox came."""
    length = every.total_seconds()
    offset = int(mailbox[:8], 16) % length
    return datetime.fromtimestamp((at.timestamp() - offset) // length * length + offset, UTC)


def _job(row: MailboxRow, reason: str) -> Job:
    return Job(row.connection, "mail", (row.id,), reason)
