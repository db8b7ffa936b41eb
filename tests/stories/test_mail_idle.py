"""Mailboxes where nothing happens cost one light call in a batch, and nothing is missed for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dev.tenant.faults import Fault, Switches
from sync import fanout, jobs, poll
from sync.errors import BadJob, CursorGone
from sync.idle import asleep
from sync.model import Job, MailboxRow, MailPage, Trouble
from sync.ports import Mailbox, Write
from sync.schedule import due
from tests.builders import NOON
from tests.stage import ADA, BEN, CountingTables, Fuse, FusedQueue, FusedTables, Stage, Stopped

LIGHT = "part:GET .*lastModifiedDateTime"
HOUR = 3600


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def settled(stage: Stage, *addresses: str) -> list[MailboxRow]:
    """Mailboxes through their first rounds: asleep, and quiet."""
    rows = [stage.add(one) for one in addresses or (ADA,)]
    stage.settle()
    found = [now(stage, row) for row in rows]
    assert all(asleep(row, stage.clock()) for row in found)
    return found


def now(stage: Stage, row: MailboxRow) -> MailboxRow:
    """What is known of a mailbox at this moment."""
    return stage.world.state.mailbox(row.id)


def asked(stage: Stage, ticks: int = 1) -> tuple[int, int]:
    """Units and calls that so many cycles ask of Graph."""
    before = stage.tenant.counts()
    stage.settle(ticks=ticks)
    after = stage.tenant.counts()
    return after["units"] - before["units"], after["calls"] - before["calls"]


def a_shard(*rows: MailboxRow) -> str:
    """The message that asks these mailboxes together."""
    return Job(rows[0].connection, "mail", tuple(row.id for row in rows), "poll").to_json()


def test_idle_mailboxes_are_asked_by_one_light_call_together_and_nothing_is_written(stage):
    stage.mail(to=ADA)
    settled(stage, ADA, BEN)
    counting = CountingTables(stage.tables)
    stage.world = stage.a_worker(tables=counting)

    assert asked(stage) == (2, 1)
    # The tick notes that it looked.
    assert counting.written == ["AccordState"]


def test_a_thousand_idle_mailboxes_of_one_tick_are_twenty_messages():
    stage = Stage(mailboxes=())
    fanout.tick(stage.world)
    state = stage.world.state
    for number in range(1000):
        row = state.add_mailbox("tenant", f"box{number}@firm.example")
        state.note(row, met=True, newest=NOON.isoformat())
        state.wants.served(row.id, "mail", 1)
    stage.clock.advance(301)
    full = {row.id for row in state.mailboxes() if due(row.id, NOON, stage.clock(), fanout.FULL_ROUND)}

    fanout.tick(stage.world)

    shards = [Job.from_json(text) for text in stage.queue.messages(poll.QUEUE)]
    assert len(shards) == 20
    assert {one for job in shards for one in job.subjects} == {row.id for row in state.mailboxes()} - full
    assert {Job.from_json(text).subjects[0] for text in stage.queue.messages("sync-mail")} == full
    stage.close()


@pytest.mark.parametrize("what", ["mail", "flag", "move"])
def test_whatever_shows_wakes_the_mailbox_and_then_it_sleeps_again(stage, what):
    ada = stage.tenant.user(ADA)
    old = stage.mail(subject="old")
    settled(stage)
    {"mail": stage.mail, "flag": lambda: ada.mark_read(old), "move": lambda: ada.move(old, "archive")}[what]()

    woken, _ = asked(stage, ticks=2)

    assert woken > 5
    assert stage.world.log.runs()[0][0].reason == "news"
    assert len(stage.timeline()) == (2 if what == "mail" else 1)
    assert asked(stage) == (1, 1)


@pytest.mark.parametrize("folder", ["drafts", "deleteditems"])
def test_what_happens_where_nobody_looks_wakes_the_mailbox_once(stage, folder):
    settled(stage)
    stage.clock.advance(120)
    stage.mail(folder=folder)
    stage.clock.advance(120)

    woken, _ = asked(stage)

    assert woken > 2
    assert asked(stage) == (1, 1)
    assert stage.timeline() == []


def test_a_mail_that_arrives_in_the_very_second_of_the_newest_one_seen_is_not_missed(stage):
    settled(stage)
    stage.mail(subject="first")
    fanout.tick(stage.world)
    while stage.work():
        pass
    assert stage.timeline() == ["first"]

    stage.mail(subject="in the same second")
    stage.clock.advance(301)
    stage.settle()

    assert sorted(stage.timeline()) == ["first", "in the same second"]
    assert asked(stage) == (1, 1)


@pytest.mark.parametrize("lag", [0, 45])
def test_mail_that_comes_at_any_moment_of_many_cycles_is_there_in_the_end(stage, lag):
    settled(stage)
    stage.tenant.switches = Switches(lag_seconds=lag)
    for number in range(40):
        stage.mail(subject=f"{number}")
        stage.clock.advance(7 * number % 120)
        if number % 3 == 0:
            fanout.tick(stage.world)
            while stage.work():
                pass

    stage.settle()

    assert sorted(map(int, stage.timeline())) == list(range(40))


def test_every_six_hours_each_folder_is_asked_all_the_same(stage):
    settled(stage)
    stage.tenant.recording = True

    stage.settle(ticks=24 * 12)

    rounds = [one for one in stage.tenant.exchanges if "/mailFolders/delta?" in one["url"]]
    assert len(rounds) == 4


def test_a_mailbox_with_a_folder_that_could_not_be_read_is_not_asleep(stage):
    (row,) = settled(stage)
    stage.tenant.faults.add(Fault(match="messages/delta", kind="not_found"))
    stage.mail(folder="archive")
    stage.settle(ticks=1)
    assert not asleep(now(stage, row), stage.clock())

    stage.settle(ticks=2)

    assert asleep(now(stage, row), stage.clock())
    assert stage.timeline() == ["Review"]


def test_a_mailbox_with_a_folder_whose_changes_lead_nowhere_is_not_asleep():
    class Lost:
        def __init__(self, inner: Mailbox) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def follow(self, link: str) -> MailPage:
            raise CursorGone("The place is lost as soon as it is reached.")

    stage = Stage(Switches(page_size_cap=1))
    stage.mail(folder="archive", received=NOON + timedelta(minutes=1))
    stage.mail(folder="archive", received=NOON + timedelta(minutes=1))
    (row,) = settled(stage)
    real = stage.world
    stage.world = replace(real, connect=lambda row: Lost(real.connect(row)))
    stage.mail()
    stage.settle(ticks=1)
    assert not asleep(now(stage, row), stage.clock())

    stage.world = real
    stage.settle(ticks=2)

    assert asleep(now(stage, row), stage.clock())
    assert len(stage.timeline()) == 3
    stage.close()


# -- refused


def test_a_mailbox_that_is_throttled_is_left_alone_as_told_and_the_others_are_asked(stage):
    rows = settled(stage, ADA, BEN)
    stage.tenant.faults.add(Fault(match=LIGHT, kind="throttle", after=900))
    stage.mail(to=ADA, subject="Review")
    stage.mail(to=BEN, subject="Review")
    stage.settle(ticks=1)

    told = [row for row in (now(stage, row) for row in rows) if row.not_before]
    assert len(told) == 1
    assert stage.timeline() == ["Review"]
    stage.settle(ticks=1)
    before = stage.tenant.counts()["units"]
    while stage.clock() + timedelta(seconds=301) < told[0].not_before:
        stage.settle(ticks=1)
        assert stage.tenant.counts()["units"] == before + 1
        before += 1

    stage.settle()
    assert stage.timeline() == ["Review", "Review"]


@pytest.mark.parametrize("kind", ["forbidden", "no_mailbox"])
def test_a_mailbox_that_may_not_be_read_any_more_says_so_and_the_others_are_asked(stage, kind):
    rows = settled(stage, ADA, BEN)
    stage.tenant.faults.add(Fault(match=LIGHT, kind=kind))
    stage.tenant.faults.add(Fault(match="mailFolders/delta", kind=kind))

    stage.settle(ticks=1)

    assert sorted(stage.status(row.address).status for row in rows) == ["blocked", "connected"]


@pytest.mark.parametrize("kind", ["gateway_timeout", "bad_request", "not_found"])
def test_a_mailbox_whose_answer_says_nothing_gets_a_round(stage, kind):
    settled(stage)
    stage.tenant.faults.add(Fault(match=LIGHT, kind=kind, times=None))
    stage.mail()

    stage.settle(ticks=1)

    assert stage.timeline() == ["Review"]


@pytest.mark.parametrize("kind", ["bad_request", "forbidden"])
def test_where_nobody_can_be_asked_together_each_gets_a_round(stage, kind):
    settled(stage, ADA, BEN)
    stage.tenant.faults.add(Fault(match=r"POST .*\$batch", kind=kind))
    stage.mail(to=BEN)

    stage.settle(ticks=1)

    assert stage.timeline() == ["Review"]


def test_a_batch_that_is_refused_goes_back_with_its_delay_and_is_asked_again(stage):
    rows = settled(stage, ADA, BEN)
    stage.tenant.faults.add(Fault(match=r"POST .*\$batch", kind="throttle", after=77))
    stage.mail()
    fanout.tick(stage.world)
    stage.work()

    ((wait, text),) = stage.queue.waiting(poll.QUEUE)
    assert (wait, set(Job.from_json(text).subjects)) == (77, {row.id for row in rows})
    stage.clock.advance(77)
    while stage.work():
        pass
    assert stage.timeline() == ["Review"]
    assert all(stage.status(row.address).status == "connected" for row in rows)


def test_while_all_light_calls_have_to_wait_none_is_made_and_messages_do_not_pile_up(stage):
    (row,) = settled(stage)
    stage.tenant.faults.add(Fault(match=r"POST .*\$batch", kind="throttle", after=1500, times=None))
    before = stage.tenant.counts()["calls"]
    late = a_shard(row)

    for _ in range(24):
        stage.queue.put(poll.QUEUE, late)
        stage.settle(ticks=1)

    # Two hours, and each 25 minutes at most the question of a slot and what had been put back.
    assert stage.tenant.counts()["calls"] - before <= 2 * 5
    assert len(stage.queue.waiting(poll.QUEUE)) <= 6


@pytest.mark.parametrize("kind", ["reset", "malformed", "unavailable", "server_error"])
def test_a_batch_without_an_answer_only_costs_time(stage, kind):
    settled(stage)
    stage.tenant.faults.add(Fault(match=r"POST .*\$batch", kind=kind))
    stage.mail()

    stage.settle(ticks=2)

    assert stage.timeline() == ["Review"]


def test_where_each_part_of_a_batch_is_throttled_the_batch_is(stage):
    rows = settled(stage, ADA, BEN)
    stage.tenant.faults.add(Fault(match=LIGHT, kind="throttle", after=40, times=1))
    stage.tenant.faults.add(Fault(match=LIGHT, kind="throttle", after=90, nth=2))
    fanout.tick(stage.world)

    stage.work()

    assert [wait for wait, _ in stage.queue.waiting(poll.QUEUE)] == [90]
    assert all(now(stage, row).not_before is None for row in rows)


# -- twice, late, lost, foreign


def test_a_shard_delivered_twice_brings_one_record_and_one_round(stage):
    (row,) = settled(stage)
    stage.mail()
    poll.poll_idle(stage.world, a_shard(row))
    poll.poll_idle(stage.world, a_shard(row))
    before = stage.tenant.counts()["units"]

    while stage.work():
        pass

    assert stage.timeline() == ["Review"]
    delivered_once = stage.tenant.counts()["units"] - before
    stage.clock.advance(301)
    stage.mail()
    poll.poll_idle(stage.world, a_shard(row))
    before = stage.tenant.counts()["units"]
    while stage.work():
        pass
    assert stage.tenant.counts()["units"] - before == delivered_once


def test_a_shard_that_comes_late_asks_nothing_of_a_mailbox_that_is_not_idle_any_more(stage):
    ada, ben = settled(stage, ADA, BEN)
    stage.world.state.note(ada, trouble=Trouble("blocked", "person", "Somebody must act."))
    stage.world.state.note(ben, newest="")
    before = stage.tenant.counts()["calls"]

    poll.poll_idle(stage.world, a_shard(ada, ben))

    assert stage.tenant.counts()["calls"] == before
    assert stage.status(ada.address).status == "blocked"


def test_a_mailbox_removed_from_scope_is_dropped_with_a_line_and_the_others_are_asked(stage, caplog):
    ada, ben = settled(stage, ADA, BEN)
    stage.tables.write("AccordMailboxes", ada.id[0], [Write("delete", ada.id)])
    stage.mail(to=BEN)

    with caplog.at_level(logging.WARNING):
        poll.poll_idle(stage.world, a_shard(ada, ben))
    while stage.work():
        pass

    assert stage.timeline() == ["Review"]
    assert "not in scope" in caplog.text
    assert stage.world.state.mailbox(ada.id) is None


def test_a_shard_of_another_connection_is_dropped(stage, caplog):
    (row,) = settled(stage)
    before = stage.tenant.counts()["calls"]

    poll.poll_idle(stage.world, a_shard(row).replace(row.connection, "another-tenant"))

    assert stage.tenant.counts()["calls"] == before
    assert "not in scope" in caplog.text


def test_a_shard_that_cannot_be_read_is_refused_and_ends_in_the_log(stage):
    with pytest.raises(BadJob):
        poll.poll_idle(stage.world, "no json")
    jobs.poisoned(stage.world, poll.QUEUE, "no json")

    (run,) = stage.world.log.runs()[0]
    assert (run.stream, run.reason) == (poll.QUEUE, "poisoned")


def test_killed_before_any_effect_and_delivered_again_the_mail_is_there_once():
    for effects in range(60):
        stage = Stage()
        ada, ben = settled(stage, ADA, BEN)
        stage.mail(to=ADA, message_id="<a@client.example>")
        stage.mail(to=BEN, message_id="<b@client.example>")
        fuse = Fuse(effects)
        worker = stage.a_worker(FusedTables(stage.tables, fuse), FusedQueue(stage.queue, fuse))
        killed = False
        try:
            poll.poll_idle(worker, a_shard(ada, ben))
        except Stopped:
            killed = True
        stage.world = stage.a_worker()
        poll.poll_idle(stage.world, a_shard(ada, ben))
        while stage.work():
            pass
        found = stage.timeline()
        stage.close()

        assert found == ["Review", "Review"], f"killed before effect {effects}"
        if not killed:
            assert effects == 4  # a ticket and a message for each
            return
    pytest.fail("the shard never ended")
