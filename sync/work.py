"""One job under way: its lease, its counts, and what is left of it however it ends."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from sync import lists
from sync.errors import (
    AccordError,
    BadItem,
    Conflict,
    ForeignLink,
    Gone,
    LeaseLost,
    MalformedAnswer,
    NeedsPerson,
    Reset,
    Retry,
    StorageUnavailable,
    TooLarge,
)
from sync.matching import Rules
from sync.model import Envelope, Job, MailboxRow, Run, RunItem, Stage
from sync.state import Opened, Place
from sync.world import World

# A job starts nothing new after this; functionTimeout is ten minutes.
ENOUGH = timedelta(minutes=4)
# A lease with less than this left is renewed before anything more is written.
SOON = timedelta(seconds=60)
# How often a message may be refused while others are given, before it is an error row: with waits that double, a
# quarter of an hour.
PATIENT = 6

logger = logging.getLogger("accord")


@dataclass(slots=True)
class Tally:
    """What a run saw and did, growing page by page; `modified` is the last change of any message it met."""

    seen: int = 0
    kept: int = 0
    bodies: int = 0
    modified: datetime | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    items: list[RunItem] = field(default_factory=list)
    again: bool = False

    @contextmanager
    def only_news(self) -> Iterator[None]:
        """Meanwhile count only what is kept: the rest is listed again and was counted when it was seen first."""
        self.again = True
        try:
            yield
        finally:
            self.again = False

    @property
    def errors(self) -> int:
        """Items that failed."""
        return sum(item.outcome == "error" for item in self.items)

    def fail(self, name: str, sentence: str, record: str = "") -> None:
        """Note an item that Microsoft Graph does not give, or not so that it can be read."""
        self.items.append(RunItem(name, "error", sentence, record, stage="Microsoft Graph"))

    def keep(self, count: int) -> None:
        """Count mails that were stored."""
        self.kept += count
        self.seen += count if self.again else 0

    def met(self, items: Sequence[Envelope], broken: int = 0) -> None:
        """Count mails, those that cannot be read included, and note the last change among them."""
        self.seen += 0 if self.again else len(items) + broken
        self.modified = max(filter(None, (self.modified, *(one.modified for one in items))), default=None)

    def skip(self, reason: str, count: int = 1) -> None:
        """Count mails that were not kept."""
        if count and not self.again:
            self.skipped[reason] += count

    def added_to(self, totals: Mapping[str, Any]) -> dict[str, Any]:
        """The totals of a cursor with this run's counts added."""
        counts = {name: totals.get(name, 0) + getattr(self, name) for name in ("seen", "kept", "bodies", "errors")}
        return {**counts, "skipped": dict(Counter(totals.get("skipped", {})) + self.skipped)}


def rules_of(world: World, row: MailboxRow) -> Rules:
    """What decides about a mailbox's mail now."""
    both = (world.exclusions.of(lists.FIRM), world.exclusions.of(row.id))
    return Rules.of(world.policy(), row.own, world.clock(), both, row.owner or row.id)


