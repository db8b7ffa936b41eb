"""Who gets a job at a tick."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.fanout import EACH, MOST, PATIENCE, in_turn, polled, shared, wanted
from sync.model import Trouble, Want
from sync.policy import Policy, SchedulePolicy
from sync.schedule import EVERY, due
from tests.builders import KEYS, NOON, a_mailbox

MINUTE = timedelta(minutes=1)
ADA = a_mailbox()
BOXES = {ADA.id: ADA}
EVERY_TEN = Policy(schedule=SchedulePolicy(frequency="10 minutes"))
A_DAY = [NOON + n * MINUTE for n in range(24 * 60)]


def a_want(**changes):
    fields = {"mailbox": ADA.id, "stream": "mail", "count": 1, "asked": 1}
    return Want(**{**fields, **changes})


def polls(boxes, *wants, times=A_DAY, policy=EVERY_TEN):
    known = {(want.mailbox, want.stream): want for want in wants}
    return [at for at in times if polled(at, at - MINUTE, boxes, known, policy)]


def boxes_of(number):
    return [a_mailbox(id=KEYS.of("mailbox", str(one))) for one in range(number)]


def test_what_is_wanted_is_queued_at_once():
    want = a_want(stream="mail-backfill", asked=0)

    assert wanted(NOON, BOXES, [want]) == [(want, ADA)]


def test_what_was_served_or_queued_lately_is_left_alone():
    assert wanted(NOON, BOXES, [a_want(served=1)]) == []
    assert wanted(NOON, BOXES, [a_want(queued=NOON - MINUTE)]) == []


def test_what_is_wanted_again_is_queued_again_at_once():
    assert len(wanted(NOON, BOXES, [a_want(count=2, queued=NOON - MINUTE)])) == 1


def test_a_job_that_got_lost_is_put_again_after_five_minutes():
    assert len(wanted(NOON, BOXES, [a_want(queued=NOON - 6 * MINUTE)])) == 1
    assert len(wanted(NOON, BOXES, [a_want(queued=None)])) == 1


def test_a_job_in_a_long_line_has_longer_to_come_up_before_it_counts_as_lost():
    """Put again before its turn, it would go to the end of the line: who is far behind would never have his turn."""
    rows = boxes_of(600)
    ten_minutes_ago = [a_want(mailbox=row.id, queued=NOON - 10 * MINUTE) for row in rows]
    scope = {row.id: row for row in rows}

    assert wanted(NOON, scope, ten_minutes_ago) == []
    assert len(wanted(NOON + PATIENCE + 600 * EACH, scope, ten_minutes_ago)) == 600
    # What stands in another line, was served, or has no job on its way makes nobody wait.
    others = [
        replace(one, **change) for one in ten_minutes_ago[1:] for change in ({"stream": "mail-history"}, {"served": 1})
    ]
    assert wanted(NOON, scope, [ten_minutes_ago[0], *others])[0][0] == ten_minutes_ago[0]
    assert (
        len(wanted(NOON, scope, [ten_minutes_ago[0], *(replace(one, asked=0) for one in ten_minutes_ago[1:])])) == 600
    )


def test_when_more_is_wanted_than_a_tick_may_queue_new_ones_come_first_and_then_who_waited_longest():
    new, short, long = boxes_of(3)
    waited = [
        (a_want(mailbox=short.id, queued=NOON - 7 * MINUTE), short),
        (a_want(mailbox=long.id, queued=NOON - 9 * MINUTE), long),
        (a_want(mailbox=new.id, queued=None), new),
    ]

    assert [row for _, row in in_turn(waited, most=2)] == [new, long]
    assert [row for _, row in in_turn(waited)] == [new, long, short]


def test_a_crowd_in_one_stream_takes_no_place_from_another():
    rows = boxes_of(5)
    crowd = [(a_want(mailbox=row.id, stream="mail-backfill"), row) for row in rows]

    found = in_turn([*crowd, (a_want(queued=NOON), ADA)], most=2)

    assert [want.stream for want, _ in found] == ["mail-backfill", "mail-backfill", "mail"]
    assert MOST >= 1_000


def test_nothing_is_queued_while_microsoft_told_us_to_wait():
    told = a_want(count=2, queued=NOON - 60 * MINUTE, not_before=NOON + MINUTE)

    assert wanted(NOON, BOXES, [told]) == []
    assert len(wanted(NOON + MINUTE, BOXES, [told])) == 1
    assert polls(BOXES, a_want(served=1, not_before=NOON + 24 * 60 * MINUTE)) == []


def test_a_mailbox_that_was_told_to_wait_gets_no_job_of_any_stream_before_its_time():
    told = {ADA.id: a_mailbox(not_before=NOON + 30 * MINUTE)}
    old = a_want(stream="mail-backfill", asked=0)

    assert wanted(NOON, told, [a_want(asked=0), old]) == []
    assert len(wanted(NOON + 30 * MINUTE, told, [a_want(asked=0), old])) == 2
    assert min(polls(told)) >= NOON + 30 * MINUTE
    assert len(polls(told)) == 24 * 6 - 3


def test_a_mailbox_that_waits_for_a_person_is_tried_once_an_hour():
    blocked = {ADA.id: a_mailbox(trouble=Trouble("blocked", "access", "No."))}

    assert len(polls(blocked)) == 24
    assert wanted(NOON, blocked, [a_want(queued=NOON - 30 * MINUTE)]) == []
    assert len(wanted(NOON, blocked, [a_want(queued=NOON - 61 * MINUTE)])) == 1


def test_a_stream_that_failed_four_times_in_a_row_is_tried_once_an_hour_until_it_succeeds():
    failed = {"failures": 4, "queued": NOON - 30 * MINUTE}

    assert len(polls(BOXES, a_want(failures=4, served=1))) == 24
    assert len(polls(BOXES, a_want(failures=3, served=1))) == 24 * 6
    assert wanted(NOON, BOXES, [a_want(**failed), a_want(**failed, stream="mail-backfill")]) == []
    assert len(wanted(NOON, BOXES, [a_want(**failed, count=2)])) == 1  # somebody asked for it again


WEEKLY = Policy(schedule=SchedulePolicy(frequency="weekly", weekday="monday", time="06:00"))
A_WEEK = [NOON + n * 5 * MINUTE for n in range(7 * 24 * 12)]


def polls_of_a_week(box, *wants):
    known = {(want.mailbox, want.stream): want for want in wants}
    return [at for at in A_WEEK if polled(at, at - 5 * MINUTE, {box.id: box}, known, WEEKLY)]


@pytest.mark.parametrize("policy", [EVERY_TEN, WEEKLY])
def test_however_seldom_its_turns_are_a_mailbox_that_is_blocked_or_fails_is_tried_by_the_hour(policy):
    blocked = {ADA.id: a_mailbox(trouble=Trouble("blocked", "access", "No."))}

    assert len(polls(blocked, policy=policy)) == 24
    assert len(polls(BOXES, a_want(failures=4, served=1), policy=policy)) == 24
    assert len(wanted(NOON, BOXES, [a_want(failures=4, queued=NOON - 61 * MINUTE)])) == 1


def test_a_weekly_turn_that_comes_during_a_wait_is_not_left_out():
    told = a_mailbox(not_before=NOON + timedelta(days=9))

    (turn,) = polls_of_a_week(ADA)
    assert (turn.weekday(), turn.hour) == (0, 6)
    assert polls_of_a_week(told) == [turn]
    assert polls_of_a_week(ADA, a_want(served=1, not_before=NOON + timedelta(days=9))) == [turn]
    # Somebody wants it already: it has its job as soon as it may.
    assert polls_of_a_week(told, a_want()) == []


def test_a_want_of_a_mailbox_out_of_scope_is_ignored():
    assert wanted(NOON, {}, [a_want()]) == []


def test_a_mailbox_is_polled_by_its_schedule_unless_it_is_wanted_anyway_or_nobody_ticked_before():
    assert len(polls(BOXES)) == 24 * 6
    assert len(polls(BOXES, a_want(served=1))) == 24 * 6
    assert polls(BOXES, a_want()) == []
    assert polled(NOON, None, BOXES, {}, EVERY_TEN) == []


def test_a_mailbox_that_was_told_to_wait_is_not_polled_before():
    told = {ADA.id: a_mailbox(not_before=NOON + timedelta(hours=12))}

    assert polls(told) == [at for at in polls(BOXES) if at >= NOON + timedelta(hours=12)]


def rounds_and_questions(box, policy, times):
    """When this mailbox gets a full round, and when a light call."""
    rounds, light = [], []
    for before, at in pairwise(times):
        slots = polled(at, before, {box.id: box}, {}, policy)
        for found, met in zip(shared(slots, before, at, policy), (rounds, light), strict=True):
            met += [at] * len(found)
    return rounds, light


frequencies = st.sampled_from(list(EVERY))
WAITS = Trouble("waiting", "throttled", "Wait.")
IDLE = a_mailbox(met=True, newest=NOON.isoformat())


def test_an_idle_mailbox_is_asked_lightly_but_for_a_full_round_every_six_hours():
    rounds, light = rounds_and_questions(IDLE, EVERY_TEN, A_DAY)

    assert len(rounds) == 4
    assert {later - at for at, later in pairwise(rounds)} == {timedelta(hours=6)}
    assert len(rounds) + len(light) == 24 * 6


@pytest.mark.parametrize("change", [{"newest": ""}, {"trouble": WAITS}, {"met": False}])
def test_a_mailbox_of_which_not_all_is_known_gets_full_rounds_only(change):
    rounds, light = rounds_and_questions(replace(IDLE, **change), EVERY_TEN, A_DAY)

    assert (len(rounds), light) == (24 * 6, [])


def test_where_mailboxes_are_polled_more_seldom_each_slot_is_a_full_round():
    rounds, light = rounds_and_questions(IDLE, Policy(schedule=SchedulePolicy(frequency="12 hours")), A_DAY)

    assert (len(rounds), light) == (2, [])


@given(frequencies, st.lists(st.integers(1, 4000), min_size=1, max_size=60))
def test_no_full_round_is_left_out_however_late_the_ticks_are_and_whatever_the_frequency(frequency, gaps):
    policy = Policy(schedule=SchedulePolicy(frequency=frequency))
    every = EVERY[frequency]
    times = [NOON + timedelta(seconds=sum(gaps[:at])) for at in range(len(gaps) + 1)]

    rounds, light = rounds_and_questions(IDLE, policy, times)

    longest = max(later - at for at, later in pairwise([NOON, *rounds, times[-1]]))
    assert len(rounds) + len(light) == sum(due(IDLE.id, before, at, policy.schedule) for before, at in pairwise(times))
    # A full round waits for the mailbox's slot: those of two neighbours may come nearer by one interval.
    assert len(rounds) <= (times[-1] - NOON + every) / max(timedelta(hours=6), every) + 1
    assert longest <= max(timedelta(hours=6), every) + every + timedelta(seconds=max(gaps))


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
