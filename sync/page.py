"""One page of mail under one lease: decide by light fields, read what is kept, store it, count everything.

A message that cannot be read is one error item of its run; all beside it go on (G4).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sync import matching
from sync.attachments import attached, hangs_something
from sync.content import readable
from sync.errors import NeedsPerson, Retry, Throttled, Unavailable
from sync.keys import Keys, fold
from sync.mailclass import classify
from sync.model import Body, Broken, Envelope, Kept, Known, MailPage, MailRecord, Relation, RunItem
from sync.work import PATIENT, Work, rules_of

# Records are stored when this many characters wait, so that a worker's memory stays small.
HELD = 8 * 1024 * 1024
# At most so many records go to the CRM, and so many keys are asked about, under one look at the lease.
STORED = 500
ASKED = 50
# Where nothing is given at all, this often: with waits that double, two hours.
VERY_PATIENT = 12
FIRST_WAIT = 7.5
LONGEST_WAIT = 900.0


def capture(
    work: Work,
    page: MailPage,
    skipped: Collection[str] = (),
    known: bool = False,
    oldest: datetime | None = None,
) -> None:
    """Decide on every mail of a page, read the bodies of those kept, and hand them to the CRM.

    `skipped` are folders that are left out, `oldest` the time received before which nothing counts. With `known`, mails
    that this mailbox has shown before are not read again: a delta also reports what was only opened or flagged. So it
    is with a page that comes again. Whoever has become a contact since is put beside a known mail.
    """
    work.tally.met((), len(page.broken))
    for broken in page.broken:
        work.tally.fail(broken.name, broken.sentence)
    kept = _decide(work, page.items, skipped, oldest)
    joined: list[MailRecord] = []
    shown = len(kept)
    if kept and (known or work.again) and not work.retrying:
        kept, joined = _news(work, kept)
    refused, answered = _read(work, kept, joined)
    # Whoever does a message again has just been given others: what is refused now is this message alone.
    _weigh(work, kept, refused, answered + shown - len(kept) + work.retrying)


def _read(
    work: Work, kept: Mapping[str, MailRecord], joined: list[MailRecord]
) -> tuple[dict[str, Retry | NeedsPerson], int]:
    """Read and store, piece by piece. Returns what Microsoft refused to give now, and how many bodies it gave."""
    waiting, held, answered = joined, 0, 0
    hung: list[MailRecord] = []
    refused: dict[str, Retry | NeedsPerson] = {}
    try:
        for message, got in work.box.bodies(list(kept)) if kept else ():
            if isinstance(got, Retry | NeedsPerson):
                refused[message] = got
                continue
            answered += 1
            record = _filled(work, kept[message], got)
            if record is not None:
                (hung if hangs_something(work, record) else waiting).append(record)
                held += len(record.html or "") + len(record.text or "")
            if held > HELD:
                refused |= attached(work, hung, waiting)
                hung, waiting, held = [], _store(work, waiting), 0
            if work.late():
                raise Unavailable("One job is not enough for this page.", 1)
        refused |= attached(work, hung, waiting)
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
        mark = work.mark(message)
        work.refused[mark] += 0 if isinstance(why, Throttled) else 1
        alone = isinstance(why, NeedsPerson) and answered
        if isinstance(why, Throttled):
            # Nobody's fault, and what Microsoft named counts before any wait of ours.
            wait = why if not isinstance(wait, Throttled) or why.after > wait.after else wait
        elif alone or work.refused[mark] > (PATIENT if answered else VERY_PATIENT):
            work.tally.fail(message, why.sentence, kept[message].key)
        elif not isinstance(wait, Throttled):
            wait = longer(why, work.refused[mark])
    if wait is not None:
        raise wait


def longer(why: Retry | NeedsPerson, times: int) -> Retry | NeedsPerson:
    """The refusal with a wait that doubles each time."""
    if isinstance(why, NeedsPerson):
        return why
    return Unavailable(why.sentence, min(FIRST_WAIT * 2**times, LONGEST_WAIT))


def _decide(
    work: Work, items: Sequence[Envelope], skipped: Collection[str], oldest: datetime | None
) -> dict[str, MailRecord]:
    """Records of the mails that are kept, by Graph id, still without their bodies."""
    tally, rules = work.tally, rules_of(work.world, work.row)
    tally.met(items)
    concerned: list[Envelope] = []
    for one in items:
        reason = matching.set_aside(one, skipped, oldest)
        if reason is None:
            concerned.append(one)
        else:
            tally.skip(reason)
    addresses = {address for one in concerned for _, address in matching.correspondents(one)}
    people = work.world.crm.people(addresses) if addresses else {}
    records = {}
    for one in concerned:
        decision = matching.decide(one, people, rules)
        if decision.keep:
            records[one.id] = MailRecord(
                identity(work.world.keys, work.row.id, one),
                work.row.id,
                one,
                decision.direction,
                decision.relations,
                expires=decision.expires,
            )
        else:
            tally.skip(decision.reason)
    return records


def identity(keys: Keys, mailbox: str, one: Envelope) -> str:
    """One mail in five mailboxes is one record; without a message id it belongs to its mailbox alone."""
    if not one.message_id:
        return "m" + keys.of("mail-here", mailbox, one.id)
    return keys.mail(one.message_id, one.sent, fold(one.author.address) if one.author else "")


def _news(work: Work, kept: Mapping[str, MailRecord]) -> tuple[dict[str, MailRecord], list[MailRecord]]:
    """What is to be read, and what need not be: of a mail that another mailbox has brought only this mailbox's copy is
    noted, and to one that stands already, people are added who were nobody's before."""
    shown: dict[str, Known] = {}
    keys = sorted({record.key for record in kept.values()})
    for at in range(0, len(keys), ASKED):
        work.hold()
        shown |= work.world.crm.known(work.row.id, keys[at : at + ASKED])
    fresh: dict[str, MailRecord] = {}
    joined: list[MailRecord] = []
    for message, record in kept.items():
        before = shown.get(record.key)
        if before is None or (before.items and message not in before.items):
            fresh[message] = record
        elif not before.items or any(_missing(one, before) for one in record.relations):
            joined.append(record)
    work.tally.skip("already kept", len(kept) - len(fresh) - len(joined))
    return fresh, joined


