"""A shard of idle mailboxes, asked together: whoever shows something gets a live job. No lease.

1. All is well: no row is written, whatever was asked. Only for what shows something a job is queued.
2. Delivered twice or late it asks again, by the rows of now: what is no longer idle is left to its own jobs.
3. A mailbox that Microsoft does not answer for now (429) is noted to wait, and left for the slot after that.
   Refused in any other way it gets a live job, which knows how to say it.
4. Where nothing is answered, the connection waits as told. The shard goes back once. Refused again for another reason
   than a wait, each mailbox gets its live job, which says what is wrong; after a wait the slots that follow ask.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sync import dispatch
from sync.errors import AccordError, NeedsPerson, Retry, Throttled
from sync.idle import NEWS, asleep
from sync.model import Job, MailboxRow
from sync.world import World

QUEUE = "poll-idle"
AGAIN = "poll again"

logger = logging.getLogger("accord")


def poll_idle(world: World, text: str) -> None:
    """Ask the mailboxes of a message whether anything changed; raises BadJob for what is no message of ours."""
    job = Job.from_json(text)
    now = world.clock()
    until = world.state.waits(job.connection)
    if until is not None and until > now:
        _back(world, job, job.subjects, (until - now).total_seconds())
        return
    rows = [row for row in _rows(world, job) if asleep(row, now)]
    answers: dict[str, bool | Retry | NeedsPerson] = {}
    wait: Retry | None = None
    try:
        for mailbox, said in world.poll(rows):
            answers[mailbox] = said
    except Retry as refused:
        wait = refused
        if isinstance(refused, Throttled):
            world.state.wait(refused.scope, rows[0], world.clock() + timedelta(seconds=refused.after))
    except AccordError as refused:
        # Nobody can be asked together: each live job finds out, and tells the admin of its mailbox.
        logger.warning("idle mailboxes could not be asked together: %s", refused.sentence)
        answers = dict.fromkeys((row.id for row in rows if row.id not in answers), True) | answers
    for row in rows:
        _act(world, row, answers.get(row.id, False))
    left = [row for row in rows if row.id not in answers]
    if wait is not None and job.reason != AGAIN:
        _back(world, job, [row.id for row in left], wait.after)
    elif wait is not None and not isinstance(wait, Throttled):
        for row in left:
            _act(world, row, wait)


def _rows(world: World, job: Job) -> list[MailboxRow]:
    """The mailboxes of a message that are in scope and of its connection (S21)."""
    rows = [row for row in world.state.some_mailboxes(job.subjects) if row.connection == job.connection]
    if len(rows) < len(set(job.subjects)):
        logger.warning(
            "mailboxes that are not in scope were dropped: queue=%s reason=%s count=%d",
            QUEUE,
            job.reason,
            len(set(job.subjects)) - len(rows),
        )
    return rows


def _act(world: World, row: MailboxRow, said: bool | Retry | NeedsPerson) -> None:
    if isinstance(said, Throttled):
        world.state.wait("mailbox", row, world.clock() + timedelta(seconds=said.after))
    elif said:
        # Known by its reason, since only a live job that was told of news may pass what it does not find.
        reason = NEWS if said is True else "refused"
        dispatch.put(world, "mail", Job(row.connection, "mail", (row.id,), reason))


def _back(world: World, job: Job, subjects: Sequence[str], wait: float) -> None:
    if job.reason != AGAIN and subjects:
        world.queue.put(QUEUE, replace(job, subjects=tuple(subjects), reason=AGAIN).to_json(), wait)
