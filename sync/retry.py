"""Once more: one error item, one run, or all errors of the last 30 days (T4).

An item        stands in the rows of what is to be done again, and its mailbox wants its history stream: its next job
               fetches it (`mend`). Marked first, so that no mark of ours comes after what became of it.
A run          that failed as a whole: its mailbox wants again every stream that has failed.
A job          that was given up goes back on its queue, under a fresh ticket where the queue has any.

Asking twice is asking once. Each call does a bounded slice, since an HTTP answer ends at 230 seconds, and says where to
go on; whoever dies in between asks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync import dispatch, poll
from sync.errors import BadJob
from sync.log import place
from sync.mend import FOLDER
from sync.model import QUEUES, STREAMS, Job, MailboxRow, Run, RunItem, Stream
from sync.retries import Asked
from sync.world import World

DAYS = timedelta(days=30)
# Errors of one call, how long it may take, and what may wait for one mailbox.
SLICE = 500
TIME = timedelta(minutes=1)
MOST = 5_000
POISONED = "poisoned"
REASON = "retry"
_DONE = ("mended", "gone", "left out")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error for which nothing can be done, with the reason; `number` is None for a whole run."""

    run: str
    number: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How many were queued, for what nothing can be done, and where the next call goes on; "" where all is asked."""

    queued: int = 0
    refused: tuple[Refusal, ...] = ()
    after: str = ""


@dataclass(slots=True)
class _Slice:
    """What one call gathers before it writes."""

    world: World
    until: datetime
    limit: int
    queued: int = 0
    looked: int = 0
    refused: list[Refusal] = field(default_factory=list)
    items: dict[str, list[Asked]] = field(default_factory=dict)
    streams: dict[tuple[str, Stream], None] = field(default_factory=dict)
    known: dict[str, MailboxRow | None] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether another call has to go on."""
        return self.looked >= self.limit or self.world.clock() >= self.until

    def mailbox(self, mailbox: str) -> MailboxRow | None:
        """A mailbox, read once."""
        if mailbox not in self.known:
            self.known[mailbox] = self.world.state.mailbox(mailbox)
        return self.known[mailbox]

    def room(self, mailbox: str) -> bool:
        """Whether a mailbox may have one more waiting."""
        if mailbox not in self.waiting:
            self.waiting[mailbox] = len(self.world.log.retries.waiting(mailbox, MOST))
        return self.waiting[mailbox] + len(self.items.get(mailbox, ())) < MOST


def item(world: World, run_id: str, number: int) -> Answer:
    """Have one error item done again."""
    run, found = world.log.run(run_id), world.log.item(run_id, number)
    if run is None or found is None:
        return Answer(refused=(Refusal(run_id, number, "The log has no such error any more."),))
    some = _slice(world)
    _ask(some, run, [found])
    return _written(some)


def run(world: World, run_id: str, after: str = "", limit: int = SLICE) -> Answer:
    """Have a run done again: all its errors, and the run itself where it failed as a whole.

    Raises BadItem for a place that is none.
    """
    found = world.log.run(run_id)
    if found is None:
        return Answer(refused=(Refusal(run_id, None, "The log has no such run any more."),))
    some = _slice(world, limit)
    if not after and found.sentence:
        _whole(some, found)
    items, after = world.log.items(run_id, limit, after, errors=True)
    _ask(some, found, items)
    return _written(some, after)


def errors(world: World, after: str = "", limit: int = SLICE, days: timedelta = DAYS) -> Answer:
    """Have the errors of the last 30 days, or of fewer, done again, newest first, but for those that were mended since,
    and runs that were done again already.

    Raises BadItem for a place that is none.
    """
    some = _slice(world, limit)
    behind, _, at = after.partition("/")
    since = world.clock() - min(days, DAYS)
    while True:
        runs, more = world.log.runs(20, behind, errors=True, since=since)
        for one in runs:
            if not at and one.sentence and one.retried is None:
                _whole(some, one)
            some.looked += 1
            while True:
                items, at = world.log.items(one.id, max(1, limit - some.looked), at, errors=True)
                _ask(some, one, [item for item in items if item.retry not in _DONE])
                if not at or some.full:
                    break
            if at:
                return _written(some, f"{behind}/{at}")
            behind = place(one)
            if some.full:
                return _written(some, f"{behind}/")
        if not more:
            return _written(some)


