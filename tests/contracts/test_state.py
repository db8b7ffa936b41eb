"""What is remembered between jobs, on memory and on Azurite."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dev.memory import ManualClock
from sync.errors import LeaseLost
from sync.log import Log
from sync.model import Run, RunItem, Trouble
from sync.ports import Row, Tables, Write
from sync.state import LEASE, Place, State
from tests.builders import KEYS, NOON


class CountedReads:
    """Tables that count what is read."""

    def __init__(self, inner: Tables) -> None:
        self._inner = inner
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get(self, *given: Any) -> Row | None:
        """One row."""
        self.count += 1
        return self._inner.get(*given)

    def rows(self, *given: Any, **named: Any) -> Iterator[Row]:
        """Rows of a partition."""
        self.count += 1
        return self._inner.rows(*given, **named)


@pytest.fixture
def now() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def state(storage, now) -> State:
    return State(storage.tables, KEYS, now)


@pytest.fixture
def box(state) -> str:
    return state.add_mailbox("tenant", "Ada@Firm.example").id


def test_a_mailbox_is_in_scope_once_whatever_the_letter_case(state, box):
    again = state.add_mailbox("tenant", " ada@firm.example ")

    assert again.id == box
    assert [row.address for row in state.mailboxes()] == ["ada@firm.example"]


def test_a_mailbox_that_is_added_is_wanted(state, box):
    (want,) = state.wants.all()

    assert (want.mailbox, want.stream, want.open) == (box, "mail", True)


def test_an_unknown_mailbox_is_none(state):
    assert state.mailbox("f" * 32) is None
    assert state.mailbox("") is None


def test_some_of_many_mailboxes_come_in_the_order_of_their_ids_and_only_those_in_scope(state):
    ids = sorted(state.add_mailbox("tenant", f"box{number}@firm.example").id for number in range(60))
    asked = ids[3:40:2]

    found = state.some_mailboxes([*reversed(asked), asked[0], "f" * 32, "0" * 32])

    assert [row.id for row in found] == asked
    assert state.some_mailboxes([]) == []


def test_some_mailboxes_are_read_by_one_request_for_each_partition_they_lie_in(storage, now):
    reads = CountedReads(storage.tables)
    state = State(reads, KEYS, now)
    ids = [state.add_mailbox("tenant", f"box{number}@firm.example").id for number in range(40)]
    reads.count = 0

    state.some_mailboxes(ids)

    assert reads.count == len({one[0] for one in ids})


def test_a_note_changes_what_it_names_and_nothing_else(state, box):
    row = state.note(state.mailbox(box), user="guid", own=("a@b.example",), met=True)

    state.note(row, trouble=Trouble("blocked", "person", "Why."))

    found = state.mailbox(box)
    assert (found.user, found.own, found.met) == ("guid", ("a@b.example",), True)
    assert found.trouble == Trouble("blocked", "person", "Why.")


def test_only_one_of_many_gets_the_lease(state, box):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: state.open(box, "mail"), range(8)))

    assert sum(one is not None for one in opened) == 1


def test_two_streams_of_a_mailbox_have_a_lease_each(state, box):
    assert state.open(box, "mail") is not None
    assert state.open(box, "mail-backfill") is not None


def test_a_lease_is_free_when_it_is_released_or_has_run_out_and_its_number_grows(state, box, now):
    first = state.open(box, "mail").lease
    state.save(first, release=True)
    second = state.open(box, "mail").lease
    now.advance(LEASE.total_seconds() + 1)
    third = state.open(box, "mail").lease

    assert [first.number, second.number, third.number] == [1, 2, 3]


def test_a_cursor_comes_back_with_the_next_lease(state, box):
    lease = state.open(box, "mail").lease
    place = Place(
        "AAMk/?#", "parent", link="https://graph.microsoft.com/v1.0/x", next="https://graph.microsoft.com/v1.0/y"
    )
    left_out = Place("junk", "parent", skipped=True)
    state.save(lease, {"opened": "today"}, [place, left_out], release=True)

    opened = state.open(box, "mail")

    assert opened.cursor == {"opened": "today"}
    assert set(opened.places) == {place, left_out}
    assert state.cursor(box, "mail") == {"opened": "today"}
    assert state.look(box, "mail") == (opened.cursor, opened.places)
    assert state.look(box, "mail-backfill") == ({}, ())


def test_a_dropped_folder_is_forgotten_and_dropping_it_again_is_no_error(state, box):
    lease = state.open(box, "mail").lease
    lease = state.save(lease, places=[Place("a", "p"), Place("b", "p")])

    lease = state.save(lease, dropped=["a"])
    state.save(lease, dropped=["a"], release=True)

    assert [place.folder for place in state.open(box, "mail").places] == ["b"]


def test_hundreds_of_folders_are_saved_under_one_lease(state, box):
    lease = state.open(box, "mail").lease

    state.save(lease, {"n": 1}, [Place(f"folder {number}", "p") for number in range(250)], release=True)

    assert len(state.open(box, "mail").places) == 250


def test_whoever_lost_the_lease_writes_nothing(state, box, now):
    mine = state.open(box, "mail").lease
    now.advance(LEASE.total_seconds() + 1)

    with pytest.raises(LeaseLost):
        state.save(mine, {"stale": True})
    theirs = state.open(box, "mail").lease
    now.advance(1)
    with pytest.raises(LeaseLost):
        state.save(mine, {"stale": True})
    state.save(theirs, {"fresh": True})
    assert state.cursor(box, "mail") == {"fresh": True}


def test_a_clock_that_lags_does_not_let_the_old_holder_write(state, storage, box, now):
    """The holder's own clock says that the lease still lasts; the row says that somebody else has it."""
    behind = State(storage.tables, KEYS, ManualClock(NOON))
    mine = behind.open(box, "mail").lease
    now.advance(LEASE.total_seconds() + 1)
    state.open(box, "mail")

    with pytest.raises(LeaseLost):
        behind.save(mine, {"stale": True})


