"""Jobs onto queues: one chain of jobs for each stream of a mailbox, however often it is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sync.model import QUEUES, Job, Stream, Want
from sync.wants import in_groups
from sync.world import World

# A message is a request of its own, and most of it is waiting for the wire: many are sent by so many threads.
SENDERS = 8
FEW = 16


def put(world: World, stream: Stream, job: Job, wait: float = 0) -> None:
    """Queue a job for one mailbox under a new ticket, visible after `wait` seconds.

    The ticket first: a job that gets lost behind it is found by `fanout`, two that count would double for ever.
    """
    (mailbox,) = job.subjects
    ticket = world.state.wants.ticket(mailbox, stream, wait)
    world.queue.put(QUEUES[stream], replace(job, ticket=ticket).to_json(), wait)


def put_all(world: World, wants: Iterable[Want], jobs: Mapping[str, Job]) -> None:
    """Queue a job for each of these streams, as just read, under new tickets; `jobs` are by mailbox.

    The tickets of a hundred streams first, then their messages: whoever dies in between leaves no more than these to be
    found as lost.
    """
    for group in in_groups(wants):
        tickets = world.state.wants.tickets(group)
        pairs = zip(group, tickets, strict=True)
        send(world, [(QUEUES[one.stream], replace(jobs[one.mailbox], ticket=ticket)) for one, ticket in pairs])


def send(world: World, messages: Sequence[tuple[str, Job]]) -> None:
    """Put jobs as they are onto queues, many of them side by side; raises what the first that failed raised."""
    if len(messages) <= FEW:
        for queue, job in messages:
            world.queue.put(queue, job.to_json())
        return
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(lambda one: world.queue.put(one[0], one[1].to_json()), messages))
