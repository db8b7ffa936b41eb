"""Who gets a job at a tick."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sync.fanout import due, plan
from sync.policy import Policy, SchedulePolicy
from sync.state import Want
from tests.builders import NOON, a_mailbox

MINUTE = timedelta(minutes=1)
ADA = a_mailbox()
BOXES = {ADA.id: ADA}
EVERY_TEN = Policy(schedule=SchedulePolicy(minutes=10))


def a_want(count=1, served=0, queued=None, stream="mail", mailbox=ADA.id, asked=1):
    return Want(mailbox, stream, count, served, asked, queued)


def test_what_is_wanted_is_queued_at_once():
    (job,) = plan(NOON, NOON - MINUTE, BOXES, [a_want(stream="mail-backfill")], EVERY_TEN)

    assert (job.queue, job.job.subjects, job.job.reason) == ("backfill-mail", (ADA.id,), "wanted")


def test_what_was_served_or_queued_lately_is_left_alone():
    assert plan(NOON, None, BOXES, [a_want(2, 2)], EVERY_TEN) == []
    assert plan(NOON, None, BOXES, [a_want(queued=NOON - MINUTE)], EVERY_TEN) == []


def test_what_is_wanted_again_is_queued_again_at_once():
    assert len(plan(NOON, None, BOXES, [a_want(2, 0, queued=NOON - MINUTE)], EVERY_TEN)) == 1


def test_a_job_that_got_lost_is_put_again_after_five_minutes():
    assert len(plan(NOON, None, BOXES, [a_want(queued=NOON - 6 * MINUTE)], EVERY_TEN)) == 1


def test_a_mailbox_that_waits_for_a_person_is_tried_once_an_hour():
    blocked = {ADA.id: a_mailbox(status="blocked")}
    day = [NOON + n * MINUTE for n in range(24 * 60)]

    polls = [at for at in day if plan(at, at - MINUTE, blocked, [], EVERY_TEN)]

    assert len(polls) == 24
    assert plan(NOON, None, blocked, [a_want(queued=NOON - 30 * MINUTE)], EVERY_TEN) == []
    assert len(plan(NOON, None, blocked, [a_want(queued=NOON - 61 * MINUTE)], EVERY_TEN)) == 1


def test_a_want_of_a_mailbox_out_of_scope_is_ignored():
    assert plan(NOON, None, {}, [a_want()], EVERY_TEN) == []


def test_a_wanted_mailbox_is_not_polled_beside():
    day = [NOON + n * MINUTE for n in range(10)]

    assert [len(plan(at, at - MINUTE, BOXES, [a_want()], EVERY_TEN)) for at in day] == [1] * 10


@given(st.integers(1, 600), st.lists(st.integers(1, 900), min_size=1, max_size=40))
def test_every_slot_is_met_once_however_late_the_ticks_are(minutes, gaps):
    """Ticks may be late by any time: each interval that passes makes a mailbox due exactly once, none twice."""
    every = timedelta(minutes=minutes)
    at, hits = NOON, 0
    for gap in gaps:
        later = at + timedelta(seconds=gap)
        hits += due(ADA.id, at, later, every)
        at = later

    passed = (at - NOON) / every
    late = any(timedelta(seconds=gap) > every for gap in gaps)
    assert hits <= passed + 1
    assert late or hits >= int(passed)
