"""One page of mail under one lease: decide by light fields, read what is kept, store it, count everything.

A message that cannot be read is one error item of its run; all beside it go on (G4).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Any

from sync import matching
from sync.content import readable
from sync.errors import AccordError, LeaseLost, MalformedAnswer, NeedsPerson, Retry, Throttled, Unavailable
from sync.keys import fold
from sync.mailclass import classify
from sync.model import Body, Broken, Envelope, Job, Known, MailboxRow, MailPage, MailRecord, Run, RunItem
from sync.state import Opened, Place
from sync.world import World

# Records are stored when this many characters wait, so that a worker's memory stays small.
HELD = 8 * 1024 * 1024
# At most so many records go to the CRM, and so many keys are asked about, under one look at the lease.
STORED = 500
ASKED = 50
# How often a message may be refused while others are given, or when nothing is given, before it is an error row.
# With waits that double, 6 are a quarter of an hour and 12 are two hours.
PATIENT = 6
VERY_PATIENT = 12
FIRST_WAIT = 7.5
LONGEST_WAIT = 900.0
# A job starts nothing new after this; functionTimeout is ten minutes.
ENOUGH = timedelta(minutes=4)
# A lease with less than this left is renewed before anything more is written.
SOON = timedelta(seconds=60)

logger = logging.getLogger("accord")


@dataclass(slots=True)
class Tally:
    """What a run saw and did, growing page by page."""

    seen: int = 0
    kept: int = 0
    bodies: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    items: list[RunItem] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Items that failed."""
        return sum(item.outcome == "error" for item in self.items)

    def skip(self, reason: str, count: int = 1) -> None:
        """Count mails that were not kept."""
        if count:
            self.skipped[reason] += count

    def added_to(self, totals: Mapping[str, Any]) -> dict[str, Any]:
        """The totals of a cursor with this run's counts added."""
        counts = {name: totals.get(name, 0) + getattr(self, name) for name in ("seen", "kept", "bodies", "errors")}
        return {**counts, "skipped": dict(Counter(totals.get("skipped", {})) + self.skipped)}


class Work:
    """One job under way. As a context it frees its lease however it ends, and logs what went wrong on purpose."""

    def __init__(self, world: World, row: MailboxRow, job: Job, opened: Opened) -> None:
        self.world = world
        self.row = row
        self.box = world.connect(row)
        self.tally = Tally()
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
            self.log("" if waits else raised.sentence)
        broken_off = (
            {**self._cursor, "again": True, "refused": dict(self.refused.most_common(200))} if self._cursor else None
        )
        try:
            self.save(broken_off, release=True)
        except LeaseLost:
            return

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
        if cursor is not None:
            self._cursor = cursor
        self._lease = self.world.state.save(self._lease, cursor, places, dropped, release)

    def finish(self, cursor: Mapping[str, Any]) -> None:
        """The last save of a job that did what it could: nothing is left to come again."""
        self.log()
        done = {name: value for name, value in cursor.items() if name not in ("again", "refused")}
        self.save(done, release=True)

    def hold(self) -> None:
        """Make sure that the lease lasts for the next write."""
        if self._lease.until - self.world.clock() < SOON:
            self.save()

    def log(self, sentence: str = "") -> None:
        """One row of Logs & Errors and one line of the log; a run that did nothing leaves none (T5)."""
        tally = self.tally
        if not (tally.seen or tally.items or sentence):
            return
        run = Run(
            id=self.world.keys.of("run", self._lease.mailbox, self._lease.stream, str(self._lease.number)),
            connection=self.row.connection,
            mailbox=self.row.id,
            stream=self._lease.stream,
            reason=self._job.reason,
            started=self._started,
            ended=self.world.clock(),
            seen=tally.seen,
            kept=tally.kept,
            errors=tally.errors,
            bodies=tally.bodies,
            skipped=dict(tally.skipped),
            sentence=sentence,
        )
        self.world.log.write(run, tally.items)
        self._logged = tally.errors
        logger.info(
            "run %s stream=%s reason=%s seen=%d kept=%d errors=%d bodies=%d seconds=%.1f",
            run.id[:12],
            run.stream,
            run.reason,
            run.seen,
            run.kept,
            run.errors,
            run.bodies,
            (run.ended - run.started).total_seconds(),
        )


def capture(work: Work, page: MailPage, skipped: Collection[str] = (), known: bool = False) -> None:
    """Decide on every mail of a page, read the bodies of those kept, and hand them to the CRM.

    `skipped` are folders that are left out. With `known`, mails that this mailbox has shown before are not read again:
    a delta also reports what was only opened or flagged. So it is with a page that comes again.
    """
    work.tally.seen += len(page.broken)
    work.tally.items += [RunItem(one.name, "error", one.sentence) for one in page.broken]
    kept = _decide(work, page.items, skipped)
    joined: list[MailRecord] = []
    shown = len(kept)
    if kept and (known or work.again):
        kept, joined = _news(work, kept)
    refused, answered = _read(work, kept, joined)
    _weigh(work, kept, refused, answered + shown - len(kept))