def test_no_wish_is_lost_when_many_wish_at_once(state, box):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: state.wants.want(box, "mail"), range(8)))

    assert state.wants.wanted(box, "mail").count == 9


def test_what_is_wanted_during_a_run_stays_wanted(state, box):
    noted = state.wants.wanted(box, "mail").count
    state.wants.want(box, "mail")
    state.wants.served(box, "mail", noted)

    (want,) = state.wants.all()
    assert want.open


def test_a_ticket_says_which_job_is_the_newest_and_what_it_goes_for(state, box, now):
    first = state.wants.ticket(box, "mail")
    state.wants.want(box, "mail")
    second = state.wants.ticket(box, "mail", wait=60)

    want = state.wants.wanted(box, "mail")
    assert (first, second, want.ticket) == (1, 2, 2)
    assert (want.count, want.asked, want.queued) == (2, 2, now())
    assert want.not_before == now() + timedelta(seconds=60)


def test_many_tickets_at_once_are_all_different(state, box):
    with ThreadPoolExecutor(4) as pool:
        tickets = list(pool.map(lambda _: state.wants.ticket(box, "mail"), range(8)))

    assert sorted(tickets) == list(range(1, 9))


def test_a_stream_that_was_never_wanted_has_tickets_too(state):
    assert state.wants.ticket("f" * 32, "mail-backfill") == 1
    assert not state.wants.wanted("f" * 32, "mail-backfill").open


# -- whom Microsoft told to wait


def test_a_mailboxs_wait_stands_in_its_own_row_and_touches_nothing_else_of_it(state, box, now):
    row = state.note(state.mailbox(box), met=True, user="guid")

    state.wait("mailbox", row, now() + timedelta(seconds=77))

    assert state.mailbox(box) == replace(row, not_before=now() + timedelta(seconds=77))
    assert state.waits("tenant") is None


@pytest.mark.parametrize(("scope", "others"), [("app", True), ("connection", False)])
def test_a_wait_of_the_app_is_everybodys_and_one_of_a_connection_its_own(state, box, now, scope, others):
    until = now() + timedelta(seconds=77)

    state.wait(scope, state.mailbox(box), until)

    assert state.waits("tenant") == until
    assert state.waits("another tenant") == (until if others else None)
    assert state.mailbox(box).not_before is None


def test_of_the_waits_of_app_and_connection_the_later_counts(state, box, now):
    row = state.mailbox(box)
    state.wait("app", row, now() + timedelta(seconds=10))
    state.wait("connection", row, now() + timedelta(seconds=20))

    assert state.waits("tenant") == now() + timedelta(seconds=20)
    assert state.waits("another tenant") == now() + timedelta(seconds=10)


