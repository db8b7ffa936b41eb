"""How often mailboxes are looked at, who has his turn, and who is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dev.tenant.faults import Fault, Switches
from sync import capture, fanout, jobs
from sync.model import Job
from sync.policy import Policy, SchedulePolicy
from sync.progress import progress
from tests.builders import NOON
from tests.machines.world import HostedStage
from tests.stage import ADA, BEN, FIRM, Stage

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def policy(**schedule: Any) -> Policy:
    return FIRM.model_copy(update={"schedule": SchedulePolicy(**schedule)})


@pytest.fixture
def stage() -> Iterator[HostedStage]:
    """Ada's mailbox, settled, on the host; NOON is a Friday."""
    stage = HostedStage(mailboxes=(ADA,))
    stage.add()
    stage.cycle()
    yield stage
    stage.close()


def until(stage: HostedStage, moment: datetime) -> None:
    """The host goes on, a tick a minute."""
    while stage.clock() < moment:
        stage.cycle()


def jobs_in(stage: HostedStage, days: int) -> int:
    """How many messages so many days bring."""
    stage.effects.watched = True
    before = len(stage.queue.sent)
    until(stage, stage.clock() + days * DAY)
    stage.effects.watched = False
    return len(stage.queue.sent) - before


def test_a_daily_mailbox_has_one_round_in_the_half_hour_behind_its_time_in_the_firms_zone(stage):
    stage.policy = policy(frequency="daily", time="06:00", timezone="Europe/Berlin")
    stage.mail()
    six = datetime(2026, 11, 21, 5, tzinfo=UTC)

    until(stage, six)
    before = stage.timeline()
    until(stage, six + HOUR / 2)

    assert (before, stage.timeline()) == ([], ["Review"])
    assert jobs_in(stage, days=2) == 2


def test_a_weekly_round_that_fails_is_tried_again_within_the_hour_and_not_a_week_later(stage):
    stage.policy = policy(frequency="weekly", weekday="monday", time="06:00")
    stage.mail()
    stage.tenant.faults.add(Fault(match="messages", kind="bad_request", times=None))
    monday = datetime(2026, 11, 23, 6, tzinfo=UTC)

    until(stage, monday + 4 * HOUR)
    assert stage.status().status == "failing"
    stage.tenant.faults.clear()
    until(stage, monday + 5 * HOUR + timedelta(minutes=5))

    assert stage.timeline() == ["Review"]
    assert jobs_in(stage, days=6) == 0


def test_a_weekly_round_whose_job_got_lost_is_queued_again(stage):
    stage.policy = policy(frequency="weekly", weekday="monday", time="06:00")
    stage.mail()
    stage.watch()
    stage.queue.twist[0] = lambda *_: None
    monday = datetime(2026, 11, 23, 6, tzinfo=UTC)

    until(stage, monday + HOUR)

    assert stage.queue.sent == ["sync-mail", "sync-mail"]
    assert stage.timeline() == ["Review"]


def test_a_weekly_round_that_comes_while_the_connection_waits_follows_when_the_wait_is_over(stage):
    stage.policy = policy(frequency="weekly", weekday="monday", time="06:00")
    stage.mail()
    (row,) = stage.world.state.mailboxes()
    monday = datetime(2026, 11, 23, 6, tzinfo=UTC)
    until(stage, monday - HOUR)
    stage.world.state.wait("connection", row, monday + 2 * HOUR)

    until(stage, monday + 2 * HOUR - timedelta(minutes=5))
    before = stage.timeline()
    until(stage, monday + 3 * HOUR)

    assert (before, stage.timeline()) == ([], ["Review"])


def test_ticks_that_were_missing_for_days_bring_one_round(stage):
    stage.policy = policy(frequency="6 hours")
    stage.clock.advance(3 * DAY.total_seconds())
    stage.mail()
    stage.watch()

    stage.cycle()

    assert stage.queue.sent == ["sync-mail"]
    assert stage.timeline() == ["Review"]


def test_who_asks_never_waits_for_the_schedule(stage):
    stage.policy = policy(frequency="weekly")
    stage.mail()
    (row,) = stage.world.state.mailboxes()

    stage.world.state.wants.want(row.id, "mail")
    stage.clock.advance(60)
    stage.tick()
    stage.drain()

    assert stage.timeline() == ["Review"]


def test_a_mailbox_with_three_old_mails_is_complete_long_before_one_with_five_thousand():
    """Each job reads one page and goes to the end of the line."""
    stage = Stage(Switches(page_size_cap=100))
    for number in range(5000):
        stage.mail(ADA, author="nobody@else.example", received=NOON - timedelta(minutes=number + 60))
    for number in range(3):
        stage.mail(BEN, subject=f"old {number}", received=NOON - timedelta(days=number + 1))
    rows = {address: stage.add(address) for address in (ADA, BEN)}
    fanout.tick(stage.world)
    while (text := stage.queue.take("sync-mail")) is not None:
        jobs.work(stage.world, "sync-mail", text, capture.live)

    worked: list[str] = []
    reached: dict[str, Any] = {}
    while (text := stage.queue.take("backfill-mail")) is not None:
        worked.append(Job.from_json(text).subjects[0])
        jobs.work(stage.world, "backfill-mail", text, capture.backfill)
        if worked[-1] == rows[BEN].id:
            reached = progress(stage.world, rows[ADA])

    assert sorted(stage.timeline()) == ["old 0", "old 1", "old 2"]
    assert worked.index(rows[BEN].id) <= 1
    assert worked.count(rows[BEN].id) == 1
    assert worked.count(rows[ADA].id) >= 50
    assert reached["percent"] < 10
    assert progress(stage.world, rows[ADA])["seen"] == 5000
    stage.close()


def test_who_is_far_back_in_a_long_line_keeps_his_place():
    """Ten minutes behind four hundred jobs: nobody is queued a second time, which would drop the job that waits."""
    stage = Stage()
    for number in range(400):
        stage.world.state.add_mailbox("another tenant", f"person{number}@firm.example")
    stage.mail()
    ada = stage.add()
    fanout.tick(stage.world)

    stage.clock.advance(600)
    again = fanout.tick(stage.world)
    texts = [text for text in stage.queue.messages("sync-mail") if ada.id in text]
    for text in texts:
        jobs.work(stage.world, "sync-mail", text, capture.live)

    assert (again, len(texts)) == (0, 1)
    assert stage.world.state.mailbox(ada.id).met
    stage.close()
