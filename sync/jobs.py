"""From a queue message to a run, and from its error to what the queue does next: the door of all queue functions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sync import dispatch
from sync.errors import AccordError, BadJob, LeaseLost, NeedsPerson, Reset, Retry, StorageUnavailable, Throttled
from sync.fanout import DUE
from sync.model import STREAMS, Job, MailboxRow, Run, Stream, Want
from sync.pace import spread
from sync.status import SHOWN, trouble
from sync.world import World

# What a queue does for one mailbox; says whether there was anything to do and it was done.
Do = Callable[[World, Job, MailboxRow], bool]

# Somebody else holds the lease: when to look whether he finished.
AFTER_LEASE = 30.0
AFTER_RESET = 60.0

logger = logging.getLogger("accord")


def work(world: World, queue: str, text: str, do: Do) -> None:
    """Do what a message asks for each of its subjects.

    Retry puts the job back with its delay, NeedsPerson tells the admin at once, anything else rises to the host,
    which tries again and at last parks the message on the poison queue.
    """
    job = Job.from_json(text)
    for subject in job.subjects:
        alone = replace(job, subjects=(subject,))
        try:
            _subject(world, queue, alone, do)
        except StorageUnavailable as why:
            # Neither status nor ticket could be written: the same message once more, which needs the queue alone.
            logger.warning("job put back: queue=%s %s", queue, why.sentence)
            world.queue.put(queue, alone.to_json(), why.after)


def _subject(world: World, queue: str, job: Job, do: Do) -> None:
    row = world.state.mailbox(job.subjects[0])
    # A message that names one connection and a mailbox of another is refused (S21).
    if row is None or row.connection != job.connection or row.off:
        logger.warning("job for a mailbox that is not in scope was dropped: queue=%s reason=%s", queue, job.reason)
        if row is None:
            # A run that was under way while the mailbox went has said since that it is to go on: nobody else cleans up.
            world.state.wants.forget(job.subjects[0])
        return
    _one(world, STREAMS[queue], job, row, do)


def _one(world: World, stream: Stream, job: Job, row: MailboxRow, do: Do) -> None:
    want = world.state.wants.wanted(row.id, stream)
    if job.ticket and job.ticket < want.ticket:
        # A newer job of this stream is on its way: two chains would never end.
        return
    if (wait := max(_wait(world, row), _told(world, want))) > 0:
        _put_back(world, stream, job, wait)
        return
    try:
        worked = do(world, job, row)
    except LeaseLost:
        dispatch.put(world, stream, job, AFTER_LEASE)
    except (Retry, Reset) as why:
        _note(world, row, stream, why)
        _remember(world, row, why)
        # A lost place is mended where it is followed; one lost again at once is Microsoft's trouble, and passes.
        dispatch.put(world, stream, job, why.after if isinstance(why, Retry) else AFTER_RESET)
    except NeedsPerson as why:
        _note(world, row, stream, why)
    except Exception as why:
        _note(world, row, stream, why, failed=True)
        _hush(why)
        raise
    else:
        if worked and (want.failures or want.trouble):
            world.state.wants.mended(row.id, stream)


def _wait(world: World, row: MailboxRow) -> float:
    """Seconds before which nothing is asked of a mailbox: by its own row, its connection's, or the app's."""
    now = world.clock()
    own = (row.not_before - now).total_seconds() if row.not_before else 0.0
    shared = world.state.waits(row.connection)
    return max(own, spread(row.id, (shared - now).total_seconds()) if shared else 0.0)


def _told(world: World, want: Want) -> float:
    """Seconds before which nothing is asked of a stream."""
    return (want.not_before - world.clock()).total_seconds() if want.not_before else 0.0


def _put_back(world: World, stream: Stream, job: Job, wait: float) -> None:
    # A polled job that was never put back has no ticket: its mailbox has its next slot.
    if job.ticket or job.reason != DUE:
        dispatch.put(world, stream, job, wait)


def _remember(world: World, row: MailboxRow, why: Retry | Reset) -> None:
    """Have everybody whom Microsoft told to wait know of it."""
    if isinstance(why, Throttled):
        world.state.wait(why.scope, row, world.clock() + timedelta(seconds=why.after))


def _note(world: World, row: MailboxRow, stream: Stream, why: Exception, failed: bool = False) -> None:
    found = trouble(why)
    logger.warning("mailbox %s stream=%s is %s: %s", row.id[:12], stream, found.status, found.sentence)
    world.state.troubled(world.state.mailbox(row.id) or row, stream, found, failed)


def _hush(why: BaseException | None) -> None:
    """Take the text from errors that nobody raised on purpose: it may hold what a mail says, and the host logs what
    rises (S28). Class and traceback stay."""
    while why is not None:
        if not isinstance(why, AccordError | OSError):
            why.args = ("The text of this error is left out.",)
        why = why.__cause__ or why.__context__


def poisoned(world: World, queue: str, text: str) -> None:
    """Write a job that failed for good into Logs & Errors, with its last reason and the message to retry it by."""
    now = world.clock()
    connection = mailbox = ""
    try:
        job = Job.from_json(text)
        connection, mailbox = job.connection, ",".join(job.subjects)
        sentence = _last_trouble(world, queue, job) or "The job failed again and again."
    except BadJob as bad:
        sentence = bad.sentence
    run_id = world.keys.of("poisoned", queue, text, now.isoformat())
    world.log.write(
        Run(
            run_id,
            connection,
            mailbox[:SHOWN],
            queue,
            "poisoned",
            now,
            now,
            errors=1,
            sentence=sentence[:SHOWN],
            job=text[:SHOWN],
        )
    )
    logger.error("a job was given up: queue=%s %s", queue, sentence)


def _last_trouble(world: World, queue: str, job: Job) -> str:
    """Why the stream of a message stands still, where that is known."""
    stream = STREAMS.get(queue)
    if not job.subjects or stream is None:
        return ""
    row = world.state.mailbox(job.subjects[0])
    found = row and (row.trouble if stream == "mail" else world.state.wants.wanted(row.id, stream).trouble)
    return found.sentence if found else ""
