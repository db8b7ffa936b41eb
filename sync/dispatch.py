"""Jobs onto queues: one chain of jobs for each stream of a mailbox, however often it is wanted."""

from __future__ import annotations

from dataclasses import replace

from sync.model import QUEUES, Job, Stream
from sync.world import World


def put(world: World, stream: Stream, job: Job, wait: float = 0) -> None:
    """Queue a job for one mailbox under a new ticket, visible after `wait` seconds.

    The ticket first: a job that gets lost behind it is found by `fanout`, two that count would double for ever.
    """
    (mailbox,) = job.subjects
    ticket = world.state.wants.ticket(mailbox, stream, wait)
    world.queue.put(QUEUES[stream], replace(job, ticket=ticket).to_json(), wait)