def _missing(one: Relation, before: Known) -> bool:
    """Whether a person does not stand beside a known mail as this relation puts him; who stands openly, does."""
    return one.who not in before.people and one.person.key not in before.people


def _filled(work: Work, record: MailRecord, body: Body | Broken | None) -> MailRecord | None:
    if body is None:
        work.tally.skip("gone")
        return None
    if isinstance(body, Broken):
        work.tally.fail(body.name, body.sentence, record.key)
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
        work.tally.keep(len(done))
        # To a mail that stood already and was not read again, somebody was added who was nobody's before.
        added = {one.key: one.envelope.id for one in some if one.html is None}
        work.tally.items += [RunItem(added[k], "kept", "person added", k) for k in stored.already if k in added]
        whole = _completed(work, some, stored) if work.retrying else set()
        added_to = [one for one in some if one.key in whole]
        work.tally.items += [RunItem(one.envelope.id, "kept", "files added", one.key) for one in added_to]
        work.tally.skip("already kept", sum(key not in added and key not in whole for key in stored.already))
        items = {one.key: RunItem(one.envelope.id, "kept", one.direction, one.key) for one in some}
        # A mail that was told apart from another of the same key stands under a key of its own.
        work.tally.items += [items.get(key) or RunItem(key, "kept", "told apart", key) for key in sorted(done)]
    return []


def _completed(work: Work, records: Sequence[MailRecord], stored: Kept) -> set[str]:
    """The keys of mails that stood already and have files now that could not be had before."""
    found = set()
    for one in records:
        # Also of a mail that was told apart from another: that has a key of its own.
        if one.html is not None and one.key not in (*stored.new, *stored.joined):
            work.hold()
            if work.world.crm.complete(one):
                found.add(one.key)
    return found