def nothing_to_fetch(name: str) -> str:
    """Why an item cannot be fetched again, or "". Pure."""
    # An id of Graph has no blank; a description in its place has.
    if name and (" " not in name or name.startswith(FOLDER)):
        return ""
    return "Microsoft Graph gave it no id: there is nothing to ask for again."


# -- gathering


def _slice(world: World, limit: int = SLICE) -> _Slice:
    return _Slice(world, world.clock() + TIME, limit)


def _ask(some: _Slice, run: Run, items: Iterable[RunItem]) -> None:
    for one in items:
        some.looked += 1
        reason = _closed(some, run.mailbox) or nothing_to_fetch(one.name)
        if not reason and not some.room(run.mailbox):
            reason = "Too many errors of this mailbox wait to be done again; ask once they are through."
        if reason:
            some.refused.append(Refusal(run.id, one.number, reason))
            continue
        digest = some.world.keys.of("retry", one.name)
        some.items.setdefault(run.mailbox, []).append(Asked(digest, one.name, run.id, one.number))
        some.queued += 1


def _whole(some: _Slice, run: Run) -> None:
    reason = _put_back(some, run) if run.reason == POISONED else _wanted(some, run)
    if reason:
        some.refused.append(Refusal(run.id, None, reason))
        return
    some.queued += 1
    some.world.log.retried(run, some.world.clock())


def _wanted(some: _Slice, run: Run) -> str:
    """Have the run's stream, and every other of its mailbox that is in trouble, wanted once more."""
    reason = _closed(some, run.mailbox)
    row = some.mailbox(run.mailbox)
    if reason or row is None:
        return reason
    failed = [want.stream for want in some.world.state.wants.of(row.id) if want.trouble or want.failures]
    if row.trouble:
        failed.append("mail")
    if run.stream in QUEUES:
        failed.append(run.stream)
    new = {(row.id, stream): None for stream in failed if (row.id, stream) not in some.streams}
    for mailbox, stream in new:
        some.world.state.wants.want(mailbox, stream)
    some.streams |= new
    return ""


def _put_back(some: _Slice, run: Run) -> str:
    """A message that was given up, put on its queue once more."""
    try:
        job = replace(Job.from_json(run.job), reason=REASON)
    except BadJob as bad:
        return bad.sentence
    stream = STREAMS.get(run.stream)
    if stream is None:
        if run.stream != poll.QUEUE:
            return "There is no queue of this name any more."
        some.world.queue.put(poll.QUEUE, job.to_json())
        return ""
    for subject in job.subjects:
        row = some.mailbox(subject)
        if row is not None and row.connection != job.connection:
            return "The mailbox belongs to another connection now."
        if reason := _closed(some, subject):
            return reason
        dispatch.put(some.world, stream, replace(job, subjects=(subject,)))
    return "" if job.subjects else "The message names no mailbox."


def _closed(some: _Slice, mailbox: str) -> str:
    """Why nothing can be done for a mailbox, or ""."""
    row = some.mailbox(mailbox)
    if row is None:
        return "The mailbox is not in scope any more."
    return "The mailbox is switched off." if row.off else ""


def _written(some: _Slice, after: str = "") -> Answer:
    """Write what was gathered: marks, rows, and the wish that has them worked."""
    log, now = some.world.log, some.world.clock()
    for mailbox, many in some.items.items():
        runs: dict[str, list[int]] = {}
        for one in many:
            runs.setdefault(one.run, []).append(one.number)
        for run_id, numbers in runs.items():
            log.mark(run_id, numbers, now, "queued")
        log.retries.add(mailbox, many, now)
        some.world.state.wants.want(mailbox, "mail-history")
    return Answer(some.queued, tuple(some.refused), after)
