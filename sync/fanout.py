"""Who is due and who is wanted -> jobs. One pass a tick; a job put twice is harmless, one never put is not.

1. What is wanted gets a job at once, and another one where that got lost. A queue is a line: every job is one round or
   one page and goes to its end again, so that a mailbox with little to do never waits behind one with much.
2. The longer the line, the longer a job may take to come up before it counts as lost.
3. More than a tick may put onto a queue waits for the next: who was never queued is first, then who waited longest.
4. Turns up to an hour apart need no row: one that gets lost is made up for by the next. A turn that comes more seldom
   is wanted, like what a person asks for, until a run has served it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sync import dispatch, history, poll
from sync.idle import asleep, shards, waits
from sync.model import PAUSED, QUEUES, Job, MailboxRow, Stream, Want
from sync.policy import Policy
from sync.schedule import due, seldom, slot, trusted
from sync.wants import in_groups
from sync.world import World

# A queued job may wait this long before another one takes its place, and so much longer for each of its line: one
# instance works a job a second and more.
PATIENCE = timedelta(minutes=5)
EACH = timedelta(seconds=1)
# So long after it was queued a job may be under way: it waited, works for four minutes and has its lease for two more.
UNDER_WAY = timedelta(minutes=15)
# So many jobs of a stream are put by one tick, which has to be over when the next one comes.
MOST = 2_000
# A mailbox that waits for a person is tried this often, and a stream that failed so many times in a row (T7).
BLOCKED = timedelta(hours=1)
FAILURES = 4
# However idle, a mailbox gets a round of all its folders this often: a light call does not show everything.
FULL_ROUND = timedelta(hours=6)
# So often the CRM's feed is asked for new contacts, which wait ten minutes anyway.
GATHER = timedelta(minutes=5)
_ALL = "0" * 32
_NEVER = datetime.min.replace(tzinfo=UTC)
# The reason of a job that a mailbox's slot brought.
DUE = "due"

Wants = Mapping[tuple[str, Stream], Want]


def tick(world: World) -> int:
    """Queue a job for every mailbox that is wanted or due, one for many where they are idle; returns how many."""
    now, policy = world.clock(), world.policy()
    last = world.state.last_tick()
    before = trusted(last, now)
    if before is None or due(_ALL, before, now, GATHER):
        history.gather(world)
    history.tell(world)
    mailboxes = {row.id: row for row in world.state.mailboxes() if not row.off}
    # While a connection or the app has to wait nothing is queued for it; jobs on their way put themselves back.
    told = {one for one in {row.connection for row in mailboxes.values()} if _before(world.state.waits(one), now)}
    free = {row.id: row for row in mailboxes.values() if row.connection not in told}
    wants = {(want.mailbox, want.stream): want for want in world.state.wants.all()}
    rounds: list[MailboxRow] = []
    light: list[MailboxRow] = []
    if seldom(policy.schedule):
        wants |= _raised(world, polled(now, before, mailboxes, wants, policy), wants)
    else:
        rounds, light = shared(polled(now, before, free, wants, policy), before or now, now, policy)
    put = _put(world, now, in_turn(wanted(now, free, wants.values())))
    dispatch.send(world, QUEUES["mail"], [_job(row, DUE) for row in rounds])
    asked = shards(light)
    dispatch.send(world, poll.QUEUE, asked)
    if last is None or before is None or last < now:
        world.state.ticked(now)
    return put + len(rounds) + len(asked)


def _raised(world: World, rows: Iterable[MailboxRow], wants: Wants) -> dict[tuple[str, Stream], Want]:
    """Have the live streams of these mailboxes wanted; returns them as they stand now."""
    known = [wants.get((row.id, "mail")) or Want(row.id, "mail") for row in rows]
    found = [want for group in in_groups(known) for want in world.state.wants.raised(group)]
    return {(want.mailbox, want.stream): want for want in found}


def _put(world: World, now: datetime, found: Sequence[tuple[Want, MailboxRow]]) -> int:
    """Queue a job for what is wanted, unless it is under way: a run sees the wish at its end.

    What was not queued lately is not asked for its lease, which is a request each: at worst a run that its slot brought
    is under way, and the job finds the lease taken and ends.
    """
    lately = [want for want, _ in found if want.queued is not None and now - want.queued <= UNDER_WAY]
    under_way = dispatch.side_by_side(lambda want: _leased(world, want, now), lately, len(lately))
    busy = {want for want, is_so in zip(lately, under_way, strict=True) if is_so}
    put = [(want, row) for want, row in found if want not in busy]
    dispatch.put_all(world, [want for want, _ in put], {row.id: _job(row, "wanted") for _, row in put})
    return len(put)


def _leased(world: World, want: Want, now: datetime) -> bool:
    until = world.state.leased_until(want.mailbox, want.stream)
    return until is not None and until > now


def wanted(now: datetime, mailboxes: Mapping[str, MailboxRow], wants: Iterable[Want]) -> list[tuple[Want, MailboxRow]]:
    """What is wanted and has no job on its way: none was queued since, or it got lost. Pure."""
    found: list[tuple[Want, MailboxRow]] = []
    opened = [want for want in wants if want.open]
    line = Counter(want.stream for want in opened if want.queued is not None and want.count <= want.asked)
    for want in opened:
        row = mailboxes.get(want.mailbox)
        if row is None or waiting(want, now) or waits(row, now):
            continue
        if want.stream != "mail" and row.backfill == PAUSED:
            continue
        patience = PATIENCE + line[want.stream] * EACH
        if slowed(row, want):
            patience = max(BLOCKED, patience)
        if want.count > want.asked or want.queued is None or now - want.queued > patience:
            found.append((want, row))
    return found


def in_turn(found: Iterable[tuple[Want, MailboxRow]], most: int = MOST) -> list[tuple[Want, MailboxRow]]:
    """Up to `most` of each stream: who was never queued first, then who waited longest. Pure."""
    taken: Counter[Stream] = Counter()
    turns: list[tuple[Want, MailboxRow]] = []
    for want, row in sorted(found, key=lambda one: one[0].queued or _NEVER):
        taken[want.stream] += 1
        if taken[want.stream] <= most:
            turns.append((want, row))
    return turns


def polled(
    now: datetime, before: datetime | None, mailboxes: Mapping[str, MailboxRow], wants: Wants, policy: Policy
) -> list[MailboxRow]:
    """Mailboxes whose slot has come, but for those that are wanted anyway or told to wait. Pure.

    Where slots come seldom, one that comes during a wait is not left out: the job follows when the wait is over.
    """
    found: list[MailboxRow] = []
    if before is None:
        return found
    kept = seldom(policy.schedule)
    for row in mailboxes.values():
        want = wants.get((row.id, "mail"))
        every = BLOCKED if slowed(row, want) else policy.schedule
        told = waits(row, now) or (want is not None and waiting(want, now))
        if (want is not None and want.open) or (told and not kept):
            continue
        if due(row.id, before, now, every):
            found.append(row)
    return found


def shared(
    rows: Iterable[MailboxRow], before: datetime, now: datetime, policy: Policy
) -> tuple[list[MailboxRow], list[MailboxRow]]:
    """Of mailboxes whose slot has come: who gets a full round, and whom a light call asks. Pure."""
    rounds: list[MailboxRow] = []
    light: list[MailboxRow] = []
    for row in rows:
        # From slot to slot, so that no full round falls between two late ticks.
        last, this = (slot(row.id, at, policy.schedule) for at in (before, now))
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


def _job(row: MailboxRow, reason: str) -> Job:
    return Job(row.connection, "mail", (row.id,), reason)
