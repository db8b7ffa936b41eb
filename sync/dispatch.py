"""Jobs onto queues: one chain of jobs for each stream of a mailbox, however often it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from sync.model import QUEUES, Job, Stream, Want
from sync.wants import in_groups
from sync.world import World

# Of many requests most of the time goes into waiting for the wire: more than a few are made by so many threads.
THREADS = 8
FEW = 16

One = TypeVar("One")
Made = TypeVar("Made")


def put(world: World, stream: Stream, job: Job, wait: float = 0) -> None:
    """Queue a job for one mailbox under a new ticket, visible after `wait` seconds.

    The ticket first: a job that gets lost behind it is found by `fanout`, two that count would double for ever.
    """
    (mailbox,) = job.subjects
    ticket = world.state.wants.ticket(mailbox, stream, wait)
    world.queue.put(QUEUES[stream], replace(job, ticket=ticket).to_json(), wait)


def put_all(world: World, wants: Sequence[Want], jobs: Mapping[str, Job]) -> None:
    """Queue a job for each of these streams, as just read, under new tickets; `jobs` are by mailbox.

    The tickets of a hundred streams first, then their messages: whoever dies in between leaves no more than a few such
    groups to be found as lost.
    """

    def put_group(group: Sequence[Want]) -> None:
        tickets = world.state.wants.tickets(group)
        for one, ticket in zip(group, tickets, strict=True):
            world.queue.put(QUEUES[one.stream], replace(jobs[one.mailbox], ticket=ticket).to_json())

    side_by_side(put_group, list(in_groups(wants)), len(wants))


def send(world: World, queue: str, jobs: Sequence[Job]) -> None:
    """Put jobs as they are onto a queue."""
    side_by_side(lambda job: world.queue.put(queue, job.to_json()), jobs, len(jobs))


def side_by_side(does: Callable[[One], Made], many: Sequence[One], requests: int) -> list[Made]:
    """Do the same for many, by a few threads where that takes more than a few requests; what each gave, in order.

    Raises what the first that failed raised; others may have been done.
    """
    if requests <= FEW:
        return [does(one) for one in many]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(does, many))
