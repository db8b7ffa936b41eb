"""What is known of the last change of a mailbox, and who is asked together."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sync.idle import MARGIN, asleep, changed_since, newest, shards, waits
from sync.model import Trouble
from tests.builders import KEYS, NOON, a_mailbox

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LONG_AGO = NOON - HOUR
SETTLED = (NOON - MARGIN).isoformat()


def test_the_last_change_seen_is_the_newest():
    assert newest("", LONG_AGO, NOON, woken=False) == LONG_AGO.isoformat()
    assert newest((LONG_AGO - HOUR).isoformat(), LONG_AGO, NOON, woken=True) == LONG_AGO.isoformat()


def test_what_is_known_never_goes_back():
    assert newest(SETTLED, LONG_AGO, NOON, woken=False) == SETTLED


def test_a_second_that_may_still_go_on_is_not_passed():
    assert newest("", NOON - SECOND, NOON, woken=False) == SETTLED
    assert newest("", NOON + HOUR, NOON, woken=False) == SETTLED
    assert newest("", None, NOON + SECOND * 0.9, woken=False) == SETTLED


def test_a_mailbox_where_nothing_was_ever_seen_is_asked_from_a_minute_before_the_round_on():
    assert newest("", None, NOON, woken=False) == SETTLED


def test_a_round_that_saw_nothing_changes_nothing_unless_something_had_shown():
    assert newest(LONG_AGO.isoformat(), None, NOON, woken=False) == LONG_AGO.isoformat()
    assert newest(LONG_AGO.isoformat(), None, NOON, woken=True) == SETTLED


@given(st.none() | st.floats(-7200, 7200), st.sampled_from(["", LONG_AGO.isoformat()]), st.booleans())
def test_whatever_a_round_saw_a_change_of_its_last_minute_is_asked_for_again(seen, before, woken):
    last = None if seen is None else NOON - timedelta(seconds=seen)

    known = a_mailbox(newest=newest(before, last, NOON, woken))

    assert changed_since(known) <= NOON - MARGIN + SECOND


def test_it_is_asked_what_changed_from_the_second_after_the_newest_on():
    assert changed_since(a_mailbox(newest=NOON.isoformat())) == NOON + SECOND


def test_only_a_mailbox_where_all_is_well_is_asleep():
    known = {"met": True, "newest": SETTLED}
    troubles = [Trouble("waiting", "throttled", "Wait."), Trouble("blocked", "access", "No.")]

    assert asleep(a_mailbox(**known), NOON)
    assert not asleep(a_mailbox(**known | {"newest": ""}), NOON)
    assert not any(asleep(a_mailbox(**known | {"trouble": one}), NOON) for one in troubles)
    assert not any(asleep(a_mailbox(**known | one), NOON) for one in ({"met": False}, {"off": True}))


def test_a_mailbox_that_was_told_to_wait_is_not_asked_before():
    told = a_mailbox(met=True, newest=SETTLED, not_before=NOON)

    assert waits(told, NOON - SECOND)
    assert not asleep(told, NOON - SECOND)
    assert not waits(told, NOON)
    assert asleep(told, NOON)


def test_shards_hold_fifty_of_one_connection_in_the_order_of_their_ids():
    rows = [a_mailbox(id=KEYS.of("mailbox", str(at)), connection=f"tenant {at % 2}") for at in range(120)]

    found = shards(rows)

    assert [(job.connection, len(job.subjects)) for job in found] == [
        ("tenant 0", 50),
        ("tenant 0", 10),
        ("tenant 1", 50),
        ("tenant 1", 10),
    ]
    assert [one for job in found[:2] for one in job.subjects] == sorted(one.id for one in rows[::2])
    assert shards([]) == []