@pytest.mark.parametrize("scope", ["mailbox", "connection", "app"])
def test_a_shorter_wait_never_takes_from_a_longer_one(state, storage, box, now, scope):
    row = state.mailbox(box)

    for seconds in (60, 5, 90, 30):
        state.wait(scope, row, now() + timedelta(seconds=seconds))

    fresh = State(storage.tables, KEYS, now)
    found = fresh.mailbox(box).not_before if scope == "mailbox" else fresh.waits("tenant")
    assert found == now() + timedelta(seconds=90)


@pytest.mark.parametrize("scope", ["mailbox", "app"])
def test_of_many_who_are_told_to_wait_at_once_the_longest_wait_is_kept(state, storage, box, now, scope):
    row = state.mailbox(box)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: state.wait(scope, row, now() + timedelta(seconds=n)), [3, 80, 7, 1, 60, 9, 5, 2]))

    fresh = State(storage.tables, KEYS, now)
    found = fresh.mailbox(box).not_before if scope == "mailbox" else fresh.waits("tenant")
    assert found == now() + timedelta(seconds=80)


def test_another_worker_knows_of_a_wait_after_five_seconds_and_whoever_wrote_it_at_once(state, storage, box, now):
    other = State(storage.tables, KEYS, now)
    assert other.waits("tenant") is state.waits("tenant") is None
    until = now() + timedelta(seconds=60)

    state.wait("connection", state.mailbox(box), until)

    assert (state.waits("tenant"), other.waits("tenant")) == (until, None)
    now.advance(5.1)
    assert (state.waits("tenant"), other.waits("tenant")) == (until, until)


def test_waits_are_read_once_for_all_jobs_of_five_seconds(storage, now):
    class Counting:
        def __init__(self) -> None:
            self.reads = 0

        def rows(self, *given):
            self.reads += 1
            return storage.tables.rows(*given)

    tables = Counting()
    state = State(tables, KEYS, now)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: state.waits(f"tenant {number}"), range(40)))

    assert tables.reads == 1


def test_a_mailbox_that_left_the_scope_is_not_brought_back_by_a_wait(state, storage, box, now):
    row = state.mailbox(box)
    storage.tables.write("AccordMailboxes", box[0], [Write("delete", box)])

    state.wait("mailbox", row, now() + timedelta(seconds=60))

    assert state.mailbox(box) is None


def test_when_a_lease_ended_is_remembered(state, box, now):
    assert state.leased_until(box, "mail") is None
    state.open(box, "mail")
    assert state.leased_until(box, "mail") == now() + LEASE


def test_a_mailbox_whose_adding_broke_off_is_wanted_when_it_is_added_again(state, storage):
    row = state.add_mailbox("tenant", "ben@firm.example")
    storage.tables.write("AccordWanted", row.id[0], [Write("delete", f"{row.id}|mail")])
    state.wants.served(row.id, "mail", 0)

    state.add_mailbox("tenant", "ben@firm.example")

    assert state.wants.wanted(row.id, "mail").open


def test_the_last_tick_is_remembered(state, now):
    assert state.last_tick() is None
    state.ticked(now())
    assert state.last_tick() == now()


def a_run(number: int) -> Run:
    began = NOON + timedelta(hours=number)
    return Run(
        id=KEYS.of("run", str(number)),
        connection="tenant",
        mailbox="box",
        stream="mail",
        reason="due",
        started=began,
        ended=began,
        seen=5,
        kept=2,
        errors=1,
        bodies=2,
        skipped={"no contact": 3},
        sentence="",
        job="",
    )


def test_runs_come_newest_first_over_midnight_and_with_their_items(storage):
    log = Log(storage.tables)
    for number in (0, 30, 5):
        items = [RunItem(f"item {one}", "kept", "in", "m1") for one in range(120)] + [RunItem("bad", "error", "Why.")]
        log.write(a_run(number), items if number == 5 else ())

    assert log.runs()[0] == [a_run(30), a_run(5), a_run(0)]
    assert log.runs(1)[0] == [a_run(30)]
    assert len(log.items(a_run(5).id)[0]) == 121
    assert log.items(a_run(5).id)[0][-1] == RunItem("bad", "error", "Why.", number=120)
    assert log.items(a_run(0).id)[0] == []


def test_writing_a_run_again_changes_nothing(storage):
    log = Log(storage.tables)
    log.write(a_run(1), [RunItem("a", "kept", "in")])
    log.write(a_run(1), [RunItem("a", "kept", "in")])

    assert log.runs()[0] == [a_run(1)]
    assert len(log.items(a_run(1).id)[0]) == 1