def _read(
    work: Work, kept: Mapping[str, MailRecord], joined: list[MailRecord]
) -> tuple[dict[str, Retry | NeedsPerson], int]:
    """Read and store, piece by piece. Returns what Microsoft refused to give now, and how many bodies it gave."""
    waiting, held, answered = joined, 0, 0
    refused: dict[str, Retry | NeedsPerson] = {}
    try:
        for message, got in work.box.bodies(list(kept)) if kept else ():
            if isinstance(got, Retry | NeedsPerson):
                refused[message] = got
                continue
            answered += 1
            record = _filled(work, kept[message], got)
            if record is not None:
                waiting.append(record)
                held += len(record.html or "") + len(record.text or "")
            if held > HELD:
                waiting, held = _store(work, waiting), 0
            if work.late():
                raise Unavailable("One job is not enough for this page.", 1)
    except Retry:
        # What Graph gave before it refused more is worth keeping: the page comes again and finds it there.
        _store(work, waiting)
        raise
    _store(work, waiting)
    return refused, answered


def _weigh(
    work: Work, kept: Mapping[str, MailRecord], refused: Mapping[str, Retry | NeedsPerson], answered: int
) -> None:
    """A message refused again and again, while others are given, is an error row; else the page comes again.

    Raises the refusal that the job has to wait for. Where nothing at all is given, the trouble is not the message's.
    """
    wait: Retry | NeedsPerson | None = None
    for message, why in refused.items():
        mark = f"{work.world.keys.number('edge', message):016x}"
        work.refused[mark] += 0 if isinstance(why, Throttled) else 1
        alone = isinstance(why, NeedsPerson) and answered
        if alone or work.refused[mark] > (PATIENT if answered else VERY_PATIENT):
            work.tally.items.append(RunItem(message, "error", why.sentence, kept[message].key))
        else:
            wait = _longer(why, work.refused[mark])
    if wait is not None:
        raise wait


def _longer(why: Retry | NeedsPerson, times: int) -> Retry | NeedsPerson:
    """The refusal with a wait that doubles each time; what Microsoft itself named is waited for as named."""
    if isinstance(why, NeedsPerson | Throttled):
        return why
    return Unavailable(why.sentence, min(FIRST_WAIT * 2**times, LONGEST_WAIT))


def _decide(work: Work, items: Sequence[Envelope], skipped: Collection[str]) -> dict[str, MailRecord]:
    """Records of the mails that are kept, by Graph id, still without their bodies."""
    tally, policy = work.tally, work.world.policy()
    tally.seen += len(items)
    concerned: list[Envelope] = []
    for one in items:
        reason = matching.set_aside(one, skipped)
        if reason is None:
            concerned.append(one)
        else:
            tally.skip(reason)
    addresses = {address for one in concerned for _, address in matching.correspondents(one)}
    people = work.world.crm.people(addresses) if addresses else {}
    records = {}
    for one in concerned:
        decision = matching.decide(one, work.row.own, people, policy)
        if decision.keep:
            records[one.id] = MailRecord(_identity(work, one), work.row.id, one, decision.direction, decision.relations)
        else:
            tally.skip(decision.reason)
    return records


def _identity(work: Work, one: Envelope) -> str:
    """One mail in five mailboxes is one record; without a message id it belongs to its mailbox alone."""
    if not one.message_id:
        return "m" + work.world.keys.of("mail-here", work.row.id, one.id)
    return work.world.keys.mail(one.message_id, one.sent, fold(one.author.address) if one.author else "")


def _news(work: Work, kept: Mapping[str, MailRecord]) -> tuple[dict[str, MailRecord], list[MailRecord]]:
    """What is to be read, and what another mailbox has brought already: of that only this mailbox's copy is noted."""
    shown: dict[str, Known] = {}
    keys = sorted({record.key for record in kept.values()})
    for at in range(0, len(keys), ASKED):
        work.hold()
        shown |= work.world.crm.known(work.row.id, keys[at : at + ASKED])
    fresh: dict[str, MailRecord] = {}
    joined: list[MailRecord] = []
    for message, record in kept.items():
        before = shown.get(record.key)
        if before is not None and not before.items:
            joined.append(record)
        elif before is None or message not in before.items:
            fresh[message] = record
    work.tally.skip("already kept", len(kept) - len(fresh) - len(joined))
    return fresh, joined


def _filled(work: Work, record: MailRecord, body: Body | Broken | None) -> MailRecord | None:
    if body is None:
        work.tally.skip("gone")
        return None
    if isinstance(body, Broken):
        work.tally.items.append(RunItem(body.name, "error", body.sentence, record.key))
        return None
    work.tally.bodies += 1
    author = record.envelope.author.address if record.envelope.author else ""
    sort = classify(body.headers, body.type, author).name
    if sort in work.world.policy().mail.skipped_classes:
        work.tally.skip(sort)
        return None
    html, text = readable(body)
    return replace(record, html=html, text=text)


def _store(work: Work, records: list[MailRecord]) -> list[MailRecord]:
    """Hand records to the CRM under a lease that lasts; returns what waits now: nothing."""
    for at in range(0, len(records), STORED):
        work.hold()
        some = records[at : at + STORED]
        stored = work.world.crm.keep(some)
        done = {*stored.new, *stored.joined}
        work.tally.kept += len(done)
        work.tally.skip("already kept", len(stored.already))
        items = {one.key: RunItem(one.envelope.id, "kept", one.direction, one.key) for one in some}
        # A mail that was told apart from another of the same key stands under a key of its own.
        work.tally.items += [items.get(key) or RunItem(key, "kept", "told apart", key) for key in sorted(done)]
    return []
