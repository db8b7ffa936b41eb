"""What hangs on a mail: listed in batches, streamed into the CRM one by one, never held whole (G4).

A file that is too large, or a link to one elsewhere, is kept by name with the reason. One that cannot be fetched for a
moment lets its mail come again; one that cannot be fetched makes its mail an error item of the run: the mail itself is
kept, and so is all beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sync.errors import (
    BadItem,
    ForeignLink,
    Gone,
    NeedsPerson,
    Reset,
    Retry,
    SlotTimeout,
    StorageUnavailable,
    Throttled,
    TooLarge,
    Unavailable,
)
from sync.model import Attachment, Broken, Filed, MailRecord
from sync.work import PATIENT, Work

MEGABYTE = 1024 * 1024
# More files than this on one mail are no correspondence; the rest is named in the last one's reason.
MOST = 200
# A message is refused so often for the sake of a file; then it is kept without. Fewer than what gives up the message.
TRIES = 5


def hangs_something(work: Work, record: MailRecord) -> bool:
    """Whether a mail's attachments are to be listed. Graph calls a mail with inline images only one without any."""
    if work.world.policy().mail.attachments == "none":
        return False
    return record.envelope.attachments or "cid:" in (record.html or "")


def attached(work: Work, records: Sequence[MailRecord], ready: list[MailRecord]) -> dict[str, Retry | NeedsPerson]:
    """Fetch what hangs on these mails and append them to `ready`; returns the refusals, by message."""
    by_message = {one.envelope.id: one for one in records}
    refused: dict[str, Retry | NeedsPerson] = {}
    for message, found in work.box.attachments(list(by_message)) if records else ():
        record = by_message[message]
        # Once more, and the mail itself would be given up: it is kept without its files instead.
        tired = isinstance(found, Unavailable) and work.refused[work.mark(message)] >= PATIENT
        if isinstance(found, Retry | NeedsPerson) and not tired:
            refused[message] = found
        elif found is None or isinstance(found, Broken | Retry | NeedsPerson):
            why = found.sentence if found else "The message was gone before its files were listed."
            work.tally.fail(message, why, record.key)
            ready.append(record)
        else:
            try:
                ready.append(replace(record, attachments=tuple(_each(work, record, found))))
            except (SlotTimeout, StorageUnavailable):
                raise
            except Unavailable as passing:
                refused[message] = passing
            if work.late():
                raise Unavailable("One job is not enough for this page.", 1)
    return refused


def _each(work: Work, record: MailRecord, found: Sequence[Attachment]) -> Iterator[Filed]:
    for number, one in enumerate(found[:MOST]):
        work.hold()
        yield _filed(work, record, number, one)
    if len(found) > MOST:
        rest = Attachment("", f"{len(found) - MOST} more", "", 0, False, "", "reference")
        yield Filed(rest, why=f"Only the first {MOST} files of a mail are kept.")


def _filed(work: Work, record: MailRecord, number: int, one: Attachment) -> Filed:
    policy = work.world.policy().mail
    limit = policy.attachment_mb * MEGABYTE
    if one.kind == "reference":
        return Filed(one, why="A link to a file elsewhere: only its name is kept.")
    if policy.attachments == "names":
        return Filed(one, why="Files are not kept, only their names.")
    if one.size > limit:
        return Filed(one, why=f"Larger than {policy.attachment_mb} MB.")
    try:
        pieces = _within(work.box.attachment(record.envelope.id, one.id), limit)
        return Filed(one, file=work.world.crm.file(record.key, number, one, pieces))
    except (Throttled, SlotTimeout, StorageUnavailable):
        # Nothing is wrong with this file: it comes again with its mail.
        raise
    except TooLarge:
        return Filed(one, why=f"Larger than {policy.attachment_mb} MB.")
    except (Retry, NeedsPerson, Reset, Gone, BadItem, ForeignLink) as why:
        if isinstance(why, Unavailable) and work.refused[work.mark(record.envelope.id)] < TRIES:
            raise
        work.tally.fail(record.envelope.id, f"A file of this mail could not be had. {why.sentence}", record.key)
        return Filed(one, why=why.sentence)


def _within(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The pieces, as long as they are what the list promised: a size is only what the other side says."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise TooLarge("An attachment is larger than it was listed.")
        yield piece