class Work:
    """One job under way. As a context it frees its lease however it ends, and logs what went wrong on purpose."""

    def __init__(self, world: World, row: MailboxRow, job: Job, opened: Opened) -> None:
        self.world = world
        self.row = row
        self.box = world.connect(row)
        self.tally = Tally()
        # While error items are done again: what stands already is read once more, for the files it lacks.
        self.retrying = False
        self.opened: set[str] = set()
        # After a job that broke off: its page comes again, and how often Microsoft refused which message.
        self.again = bool(opened.cursor.get("again"))
        self.refused: Counter[str] = Counter(opened.cursor.get("refused", {}))
        self._cursor = opened.cursor
        self._job = job
        self._lease = opened.lease
        self._started = world.clock()
        self._logged = 0

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(raised, Exception) or isinstance(raised, LeaseLost):
            return
        if isinstance(raised, AccordError):
            # Waiting is not an error, but an answer that cannot be read is one.
            waits = isinstance(raised, Retry) and not isinstance(raised, MalformedAnswer)
            self.log("" if waits else raised.sentence, stage_of(raised))
        broken_off = (
            {**self._cursor, "again": True, "refused": dict(self.refused.most_common(200))} if self._cursor else None
        )
        try:
            self.save(broken_off, release=True)
        except LeaseLost:
            return

    def mark(self, message: str) -> str:
        """A message in a cursor: ids are long, and a thousand of them may stand there."""
        return f"{self.world.keys.number('edge', message):016x}"

    def late(self) -> bool:
        """Whether this job should start nothing new; where it goes on, its lease lasts for the next step."""
        self.hold()
        return self.world.clock() - self._started > ENOUGH

    def know(self, **changes: Any) -> None:
        """Remember something about the mailbox, and read on with it."""
        self.row = self.world.state.note(self.row, **changes)
        self.box = self.world.connect(self.row)

    def save(
        self,
        cursor: Mapping[str, Any] | None = None,
        places: Sequence[Place] = (),
        dropped: Sequence[str] = (),
        release: bool = False,
    ) -> None:
        """Write under the lease and renew it; raises LeaseLost. No place passes an error that is not in the log yet."""
        if self.tally.errors > self._logged:
            self.log()
        self._lease = self.world.state.save(self._lease, cursor, places, dropped, release)
        if cursor is not None:
            # What a job that breaks off saves again: never what failed to be saved, nor what it changed after this.
            self._cursor = dict(cursor)

    def finish(self, cursor: Mapping[str, Any]) -> None:
        """The last save of a job that did what it could: nothing is left to come again."""
        self.log()
        done = {name: value for name, value in cursor.items() if name not in ("again", "refused")}
        self.save(done, release=True)

    def hold(self) -> None:
        """Make sure that the lease lasts for the next write."""
        if self._lease.until - self.world.clock() < SOON:
            self.save()

    def log(self, sentence: str = "", stage: Stage = "") -> None:
        """One row of Logs & Errors and one line of the log; a run that did nothing leaves none (T5)."""
        tally, lease = self.tally, self._lease
        if not (tally.seen or tally.items or sentence):
            return
        began = self._started
        run = Run(
            # A mailbox that was begun again counts its leases again.
            id=self.world.keys.of("run", lease.mailbox, lease.stream, str(lease.number), began.isoformat()),
            connection=self.row.connection,
            mailbox=self.row.id,
            stream=lease.stream,
            reason=self._job.reason,
            started=began,
            ended=self.world.clock(),
            seen=tally.seen,
            kept=tally.kept,
            errors=tally.errors,
            bodies=tally.bodies,
            skipped=dict(tally.skipped),
            sentence=sentence,
            stage=stage if sentence else "",
        )
        self.world.log.write(run, tally.items)
        self._logged = tally.errors
        logger.info("run %s", line(run))


def line(run: Run) -> str:
    """A run as one JSON object, for the line of the log: names, counts and seconds, no sentence. Pure.

    JSON, not key=value: Application Insights keeps no custom dimensions of a worker without telemetry of its own, and
    `parse_json(substring(message, 4))` reads the whole of this in a query; a line break in a value stays inside (S29).
    """
    seconds = round((run.ended - run.started).total_seconds(), 1)
    names = ("id", "mailbox", "stream", "reason", "seen", "kept", "errors", "bodies")
    said = {name: getattr(run, name) for name in names}
    return json.dumps({**said, "skipped": sum(run.skipped.values()), "seconds": seconds, "failed": run.failed})


def stage_of(error: AccordError) -> Stage:
    """Where an error came from (T6). Pure."""
    if isinstance(error, StorageUnavailable | Conflict | TooLarge):
        return "storage"
    return "Microsoft Graph" if isinstance(error, Retry | NeedsPerson | Reset | Gone | BadItem | ForeignLink) else ""
