"""Many wants at once, on memory and on Azurite: tickets in groups, and what becomes of them in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dev.memory import ManualClock
from sync import fanout
from sync.fanout import PATIENCE
from sync.model import Job, Want
from sync.ports import Queue
from sync.state import State
from sync.storage import Storage
from sync.wants import in_groups
from tests.builders import KEYS, NOON
from tests.stage import CountingTables, Scene, Stage

MINUTE = timedelta(minutes=1)


class NotedQueue:
    """A queue that notes what is put onto it."""

    def __init__(self, inner: Queue) -> None:
        self._inner = inner
        self.put_jobs: list[tuple[str, Job]] = []

    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """One message, noted."""
        self._inner.put(queue, text, delay)
        self.put_jobs.append((queue, Job.from_json(text)))


@pytest.fixture
def now() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def tables(storage) -> CountingTables:
    return CountingTables(storage.tables)


@pytest.fixture
def state(tables, now) -> State:
    return State(tables, KEYS, now)


@pytest.fixture
def stage(storage) -> Iterator[Stage]:
    """A stage whose tables and queues are those of the contract."""

    class Stored(Stage):
        def storage(self, scene: Scene) -> tuple[Any, Any, Any]:
            given: Storage = storage
            return CountingTables(given.tables), scene.blobs, NotedQueue(given.queue)

    stage = Stored()
    yield stage
    stage.close()


def unwanted(number: int) -> list[Want]:
    """Streams that nobody wanted yet."""
    return [Want(KEYS.of("mailbox", str(one)), "mail") for one in range(number)]


def by_mailbox(wants: Iterator[Want]) -> dict[str, Want]:
    return {want.mailbox: want for want in wants}


def test_wants_go_in_groups_of_one_partition_and_up_to_a_hundred():
    groups = list(in_groups(unwanted(4000)))

    assert all(len({want.mailbox[0] for want in group}) == 1 and len(group) <= 100 for group in groups)
    assert sum(map(len, groups)) == 4000
    assert len(groups) == 16 * 3
    assert list(in_groups([])) == []


def test_many_tickets_take_one_request_for_each_group(state, tables, now):
    for group in in_groups(unwanted(150)):
        state.wants.raised(group)
    found = list(state.wants.all())
    groups = list(in_groups(found))
    tables.written.clear()

    tickets = [ticket for group in groups for ticket in state.wants.tickets(group)]

    assert tickets == [1] * 150
    assert len(tables.written) == len(groups) <= 16
    assert {(want.count, want.asked, want.ticket, want.queued) for want in state.wants.all()} == {(1, 1, 1, now())}


def test_what_was_raised_just_now_has_its_ticket_in_one_request(state, tables):
    wants = unwanted(20)
    raised = [one for group in in_groups(wants) for one in state.wants.raised(group)]
    tables.written.clear()

    groups = list(in_groups(raised))
    for group in groups:
        state.wants.tickets(group)

    assert all(one.open for one in raised)
    assert len(tables.written) == len(groups)


def test_where_somebody_wrote_in_between_each_row_is_written_alone_and_nobody_is_overwritten(state):
    wants = [replace(one, mailbox="a" + one.mailbox[1:]) for one in unwanted(5)]
    state.wants.raised(wants)
    read = sorted(state.wants.all(), key=lambda want: want.mailbox)
    state.wants.want(read[2].mailbox, "mail")
    theirs = state.wants.ticket(read[2].mailbox, "mail")

    tickets = state.wants.tickets(read)

    assert (theirs, tickets) == (1, [1, 1, 2, 1, 1])
    after = by_mailbox(state.wants.all())
    assert (after[read[2].mailbox].count, after[read[2].mailbox].asked) == (2, 2)


def test_what_somebody_wanted_in_between_is_raised_once_more_and_not_overwritten(state):
    first, second = Want("a" * 32, "mail"), Want("b" * 32, "mail")
    state.wants.want(first.mailbox, "mail")

    (found,) = state.wants.raised([first])
    (fresh,) = state.wants.raised([second])

    assert (found.count, fresh.count) == (2, 1)
    assert found == state.wants.wanted(first.mailbox, "mail")


def test_one_tick_queues_each_of_many_once_with_its_newest_ticket(stage):
    """Ticket first: what is on the queue is what the row says."""
    boxes = [stage.world.state.add_mailbox("tenant", f"person{number}@firm.example") for number in range(60)]
    stage.tables.written.clear()

    assert fanout.tick(stage.world) == 60
    assert Counter(job.subjects[0] for _, job in stage.queue.put_jobs) == Counter(box.id for box in boxes)
    rows = by_mailbox(stage.world.state.wants.all())
    assert all(rows[job.subjects[0]].ticket == job.ticket == 1 for _, job in stage.queue.put_jobs)
    assert len([table for table in stage.tables.written if table == "AccordWanted"]) <= 16
    stage.clock.advance(60)
    assert fanout.tick(stage.world) == 0


def test_a_job_lost_from_its_queue_is_queued_again(stage):
    stage.add()
    fanout.tick(stage.world)
    stage.clock.advance(PATIENCE.total_seconds())
    assert fanout.tick(stage.world) == 0

    stage.clock.advance(60)
    fanout.tick(stage.world)

    assert [(queue, job.ticket) for queue, job in stage.queue.put_jobs] == [("sync-mail", 1), ("sync-mail", 2)]


def test_a_worker_that_died_under_its_lease_is_replaced_at_the_next_tick_after_the_leases_end(stage):
    row = stage.add()
    fanout.tick(stage.world)
    stage.world.state.open(row.id, "mail")
    stage.clock.advance(45)
    # Its message comes again, finds the lease taken and says that there is something to do.
    stage.world.state.wants.want(row.id, "mail")

    def ticked(seconds: float) -> int:
        stage.clock.advance(seconds)
        return fanout.tick(stage.world)

    assert [ticked(15), ticked(30), ticked(30), ticked(30)] == [0, 0, 1, 0]
    assert stage.world.state.open(row.id, "mail").lease.number == 2


def test_a_tick_whose_clock_is_behind_moves_nothing_back(stage):
    fanout.tick(stage.world)
    behind = replace(stage.world, clock=lambda: stage.clock() - MINUTE)
    fanout.tick(behind)

    assert stage.world.state.last_tick() == stage.clock()
    wrong = replace(stage.world, clock=lambda: stage.clock() - timedelta(hours=3))
    fanout.tick(wrong)
    assert stage.world.state.last_tick() == stage.clock() - timedelta(hours=3)
